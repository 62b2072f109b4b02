package machine

import (
	"encoding/binary"
	"slices"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// A message record is a head that Apply writes and the envelope, which travels in the accept
// command in the form it is stored in: Apply copies it and decodes no more of it than the
// recipients' domains.
//
//	head:     version, flags, index of the accept entry, size, parts (index, part, size each)
//	envelope: version, domains, recipients (address, domain's place, notify, orcpt each),
//	          sender, body, utf8, ret, envid,
//	          origin, trace context
const (
	FlagReport = 1 << iota // a report of ours
	// the message has a counts row: some recipient is not in its initial state
	FlagChanged
)

// Record is a decoded view of a message record. Its byte slices are parts of buf, its slices are
// used again.
type Record struct {
	buf      []byte
	Flags    byte
	Index    uint64
	Size     int64
	Parts    []PartRef
	Envelope []byte
	EnvelopeView
}

// EnvelopeView is the first part of an envelope, all that the state machine needs.
type EnvelopeView struct {
	Domains    [][]byte
	Recipients []RecipientView
	Sender     []byte
}

// RecipientView is what the state machine needs of a recipient.
type RecipientView struct {
	Address []byte
	Domain  uint32
	notify  mail.Notify
	orcpt   []byte
}

// AppendHead writes the head of a message record; the envelope follows.
func AppendHead(b []byte, flags byte, index uint64, size int64, parts []PartRef) []byte {
	b = append(b, FormatVersion, flags)
	b = binary.AppendUvarint(b, index)
	b = binary.AppendUvarint(b, uint64(size))
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for _, p := range parts {
		b = binary.AppendUvarint(b, p.Index)
		b = binary.AppendUvarint(b, uint64(p.Part))
		b = binary.AppendUvarint(b, uint64(p.Size))
	}
	return b
}

// Decode reads a copy of value.
func (r *Record) Decode(value []byte) error {
	r.buf = append(r.buf[:0], value...)
	return r.DecodeInPlace(r.buf)
}

// DecodeInPlace reads value, which must stay as it is while r is used.
func (r *Record) DecodeInPlace(value []byte) error {
	d := Decoder{codec.New(value)}
	d.version()
	r.Flags = d.Octet()
	r.Index = d.Uvarint()
	r.Size = d.Millis()
	r.Parts = r.Parts[:0]
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		r.Parts = append(
			r.Parts,
			PartRef{Index: d.Uvarint(), Part: int(d.Below(1 << 31)), Size: d.Millis()},
		)
	}
	if d.Failed() {
		return ErrCorrupt
	}
	r.Envelope = d.Rest()
	return r.EnvelopeView.Decode(r.Envelope)
}

// Decode reads the first part of an envelope; the slices are parts of b.
func (v *EnvelopeView) Decode(b []byte) error {
	d := Decoder{codec.New(b)}
	v.read(&d)
	if d.Failed() {
		return ErrCorrupt
	}
	return nil
}

func (v *EnvelopeView) read(d *Decoder) {
	d.version()
	v.Domains, v.Recipients = v.Domains[:0], v.Recipients[:0]
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		v.Domains = append(v.Domains, d.Bytes())
	}
	for n := d.Count(4); n > 0 && !d.Failed(); n-- {
		v.Recipients = append(v.Recipients, RecipientView{
			Address: d.Bytes(), Domain: uint32(d.Below(uint64(len(v.Domains)))),
			notify: mail.Notify(d.Octet()), orcpt: d.Bytes(),
		})
	}
	v.Sender = d.Bytes()
}

// EnvelopeWriter makes the stored form of envelopes. It uses its memory again.
type EnvelopeWriter struct {
	buf    []byte
	places domainPlaces
}

