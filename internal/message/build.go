package message

import (
	"bytes"
	"strings"
)

// Limits bound a Tree. The zero value of each is its default.
type Limits struct {
	Depth int // of parts within parts, 50
	Parts int // 10,000
}

const (
	maxValue     = 8 << 10 // octets of a Content-Type that are read
	maxBoundary  = 200     // RFC 2046 5.1.1 has 70
	maxDelimiter = 256     // octets of a delimiter line with its line end
)

// Builder makes the Tree of a message that is written to it. It keeps the parts, the boundaries of
// those that are open, and less than 10 KiB of the message.
type Builder struct {
	limits Limits
	tree   Tree
	open   []openPart
	active int // of the open parts that wait for a delimiter
	mode   mode

	offset int64 // of the next octet
	lines  int64 // LFs before it
	end    int64 // octets of the line end before it; 0 at the start of a header or a body
	inLine bool
	cr     bool // the last octet was CR
	dashes int  // octets of line: the start of a line that may be a delimiter
	line   [maxDelimiter]byte

	scan     Scanner // in inHeader
	want     want    // the field that the scanner is in
	has      want    // those that were there
	ctype    []byte
	encoding []byte
}

type openPart struct {
	part     int
	boundary string // "" when it has no delimiters, or when the last one was there
	digest   bool
}

type mode uint8

const (
	inHeader mode = iota
	inContent
)

// want is a set of fields.
type want uint8

const (
	wantType want = 1 << iota
	wantEncoding
)

// NewBuilder returns a builder.
func NewBuilder(limits Limits) *Builder {
	b := &Builder{limits: limits}
	if b.limits.Depth <= 0 {
		b.limits.Depth = 50
	}
	if b.limits.Parts <= 0 {
		b.limits.Parts = 10_000
	}
	b.begin(-1)
	return b
}

// Write takes the next piece of the message. It returns no error.
func (b *Builder) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		p = p[b.take(p):]
	}
	return n, nil
}

// Close ends the message and returns its tree. The builder is used up.
func (b *Builder) Close() Tree {
	if b.dashes > 0 {
		b.dashedLine(b.line[:b.dashes], true)
	}
	b.end = 0
	b.close(0)
	for i := range b.tree.Parts {
		b.tree.Issues |= b.tree.Parts[i].Issues
	}
	return b.tree
}

// take takes some octets.
func (b *Builder) take(p []byte) (n int) {
	if b.active == 0 {
		return b.content(p)
	}
	if b.dashes > 0 || !b.inLine && p[0] == '-' {
		return b.dashed(p)
	}
	n = len(p)
	if i := bytes.Index(p, []byte("\n-")); i >= 0 {
		n = i + 1
	}
	return b.content(p[:n])
}

// dashed takes octets of a line that begins with a dash, and holds it back until it is known
// whether it is a delimiter.
func (b *Builder) dashed(p []byte) (n int) {
	room := maxDelimiter - b.dashes
	n = bytes.IndexByte(p[:min(len(p), room)], '\n') + 1
	whole := n > 0
	if !whole {
		n = min(len(p), room)
	}
	line := p[:n]
	if b.dashes > 0 || !whole {
		copy(b.line[b.dashes:], line)
		b.dashes += n
		line = b.line[:b.dashes]
	}
	if whole || len(line) == maxDelimiter {
		b.dashes = 0
		b.dashedLine(line, whole)
	}
	return n
}

// dashedLine takes a line that begins with a dash, or the start of one that is too long for a
// delimiter.
func (b *Builder) dashedLine(line []byte, whole bool) {
	if whole && len(line) > 2 && line[1] == '-' {
		for i := len(b.open) - 1; i >= 0; i-- {
			if boundary := b.open[i].boundary; boundary != "" {
				if is, last := delimits(line[2:], boundary); is {
					b.delimiter(i, line, last)
					return
				}
			}
		}
	}
	for len(line) > 0 {
		line = line[b.content(line):]
	}
}

// delimits reports whether a line, its two dashes aside, is the delimiter of a boundary, and
// whether it is the last one (RFC 2046 5.1.1).
func delimits(line []byte, boundary string) (is, last bool) {
	if len(line) < len(boundary) || string(line[:len(boundary)]) != boundary {
		return false, false
	}
	tail := bytes.TrimRight(line[len(boundary):], " \t\r\n")
	return len(tail) == 0 || string(tail) == "--", len(tail) > 0
}

// delimiter ends what is within the i-th open part, and begins its next part.
func (b *Builder) delimiter(i int, line []byte, last bool) {
	b.close(i + 1)
	b.advance(line)
	b.mode = inContent
	if last {
		b.open[i].boundary = ""
		b.active--
		return
	}
	b.begin(b.open[i].part)
}

// begin opens a part that begins here, if there may be one more.
func (b *Builder) begin(parent int) {
	if len(b.tree.Parts) >= b.limits.Parts {
		b.tree.Parts[parent].Issues |= TooMany
		return
	}
	b.open = append(b.open, openPart{part: len(b.tree.Parts)})
	b.tree.Parts = append(b.tree.Parts, Part{Parent: parent, Start: b.offset, Type: "text/plain"})
	b.mode, b.end = inHeader, 0
	b.scan, b.want, b.has = Scanner{}, 0, 0
	b.ctype, b.encoding = b.ctype[:0], b.encoding[:0]
}

