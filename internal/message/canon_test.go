package message

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func canon(t testing.TB, body []byte, relaxed bool, cut func(left int) int) string {
	var b bytes.Buffer
	all := body
	c := NewBodyCanon(&b, relaxed)
	for len(body) > 0 {
		n := cut(len(body))
		c.Write(body[:n])
		body = body[n:]
	}
	if err := c.Close(); err != nil || c.Written() != int64(b.Len()) {
		t.Fatalf("%d octets written, %d counted: %v", b.Len(), c.Written(), err)
	}
	if c.Bare() != barely(all) {
		t.Fatalf("%q: bare line ends: %v", all, c.Bare())
	}
	form := b.String()
	b.Reset()
	c.Reset()
	c.Write(all)
	if c.Close(); b.String() != form {
		t.Fatalf("%q: %q, after Reset %q", all, form, b.String())
	}
	return form
}

// The examples of RFC 6376 3.4.5, and the edges of 3.4.3 and 3.4.4.
func TestCanon(t *testing.T) {
	const field1, field2 = "A: X\r\n", "B : Y\t\r\n\tZ  \r\n"
	if got := string(AppendRelaxed(AppendRelaxed(nil, []byte(field1)),
		[]byte(field2))); got != "a:X\r\nb:Y Z\r\n" {
		t.Errorf("relaxed header %q", got)
	}
	if got := string(AppendSimple(AppendSimple(nil, []byte(field1)),
		[]byte(field2))); got != field1+field2 {
		t.Errorf("simple header %q", got)
	}
	for _, c := range []struct{ body, simple, relaxed string }{
		{" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
		{"", "\r\n", ""},
		{"\r\n\r\n", "\r\n", ""},
		{" \t\r\n\r\n", " \t\r\n", ""},
		{"x", "x\r\n", "x\r\n"},
		{"x\r\n\r\n\r\ny", "x\r\n\r\n\r\ny\r\n", "x\r\n\r\n\r\ny\r\n"},
		{"x\n\ny\n\n", "x\r\n\r\ny\r\n", "x\r\n\r\ny\r\n"},
		{"x\ry\r\r\n\r", "x\ry\r\r\n\r\r\n", "x\ry\r\r\n\r\r\n"},
		{"\t  x", "\t  x\r\n", " x\r\n"},
	} {
		if got := canon(t, []byte(c.body), false, whole); got != c.simple {
			t.Errorf("%q: simple %q, want %q", c.body, got, c.simple)
		}
		if got := canon(t, []byte(c.body), true, whole); got != c.relaxed {
			t.Errorf("%q: relaxed %q, want %q", c.body, got, c.relaxed)
		}
	}
}

// barely reports whether there is a CR or LF that is not part of CRLF.
func barely(body []byte) bool {
	return strings.ContainsAny(strings.ReplaceAll(string(body), "\r\n", ""), "\r\n")
}

// TestCanonRuns: a body that is in its canonical form goes to the Writer in one piece and is not
// copied.
func TestCanonRuns(t *testing.T) {
	body := bytes.Repeat([]byte("A line, as people write it.\r\n\r\n and one.\r\n"), 100)
	for _, relaxed := range []bool{false, true} {
		var pieces writes
		c := NewBodyCanon(&pieces, relaxed)
		c.Write(body)
		if c.Close(); len(pieces) != 2 || &pieces[0][0] != &body[0] ||
			len(pieces[0]) != len(body)-2 {
			t.Errorf("relaxed %v: %d pieces", relaxed, len(pieces))
		}
	}
}

// writes keeps what is written.
type writes [][]byte

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, p)
	return len(p), nil
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestCanonReportsErrors(t *testing.T) {
	c := NewBodyCanon(failingWriter{}, true)
	c.Write(bytes.Repeat([]byte("text\r\n"), 2000))
	if c.Close() == nil {
		t.Error("an error of the writer was lost")
	}
}

// FuzzBodyCanon: the canonical forms are the same for any pieces and as RFC 6376 puts them in
// words, are their own canonical forms, and relaxed is that of simple.
func FuzzBodyCanon(f *testing.F) {
	for i, s := range []string{" C \r\nD \t E\r\n\r\n\r\n", "", "\r", "x\r\r\n\n\n \n",
		"a \r\n\tb\r \r\n",
		"1234567 \r\n12345678 9\r\n1234567  9 \t1\r\n", "12345678901234\t67 \t  \r"} {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		simple, relaxed := canon(t, body, false, whole), canon(t, body, true, whole)
		if s := canon(t, body, false, pieces(seed)); s != simple {
			t.Fatalf("%q: %q, in pieces %q", body, simple, s)
		}
		if s := canon(t, body, true, pieces(seed)); s != relaxed {
			t.Fatalf("%q: %q, in pieces %q", body, relaxed, s)
		}
		lines := strings.Split(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n")
		if want := joined(lines); simple != max(want, "\r\n") && simple != want {
			t.Fatalf("%q: simple %q, want %q", body, simple, want)
		}
		for i, line := range lines {
			line = strings.Join(strings.FieldsFunc("|"+line+"|",
				func(r rune) bool { return r == ' ' || r == '\t' }), " ")
			lines[i] = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"),
				" ")
		}
		if want := joined(lines); relaxed != want {
			t.Fatalf("%q: relaxed %q, want %q", body, relaxed, want)
		}
		if canon(t, []byte(simple), false, whole) != simple ||
			canon(t, []byte(relaxed), true, whole) != relaxed ||
			canon(t, []byte(simple), true, whole) != relaxed {
			t.Fatalf("%q: not a fixed point", body)
		}
	})
}

// joined is lines without the empty ones at the end.
func joined(lines []string) string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

func BenchmarkBodyCanon(b *testing.B) {
	body := bytes.Repeat(
		[]byte("This is a line of text as people write it, with words of the usual length.\r\n"),
		1300)
	indented := bytes.ReplaceAll(body, []byte("This"), []byte("        this"))
	for _, c := range []struct {
		name    string
		relaxed bool
		body    []byte
	}{{"simple", false, body}, {"relaxed", true, body}, {"indented", true, indented}} {
		b.Run(c.name, func(b *testing.B) {
			body, relaxed := c.body, c.relaxed
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				c := NewBodyCanon(io.Discard, relaxed)
				c.Write(body)
				c.Close()
			}
		})
	}
}