// Encode returns the stored form, valid until the next call. Domains are written once: many
// recipients share few.
func (w *EnvelopeWriter) Encode(e *mail.Envelope) []byte {
	b, places := append(w.buf[:0], FormatVersion), &w.places
	places.fill(e.Recipients)
	b = binary.AppendUvarint(b, uint64(len(places.names)))
	for _, name := range places.names {
		b = codec.AppendBytes(b, name)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Recipients)))
	for i := range e.Recipients {
		r := &e.Recipients[i]
		b = codec.AppendBytes(b, r.Address)
		b = binary.AppendUvarint(b, uint64(places.of(r.Domain)))
		b = append(b, byte(r.Notify))
		b = codec.AppendBytes(b, r.ORcpt)
	}
	b = codec.AppendBytes(b, e.Sender)
	var utf8 byte
	if e.SMTPUTF8 {
		utf8 = 1
	}
	b = append(b, byte(e.Body), utf8, byte(e.Ret))
	b = codec.AppendBytes(b, e.EnvelopeID)
	b = appendOrigin(b, &e.Origin)
	w.buf = codec.AppendBytes(b, e.TraceContext)
	return w.buf
}

func appendOrigin(b []byte, o *mail.Origin) []byte {
	b = appendAddrPort(b, o.Client)
	for _, s := range [...]string{o.Helo, o.Protocol, o.User, o.Tenant, o.Campaign, o.Listener} {
		b = codec.AppendBytes(b, s)
	}
	return b
}

// DecodeEnvelope makes the envelope. Its strings share one allocation.
func DecodeEnvelope(b []byte) (*mail.Envelope, error) {
	e, d := new(mail.Envelope), Decoder{codec.NewText(b)}
	d.version()
	domains := make([]string, d.Count(1))
	for i := range domains {
		domains[i] = d.String()
	}
	e.Recipients = make([]mail.Recipient, d.Count(4))
	for i := range e.Recipients {
		r := &e.Recipients[i]
		r.Address = d.String()
		if place := d.Below(uint64(len(domains))); !d.Failed() {
			r.Domain = domains[place]
		}
		r.Notify, r.ORcpt = mail.Notify(d.Octet()), d.String()
	}
	e.Sender = d.String()
	e.Body, e.SMTPUTF8, e.Ret = mail.BodyType(d.Octet()), d.Octet() != 0, mail.Ret(d.Octet())
	e.EnvelopeID = d.String()
	o := &e.Origin
	o.Client = d.addrPort()
	for _, s := range [...]*string{
		&o.Helo, &o.Protocol, &o.User, &o.Tenant, &o.Campaign, &o.Listener,
	} {
		*s = d.String()
	}
	if trace := d.Bytes(); len(trace) > 0 {
		e.TraceContext = append([]byte(nil), trace...)
	}
	return e, d.done()
}

// Message makes the scheduler's form of a record.
func (r *Record) Message(id mail.ID) (*Message, error) {
	e, err := DecodeEnvelope(r.Envelope)
	if err != nil {
		return nil, err
	}
	return &Message{
		ID: id, Envelope: e, Arrived: id.Time(), Size: r.Size,
		Parts: append([]PartRef(nil), r.Parts...), IsReport: r.Flags&FlagReport != 0,
	}, nil
}

// domainPlaces numbers the distinct domains of recipients in order of their first appearance.
type domainPlaces struct {
	names []string
	index map[string]int // only when there are many
}

func (p *domainPlaces) fill(rs []mail.Recipient) {
	p.names, p.index = p.names[:0], nil
	for i := range rs {
		if p.of(rs[i].Domain) < 0 {
			p.add(rs[i].Domain)
		}
	}
}

func (p *domainPlaces) of(domain string) int {
	if p.index == nil {
		return slices.Index(p.names, domain)
	}
	if i, ok := p.index[domain]; ok {
		return i
	}
	return -1
}

// manyDomains is where looking through them all gets slower than a map.
const manyDomains = 16

func (p *domainPlaces) add(domain string) {
	p.names = append(p.names, domain)
	if p.index == nil && len(p.names) > manyDomains {
		p.index = make(map[string]int)
		for i, name := range p.names {
			p.index[name] = i
		}
	}
	if p.index != nil {
		p.index[domain] = len(p.names) - 1
	}
}
