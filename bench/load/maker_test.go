package load

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

func complete(t testing.TB, o Options) *Options {
	t.Helper()
	o.Addr = "h:25"
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	return &o
}

// TestContents makes contents of all sizes in a range: each has its size, its ID, and lines that
// are lines.
func TestContents(t *testing.T) {
	o := complete(t, Options{Content: Content{Run: "run"}})
	mk := newMaker(o, time.Now())
	for size := MinSize; size < MinSize+400; size++ {
		o.Content.Sizes = Sizes{sizes: []int{size}}
		n := int64(size) * 12345
		c := mk.content(n)
		text := c.append(nil, n, 0, c.size(), false)
		if len(text) != size || c.wireSize() != size {
			t.Fatalf("size %d: %d octets", size, len(text))
		}
		sane(t, text, string(mk.appendID(nil, n)))
	}
	o.Content.Sizes = Sizes{sizes: []int{3 * blockSize}} // in pieces, over the block's end
	c := mk.content(5)
	var text []byte
	for at := 0; at < c.size(); at += piece {
		text = c.append(text, 5, at, min(piece, c.size()-at), true)
	}
	if len(text) != 3*blockSize {
		t.Errorf("%d octets", len(text))
	}
	sane(t, text, "run-0000000005")
}

// sane checks what every content has to be.
func sane(t *testing.T, text []byte, id string) {
	t.Helper()
	if _, got := mailtest.SumOf(text); got != id {
		t.Fatalf("ID %q, want %q", got, id)
	}
	if !bytes.HasSuffix(text, []byte("\r\n")) {
		t.Fatal("the last line does not end")
	}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte("\r\n")), []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n") || len(line) > 998 ||
			bytes.HasPrefix(line, []byte(".")) {
			t.Fatalf("line %q", line)
		}
	}
}

// TestNoAllocation: what is made for a message from its being taken to its outcome is made of what
// was there before.
func TestNoAllocation(t *testing.T) {
	for _, way := range []Pipelining{PipelineOff, PipelineMessage, PipelineStream} {
		o := complete(t, Options{Pipelining: way, Envelope: Envelope{Recipients: 2}})
		l := &Load{o: *o, schedule: newSchedule(o), meters: []*meter{newMeter()},
			started: time.Now()}
		l.protocol = protocol{o: &l.o, maker: newMaker(&l.o, time.Now())}
		k := newLink(newSlot(l, l.meters[0]), 1)
		var out output
		k.session.step(0, []byte("220 sink\r\n"), &out)
		k.session.step(0, []byte("250-sink\r\n250 PIPELINING\r\n"), &out)
		replies := [][]byte{[]byte("250 ok\r\n"), []byte("250 ok\r\n"), []byte("250 ok\r\n"),
			[]byte("354 go\r\n"), []byte("250 2.0.0 Ok: queued as ABC\r\n")}
		message := func() {
			for _, r := range replies {
				out.out = out.out[:0]
				if n := k.session.step(l.now(), r, &out); n != len(r) {
					t.Fatal("not taken")
				}
			}
		}
		for range 10 {
			message()
		}
		if n := testing.AllocsPerRun(1000, message); n > 0 {
			t.Errorf("%s: %v allocations a message", way, n)
		}
		if c := l.meters[0].mu.counts; c.Accepted < 1000 {
			t.Errorf("%s: %+v", way, c)
		}
	}
}

func TestSizes(t *testing.T) {
	s, err := ParseSizes("4KiB:70%, 64KiB:25%,1MiB:5%")
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]float64{}
	for n := range uint64(100_000) {
		got[s.of(mix(1, n, saltSize))] += 1.0 / 100_000
	}
	for size, want := range map[int]float64{4 << 10: .7, 64 << 10: .25, 1 << 20: .05} {
		if math.Abs(got[size]-want) > .01 {
			t.Errorf("%d octets: %.3f, want %.3f", size, got[size], want)
		}
	}
	for _, text := range []string{"", "4", "1PiB", "4KiB:", "4KiB:-1", "4KiB:0", "4KiB:x", "4KiB,",
		"300MiB"} {
		if _, err := ParseSizes(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	if s, err := ParseSizes("4096"); err != nil || s.of(0) != 4096 {
		t.Errorf("4096: %v", err)
	}
}

func TestDomains(t *testing.T) {
	d, err := ReadDomains(
		strings.NewReader(
			"# the mix\nlarge.example 80%\n\nsmall.example 15 # and\ntiny.example 5\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for n := range uint64(100_000) {
		got[d.of(mix(1, n, saltDomain))] += 1.0 / 100_000
	}
	for name, want := range map[string]float64{"large.example": .8, "small.example": .15,
		"tiny.example": .05} {
		if math.Abs(got[name]-want) > .01 {
			t.Errorf("%s: %.3f, want %.3f", name, got[name], want)
		}
	}
	for _, text := range []string{"", "a.example 0", "a.example x", "a.example 1 2", "<a>",
		"a.example NaN"} {
		if _, err := ReadDomains(strings.NewReader(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestMixedDomains: five domains have four fifths, and of the others nearly each is seen.
func TestMixedDomains(t *testing.T) {
	d := MixedDomains(500, "")
	got := map[string]int{}
	const n = 100_000
	for i := range uint64(n) {
		got[d.of(mix(3, i, saltDomain))]++
	}
	if share := float64(got["large1.example"]) / n; math.Abs(share-.38) > .01 {
		t.Errorf("the largest has %.3f", share)
	}
	tail := 0
	for name, count := range got {
		if strings.HasPrefix(name, "tail") {
			tail += count
		}
	}
	if share := float64(tail) / n; math.Abs(share-.2) > .01 || len(got) < 450 {
		t.Errorf("the tail has %.3f, and %d domains were seen", share, len(got))
	}
}

func TestReadBodies(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mbox := write("mbox",
		"From a@b Thu Jan  1 00:00:00 2026\nSubject: 1\n\n>From here\n>>From "+
			"there\n.dot\n\nFrom c@d Thu Jan  1 00:00:00 2026\nSubject: 2\n\nFrom a line\n")
	b, err := ReadBodies(mbox)
	if err != nil || b.Len() != 3 { // the last line is a "From " line: it is behind an empty one
		t.Fatalf("%v, %v", b, err)
	}
	if got := string(
		b.bodies[0].raw); got != "Subject: 1\r\n\r\nFrom here\r\n>From there\r\n.dot\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(
		b.bodies[0].stuffed); got != "Subject: 1\r\n\r\nFrom here\r\n>From there\r\n..dot\r\n" {
		t.Errorf("%q", got)
	}
	write("Maildir/cur/1", "Subject: a\r\n\r\nlone\rCR\nno end")
	write("Maildir/new/2", "Subject: ü\n\n")
	b, err = ReadBodies(filepath.Join(dir, "Maildir"))
	if err != nil || b.Len() != 2 {
		t.Fatalf("%v, %v", b, err)
	}
	if got := string(b.bodies[0].raw); got != "Subject: a\r\n\r\nlone\r\nCR\r\nno end\r\n" ||
		b.bodies[0].eightBit || !b.bodies[1].eightBit {
		t.Errorf("%q", got)
	}
	if _, err := ReadBodies(filepath.Join(dir, "nothing")); err == nil {
		t.Error("what is not there was read")
	}
	if _, err := ReadBodies(t.TempDir()); err == nil {
		t.Error("an empty directory was read")
	}
}
