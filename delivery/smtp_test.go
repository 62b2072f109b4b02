package delivery

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/queuetest"
)

var _ Resolver = (*mx.Resolver)(nil)

// sink is an SMTP server that takes everything.
type sink struct {
	l   net.Listener
	got chan string // the mail data of each message
	mu  sync.Mutex
	n   int // connections
}

func newSink(t *testing.T) *sink {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{l: l, got: make(chan string, 1000)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.n++
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
	return s
}

func (s *sink) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	fmt.Fprint(c, "220 sink ESMTP\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "EHLO":
			fmt.Fprint(c, "250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
		case "DATA":
			fmt.Fprint(c, "354 go\r\n")
			var data bytes.Buffer
			for !bytes.HasSuffix(data.Bytes(), []byte("\r\n.\r\n")) {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				data.WriteString(line)
			}
			s.got <- data.String()
			fmt.Fprint(c, "250 2.0.0 Ok\r\n")
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 2.0.0 Ok\r\n")
		}
	}
}

// onlyHost resolves everything to one address.
type onlyHost struct{ addr netip.Addr }

func (h onlyHost) Lookup(context.Context, string) (*mx.Route, *smtp.Failure) {
	return &mx.Route{Site: "sink", Expires: time.Now().Add(time.Hour),
		Hosts: []mx.Host{{Name: "sink.test", Addrs: []netip.Addr{h.addr}}}}, nil
}
func (h onlyHost) LookupHost(ctx context.Context, name string) (*mx.Route, *smtp.Failure) {
	return h.Lookup(ctx, name)
}
func (h onlyHost) Cached(d string) (*mx.Route, *smtp.Failure, bool) {
	r, f := h.Lookup(context.Background(), d)
	return r, f, true
}
func (h onlyHost) CachedHost(d string) (*mx.Route, *smtp.Failure, bool) { return h.Cached(d) }

// The real client over real sockets: contents from memory and from disk arrive as they were, over
// few connections.
func TestOverRealSockets(t *testing.T) {
	server := newSink(t)
	at := netip.MustParseAddrPort(server.l.Addr().String())
	var q *queue.Queue
	group := queuetest.New(queuetest.Machine{
		Apply: func(w *queuetest.Writer, i, term uint64, data []byte, parts [][]byte) any {
			return q.Apply(w, i, term, data, parts)
		},
		Committed: func() { q.Committed() },
	})
	q = queue.New(queue.Options{Budget: mail.NewBudget(100_000)}) // too small for all of them
	s, err := New(Options{Settings: Settings{Port: at.Port(), Hello: "us.test"},
		Now: q.Now}, FromQueue(q), onlyHost{at.Addr()}, DialSMTP)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(t.Context(), group, s); err != nil {
		t.Fatal(err)
	}
	const n = 200
	want := map[string]bool{}
	for i := range n {
		body := fmt.Sprintf("Subject: %d\r\n\r\n.\r\n%s\r\n", i, strings.Repeat("x", 1000+i*500))
		want[strings.ReplaceAll(body, "\r\n.", "\r\n..")+".\r\n"] = true
		env := &mail.Envelope{Sender: "s@x.test",
			Recipients: []mail.Recipient{{Address: "r@a.test", Domain: "a.test"}}}
		q.Submit(env, &mail.Content{Chunks: [][]byte{[]byte(body)}, Size: int64(len(body))},
			func(_ mail.ID, f *smtp.Failure) {
				if f != nil {
					t.Errorf("Submit: %v", f)
				}
			})
	}
	s.Start()
	for range n {
		select {
		case got := <-server.got:
			if !want[got] {
				t.Fatalf("the server got what was not sent: %.80q", got)
			}
			delete(want, got)
		case <-time.After(20 * time.Second):
			t.Fatalf("%d messages are missing", len(want))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := q.Stop(ctx); err != nil {
		t.Error(err)
	}
	s.check(t)
	server.mu.Lock()
	defer server.mu.Unlock()
	if server.n > 30 { // 20 at once; each is replaced after 100 messages
		t.Errorf("%d connections for %d messages", server.n, n)
	}
	if st := s.Stats(); st.Relayed != n {
		t.Errorf("%d relayed, want %d", st.Relayed, n)
	}
}
