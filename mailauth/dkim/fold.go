package dkim

import "bytes"

// maxColumn bounds the lines of a signature (RFC 5322 2.1.1), a tab counted as tabColumns. Only a
// domain or selector that is longer by itself goes beyond it.
const (
	maxColumn  = 78
	tabColumns = 8
)

// folder writes a field's value in words with folds between them.
type folder struct {
	b      []byte
	column int // of the line that b ends in
}

// word writes a word after a space, or on a new line when it does not fit.
func (f *folder) word(s string) {
	if f.column+1+len(s) > maxColumn {
		f.line(s)
		return
	}
	f.b = append(append(f.b, ' '), s...)
	f.column += 1 + len(s)
}

// line writes a word on a new line.
func (f *folder) line(s string) {
	f.b = append(append(f.b, "\r\n\t"...), s...)
	f.column = tabColumns + len(s)
}

// names writes the h= tag. It may be folded before each colon and after it (RFC 6376 3.5).
func (f *folder) names(names []string) {
	first := "h="
	for i, name := range names {
		end := byte(':')
		if i == len(names)-1 {
			end = ';'
		}
		n := len(first) + len(name) + 1
		if i == 0 || f.column+n > maxColumn {
			f.line(first)
		} else {
			f.b, f.column = append(f.b, first...), f.column+len(first)
		}
		f.b, f.column = append(append(f.b, name...), end), f.column+n-len(first)
		first = ""
	}
}

// appendFolded appends the value of b= to a field that ends in it, over as many lines as it takes.
func appendFolded(field, value []byte) []byte {
	column := tabColumns + len(field) - bytes.LastIndexByte(field, '\t') - 1
	for len(value) > maxColumn-column {
		n := maxColumn - column
		field = append(append(field, value[:n]...), "\r\n\t"...)
		value, column = value[n:], tabColumns
	}
	return append(field, value...)
}