// close ends the open parts from the i-th on.
func (b *Builder) close(i int) {
	end, lines := b.offset-b.end, b.lines
	if b.end > 0 {
		lines--
	}
	if b.mode == inHeader && i < len(b.open) {
		b.headerEnds(true)
		part := &b.tree.Parts[b.open[len(b.open)-1].part]
		part.Body, part.Lines = end, -lines
		part.Issues |= NoEmptyLine
		if len(b.scan.Pending()) > 0 {
			part.Issues |= JunkInHeader
		}
	}
	for _, o := range b.open[i:] {
		part := &b.tree.Parts[o.part]
		part.Next = len(b.tree.Parts)
		part.End = end
		part.Lines += lines
		if o.boundary != "" {
			part.Issues |= Unclosed
			b.active--
		}
		if part.Next == o.part+1 && part.Issues&(NoBoundary|TooDeep|TooMany) == 0 &&
			strings.HasPrefix(part.Type, "multipart/") {
			part.Issues |= NoParts
		}
	}
	b.open = b.open[:i]
	b.mode = inContent
}

// content takes octets of a header or a body, with no delimiter among them.
func (b *Builder) content(p []byte) (n int) {
	if b.mode == inContent {
		b.advance(p)
		return len(p)
	}
	for n < len(p) {
		kind, k := b.scan.Next(p[n:])
		token := p[n : n+k]
		b.advance(token)
		n += k
		switch kind {
		case Name:
			b.field(b.scan.Name(token))
		case Value:
			b.value(token)
		case Junk:
			b.tree.Parts[b.open[len(b.open)-1].part].Issues |= JunkInHeader
		case End:
			b.end = 0
			b.headerEnds(false)
			return n
		}
	}
	return n
}

// advance counts octets that were taken.
func (b *Builder) advance(p []byte) {
	b.offset += int64(len(p))
	b.lines += int64(bytes.Count(p, []byte{'\n'}))
	last := p[len(p)-1]
	if b.inLine = last != '\n'; !b.inLine {
		b.end = 1
		if len(p) > 1 && p[len(p)-2] == '\r' || len(p) == 1 && b.cr {
			b.end = 2
		}
	}
	b.cr = last == '\r'
}

// field notes which field begins.
func (b *Builder) field(name []byte) {
	b.want = 0
	switch {
	case Is(name, "Content-Type"):
		b.want = wantType
	case Is(name, "Content-Transfer-Encoding"):
		b.want = wantEncoding
	}
	if b.want&b.has != 0 {
		if b.want == wantType {
			b.tree.Parts[b.open[len(b.open)-1].part].Issues |= TwoTypes
		}
		b.want = 0
	}
	b.has |= b.want
}

// value gathers the value of a field that matters.
func (b *Builder) value(p []byte) {
	to := &b.ctype
	switch b.want {
	case 0:
		return
	case wantEncoding:
		to = &b.encoding
	}
	if len(*to)+len(p) > maxValue {
		b.tree.Parts[b.open[len(b.open)-1].part].Issues |= LongValue
		p = p[:maxValue-len(*to)]
	}
	*to = append(*to, p...)
}

// headerEnds reads what the header says about the body, which begins here. cut says that the part
// ends here, too.
func (b *Builder) headerEnds(cut bool) {
	b.mode = inContent
	o := &b.open[len(b.open)-1]
	part := &b.tree.Parts[o.part]
	part.Body, part.Lines = b.offset, -b.lines
	if part.Encoding = parseEncoding(b.encoding); part.Encoding == UnknownEncoding {
		part.Issues |= BadEncoding
	}
	// The default within a digest is a message (RFC 2046 5.1.5).
	if parent := len(b.open) - 2; parent >= 0 && b.open[parent].digest {
		part.Type = "message/rfc822"
	}
	if b.has&wantType != 0 {
		b.typed(part)
	}
	if strings.HasPrefix(part.Type, "multipart/") {
		b.multipart(o, part, cut)
	} else if part.Type == "message/rfc822" || part.Type == "message/global" {
		b.nested(o.part, cut)
	}
}

// typed reads Content-Type.
func (b *Builder) typed(part *Part) {
	v := ParseValue(b.ctype)
	if kind, subtype, _ := strings.Cut(v.Main, "/"); kind == "" || subtype == "" {
		part.Issues |= BadType
		part.Type = "text/plain" // RFC 2045 5.2
		return
	}
	part.Type, part.Params = v.Main, v.Params
}

func (b *Builder) multipart(o *openPart, part *Part, cut bool) {
	if !part.Encoding.Identity() { // RFC 2045 6.4; the delimiters stand there all the same
		part.Issues |= BadEncoding
	}
	boundary := ""
	for _, p := range part.Params {
		if p.Name == "boundary" {
			boundary = p.Value
		}
	}
	switch {
	case boundary == "" || len(boundary) > maxBoundary || strings.ContainsAny(boundary, "\r\n"):
		part.Issues |= NoBoundary
	case len(b.open) >= b.limits.Depth:
		part.Issues |= TooDeep
	case !cut:
		o.boundary, o.digest = boundary, part.Type == "multipart/digest"
		b.active++
	}
}

// nested begins the message that a part holds.
func (b *Builder) nested(number int, cut bool) {
	part := &b.tree.Parts[number]
	switch {
	case !part.Encoding.Identity(): // not allowed for message/rfc822 (RFC 2046 5.2.1)
		if part.Type == "message/rfc822" {
			part.Issues |= BadEncoding
		}
	case len(b.open) >= b.limits.Depth:
		part.Issues |= TooDeep
	case !cut:
		b.begin(number)
	}
}

// Parse returns the tree of a message that is in memory.
func Parse(message []byte) Tree {
	b := NewBuilder(Limits{})
	b.Write(message)
	return b.Close()
}
