package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFields(t *testing.T) {
	for _, c := range []struct{ head, want string }{
		{"", ""},
		{"\r\nA: b\r\n", ""},
		{"A: b\r\nC:d\r\n\r\nE: f\r\n", "A=b|C=d"},
		{"A: b\nC:\n d\n\te\n\nE: f", "A=b|C=d e"},
		{"A: b\r\r\nC: d\r\r\n\r\r\nE: f", "A=b|C=d"},         // line ends of a broken converter
		{"Subject : x\r\n: y\r\nFrom x: z\r\n", "Subject=x|"}, // RFC 5322 4.5; no names
		{" folded\r\nA: b\r\n \r\n c\r\n\r\n", "|A=b  c"},     // a line of white space ends nothing
		{"junk\r\n folded\r\nA: b\r\njunk", "|A=b|"},
		{"A: b\r\nC", "A=b|"},
		{"\xff: x\r\n" + strings.Repeat("n", MaxName-1) + ": x\r\n" + strings.Repeat("n", MaxName) +
			": y", "|" + strings.Repeat("n", MaxName-1) + "=x|"},
		{"A: \x00b\xff\x7f", "A=?b??"},
	} {
		var got []string
		for f := range Fields([]byte(c.head)) {
			if f.Name == nil {
				got = append(got, "")
				continue
			}
			got = append(got, string(f.Name)+"="+f.Text(1000))
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%q: %q, want %q", c.head, s, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	head := []byte("Received: a\r\nreceived: b\r\nSubject: one\r\n two\r\n\r\nX: y\r\n")
	if f, ok := Find(head, "RECEIVED"); !ok || string(f.Value()) != " a" || f.Offset != 0 ||
		string(f.Raw) != "Received: a\r\n" {
		t.Errorf("%+v, %v", f, ok)
	}
	if f, ok := Find(head, "subject"); !ok || string(f.Value()) != " one\r\n two" ||
		string(f.AppendUnfolded(nil)) != " one two" || f.Offset != 26 {
		t.Errorf("%+v, %v", f, ok)
	}
	if f, ok := Find(head, "X"); ok || f.Text(9) != "" {
		t.Error("a field was found in the body")
	}
	if s := Text(head, "Subject", 3); s != "on" { // the space before it counts
		t.Errorf("%q", s)
	}
	if Is([]byte("a[c"), "a{c") || Is([]byte("ab"), "abc") || !Is([]byte("aB-1"), "Ab-1") {
		t.Error("Is")
	}
}

func TestReadHeader(t *testing.T) {
	for _, c := range []struct {
		in, want string
		most     int
		whole    bool
	}{
		{"A: b\r\n\r\nbody", "A: b\r\n", 100, true},
		{"\nbody", "", 100, true},
		{"A: b\nC: d\n\nbody", "A: b\nC: d\n", 100, true},
		{"A: b\r\nC: d\r\n\r\nbody", "A: b\r\n", 8, false},
		{"A: b\r\nC: d", "A: b\r\nC: d", 100, true},
		{"", "", 100, true},
	} {
		r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(c.in)))
		head, whole, err := ReadHeader(r, c.most)
		if string(head) != c.want || whole != c.whole || err != nil {
			t.Errorf("%q: %q, %v, %v", c.in, head, whole, err)
		}
		if rest, _ := io.ReadAll(r); whole && strings.Contains(c.in, "body") &&
			string(rest) != "body" {
			t.Errorf("%q: %q is left", c.in, rest)
		}
	}
	broken := errors.New("disk on fire")
	if _, _, err := ReadHeader(bufio.NewReader(io.MultiReader(strings.NewReader("A: b\r\n"),
		iotest.ErrReader(broken))), 100); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestTrail(t *testing.T) {
	var trail Trail
	trail.Read(
		[]byte("Received: from x\r\n\tby y\r\ndelivered-to:  <A@HERE.test>\r\nDelivered-To " +
			":\r\n b@here.test\r\nSubject: Delivered-To: c@here.test\r\n" +
			"\r\nDelivered-To: d@here.test\r\n"))
	for address, want := range map[string]bool{"a@here.test": true, "B@here.test": true,
		"c@here.test": false, "d@here.test": false} {
		if trail.Loops(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
	if got := trail.Delivered(); len(got) != 2 || string(got[0]) != "A@HERE.test" {
		t.Errorf("%q", got)
	}
	for n := MaxDelivered; n <= MaxDelivered+2; n++ {
		trail.Read([]byte(strings.Repeat("Delivered-To: b@here.test\r\n", n)))
		if trail.Loops("a@here.test") != (n > MaxDelivered) ||
			len(trail.Delivered()) != min(n, MaxDelivered+1) {
			t.Errorf("%d: %d", n, len(trail.Delivered()))
		}
	}
	if trail.Clear(); trail.Loops("b@here.test") {
		t.Error("not cleared")
	}
}

// kinds returns for each octet what kind of token it is in, and the names.
func kinds(message []byte, cut func(left int) int) (of []byte, names []string) {
	var s Scanner
	note := func(k Kind, n int) { of = append(of, bytes.Repeat([]byte{"?nvj.b"[k]}, n)...) }
	for rest := message; len(rest) > 0; {
		n := cut(len(rest))
		for p := rest[:n]; len(p) > 0; {
			kind, n := s.Next(p)
			if kind == Name {
				names = append(names, string(s.Name(p)))
			}
			if kind != More {
				note(kind, len(s.Held())+n)
			}
			p = p[n:]
		}
		rest = rest[n:]
	}
	note(Junk, len(s.Pending()))
	return of, names
}

func whole(left int) int { return left }

func pieces(seed uint64) func(left int) int {
	random := rand.New(rand.NewPCG(seed, 4))
	return func(left int) int { return 1 + random.IntN(min(left, 1+random.IntN(200))) }
}

var headers = []string{
	"Received: from x\r\n\tby y\r\nSubject : hello\r\n\r\nbody: x\r\n", "A: b\nC:\n d\n\ne", "\r\n",
	"\r\r\n", " \r\nA: b", "junk\n junk\nA: b\n\n",
	"A\r: b\r\n\rC: d\r\n", strings.Repeat("n", 127) + ":x\r\n" + strings.Repeat("n", 128) +
		":x\r\n" + strings.Repeat("\r", 127) + "\nx",
	"Delivered-To: a@b\nDELIVERED-TO:c\n\tfolded\n",
	"From a@b.example Mon Jan  1 10:11:12 2026\r\nA: b\r\n\r\n",
}

// FuzzHeader: a header is the same in whatever pieces it comes; its fields are all its octets; and
// what a simple reader makes of its lines is the same.
func FuzzHeader(f *testing.F) {
	for i, h := range headers {
		f.Add([]byte(h), uint64(i))
	}
	f.Fuzz(func(t *testing.T, message []byte, seed uint64) {
		of, names := kinds(message, whole)
		of2, names2 := kinds(message, pieces(seed))
		if !bytes.Equal(of, of2) || !slices.Equal(names, names2) || len(of) != len(message) {
			t.Fatalf("%q: %s %q, in pieces %s %q", message, of, names, of2, names2)
		}
		header, body := Split(message)
		if want := plainly(message); want != string(of) {
			t.Fatalf("%q:\n%s, want\n%s", message, of, want)
		}
		at := 0
		for f := range Fields(message) {
			if f.Offset != at || len(f.Raw) == 0 || !bytes.Equal(f.Raw, header[at:at+len(f.Raw)]) {
				t.Fatalf("%q: a field at %d, want %d: %q", message, f.Offset, at, f.Raw)
			}
			at += len(f.Raw)
			if f.Name == nil {
				continue
			}
			if string(f.Name) != names[0] || !bytes.HasPrefix(f.Raw, f.Name) ||
				f.Raw[f.colon-1] != ':' {
				t.Fatalf("%q: %+v, want %q", message, f, names[0])
			}
			names = names[1:]
			checkField(t, &f)
		}
		if at != len(header) || len(names) != 0 {
			t.Fatalf("%q: fields of %d octets, %q left", message, at, names)
		}
		if gap := message[at : len(message)-len(body)]; body != nil &&
			len(bytes.TrimLeft(gap, "\r")) != 1 {
			t.Fatalf("%q is parted by %q", message, gap)
		}
	})
}

func checkField(t *testing.T, f *Field) {
	unfolded := f.AppendUnfolded(nil)
	if bytes.IndexByte(unfolded, '\n') >= 0 ||
		strings.ContainsFunc(f.Text(100), func(r rune) bool { return r < ' ' }) {
		t.Fatalf("%q unfolds to %q", f.Raw, unfolded)
	}
	relaxed := AppendRelaxed(nil, f.Raw)
	if again := AppendRelaxed(nil, relaxed); !bytes.Equal(relaxed, again) ||
		bytes.Count(relaxed, []byte{'\n'}) != 1 {
		t.Fatalf("%q: relaxed %q, again %q", f.Raw, relaxed, again)
	}
	simple := AppendSimple(nil, f.Raw)
	if again := AppendSimple(nil, simple); !bytes.Equal(simple, again) ||
		!bytes.Equal(relaxed, AppendRelaxed(nil, simple)) {
		t.Fatalf("%q: simple %q, again %q", f.Raw, simple, again)
	}
}

// plainly is kinds by other means.
func plainly(message []byte) string {
	var of strings.Builder
	inValue, inBody := false, false
	for line := range bytes.Lines(message) {
		start, _, _ := bytes.Cut(line[:min(len(line), MaxName)], []byte{'\n'})
		name, _, found := bytes.Cut(start, []byte{':'})
		trimmed := bytes.TrimRight(name, " \t")
		bad := bytes.ContainsFunc(trimmed, func(r rune) bool { return r <= ' ' || r >= 0x7f })
		n := 0
		switch {
		case inBody:
			of.WriteString(strings.Repeat("b", len(line)))
			continue
		case line[0] == ' ' || line[0] == '\t':
		case found && !bad && len(trimmed) > 0:
			inValue, n = true, len(name)+1
		case len(line) <= MaxName && bytes.HasSuffix(line, []byte{'\n'}) &&
			len(bytes.TrimRight(line, "\r\n")) == 0:
			inBody = true
			of.WriteString(strings.Repeat(".", len(line)))
			continue
		default:
			inValue = false
		}
		rest := "j"
		if inValue {
			rest = "v"
		}
		of.WriteString(strings.Repeat("n", n) + strings.Repeat(rest, len(line)-n))
	}
	return of.String()
}

func BenchmarkFind(b *testing.B) {
	var head []byte
	for i := range 20 {
		head = fmt.Appendf(head,
			"X-Header-%d: a value of the usual length, folded\r\n\tonce or twice\r\n", i)
	}
	head = append(head, "Subject: x\r\n\r\n"...)
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Find(head, "subject"); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkScanner(b *testing.B) {
	var head []byte
	for i := range 20 {
		head = fmt.Appendf(head,
			"X-Header-%d: a value of the usual length, folded\r\n\tonce or twice\r\n", i)
	}
	head = append(head, "\r\n"...)
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		var s Scanner
		for p := head; !s.Done(); {
			_, n := s.Next(p)
			p = p[n:]
		}
	}
}
