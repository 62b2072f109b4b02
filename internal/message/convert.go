package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// ErrSigned says that a signature covers a message's octets as they are.
var ErrSigned = errors.New("the message is signed, and a conversion would break the signature")

// ErrNotConvertible says that a message has octets that no encoding makes 7-bit: they are in an
// address, in a part that is encoded already, or where the structure is broken.
var ErrNotConvertible = errors.New("the message cannot be converted to 7-bit")

const (
	maxConvertedHeader = 256 << 10 // octets of a header that is rewritten: it is held in memory
	maxConvertedParts  = 1000
)

// Converter converts a message to 7-bit on its way to a host without 8BITMIME (RFC 6152 3).
// Parts that hold 8-bit octets, or what is no line of text, become quoted-printable or base64
// (RFC 2045 6), 8-bit header fields get encoded words (RFC 2047) and parameters of RFC 2231. All
// other parts keep their octets. Each part decodes to what it was.
//
// It holds a header and the facts of each part, never a body.
type Converter struct {
	Size int64 // octets of the converted message

	options ConvertOptions

	tree     Tree
	plan     []encoding
	segments []segment

	// The pass under way.
	at     int // the segment
	offset int64
	facts  measure
	head   []byte
	copy   lineCopier
	qp     quotedPrinter
	base64 base64Lines
	failed bool
	ended  bool // what came out ends with a line end
}

// ConvertOptions say what is converted.
type ConvertOptions struct {
	Signed bool // a signed message too: nobody will verify the copy
	// EightBit keeps 8-bit octets, and encodes only what is no line of text: NUL, lone CR and LF,
	// long lines (RFC 2045 2.8). The last line gets an end.
	EightBit bool
}

// encoding is what is to be done to a part.
type encoding struct {
	name    string // the new Content-Transfer-Encoding, "" when it stays
	encoded bool   // the body gets it; else the body is 7-bit already
	charset string // of a text that names no type
}

// segment is a stretch of the message with one treatment, up to the offset to.
type segment struct {
	to    int64
	part  int
	kind  segmentKind
	facts facts
}

type segmentKind uint8

const (
	headerSegment segmentKind = iota
	bodySegment               // of a part without parts
	gapSegment                // delimiters, and the text around them
)

// NewConverter plans the conversion. each shows the whole message to a function, piece by piece; it
// is called three times. The error is each's, ErrSigned or ErrNotConvertible.
func NewConverter(each func(func(piece []byte)) error, o ConvertOptions) (*Converter, error) {
	c := &Converter{options: o}
	b := NewBuilder(Limits{Parts: maxConvertedParts})
	var header signatureScan
	slimmed := 0
	err := each(func(p []byte) {
		header.look(p)
		b.Write(p)
		slim(&b.tree, &slimmed)
	})
	if err != nil {
		return nil, err
	}
	c.tree = b.Close()
	if !o.Signed && (header.found || c.signedPart()) {
		return nil, ErrSigned
	}
	c.divide()
	if err := each(c.measure); err != nil {
		return nil, err
	}
	c.walk(nil, c.note)
	if !c.decide() {
		return nil, ErrNotConvertible
	}
	// The rehearsal finds the size, and the fields that have no 7-bit form.
	c.Begin()
	var out []byte
	size := int64(0)
	err = each(func(p []byte) {
		out = c.Append(out[:0], p)
		size += int64(len(out))
	})
	if err != nil {
		return nil, err
	}
	c.Size = size + int64(len(c.Finish(nil)))
	if c.failed {
		return nil, ErrNotConvertible
	}
	c.Begin()
	return c, nil
}

// slim drops what a conversion does not need of the parts that came since the last time, so that a
// message of many long fields takes no more memory than one of short ones.
func slim(t *Tree, done *int) {
	for ; *done < len(t.Parts); *done++ {
		p := &t.Parts[*done]
		if len(p.Type) > maxBoundary {
			p.Type = strings.Clone(p.Type[:maxBoundary])
		}
		if boundary := p.boundary(); len(boundary) <= maxBoundary {
			p.Params = []Param{{Name: "boundary", Value: boundary}}
		} else {
			p.Params = nil
		}
	}
	*done-- // its header may not be complete
}

