package smtp

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// slowReceive is DataReceiver written octet by octet from RFC 5321 4.5.2, to compare with.
func slowReceive(in []byte) (out []byte, used, bare, long int, done bool) {
	lineStart, length := true, 0
	for i := 0; i < len(in); i++ {
		c := in[i]
		crlf := c == '\r' && i+1 < len(in) && in[i+1] == '\n'
		if lineStart && c == '.' {
			if i+2 < len(in) && in[i+1] == '\r' && in[i+2] == '\n' {
				return out, i + 3, bare, long, true
			}
			lineStart = false
			continue
		}
		lineStart = false
		if crlf {
			out = append(out, '\r', '\n')
			i++
			if length > MaxTextLine {
				long++
			}
			lineStart, length = true, 0
			continue
		}
		if c == '\r' || c == '\n' {
			bare++
		}
		out = append(out, c)
		length++
	}
	return out, len(in), bare, long, false
}

func receive(in []byte, pieces ...int) (out []byte, used int, done bool, r DataReceiver) {
	for i := 0; used < len(in) && !done; i++ {
		n := len(in) - used
		if i < len(pieces) {
			n = min(n, pieces[i])
		}
		before := len(out)
		var u int
		out, u, done = r.Append(out, in[used:used+n])
		if len(out)-before > n+1 {
			panic("more octets than promised")
		}
		used += u
	}
	return
}

func TestDataReceiver(t *testing.T) {
	tests := []struct{ in, out string }{
		{".\r\n", ""},
		{"\r\n.\r\n", "\r\n"},
		{"a\r\n.\r\n", "a\r\n"},
		{"..\r\n.\r\n", ".\r\n"},
		{".a\r\n...\r\n.\r\n", "a\r\n..\r\n"},
		{"a.\r\n.\r\n", "a.\r\n"},
	}
	for _, tt := range tests {
		in := tt.in + "QUIT\r\n"
		for cut := range len(in) {
			out, used, done, r := receive([]byte(in), cut)
			if !done || used != len(tt.in) || string(out) != tt.out || r.Bare != 0 {
				t.Errorf("%q cut at %d: %q, used %d, done %v, bare %d", in, cut, out, used, done,
					r.Bare)
			}
		}
	}
}

// None of the smuggling sequences ends mail data, whatever the split, and each is seen as a
// violation or is plain content.
func TestSmugglingSequences(t *testing.T) {
	sequences := map[string]string{
		"lf.lf": "0a2e0a", "lf.cr": "0a2e0d", "cr.lf": "0d2e0a", "cr.cr": "0d2e0d",
		"lf.crlf": "0a2e0d0a", "cr.crlf": "0d2e0d0a",
		"crlf.lf": "0d0a2e0a", "crlf.cr": "0d0a2e0d", "crlf-nul.crlf": "0d0a002e0d0a",
		"crlf.nul-crlf": "0d0a2e000d0a",
		"crlf.crcrlf":   "0d0a2e0d0d0a", "crcrlf.crcrlf": "0d0d0a2e0d0d0a",
	}
	for name, h := range sequences {
		seq, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		in := append(append([]byte("Subject: x\r\n\r\nbody"), seq...),
			"MAIL FROM:<evil@example.com>\r\n.\r\n"...)
		for cut := range len(in) {
			_, used, done, r := receive(in, cut)
			if !done || used != len(in) {
				t.Fatalf("%s cut at %d ended the data after %d of %d octets", name, cut, used,
					len(in))
			}
			if !bytes.Contains(seq, []byte{0}) && r.Bare == 0 {
				t.Fatalf("%s cut at %d: no violation seen", name, cut)
			}
		}
	}
}

func TestDataReceiverCountsLongLines(t *testing.T) {
	line := func(n int) string { return string(bytes.Repeat([]byte{'x'}, n)) + "\r\n" }
	in := []byte(line(998) + line(999) + "." + line(998) + "." + line(999) + line(5000) + ".\r\n")
	for _, cut := range []int{0, 1, 997, 998, 999, 1000, 1998, 2000, 7000} {
		_, _, done, r := receive(in, cut)
		if !done || r.LongLines != 3 {
			t.Errorf("cut at %d: %d long lines, want 3", cut, r.LongLines)
		}
	}
}

func TestDotStuffer(t *testing.T) {
	tests := []struct {
		in, out  string
		repaired int
	}{
		{"", ".\r\n", 0},
		{"a", "a\r\n.\r\n", 0},
		{"a\r\n", "a\r\n.\r\n", 0},
		{".\r\n", "..\r\n.\r\n", 0},
		{"a\r\n.b\r\n..\r\n", "a\r\n..b\r\n...\r\n.\r\n", 0},
		{"a\n.b\r.c", "a\r\n..b\r\n..c\r\n.\r\n", 2},
		{"a\r\r\n", "a\r\n\r\n.\r\n", 1},
		{"a\r", "a\r\n.\r\n", 0},
		{"\n\n", "\r\n\r\n.\r\n", 2},
	}
	for _, tt := range tests {
		for cut := range len(tt.in) + 1 {
			var s DotStuffer
			got := s.Finish(s.Append(s.Append(nil, []byte(tt.in[:cut])), []byte(tt.in[cut:])))
			if passed := passing([]byte(tt.in), cut); !bytes.Equal(passed, got) {
				t.Errorf("%q cut at %d: %q with Pass", tt.in, cut, passed)
			}
			if string(got) != tt.out || s.Repaired != tt.repaired {
				t.Errorf("%q cut at %d: %q, repaired %d; want %q, %d", tt.in, cut, got, s.Repaired,
					tt.out, tt.repaired)
			}
		}
	}
}

