package record

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// start is when the messages of the tests were sent.
var start = time.UnixMicro(1_780_000_000_000_000)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func sentMessage(i int) *Sent {
	return &Sent{
		ID: fmt.Sprintf("run-1-%d", i), QueueID: fmt.Sprintf("Q%d", i), Sender: "s@sender.example",
		Sum: Sum{1, byte(i), byte(i >> 8)}, Size: 4096, Conn: uint32(i % 10),
		Begun: at(i), Ended: at(i + 5),
		Recipients: []Recipient{{Address: fmt.Sprintf("r%d@a.example", i), Outcome: Accepted,
			Code: 250}},
	}
}

func receivedMessage(i int) *Received {
	return &Received{
		ID: fmt.Sprintf("run-1-%d", i), Sender: "s@sender.example",
		Sum: Sum{1, byte(i), byte(i >> 8)}, Size: 4400, Conn: uint32(i % 20),
		Client: netip.MustParseAddrPort("127.0.0.1:40000"), Connected: start, Begun: at(i + 10),
		Accepted:   at(i + 12),
		Recipients: []string{fmt.Sprintf("r%d@a.example", i)},
	}
}

// TestRoundTrip: what is added comes out, from memory and from a file, written at the end or as it
// grows.
func TestRoundTrip(t *testing.T) {
	odd := &Sent{ID: "", Sender: "", Begun: at(-5), Ended: at(-7), Recipients: []Recipient{
		{"a@x", Refused, 550}, {"b@x", Unknown, 0}, {"c@x", NotSent, 0},
		{strings.Repeat("long", blockSize/4) + "@x", Accepted, 250},
	}}
	v6 := &Received{Client: netip.MustParseAddrPort("[2001:db8::1]:25"), TLS: true,
		Recipients: []string{"ü@x"}, Connected: at(1), Begun: at(2), Accepted: at(3)}
	sent, received := NewSentLog(), NewReceivedLog()
	var grown bytes.Buffer
	streamed := NewReceivedLog()
	if err := streamed.Stream(&grown); err != nil {
		t.Fatal(err)
	}
	const n = 20000
	for i := range n {
		must(t, sent.Add(sentMessage(i)))
		must(t, received.Add(receivedMessage(i)))
		must(t, streamed.Add(receivedMessage(i)))
		if i == n/2 {
			must(t, sent.Add(odd))
			must(t, received.Add(v6))
			must(t, streamed.Add(v6))
		}
	}
	must(t, streamed.Finish())
	if streamed.Octets() > 2*blockSize || streamed.Len() != n+1 {
		t.Errorf("a streamed log keeps %d octets of %d entries", streamed.Octets(), streamed.Len())
	}
	var sentFile, receivedFile bytes.Buffer
	if _, err := sent.WriteTo(&sentFile); err != nil {
		t.Fatal(err)
	}
	if _, err := received.WriteTo(&receivedFile); err != nil {
		t.Fatal(err)
	}
	sentAgain, err := ReadSent(&sentFile)
	must(t, err)
	receivedAgain, err := ReadReceived(&receivedFile)
	must(t, err)
	grownAgain, err := ReadReceived(&grown)
	must(t, err)
	for _, l := range []*SentLog{sent, sentAgain} {
		i := 0
		for s := range l.All() {
			same(t, s, expect(i, n/2, odd, sentMessage))
			i++
		}
		if i != n+1 {
			t.Errorf("%d entries", i)
		}
	}
	for _, l := range []*ReceivedLog{received, receivedAgain, grownAgain} {
		i := 0
		for r := range l.All() {
			same(t, r, expect(i, n/2, v6, receivedMessage))
			i++
		}
		if i != n+1 {
			t.Errorf("%d entries", i)
		}
	}
}

