package mail

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postroad/postroad/bench/record"
)

func generator() *Generator {
	return &Generator{Seed: 42, Run: "u", Domains: []string{"a.example", "b.example"},
		MaxSize: 300 << 10}
}

// TestGeneratorIsVaried: a few hundred messages have everything that the kit promises, and no line
// breaks RFC 5321 4.5.3.1.6.
func TestGeneratorIsVaried(t *testing.T) {
	g := generator()
	seen := map[string]int{}
	ids := map[string]bool{}
	for i := range 400 {
		m := g.Message(i)
		if again := g.Message(i); !bytes.Equal(again.Content, m.Content) || again.ID != m.ID ||
			len(again.Recipients) != len(m.Recipients) {
			t.Fatalf("message %d is not always the same", i)
		}
		if ids[m.ID] {
			t.Fatalf("ID %s twice", m.ID)
		}
		ids[m.ID] = true
		if sum, id := SumOf(m.Content); sum != m.Sum || id != m.ID {
			t.Fatalf("message %d: hash or ID differ: %q", i, id)
		}
		if !bytes.HasSuffix(m.Content, []byte("\r\n")) || len(m.Content) < 4000 ||
			len(m.Content) > 301<<10 {
			t.Fatalf("message %d: %d octets, ends in %q", i, len(m.Content),
				m.Content[len(m.Content)-2:])
		}
		for _, line := range strings.SplitAfter(string(m.Content), "\r\n") {
			text := strings.TrimSuffix(line, "\r\n")
			if len(text) > 998 || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("message %d: line of %d octets", i, len(text))
			}
			seen["998 octets"] += b2i(len(text) == 998)
			seen["lone dot"] += b2i(text == ".")
			seen["empty"] += b2i(text == "" && line != "")
		}
		seen["8-bit"] += b2i(m.EightBit)
		seen["UTF-8 address"] += b2i(m.UTF8)
		seen["several recipients"] += b2i(len(m.Recipients) > 1)
		seen["largest"] += b2i(len(m.Content) > 299<<10)
	}
	for _, what := range []string{"998 octets", "lone dot", "empty", "8-bit", "UTF-8 address",
		"several recipients", "largest"} {
		if seen[what] == 0 {
			t.Errorf("nothing with: %s", what)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestFixedSize(t *testing.T) {
	g := &Generator{Domains: []string{"a.example"}, Size: 4096}
	for i := range 50 {
		if m := g.Message(i); len(m.Content) != 4096 || m.EightBit || m.UTF8 ||
			len(m.Recipients) != 1 {
			t.Fatalf("message %d: %d octets", i, len(m.Content))
		}
	}
}

func TestBelowTrace(t *testing.T) {
	body := "X-Test-ID: abc\r\nSubject: x\r\n\r\nX-Test-ID: not this\r\n"
	for _, tc := range []struct{ content, rest, id string }{
		{body, body, "abc"},
		{"Received: from a\r\n\tby b\r\nReturn-Path: <>\r\n" + body, body, "abc"},
		{"x-test-id:  spaced \r\n\r\n", "x-test-id:  spaced \r\n\r\n", "spaced"},
		{"Subject: no ID\r\n\r\n" + body, "Subject: no ID\r\n\r\n" + body, ""},
		{"", "", ""},
		{"no line end", "no line end", ""},
	} {
		rest, id := BelowTrace([]byte(tc.content))
		if string(rest) != tc.rest || id != tc.id {
			t.Errorf("%q: got %q, %q", tc.content, rest, id)
		}
	}
}

// receive feeds DATA content to a receiver in pieces of n octets, as a loop would.
func receive(content []byte, n int) (r *receiver, rest []byte, end bool) {
	r = &receiver{}
	r.reset(true)
	var have []byte
	for len(content) > 0 && !end {
		n := min(n, len(content))
		have = append(have, content[:n]...)
		content = content[n:]
		took := 0
		took, end = r.data(have)
		have = have[took:]
	}
	return r, append(have, content...), end
}

func TestReceiver(t *testing.T) {
	for _, tc := range []struct{ in, want, rest string }{
		{"a\r\n.\r\nQUIT", "a\r\n", "QUIT"},
		{".\r\n", "", ""},
		{"..\r\n...x\r\n.\r\n", ".\r\n..x\r\n", ""},
		{"a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", ""}, // only CRLF ends a line
		{"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", ""},
		{"a\r.\r\n.\r\n", "a\r.\r\n", ""},
	} {
		for n := 1; n <= len(tc.in); n++ {
			r, rest, end := receive([]byte(tc.in), n)
			if string(r.kept) != tc.want || string(rest) != tc.rest || !end {
				t.Errorf("%q by %d: got %q, rest %q, %v", tc.in, n, r.kept, rest, end)
			}
		}
	}
	long := strings.Repeat("x", 100_000)
	if r, rest, end := receive([]byte(".."+long+"\r\n.\r\nQ"), 40_000); string(r.kept) != "."+long+
		"\r\n" || string(rest) != "Q" || !end {
		t.Errorf("a long line: %d octets, rest %q, %v", len(r.kept), rest, end)
	}
}

// FuzzReceiver: what a sender stuffs, the receiver takes back, whole and hashed alike, however it
// is cut into pieces.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte("X-Test-ID: a\r\n\r\n.\r\n..\r\nx\r\n"), 3)
	f.Add([]byte("Received: x\r\nX-Test-ID: a\r\n\r\nbody\r\n"), 1)
	f.Add([]byte("a\n.\r\n\r.\r\n"), 2)
	f.Fuzz(func(t *testing.T, content []byte, n int) {
		if n < 1 || n > 1<<16 {
			n = 1
		}
		if !bytes.HasSuffix(content, []byte("\r\n")) {
			content = append(bytes.Clone(content), "\r\n"...)
		}
		r, rest, end := receive(append(stuff(nil, content), "NOOP\r\n"...), n)
		if !bytes.Equal(r.kept, content) || string(rest) != "NOOP\r\n" || !end {
			t.Fatalf("got %q, rest %q, %v; want %q", r.kept, rest, end, content)
		}
		below, id := BelowTrace(content)
		if len(content) < headerLimit && (r.sum() != record.SumOf(below) || r.id != id) {
			t.Fatalf("hash or ID %q differ from those of the whole, ID %q", r.id, id)
		}
	})
}