// divide makes the segments.
func (c *Converter) divide() {
	at := int64(0)
	for i := range c.tree.Parts {
		p := &c.tree.Parts[i]
		if p.Start > at {
			c.segments = append(c.segments, segment{to: p.Start, part: p.Parent, kind: gapSegment})
		}
		c.segments = append(c.segments, segment{to: p.Body, part: i, kind: headerSegment})
		if at = p.Body; p.Next == i+1 {
			c.segments = append(c.segments, segment{to: p.End, part: i, kind: bodySegment})
			at = p.End
		}
	}
	if end := c.tree.Parts[0].End; end > at {
		c.segments = append(c.segments, segment{to: end, kind: gapSegment})
	}
}

// walk shows the segments of the next piece to take, and which of them end in it.
func (c *Converter) walk(p []byte, take func(seg *segment, piece []byte, last bool)) {
	for c.at < len(c.segments) {
		seg := &c.segments[c.at]
		n := min(int64(len(p)), seg.to-c.offset)
		last := c.offset+n == seg.to
		if !last && n == 0 {
			return
		}
		c.offset += n
		take(seg, p[:n], last)
		p = p[n:]
		if last {
			c.at++
		}
	}
}

func (c *Converter) measure(p []byte) { c.walk(p, c.note) }

// note finds the facts of a segment.
func (c *Converter) note(seg *segment, p []byte, last bool) {
	c.facts.add(p)
	if last {
		seg.facts = c.facts.end()
		if c.options.EightBit {
			seg.facts.wide = 0
		}
		c.facts = measure{}
	}
}

// decide plans what is done to each part, and reports whether it can be.
func (c *Converter) decide() bool {
	if c.tree.Issues&(TooMany|LongValue) != 0 {
		return false
	}
	c.plan = make([]encoding, len(c.tree.Parts))
	replaced := ""
	for i := range c.segments {
		seg := &c.segments[i]
		p, f := &c.tree.Parts[seg.part], &seg.facts
		ok := true
		switch seg.kind {
		case headerSegment:
			ok = !f.nul && c.decideHeader(seg.part, p)
		case bodySegment:
			ok = c.decideBody(&c.plan[seg.part], p, f)
		case gapSegment:
			if f.wide > 0 || f.nul {
				replaced += string(replacement)
			}
			if f.cr {
				replaced += string(lineSpace)
			}
		}
		if !ok {
			return false
		}
	}
	for i := range c.tree.Parts {
		boundary := c.tree.Parts[i].boundary()
		// A replacement in the text between parts must not make a delimiter of it.
		if wide(boundary) && !c.options.EightBit || strings.ContainsAny(boundary, replaced) {
			return false
		}
	}
	return true
}

// decideHeader: a composite part has the encoding of what is in it (RFC 2045 6.4).
func (c *Converter) decideHeader(i int, p *Part) bool {
	if !p.Encoding.Identity() && p.Next > i+1 {
		return false
	}
	if p.Encoding != SevenBit && p.Encoding.Identity() && p.Issues&NoEmptyLine == 0 {
		switch {
		case !c.options.EightBit:
			c.plan[i].name = encodings[SevenBit]
		case p.Encoding == Binary:
			c.plan[i].name = encodings[EightBit]
		}
	}
	return true
}

// decideBody chooses the encoding of a part without parts.
func (c *Converter) decideBody(plan *encoding, p *Part, f *facts) bool {
	if f.wide == 0 && !f.nul && !f.cr && !f.lf && !f.long {
		return true
	}
	composite := strings.HasPrefix(p.Type, "multipart/") || strings.HasPrefix(p.Type, "message/") &&
		!strings.HasPrefix(p.Type, "message/global")
	if composite || !p.Encoding.Identity() {
		return f.wide == 0 && !f.nul // its line ends are repaired, no more
	}
	plan.encoded = true
	plan.name = encodings[QuotedPrintable]
	// An 8-bit octet costs two more in the one, three octets cost one more in the other.
	if !strings.HasPrefix(p.Type, "text/") || f.high*6 > f.size {
		plan.name = encodings[Base64]
	}
	if plan.charset = "utf-8"; !f.utf8 {
		plan.charset = unknownCharset
	}
	return true
}

// Begin stands before the first octet of the message again.
func (c *Converter) Begin() {
	c.at, c.offset, c.failed, c.ended = 0, 0, false, false
	c.head, c.copy, c.facts = c.head[:0], lineCopier{}, measure{}
	c.qp, c.base64 = quotedPrinter{}, base64Lines{}
}

