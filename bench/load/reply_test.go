package load

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseReply(t *testing.T) {
	for _, c := range []struct {
		in   string
		code int
		n    int
		bad  bool
	}{
		{"", 0, 0, false},
		{"25", 0, 0, false},
		{"250 ok\r", 0, 0, false},
		{"250 ok\r\n", 250, 8, false},
		{"250 ok\r\n354 go\r\n", 250, 8, false},
		{"250\r\n", 250, 5, false},
		{"250 ok\n", 250, 7, false},
		{"250-a\r\n", 0, 0, false},
		{"250-a\r\n250 b\r\n", 250, 14, false},
		{"250-a\r\n250-b\r\n250\r\n", 250, 19, false},
		{"250-a\r\n550 b\r\n", 0, 0, true},
		{"150 a\r\n", 0, 0, true},
		{"650 a\r\n", 0, 0, true},
		{"2x0 a\r\n", 0, 0, true},
		{"250:a\r\n", 0, 0, true},
		{"\r\n", 0, 0, true},
		{strings.Repeat("250-"+strings.Repeat("a", 1000)+"\r\n", 40), 0, 0, true},
		{"250 " + strings.Repeat("a", maxReply), 0, 0, true},
	} {
		r, n, err := parseReply([]byte(c.in))
		if (err != nil) != c.bad || !c.bad && (r.code != c.code || n != c.n) {
			t.Errorf("%.40q: code %d, %d octets, %v", c.in, r.code, n, err)
		}
	}
}

func TestQueueID(t *testing.T) {
	for in, want := range map[string]string{
		"250 2.0.0 Ok: queued as 4bX3vL0abcz1\r\n":           "4bX3vL0abcz1",
		"250 2.0.0 Ok: queued as ABC (by postroad)\r\n":      "ABC",
		"250 2.0.0 Ok\r\n":                                   "",
		"250-2.0.0 Ok: queued as A\r\n250 and more\r\n":      "A",
		"250 queued as \r\n":                                 "",
		"250 queued as " + strings.Repeat("x", 100) + "\r\n": strings.Repeat("x", 64),
	} {
		r, _, err := parseReply([]byte(in))
		if got := string(r.queueID()); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestReadOffers(t *testing.T) {
	r, _, err := parseReply(
		[]byte("250-sink greets you\r\n250-pipelining\r\n250-SIZE " +
			"1000\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-AUTH=LOGIN\r\n250-AUTH PLAIN " +
			"SCRAM-SHA-256\r\n250-\r\n250 SMTPUTF8\r\n"))
	want := offers{pipelining: true, size: true, eightBit: true, chunking: true, plain: true,
		utf8: true}
	if got := readOffers(r); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzSession has a server say anything in pieces of any size: the session must not panic, and what
// it takes must not depend on the pieces.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"220 sink\r\n250-sink\r\n250-PIPELINING\r\n250 CHUNKING\r\n250 ok\r\n250 ok\r\n354 " +
			"go\r\n250 queued as A\r\n250 ok\r\n",
		"220 sink\r\n250-sink\r\n250 PIPELINING\r\n450 no\r\n503 no\r\n354 go\r\n554 no\r\n250 " +
			"rset\r\n250 ok\r\n250 ok\r\n554 no\r\n",
		"220 sink\r\n502 no\r\n250 sink\r\n250 ok\r\n421 bye\r\n", "220-a\r\n", "999 \r\n",
	} {
		for way := range uint8(6) {
			f.Add([]byte(s), way, uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, way, cut uint8) {
		whole := fuzzed(t, in, way, len(in)+1)
		pieces := fuzzed(t, in, way, int(cut)+1)
		if !bytes.Equal(whole, pieces) {
			t.Errorf("in one piece the client says\n%q\nelse\n%q", whole, pieces)
		}
	})
}

// fuzzed plays in to a session, so many octets at a time, and returns what the session said.
func fuzzed(t *testing.T, in []byte, way uint8, cut int) (said []byte) {
	o := Options{Addr: "h:25", Pipelining: Pipelining(way % 3), Chunking: way%6 > 2,
		Content: Content{Run: "r"}}
	o.Envelope.Recipients = 2
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	own := &scripted{messages: 5, recipients: 2, maker: fuzzMaker(&o)}
	s := session{p: &protocol{o: &o, maker: own.maker}, own: own}
	kept := []byte(nil)
	for now := int64(0); len(in) > 0; now++ {
		n := min(cut, len(in))
		kept = append(kept, in[:n]...)
		in = in[n:]
		var out output
		used := s.step(now, kept, &out)
		said = append(said, out.out...)
		if kept = kept[used:]; out.action != actNone {
			break
		}
	}
	s.closed(1 << 40)
	outcomes := 0
	for _, line := range own.told {
		if !strings.HasPrefix(line, "refused at") && line != "ready" {
			outcomes++
		}
	}
	if outcomes != own.next {
		t.Fatalf("%d messages, %d outcomes: %q", own.next, outcomes, own.told)
	}
	return said
}

// fuzzMaker makes short contents.
func fuzzMaker(o *Options) *maker {
	o.Content.Bodies = &Bodies{bodies: []body{{raw: []byte("a\r\n"), stuffed: []byte("a\r\n")}}}
	mk := &maker{o: o, marker: newTemplate(markerLine(o))}
	return mk
}
