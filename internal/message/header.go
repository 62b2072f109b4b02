package message

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// Field is one field of a header, or a run of lines that are none. Its slices are of the header's
// memory.
type Field struct {
	Name   []byte // nil for lines that are no field
	Raw    []byte // all its octets, with its line ends and continuation lines
	Offset int    // of Raw in the header
	colon  int    // the place after the colon in Raw
}

// Fields returns the fields of a header that is in memory, or of as much as there is of it, up to
// the empty line. Together they are all its octets.
func Fields(head []byte) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		var s Scanner
		var f Field
		end := 0
		for rest := head; len(rest) > 0; rest = head[end:] {
			kind, n := s.Next(rest)
			if kind == End || kind == Name || kind == Junk && f.Name != nil {
				f.Raw = head[f.Offset:end]
				if end > f.Offset && !yield(f) || kind == End {
					return
				}
				f = Field{Offset: end}
				if kind == Name {
					// not of s, so that it stays on the stack
					f.Name, f.colon = rest[:len(s.Name(rest))], n
				}
			}
			end += n
		}
		// A line that does not tell what it is, because the header ends in it, is no field.
		if n := len(s.Pending()); n > 0 && f.Name != nil {
			f.Raw = head[f.Offset : end-n]
			if !yield(f) {
				return
			}
			f = Field{Offset: end - n}
		}
		if f.Raw = head[f.Offset:end]; end > f.Offset {
			yield(f)
		}
	}
}

// Find returns the first field of that name.
func Find(head []byte, name string) (Field, bool) {
	for f := range Fields(head) {
		if f.Is(name) {
			return f, true
		}
	}
	return Field{}, false
}

// Text returns the Text of the first field of that name, "" when there is none.
func Text(head []byte, name string, most int) string {
	f, _ := Find(head, name)
	return f.Text(most)
}

// Is reports whether the field has that name, case of ASCII letters aside.
func (f *Field) Is(name string) bool { return Is(f.Name, name) }

// Value returns what comes after the colon, without the last line end.
func (f *Field) Value() []byte { return withoutEnd(f.Raw[f.colon:]) }

func withoutEnd(line []byte) []byte {
	if rest, ok := bytes.CutSuffix(line, []byte{'\n'}); ok {
		return bytes.TrimRight(rest, "\r")
	}
	return line
}

// AppendUnfolded appends the value without the line ends in it (RFC 5322 2.2.3).
func (f *Field) AppendUnfolded(b []byte) []byte {
	for line := range bytes.Lines(f.Value()) {
		b = append(b, withoutEnd(line)...)
	}
	return b
}

// Text returns the value unfolded and trimmed, as one line of well-formed UTF-8 with a question
// mark for each control character. A value longer than most octets is cut.
func (f *Field) Text(most int) string {
	value := f.Value()
	value = (&Field{Raw: value[:min(len(value), most)]}).AppendUnfolded(nil)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError:
			return '?'
		}
		return r
	}, string(value)))
}

// Split parts a message at the empty line after its header. Without one it is all header, and body
// is nil.
func Split(message []byte) (header, body []byte) {
	var s Scanner
	n, done := s.Skip(message)
	if !done {
		return message, nil
	}
	return withoutEmptyLine(message[:n]), message[n:]
}

// withoutEmptyLine takes the empty line off the end of a header.
func withoutEmptyLine(header []byte) []byte {
	return bytes.TrimRight(header[:len(header)-1], "\r")
}

// ReadHeader reads the header of a message and the empty line after it, which it does not return.
// Of a header with more than most octets it returns whole lines, and whole is false.
func ReadHeader(r *bufio.Reader, most int) (header []byte, whole bool, err error) {
	var s Scanner
	line := 0
	for {
		piece, err := r.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return nil, false, err
		}
		header = append(header, piece...)
		_, done := s.Skip(piece)
		switch {
		case len(header) > most:
			return header[:line], false, nil
		case done:
			return withoutEmptyLine(header), true, nil
		case err == io.EOF:
			return header, true, nil
		case err == nil:
			line = len(header)
		}
	}
}
