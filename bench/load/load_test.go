package load

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// sent collects what OnSent tells, by ID.
type sent struct {
	sync.Mutex
	all map[string]Sent
}

func (s *sent) add(m *Sent) {
	s.Lock()
	defer s.Unlock()
	if s.all == nil {
		s.all = map[string]Sent{}
	}
	one := *m
	one.Recipients = append([]Recipient(nil), m.Recipients...)
	s.all[m.ID] = one
}

func sink(t testing.TB, o mailtest.SinkOptions) *mailtest.Sink {
	t.Helper()
	s, err := mailtest.StartSink(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func run(t testing.TB, o Options) *Result {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	l, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := l.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all := r.Accepted + r.RefusedForNow + r.RefusedForGood + r.Lost + r.Unknown; all != r.Begun {
		t.Errorf("%d messages begun, and %d outcomes: %+v", r.Begun, all, r.Counts)
	}
	return r
}

// agree compares what the generator says with what the sink has.
func agree(t *testing.T, s *sent, sink *mailtest.Sink) {
	t.Helper()
	got := map[string]int{}
	for _, d := range sink.Deliveries() {
		m, ok := s.all[d.ID]
		if got[d.ID]++; !ok || got[d.ID] > 1 {
			t.Fatalf("message %q arrived %d times; sent: %v", d.ID, got[d.ID], ok)
		}
		if d.Sum != m.Sum {
			t.Errorf("message %s differs from what was sent (%d octets, sent %d)", d.ID, d.Size,
				m.Size)
		}
		if d.Sender != m.Sender || len(d.Recipients) != len(m.Recipients) {
			t.Errorf("message %s: sender %q, recipients %q; sent %+v", d.ID, d.Sender, d.Recipients,
				m)
		}
	}
	for id, m := range s.all {
		if m.Outcome == Accepted && got[id] != 1 {
			t.Errorf("message %s was accepted and arrived %d times", id, got[id])
		}
	}
}

// TestWays sends by every way that there is, and compares what arrives by hash.
func TestWays(t *testing.T) {
	cert, err := mailtest.NewCertificate("sink.example")
	if err != nil {
		t.Fatal(err)
	}
	server, err := cert.Server()
	if err != nil {
		t.Fatal(err)
	}
	sizes, err := ParseSizes("512:1,4KiB:2,64KiB:1,300KiB:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, pipelining := range []Pipelining{PipelineOff, PipelineMessage, PipelineStream} {
		for _, how := range []string{"data", "bdat", "chunks", "fresh", "tls", "utf8", "varied"} {
			t.Run(fmt.Sprint(pipelining, " ", how), func(t *testing.T) {
				const messages = 60
				s := sink(t, mailtest.SinkOptions{TLS: server})
				var got sent
				o := Options{
					Addr: s.Addr(), Connections: 3, Messages: messages, Pipelining: pipelining,
					Hash: true, OnSent: got.add,
					Envelope: Envelope{Recipients: 3}, Content: Content{Sizes: sizes},
				}
				switch how {
				case "bdat":
					o.Chunking = true
				case "chunks":
					o.Chunking, o.Chunk = true, 7000
				case "fresh":
					o.PerConnection = 1
				case "tls":
					o.TLS, o.TLSConfig = TLSStart, cert.Client("sink.example")
				case "utf8":
					o.Envelope.UTF8 = true
				case "varied":
					o.Content.Varied = true
				}
				r := run(t, o)
				if r.Accepted != messages || r.RecipientsAccepted != 3*messages ||
					len(s.Deliveries()) != messages || len(got.all) != messages {
					t.Fatalf("%d of %d accepted, %d arrived: %+v", r.Accepted, messages,
						len(s.Deliveries()), r)
				}
				agree(t, &got, s)
				if n := r.Connections; how != "fresh" && n != 3 || how == "fresh" &&
					(n < messages || n > messages+2) {
					t.Errorf("%d connections", r.Connections)
				}
				if r.Pipelining != pipelining.String() ||
					r.ConnectionsFailed+r.ConnectionsCut != 0 || len(r.Failures) != 0 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}
