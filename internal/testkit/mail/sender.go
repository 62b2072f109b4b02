package mail

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// SendOptions say what Send does. Connections share the messages.
type SendOptions struct {
	Addr          string
	Host          string             // for EHLO; default "client.example"
	Connections   int                // default 1
	First, Count  int                // numbers of the messages
	Message       func(int) *Message // makes a message; called by several goroutines
	PerConnection int                // messages on a connection before a new one; 0: all
	Pipelining    bool               // use it when it is offered
	// use BDAT with chunks of so many octets when it is offered; 0: DATA
	Chunking    int
	TLS         *tls.Config // STARTTLS, required
	ImplicitTLS bool        // TLS from the first octet
	Username    string      // AUTH PLAIN
	Password    string
	Timeout     time.Duration // for each reply; default 60 s
	// further attempts after a 4xx or a lost connection before the end of the data
	Retries    int
	RetryAfter time.Duration // default 100 ms
	// connect again for as long as ctx lives, as when the server is being killed and restarted
	KeepTrying bool
	OnSent     func(*Sent) // called for each message, by several goroutines
	Forget     bool        // keep no Sent, for measurements
}

// Sent is what became of one message on the sender's side.
type Sent struct {
	ID       string
	Number   int
	Sum      Sum
	Size     int
	Accepted []string  // recipients for whom there was a 250 at the end of the data
	Refused  []Refusal // recipients that were refused, at RCPT or later
	Unknown  []string  // recipients for whom the end of the data was sent and no reply came
	QueueID  string    // from "queued as ID"
	At       time.Time // when the 250 was read
	Took     time.Duration
	Attempts int
	Err      error // the last, when not everybody was accepted or refused for good
}

// Refusal is a recipient and the reply.
type Refusal struct{ Recipient, Reply string }

// SendReport is the outcome of Send.
type SendReport struct {
	Sent     []Sent // in the order of their numbers
	Messages int    // messages with a 250
	Failed   int    // messages without
	Octets   int64  // of messages with a 250
	Elapsed  time.Duration
	Connects int
}

func (r *SendReport) String() string {
	s := r.Elapsed.Seconds()
	return fmt.Sprintf("%d messages (%.1f MiB) in %.2f s over %d connections: %.0f/s; %d failed",
		r.Messages, float64(r.Octets)/(1<<20), s, r.Connects, float64(r.Messages)/s, r.Failed)
}

// load is a Send under way.
type load struct {
	o        SendOptions
	next     atomic.Int64
	connects atomic.Int64
	messages atomic.Int64
	failed   atomic.Int64
	octets   atomic.Int64

	mu struct {
		sync.Mutex
		sent []Sent
	}
}

// Send sends messages until all are sent or ctx ends. What became of each is in the report; only
// nonsense in the options is an error.
func Send(ctx context.Context, o SendOptions) (*SendReport, error) {
	if o.Message == nil || o.Addr == "" {
		return nil, fmt.Errorf("mailtest: Send needs an address and messages")
	}
	setDefault(&o.Host, "client.example")
	setDefault(&o.Connections, 1)
	setDefault(&o.Timeout, time.Minute)
	setDefault(&o.RetryAfter, 100*time.Millisecond)
	l := &load{o: o}
	start := time.Now()
	var wg sync.WaitGroup
	for range o.Connections {
		wg.Go(func() { l.work(ctx) })
	}
	wg.Wait()
	r := &SendReport{
		Sent: l.mu.sent, Messages: int(l.messages.Load()), Failed: int(l.failed.Load()),
		Octets: l.octets.Load(), Elapsed: time.Since(start), Connects: int(l.connects.Load()),
	}
	slices.SortFunc(r.Sent, func(a, b Sent) int { return a.Number - b.Number })
	return r, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// work sends messages over one connection after another.
func (l *load) work(ctx context.Context) {
	var c *client
	onThis := 0
	for {
		i := int(l.next.Add(1)) - 1
		if i >= l.o.Count || ctx.Err() != nil {
			break
		}
		m := l.o.Message(l.o.First + i)
		s := &Sent{ID: m.ID, Number: l.o.First + i, Sum: m.Sum, Size: len(m.Content)}
		if onThis == l.o.PerConnection && l.o.PerConnection > 0 {
			c = c.quit()
			onThis = 0
		}
		c = l.send(ctx, c, m, s)
		onThis++
		l.done(s)
	}
	c.quit()
}

// send makes attempts at one message. It returns the connection, or nil when there is none any
// more.
func (l *load) send(ctx context.Context, c *client, m *Message, s *Sent) *client {
	start := time.Now()
	rcpts := m.Recipients
	for {
		s.Attempts++
		var err error
		if c == nil {
			c, err = l.connect(ctx)
		}
		if err == nil {
			rcpts, err = c.transaction(m, rcpts, s)
		}
		if err == nil || len(rcpts) == 0 {
			rcpts = nil
		}
		if s.Err = err; err != nil && !isReply(err) {
			c = c.drop()
		}
		if rcpts == nil || permanent(err) || !l.again(ctx, s, c == nil) {
			break
		}
	}
	s.Took = time.Since(start)
	return c
}

// again waits before another attempt, when there is to be one.
func (l *load) again(ctx context.Context, s *Sent, lost bool) bool {
	if s.Attempts > l.o.Retries && !(lost && l.o.KeepTrying) {
		return false
	}
	t := time.NewTimer(l.o.RetryAfter)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *load) connect(ctx context.Context) (*client, error) {
	c, err := dial(ctx, &l.o)
	if err == nil {
		l.connects.Add(1)
	}
	return c, err
}

func (l *load) done(s *Sent) {
	if len(s.Accepted) > 0 {
		l.messages.Add(1)
		l.octets.Add(int64(s.Size))
	} else {
		l.failed.Add(1)
	}
	if l.o.OnSent != nil {
		l.o.OnSent(s)
	}
	if !l.o.Forget {
		l.mu.Lock()
		l.mu.sent = append(l.mu.sent, *s)
		l.mu.Unlock()
	}
}

// queueID takes the ID out of "250 2.0.0 Ok: queued as ID".
func queueID(reply string) string {
	_, id, ok := strings.Cut(reply, "queued as ")
	if !ok {
		return ""
	}
	id, _, _ = strings.Cut(id, " ")
	return strings.TrimSpace(id)
}
