package queue

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
	flagReport = 1 << iota // a report of ours
	// the message has a counts row: some recipient is not in its initial state
	flagChanged
)

// record is a decoded view of a message record. Its byte slices are parts of buf, its slices are
// used again.
type record struct {
	buf      []byte
	flags    byte
	index    uint64
	size     int64
	parts    []PartRef
	envelope []byte
	envelopeView
}

// envelopeView is the first part of an envelope, all that the state machine needs.
type envelopeView struct {
	domains    [][]byte
	recipients []recipientView
	sender     []byte
}

type recipientView struct {
	address []byte
	domain  uint32
	notify  mail.Notify
	orcpt   []byte
}

func appendHead(b []byte, flags byte, index uint64, size int64, parts []PartRef) []byte {
	b = append(b, formatVersion, flags)
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

// decode reads a copy of value.
func (r *record) decode(value []byte) error {
	r.buf = append(r.buf[:0], value...)
	return r.decodeInPlace(r.buf)
}

// decodeInPlace reads value, which must stay as it is while r is used.
func (r *record) decodeInPlace(value []byte) error {
	d := decoder{codec.New(value)}
	d.version()
	r.flags = d.Octet()
	r.index = d.Uvarint()
	r.size = d.Millis()
	r.parts = r.parts[:0]
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		r.parts = append(
			r.parts,
			PartRef{Index: d.Uvarint(), Part: int(d.Below(1 << 31)), Size: d.Millis()},
		)
	}
	if d.Failed() {
		return errCorrupt
	}
	r.envelope = d.Rest()
	return r.envelopeView.decode(r.envelope)
}

func (v *envelopeView) decode(b []byte) error {
	d := decoder{codec.New(b)}
	v.read(&d)
	if d.Failed() {
		return errCorrupt
	}
	return nil
}

func (v *envelopeView) read(d *decoder) {
	d.version()
	v.domains, v.recipients = v.domains[:0], v.recipients[:0]
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		v.domains = append(v.domains, d.Bytes())
	}
	for n := d.Count(4); n > 0 && !d.Failed(); n-- {
		v.recipients = append(v.recipients, recipientView{
			address: d.Bytes(), domain: uint32(d.Below(uint64(len(v.domains)))),
			notify: mail.Notify(d.Octet()), orcpt: d.Bytes(),
		})
	}
	v.sender = d.Bytes()
}

// envelopeWriter makes the stored form of envelopes. It uses its memory again.
type envelopeWriter struct {
	buf    []byte
	places domainPlaces
}

// encode returns the stored form, valid until the next call. Domains are written once: many
// recipients share few.
func (w *envelopeWriter) encode(e *mail.Envelope) []byte {
	b, places := append(w.buf[:0], formatVersion), &w.places
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

// decodeEnvelope makes the envelope. Its strings share one allocation.
func decodeEnvelope(b []byte) (*mail.Envelope, error) {
	e, d := new(mail.Envelope), decoder{codec.NewText(b)}
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

// message makes the scheduler's form of a record.
func (r *record) message(id mail.ID) (*Message, error) {
	e, err := decodeEnvelope(r.envelope)
	if err != nil {
		return nil, err
	}
	return &Message{
		ID: id, Envelope: e, Arrived: id.Time(), Size: r.size,
		Parts: append([]PartRef(nil), r.parts...), IsReport: r.flags&flagReport != 0,
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