// Append appends the converted form of the next piece of the message.
func (c *Converter) Append(dst, p []byte) []byte {
	start := len(dst)
	c.walk(p, func(seg *segment, p []byte, last bool) { dst = c.convert(dst, seg, p, last) })
	if len(dst) > start {
		c.ended = dst[len(dst)-1] == '\n'
	}
	return dst
}

// Finish appends what is left at the message's end.
func (c *Converter) Finish(dst []byte) []byte {
	dst = c.Append(dst, nil)
	if c.options.EightBit && !c.ended {
		dst = append(dst, '\r', '\n')
	}
	return dst
}

func (c *Converter) convert(dst []byte, seg *segment, p []byte, last bool) []byte {
	plan := &c.plan[seg.part]
	f := &seg.facts
	switch {
	case seg.kind == headerSegment && (plan.name != "" || f.wide > 0 || f.cr || f.lf):
		return c.header(dst, seg, p, last)
	case seg.kind != bodySegment || !plan.encoded:
		return c.copy.append(dst, p, f, last)
	case plan.name == encodings[Base64]:
		dst = c.base64.append(dst, p, last)
	default:
		dst = c.qp.append(dst, p, last)
	}
	// The last line of a message has an end, which is no part of what is encoded.
	if last && seg.to == c.tree.Parts[0].End {
		switch {
		case bytes.HasSuffix(dst, []byte("\r\n")) || seg.facts.size == 0:
		case plan.name == encodings[QuotedPrintable]:
			dst = append(dst, "=\r\n"...)
		default:
			dst = append(dst, "\r\n"...)
		}
	}
	return dst
}

// Reader returns the converted form of the message that source gives from its beginning. Several
// readers may be in use at the same time.
func (c *Converter) Reader(source io.ReadCloser) io.ReadCloser {
	r := &convertedReader{source: source, pass: *c}
	r.pass.head = nil
	r.pass.Begin()
	return r
}

// convertedReader holds one block of a message, and a header that is rewritten.
type convertedReader struct {
	source io.ReadCloser
	pass   Converter
	in     [16 << 10]byte
	buf    []byte
	out    []byte // of buf: what is yet to be read
	err    error
}

func (r *convertedReader) Read(p []byte) (int, error) {
	for len(r.out) == 0 && r.err == nil {
		var n int
		n, r.err = r.source.Read(r.in[:])
		r.buf = r.pass.Append(r.buf[:0], r.in[:n])
		if r.err == io.EOF {
			r.buf = r.pass.Finish(r.buf)
		}
		r.out = r.buf
	}
	if len(r.out) == 0 {
		return 0, r.err
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *convertedReader) Close() error { return r.source.Close() }

// header gathers a header, and rewrites it when it is whole.
func (c *Converter) header(dst []byte, seg *segment, p []byte, last bool) []byte {
	if len(c.head)+len(p) > maxConvertedHeader {
		c.failed = true
		p = nil
	}
	c.head = append(c.head, p...)
	if !last {
		return dst
	}
	head, ok := repairHeader(c.head)
	if ok {
		dst, ok = c.appendHeader(dst, seg.part, head)
	}
	c.failed = c.failed || !ok
	c.head = c.head[:0]
	return dst
}

// signedPart reports whether a part is signed or encrypted by MIME's means (RFC 1847, RFC 8551).
func (c *Converter) signedPart() bool {
	for i := range c.tree.Parts {
		switch t := c.tree.Parts[i].Type; {
		case t == "multipart/signed", t == "multipart/encrypted",
			strings.HasPrefix(t, "application/pkcs7-"),
			strings.HasPrefix(t, "application/x-pkcs7-"):
			return true
		}
	}
	return false
}

// signatureScan looks for fields that sign a message (RFC 6376, RFC 8617, RFC 4870).
type signatureScan struct {
	scan  Scanner
	found bool
}

var signatureFields = [...]string{"DKIM-Signature", "ARC-Message-Signature", "ARC-Seal",
	"DomainKey-Signature"}

func (s *signatureScan) look(p []byte) {
	for len(p) > 0 && !s.scan.Done() {
		kind, n := s.scan.Next(p)
		if kind == Name {
			for _, field := range signatureFields {
				s.found = s.found || Is(s.scan.Name(p), field)
			}
		}
		p = p[n:]
	}
}

func (p *Part) boundary() string {
	for i := range p.Params {
		if p.Params[i].Name == "boundary" {
			return p.Params[i].Value
		}
	}
	return ""
}

func wide[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return true
		}
	}
	return false
}
