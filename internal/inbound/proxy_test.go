package inbound

import (
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	for _, test := range []struct {
		in     string
		client string // "" for the connection's own
		n      int
		bad    bool
	}{
		{in: "PROXY TCP4 198.51.100.9 192.0.2.1 1000 25\r\nEHLO", client: "198.51.100.9:1000",
			n: 43},
		{in: "PROXY TCP6 2001:db8::9 2001:db8::1 1000 25\r\n", client: "[2001:db8::9]:1000", n: 44},
		{in: "PROXY UNKNOWN and so on\r\n", n: 25},
		{in: "PROXY UNKNOWN\r\n", n: 15},
		{in: "PROXY TCP4 198.51.100.9 192.0.2.1 1000 25\r"}, // more is to come
		{in: ""},
		{in: v2[:11]},
		{in: "PROXY TCP4 198.51.100.9 192.0.2.1 1000 25\n", bad: true},
		{in: "PROXY TCP4 198.51.100.9 192.0.2.1 1000\r\n", bad: true},
		{in: "PROXY TCP4 198.51.100.9 192.0.2.1 1000 65536\r\n", bad: true},
		{in: "PROXY TCP4 198.51.100.9 192.0.2.1 -1 25\r\n", bad: true},
		{in: "PROXY TCP4 2001:db8::9 192.0.2.1 1000 25\r\n", bad: true},
		{in: "PROXY TCP6 fe80::1%eth0 2001:db8::1 1000 25\r\n", bad: true},
		{in: "PROXY UDP4 198.51.100.9 192.0.2.1 1000 25\r\n", bad: true},
		{in: "PROXY " + strings.Repeat("x", 101), bad: true},
		{in: "EHLO x\r\n", bad: true},
		{in: v2 + "\x21\x11\x00\x0c\xc6\x33\x64\x09\xc0\x00\x02\x01\x03\xe8\x00\x19EHLO",
			client: "198.51.100.9:1000", n: 28},
		{in: v2 + "\x21\x11\x00\x0f\xc6\x33\x64\x09\xc0\x00\x02\x01\x03\xe8\x00\x19TLV",
			client: "198.51.100.9:1000", n: 31},
		// LOCAL
		{in: v2 + "\x20\x11\x00\x0c\xc6\x33\x64\x09\xc0\x00\x02\x01\x03\xe8\x00\x19", n: 28},
		// a unix socket
		{in: v2 + "\x21\x31\x00\x01x", n: 17},
		{in: v2 + "\x21\x11\x00\x0b\xc6\x33\x64\x09\xc0\x00\x02\x01\x03\xe8\x00", bad: true},
		{in: v2 + "\x21\x21\x00\x0c" + strings.Repeat("\x01", 12), bad: true},
		{in: v2 + "\x31\x11\x00\x0c" + strings.Repeat("\x01", 12), bad: true}, // version 3
		{in: v2 + "\x22\x11\x00\x0c" + strings.Repeat("\x01", 12), bad: true}, // an unknown command
		{in: v2 + "\x21\x11\xff\xff", bad: true},
		{in: v2 + "\x21\x11\x00\x0c\xc6\x33"},
	} {
		h, n, err := ParseHeader([]byte(test.in))
		client := ""
		if h.Client.IsValid() {
			client = h.Client.String()
		}
		if n != test.n || client != test.client || (err != nil) != test.bad {
			t.Errorf("%q: %q, %d, %v", test.in, client, n, err)
		}
	}
}

// FuzzHeader: a PROXY header is found or refused in whatever pieces it comes, and never read beyond
// its end.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 198.51.100.9 192.0.2.1 1000 25\r\nEHLO x\r\n"))
	f.Add([]byte("PROXY TCP6 2001:db8::1 2001:db8::2 1000 25\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte("PROXY TCP4 198.51.100.9 2001:db8::2 1000 65536\r\n"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x10\x00\x00\x19rest"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + strings.Repeat("\x01", 36)))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, n, err := ParseHeader(in)
		if n > len(in) || err != nil && n != 0 {
			t.Fatalf("%d octets used of %d, %v", n, len(in), err)
		}
		if whole.Client.IsValid() != whole.Local.IsValid() {
			t.Fatalf("half a header: %+v", whole)
		}
		for i := range min(len(in), 2200) {
			h, k, e := ParseHeader(in[:i])
			switch {
			case k == 0 && e == nil: // wants more
			case e != nil && err == nil:
				t.Fatalf("refused after %d octets, accepted after %d", i, n)
			case e == nil && (k != n || h != whole):
				t.Fatalf("%+v after %d octets, %+v after all", h, i, whole)
			}
		}
	})
}
