package message

// Part is one part of a message, the message itself among them. Offsets are from the message's
// first octet.
type Part struct {
	Parent int // the part it is in; -1 for the message
	Next   int // the part after the last one within it, so that those within are [own+1, Next)

	Start int64 // of the header
	Body  int64 // of the body, after the empty line
	// of the body's end: without the line end that belongs to a delimiter (RFC 2046 5.1.1)
	End   int64
	Lines int64 // LFs in the body

	// lower case, "text/plain" by default; of a Content-Type that is not understood too
	Type     string
	Params   []Param // of Content-Type
	Encoding Encoding
	Issues   Issues
}

// Tree is the structure of a message, the parts in the order of their beginnings. The first is the
// message. The children of a multipart are its parts; the one child of a message/rfc822 is the
// message that it holds.
type Tree struct {
	Parts  []Part
	Issues Issues // of all parts together
}

// Children returns the parts directly within one.
func (t *Tree) Children(part int) (list []int) {
	for i := part + 1; i < t.Parts[part].Next; i = t.Parts[i].Next {
		list = append(list, i)
	}
	return list
}

// Encoding is a content transfer encoding (RFC 2045 6).
type Encoding uint8

const (
	SevenBit Encoding = iota // the default
	EightBit
	Binary
	QuotedPrintable
	Base64
	UnknownEncoding
)

var encodings = [...]string{SevenBit: "7bit", EightBit: "8bit", Binary: "binary",
	QuotedPrintable: "quoted-printable", Base64: "base64"}

// Identity reports whether the octets of the body are the content.
func (e Encoding) Identity() bool { return e <= Binary }

func parseEncoding(value []byte) Encoding {
	p := valueParser{value}
	p.space()
	word := p.token()
	if len(word) == 0 {
		return SevenBit
	}
	for e, name := range encodings {
		if Is(word, name) {
			return Encoding(e)
		}
	}
	return UnknownEncoding
}

// Issues is a set of what is wrong with a message. None of it keeps the parts from being described.
type Issues uint16

const (
	NoEmptyLine  Issues = 1 << iota // the header ends without an empty line
	JunkInHeader                    // lines of the header are no fields
	TwoTypes                        // Content-Type is there more than once; the first counts
	LongValue                       // Content-Type or its like is too long to be read
	BadType                         // Content-Type cannot be understood
	NoBoundary                      // a multipart names no boundary, or one that is too long
	NoParts                         // a multipart has no delimiter
	// a multipart has no closing delimiter: the message may be cut off
	Unclosed
	BadEncoding // the encoding is unknown, or is not allowed for the type
	// parts lie deeper than the limit; the deepest are taken as they are
	TooDeep
	TooMany // there are more parts than the limit; the last are left out
)