// expect returns entry i of a log that has an odd one after entry middle.
func expect[T any](i, middle int, odd *T, usual func(int) *T) *T {
	switch {
	case i <= middle:
		return usual(i)
	case i == middle+1:
		return odd
	}
	return usual(i - 1)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same[T any](t *testing.T, got, want *T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

// TestMemory: a million messages take well under 200 MB, sent and received together.
func TestMemory(t *testing.T) {
	sent, received := NewSentLog(), NewReceivedLog()
	const n = 10000
	for i := range n {
		must(t, sent.Add(sentMessage(i)))
		must(t, received.Add(receivedMessage(i)))
	}
	each := float64(sent.Octets()+received.Octets()) / n
	t.Logf("%.0f octets a message, %.0f sent, %.0f received", each, float64(sent.Octets())/n,
		float64(received.Octets())/n)
	if each > 180 {
		t.Errorf("a million messages would take %.0f MB", each)
	}
}

// TestFull: a log keeps to its limit and counts what it has not kept.
func TestFull(t *testing.T) {
	l := NewSentLog()
	l.Limit(2 * blockSize)
	var err error
	n := 0
	for err == nil && n < 100000 {
		err = l.Add(sentMessage(n))
		n++
	}
	if !errors.Is(err, ErrFull) || l.Missed() != 1 || l.Len() != n-1 || l.Octets() > 2*blockSize {
		t.Errorf("%v after %d, %d missed, %d kept in %d octets", err, n, l.Missed(), l.Len(),
			l.Octets())
	}
	l.Reset()
	must(t, l.Add(sentMessage(1)))
}

type failing struct{ room int }

func (f *failing) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// TestFileFails: the error of the file is told, at Add and at the end.
func TestFileFails(t *testing.T) {
	l := NewSentLog()
	must(t, l.Stream(&failing{room: blockSize + 100}))
	for i := range 10000 {
		_ = l.Add(sentMessage(i)) // some fail; Finish tells
	}
	if err := l.Finish(); err == nil || !strings.Contains(err.Error(), "disk full") ||
		l.Missed() == 0 {
		t.Errorf("%v, %d missed", err, l.Missed())
	}
}

// TestDamagedFile: a record that was cut off says so and gives what there is; other damage is an
// error.
func TestDamagedFile(t *testing.T) {
	l := NewReceivedLog()
	for i := range 3 {
		must(t, l.Add(receivedMessage(i)))
	}
	var b bytes.Buffer
	if _, err := l.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	for cut := range whole {
		got, err := ReadReceived(bytes.NewReader(whole[:cut]))
		if head := len(magic+kindReceived) + 1; err == nil || cut >= head &&
			!errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if cut == len(whole)-1 && got.Len() != 3 {
			t.Errorf("%d entries without the end", got.Len())
		}
	}
	if _, err := ReadSent(bytes.NewReader(whole)); err == nil ||
		!strings.Contains(err.Error(), "no record of messages sent") {
		t.Errorf("read as the other kind: %v", err)
	}
	whole[len(whole)-1] = 4
	if _, err := ReadReceived(bytes.NewReader(whole)); err == nil ||
		!strings.Contains(err.Error(), "says that there are 4") {
		t.Errorf("a wrong number of entries: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	sent, received := NewSentLog(), NewReceivedLog()
	for i := range 2 {
		if sent.Add(sentMessage(i)) != nil || received.Add(receivedMessage(i)) != nil {
			f.Fatal("adding")
		}
	}
	var a, b bytes.Buffer
	sent.WriteTo(&a)
	received.WriteTo(&b)
	f.Add(a.Bytes())
	f.Add(b.Bytes())
	f.Add([]byte(magic + "sent\n12345678\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadSent(bytes.NewReader(data))
		if err == nil { // what was read can be written and read again
			again(t, s)
		}
		r, err := ReadReceived(bytes.NewReader(data))
		if err == nil || errors.Is(err, ErrTruncated) {
			Check(s, r, Rules{Order: ByRecipient})
		}
	})
}

func again(t *testing.T, s *SentLog) {
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if next, err := ReadSent(&b); err != nil || next.Len() != s.Len() {
		t.Fatalf("%v, %d entries of %d", err, next.Len(), s.Len())
	}
}
