package mail

import (
	"context"
	"crypto/tls"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func send(t testing.TB, o SendOptions) *SendReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := Send(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSendToSink: varied messages arrive octet for octet, in every way of sending them.
func TestSendToSink(t *testing.T) {
	cert, err := NewCertificate("sink.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server, err := cert.Server()
	if err != nil {
		t.Fatal(err)
	}
	g := generator()
	for name, o := range map[string]SendOptions{
		"one by one":        {Connections: 2},
		"pipelined":         {Connections: 3, Pipelining: true, PerConnection: 7},
		"chunks":            {Chunking: 50_000},
		"chunks, pipelined": {Chunking: 10_000, Pipelining: true, Connections: 2},
		"TLS":               {TLS: cert.Client("sink.example"), Pipelining: true},
		"TLS 1.2": {TLS: &tls.Config{RootCAs: cert.Client("").RootCAs,
			ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSink(t, SinkOptions{TLS: server})
			o.Addr, o.Count, o.Message = s.Addr(), 200, g.Message
			r := send(t, o)
			got := s.Deliveries()
			if c := Compare(r.Sent, got, Rules{}); !c.OK() || r.Messages != o.Count ||
				c.Delivered < o.Count {
				t.Fatalf("%v\n%v", r, c)
			}
			for _, d := range got {
				if d.TLS != (o.TLS != nil) {
					t.Fatalf("TLS is %v", d.TLS)
				}
			}
			if want := max(1, o.Connections); o.PerConnection == 0 && s.Connects() != want {
				t.Errorf("%d connects, want %d", s.Connects(), want)
			}
			if o.PerConnection > 0 && s.Connects() < o.Count/o.PerConnection {
				t.Errorf("%d connects", s.Connects())
			}
		})
	}
}

// TestPlantedFaults: the kit finds a message that a server loses, changes or delivers twice. The
// faults are planted in the sink, behind the 250.
func TestPlantedFaults(t *testing.T) {
	g := generator()
	var victim string
	s := startSink(t, SinkOptions{})
	s.SetHook(func(st *Step) Action {
		if st.At == AtEnd && st.ID == g.Message(17).ID {
			victim = st.ID
			return Action{Forget: true}
		}
		return Action{}
	})
	r := send(t, SendOptions{Addr: s.Addr(), Count: 50, Message: g.Message})
	c := Compare(r.Sent, s.Deliveries(), Rules{})
	if c.OK() || c.Lost.N == 0 || c.Lost.First[0].ID != victim ||
		!strings.Contains(c.String(), "lost: "+victim) {
		t.Fatalf("a lost message was not found: %v", c)
	}

	s.SetHook(nil)
	s.Reset()
	changed := func(i int) *Message { // its hash is of other octets than those sent
		m := g.Message(i)
		if i == 5 {
			m.Content[len(m.Content)-3] ^= 1
		}
		return m
	}
	r = send(t, SendOptions{Addr: s.Addr(), Count: 10, Message: changed})
	if c := Compare(r.Sent, s.Deliveries(), Rules{}); c.Changed.N == 0 || c.Lost.N != 0 {
		t.Fatalf("a changed message was not found: %v", c)
	}
	send(t, SendOptions{Addr: s.Addr(), First: 3, Count: 1, Message: g.Message})
	if c := Compare(r.Sent, s.Deliveries(), Rules{}); c.Duplicated.N == 0 {
		t.Fatalf("a duplicate was not found: %v", c)
	}
}

// TestSendRefusals: what is refused, or not answered, is not taken for accepted; a 4xx is tried
// again.
func TestSendRefusals(t *testing.T) {
	g := &Generator{Domains: []string{"a.example"}, Seed: 1, MaxSize: 5000, MaxRecipients: 4}
	var asked atomic.Int32
	first := func(a Action) Action {
		if asked.Add(1) == 1 {
			return a
		}
		return Action{}
	}
	for name, tc := range map[string]struct {
		at       At
		action   Action
		accepted bool // after a second attempt
		refused  bool
		unknown  bool
	}{
		"busy at once": {AtConnect, Action{Reply: "421 busy", Close: true}, true, false,
			false},
		"MAIL later":          {AtMail, Action{Reply: "450 later"}, true, false, false},
		"MAIL never":          {AtMail, Action{Reply: "550 never"}, false, true, false},
		"RCPT later":          {AtRcpt, Action{Reply: "450 later"}, true, false, false},
		"RCPT never":          {AtRcpt, Action{Reply: "550 never"}, false, true, false},
		"DATA later":          {AtData, Action{Reply: "450 later"}, true, false, false},
		"DATA 421":            {AtData, Action{Reply: "421 bye", Close: true}, true, false, false},
		"content later":       {AtEnd, Action{Reply: "451 later"}, true, false, false},
		"content never":       {AtEnd, Action{Reply: "554 never"}, false, true, false},
		"cut before the data": {AtRcpt, Action{Cut: true}, true, false, false},
		"cut in the data":     {AtData, Action{CutIn: 50}, false, false, true},
		"cut after the data":  {AtEnd, Action{Cut: true}, false, false, true},
	} {
		for _, o := range []SendOptions{{}, {Pipelining: true}, {Chunking: 1000},
			{Chunking: 1000, Pipelining: true}} {
			if o.Chunking > 0 && name == "DATA 421" {
				continue // the sink closes on a DATA only
			}
			asked.Store(0)
			s := startSink(t, SinkOptions{Hook: func(st *Step) Action {
				if st.At == tc.at {
					return first(tc.action)
				}
				return Action{}
			}})
			o.Addr, o.Count, o.Message, o.Retries, o.RetryAfter = s.Addr(), 3, g.Message, 1,
				time.Millisecond
			o.Timeout = patience
			r := send(t, o)
			m, got := g.Message(0), r.Sent[0]
			victims := 1 // RCPT: the first recipient only
			if tc.at != AtRcpt || tc.action.Cut {
				victims = len(m.Recipients)
			}
			want := func(is bool) int {
				if is {
					return victims
				}
				return 0
			}
			wantAccepted := len(m.Recipients) - want(tc.refused) - want(tc.unknown)
			if len(got.Accepted) != wantAccepted || len(got.Refused) != want(tc.refused) ||
				len(got.Unknown) != want(tc.unknown) {
				t.Errorf("%s (pipelining %v, chunks %d): %+v", name, o.Pipelining, o.Chunking, got)
			}
			if c := Compare(r.Sent, s.Deliveries(), Rules{}); !c.OK() {
				t.Errorf("%s (pipelining %v, chunks %d): %v", name, o.Pipelining, o.Chunking, c)
			}
		}
	}
}

// TestSendEnds: no server, and a context that ends.
func TestSendEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r, err := Send(ctx, SendOptions{Addr: "127.0.0.1:1", Count: 1 << 30,
		Message: generator().Message, KeepTrying: true, RetryAfter: time.Millisecond})
	if err != nil || r.Messages != 0 || r.Sent[0].Err == nil {
		t.Fatalf("%v, %v", r, err)
	}
}

// TestSinkWait waits for messages, and not for ever.
func TestSinkWait(t *testing.T) {
	s := startSink(t, SinkOptions{Count: true})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	arrived := make(chan error, 1)
	go func() { arrived <- s.Wait(ctx, 20) }()
	send(t, SendOptions{Addr: s.Addr(), Count: 20, Message: generator().Message})
	if err := <-arrived; err != nil || s.Accepted() != 20 || s.Octets() == 0 ||
		len(s.Deliveries()) != 0 {
		t.Fatalf("%v, %d accepted", err, s.Accepted())
	}
	short, cancel2 := context.WithTimeout(ctx, time.Millisecond)
	defer cancel2()
	if err := s.Wait(short, 21); err == nil {
		t.Fatal("waited for something that did not come")
	}
}

// TestSendParameters: parameters go where they belong.
func TestSendParameters(t *testing.T) {
	s := startSink(t, SinkOptions{})
	message := func(i int) *Message {
		m := generator().Message(i)
		m.MailArgs, m.RcptArgs = "RET=HDRS", "NOTIFY=NEVER"
		return m
	}
	for _, pipelining := range []bool{false, true} {
		send(t, SendOptions{Addr: s.Addr(), Count: 1, Message: message, Pipelining: pipelining})
	}
	for _, d := range s.Deliveries() {
		if !strings.HasSuffix(d.MailArgs, "RET=HDRS") || len(d.RcptArgs) == 0 ||
			d.RcptArgs[0] != "NOTIFY=NEVER" {
			t.Errorf("%q, %q", d.MailArgs, d.RcptArgs)
		}
	}
}

func TestQueueID(t *testing.T) {
	for reply, want := range map[string]string{
		"250 2.0.0 Ok: queued as 4bXyz12345678\r\n": "4bXyz12345678",
		"250 Ok queued as A1 now\r\n":               "A1", "250 Ok\r\n": "",
	} {
		if got := queueID(reply); got != want {
			t.Errorf("%q: %q", reply, got)
		}
	}
}

// BenchmarkSink measures messages of 4 KiB from the sender to the sink, both in this process.
func BenchmarkSink(b *testing.B) {
	s := startSink(b, SinkOptions{})
	g := &Generator{Domains: []string{"a.example"}, Size: 4 << 10}
	b.ResetTimer()
	before := processorTime()
	r, err := Send(context.Background(), SendOptions{Addr: s.Addr(), Connections: 20, Count: b.N,
		Message: g.Message, Pipelining: true})
	if err != nil || r.Messages != b.N {
		b.Fatal(r, err)
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N)/1e3, "cpu-us/msg")
	b.ReportMetric(float64(b.N)/r.Elapsed.Seconds(), "msg/s")
}
