package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// TestSizes: idle connections are many.
func TestSizes(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 768 {
		t.Errorf(
			"an idle connection takes %d octets of its own; keep what only a busy one needs "+
				"behind a pointer", size)
	}
}

// TestMoves: every state can be reached, no command state is a dead end, and the names are
// complete.
func TestMoves(t *testing.T) {
	if len(moves) != len(stateNames) {
		t.Fatalf("%d rows of moves, %d names", len(moves), len(stateNames))
	}
	reached := in(stateProxy, stateBanner, stateClosed)
	for _, to := range moves {
		reached |= to
	}
	for s := range stateNames {
		if !reached.has(state(s)) {
			t.Errorf("nothing leads to %v", state(s))
		}
		if moves[s] == 0 && state(s) != stateClosed {
			t.Errorf("%v is a dead end", state(s))
		}
	}
}

func TestIllegalMovePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("a session moved from closed to text")
		}
	}()
	s := &Session{state: stateClosed}
	s.move(stateText)
}

func TestLimitsLine(t *testing.T) {
	for want, l := range map[string]Limits{
		"LIMITS MAILMAX=999999 RCPTMAX=7": {Transactions: 999_999, Recipients: 7},
		"LIMITS RCPTMAX=7":                {Transactions: 1_000_000, Recipients: 7},
		"":                                {Transactions: 1 << 40, Recipients: 1 << 40},
	} {
		if got := limitsLine(&l); got != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
}

// BenchmarkSession is the CPU of one message of 4 KiB in a session, PIPELINING used, with
// everything but the queue and the socket.
func BenchmarkSession(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) { benchmarkSession(b, size) })
	}
}

func benchmarkSession(b *testing.B, size int) {
	srv := testServer(b, func(o *Options) { o.Limits.Transactions = 1 << 40 })
	s := &Session{l: srv.listener(ListenerOptions{})}
	s.client.Addr = netip.MustParseAddrPort("203.0.113.7:1")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := &Output{Reply: make([]byte, 0, 4096)}
	s.Start(now, o)
	step := func(in []byte) {
		if n := s.Step(now, in, o); n != len(in) {
			b.Fatalf("%d of %d octets used: %s", n, len(in), o.Reply)
		}
	}
	step([]byte("EHLO client.example\r\n"))
	envelope := []byte(
		"MAIL FROM:<sender@origin.example> SIZE=4096\r\nRCPT TO:<u@relayed.example>\r\nDATA\r\n")
	header := "From: sender@origin.example\r\nTo: u@relayed.example\r\nSubject: a message like " +
		"many\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\n" +
		"Message-ID: <1@origin.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
	line := strings.Repeat("x", 70) + "\r\n"
	data := []byte(header + strings.Repeat(line, (size-len(header))/len(line)) + ".\r\n")
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		*o = Output{Reply: o.Reply[:0]}
		step(envelope)
		for rest := data; len(rest) > 0; rest = rest[min(len(rest), 64<<10):] {
			step(rest[:min(len(rest), 64<<10)])
		}
		if o.Action != Submit {
			b.Fatalf("%s", o.Reply)
		}
		content := o.Content
		*o = Output{Reply: o.Reply[:0]}
		content.Release()
		s.Committed(now, mail.ID{9: 1}, nil, o)
	}
}

// TestTook: how long a message waited for its 250 counts from the end of its data, and what was
// refused does not count.
func TestTook(t *testing.T) {
	var took []time.Duration
	srv := testServer(t, func(o *Options) {
		o.Took = func(d time.Duration) { took = append(took, d) }
	})
	s := &Session{l: srv.listener(ListenerOptions{})}
	s.client.Addr = netip.MustParseAddrPort("203.0.113.7:1")
	now, o := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), &Output{}
	s.Start(now, o)
	for _, f := range []*smtp.Failure{nil, smtp.Temp(452, "4.3.1", "full"), nil} {
		for _, text := range []string{"EHLO client.example\r\n",
			"MAIL FROM:<sender@origin.example>\r\n", "RCPT TO:<u@relayed.example>\r\n", "DATA\r\n",
			"Subject: x\r\n\r\nx\r\n.\r\n"} {
			now = now.Add(time.Second)
			*o = Output{}
			s.Step(now, []byte(text), o)
		}
		if o.Action != Submit {
			t.Fatalf("%s", o.Reply)
		}
		o.Content.Release()
		now = now.Add(3 * time.Second)
		*o = Output{}
		s.Committed(now, mail.ID{9: 1}, f, o)
	}
	if len(took) != 2 || took[0] != 3*time.Second || took[1] != 3*time.Second {
		t.Errorf("%v", took)
	}
}
