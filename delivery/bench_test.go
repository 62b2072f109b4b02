package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// instant is a Queue that records at once and has nothing on disk, a Resolver that knows
// everything, and the Internet's fastest hosts.
type instant struct {
	hoard
	settledN atomic.Int64
	wake     chan struct{}
	want     int64
}

func (q *instant) Domains(string, int) ([]queue.DomainDue, error) { return nil, nil }
func (q *instant) Due(
	_ string, after queue.Cursor, _ time.Time, _ int,
) ([]queue.Item, queue.Cursor, error) {
	return nil, after, nil
}
func (q *instant) Remember([]queue.Outcome) {}

func (q *instant) SettleMessage(
	_ *queue.Message, outcomes []queue.Outcome, done func(error),
) bool {
	return q.Settle(outcomes, done)
}
func (q *instant) Settle(outcomes []queue.Outcome, done func(error)) bool {
	done(nil)
	if q.settledN.Add(1) == q.want {
		q.wake <- struct{}{}
	}
	return true
}
func (q *instant) Lookup(_ context.Context, domain string) (*mx.Route, *smtp.Failure) {
	return &mx.Route{Site: domain, Expires: time.Now().Add(time.Hour),
		Hosts: []mx.Host{{Name: domain, Addrs: []netip.Addr{netip.IPv4Unspecified()}}}}, nil
}
func (q *instant) LookupHost(ctx context.Context, h string) (*mx.Route, *smtp.Failure) {
	return q.Lookup(ctx, h)
}
func (q *instant) Cached(d string) (*mx.Route, *smtp.Failure, bool) {
	r, f := q.Lookup(context.Background(), d)
	return r, f, true
}
func (q *instant) CachedHost(d string) (*mx.Route, *smtp.Failure, bool) { return q.Cached(d) }

type instantConn struct{ offers smtpclient.Offers }

func (c *instantConn) Deliver(tx *smtpclient.Transaction) smtpclient.Result {
	for i := range tx.Results {
		tx.Results[i] = smtpclient.Status{Code: 250, Enhanced: "2.0.0", Text: "Ok"}
	}
	return smtpclient.Result{Recipients: tx.Results}
}
func (c *instantConn) Usable() bool               { return true }
func (c *instantConn) Alive() bool                { return true }
func (c *instantConn) Offers() *smtpclient.Offers { return &c.offers }
func (c *instantConn) TLS() string                { return "" }
func (c *instantConn) Remote() netip.AddrPort     { return netip.AddrPort{} }
func (c *instantConn) Local() netip.AddrPort      { return netip.AddrPort{} }
func (c *instantConn) Quit()                      {}
func (c *instantConn) Abort()                     {}

// BenchmarkSchedule is what scheduling costs per message, from the queue's word of it to the
// recorded outcome, with nothing else to do: no SMTP, no disk. Messages come 32 at a time, as from
// a group commit.
func BenchmarkSchedule(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("destinations=%d", n), func(b *testing.B) {
			benchmarkSchedule(b, n, func(*Options) {})
		})
	}
}

func benchmarkSchedule(b *testing.B, destinations int, set func(*Options)) {
	q := &instant{wake: make(chan struct{}, 1)}
	o := Options{
		Settings: Settings{
			Shaping:     map[string]Shaping{"default": {MessagesPerConnection: 1 << 30}},
			Connections: destinations + 100,
		},
		IdleTimeout: time.Hour,
	}
	set(&o)
	s, err := New(o, q, q, func(context.Context, *smtpclient.Options) (Conn, *smtpclient.Error) {
		return &instantConn{}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	defer s.Shutdown(context.Background())
	domains := make([]string, destinations)
	for i := range domains {
		domains[i] = fmt.Sprintf("d%d.example", i)
	}
	ids := mail.NewIDs(1, time.Now())
	next := 0
	round := func(n int) { // accepts n messages and waits until they are settled
		items := make([]queue.Item, 0, 32)
		q.want = q.settledN.Load() + int64(n)
		for left := n; left > 0; left -= len(items) {
			items = items[:0]
			ms := make([]queue.Message, 32) // new ones: those of the batch before may be under way
			envs, to := make([]mail.Envelope, 32), make([]mail.Recipient, 32)
			for i := range min(32, left) {
				d := domains[next%destinations]
				next++
				to[i] = mail.Recipient{Address: "r", Domain: d}
				envs[i].Recipients = to[i : i+1]
				now := time.Now()
				ms[i] = queue.Message{ID: ids.Next(now), Envelope: &envs[i], Arrived: now}
				items = append(items, queue.Item{Message: &ms[i], Domain: d, Due: now,
					Recipients: one, Content: []byte("x")})
			}
			s.Accepted(items)
		}
		<-q.wake
	}
	round(2 * destinations) // connections are open
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; left -= 1024 {
		round(min(1024, left))
	}
}

var one = []uint32{0}

// BenchmarkWalk is an operator's command or a scan's batch over a full memory: 50,000 entries of
// 1,000 destinations.
func BenchmarkWalk(b *testing.B) {
	now := time.UnixMilli(1_700_000_000_000)
	c := coreAt(Options{Window: 100, WindowTotal: 100_000}, &fakeSite{})
	for i := range 1000 {
		c.accepted(itemsFor(c.o.Budget, fmt.Sprintf("d%d.test", i), 50, 0, now), now)
	}
	ids := map[mail.ID]struct{}{{1}: {}}
	b.ReportAllocs()
	for b.Loop() {
		c.busy(ids, true)
	}
	b.ReportMetric(float64(c.held), "entries")
}