func FuzzDataReceiver(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\n", "..\r\n.\r\nQUIT\r\n", "\n.\n", "\r\n.\r\r\n.\r\n",
		".\r.\r\n", "\r\n.\n.\r\n", "\r\r\n.\r\n"} {
		f.Add([]byte(s), 1, 1)
		f.Add([]byte(s), 3, 2)
	}
	f.Fuzz(func(t *testing.T, in []byte, a, b int) {
		want, wantUsed, bare, long, wantDone := slowReceive(in)
		for _, pieces := range [][]int{nil, {a & 0xff, b & 0xff}, bytesOf(len(in), 1),
			bytesOf(len(in), 2)} {
			out, used, done, r := receive(in, pieces...)
			// Octets that the receiver holds back or has not decided about show only when more
			// input comes; so compare after a fixed end.
			if !done {
				out, _, done, r = receive(append(bytes.Clone(in), "x\r\n.\r\n"...), pieces...)
				w, _, b2, l2, d2 := slowReceive(append(bytes.Clone(in), "x\r\n.\r\n"...))
				if !bytes.Equal(out, w) || r.Bare != b2 || r.LongLines != l2 || done != d2 {
					t.Fatalf("pieces %v: %q, bare %d, long %d; want %q, %d, %d", pieces, out,
						r.Bare, r.LongLines, w, b2, l2)
				}
				continue
			}
			if !bytes.Equal(out, want) || used != wantUsed || r.Bare != bare ||
				r.LongLines != long || done != wantDone {
				t.Fatalf("pieces %v: %q, used %d, bare %d, long %d, %v; want %q, %d, %d, %d, %v",
					pieces, out, used, r.Bare, r.LongLines, done,
					want, wantUsed, bare, long, wantDone)
			}
		}
	})
}

func bytesOf(n, v int) []int {
	s := make([]int, n/v+1)
	for i := range s {
		s[i] = v
	}
	return s
}

// passing stuffs both parts of in as a client does that sends as it is what it can.
func passing(in []byte, cut int) (wire []byte) {
	var s DotStuffer
	for _, part := range [][]byte{in[:cut], in[cut:]} {
		for len(part) > 0 {
			n := s.Pass(part)
			m := min(len(part), n+3)
			wire = s.Append(append(wire, part[:n]...), part[n:m])
			part = part[m:]
		}
	}
	return s.Finish(wire)
}

// FuzzDotStuffer: the stuffer's output never has a CR or LF alone, ends once, and comes back as it
// was but for repaired line ends.
func FuzzDotStuffer(f *testing.F) {
	for _, s := range []string{"", "a\r\n.b\r\n", "\n.\n", "\r.\r", "a\r", "..\r\n", "\r\r\n"} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		cut = min(max(cut, 0), len(in))
		var s, whole DotStuffer
		wire := s.Finish(s.Append(s.Append(nil, in[:cut]), in[cut:]))
		if one := whole.Finish(whole.Append(nil, in)); !bytes.Equal(one, wire) ||
			whole.Repaired != s.Repaired {
			t.Fatalf("cut at %d: %q (%d repaired), in one piece %q (%d)", cut, wire, s.Repaired,
				one, whole.Repaired)
		}
		if passed := passing(in, cut); !bytes.Equal(passed, wire) {
			t.Fatalf("cut at %d: %q, with Pass %q", cut, wire, passed)
		}
		out, used, done, r := receive(wire)
		if !done || used != len(wire) || r.Bare != 0 {
			t.Fatalf("%q: done %v after %d of %d, %d bare", wire, done, used, len(wire), r.Bare)
		}
		if s.Repaired == 0 && !bytes.Equal(bytes.TrimRight(out, "\r\n"),
			bytes.TrimRight(in, "\r\n")) {
			t.Fatalf("%q came back as %q", in, out)
		}
	})
}

func message4KiB() []byte {
	return bytes.Repeat(
		[]byte("The quick brown fox jumps over the lazy dog, and again and again, 72 oct\r\n"), 55)
}

func BenchmarkDataReceiver(b *testing.B) {
	in := append(message4KiB(), ".\r\n"...)
	out := make([]byte, 0, 8192)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var r DataReceiver
		if _, _, done := r.Append(out, in); !done {
			b.Fatal("no end")
		}
	}
}

func BenchmarkDotStuffer(b *testing.B) {
	in := message4KiB()
	out := make([]byte, 0, 8192)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var s DotStuffer
		s.Finish(s.Append(out, in))
	}
}
