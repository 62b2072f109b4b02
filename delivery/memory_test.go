package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// fakeSite answers look-ups from memory: each domain is a site of its own.
type fakeSite struct{}

func (*fakeSite) cached(_ *route, domain string) (*mx.Route, *smtp.Failure, bool) {
	return &mx.Route{
		Site: domain, Expires: time.UnixMilli(1 << 45),
		Hosts: []mx.Host{{Name: "mx." + domain, Addrs: []netip.Addr{netip.IPv4Unspecified()}}},
	}, nil, true
}

// coreAt returns a core whose look-ups are answered at once.
func coreAt(o Options, site *fakeSite) *core {
	o.setDefaults()
	set, err := o.compile()
	if err != nil {
		panic(err)
	}
	set.way = newWay(context.Background())
	c := newCore(&o, set)
	c.cached = site.cached
	return c
}

// itemsFor makes items of one domain with contents in memory.
func itemsFor(b *mail.Budget, domain string, n, size int, at time.Time) (items []queue.Item) {
	ids := mail.NewIDs(1, at)
	for i := range n {
		env := &mail.Envelope{Recipients: []mail.Recipient{{Address: fmt.Sprint(i, "@", domain),
			Domain: domain}}}
		it := queue.Item{
			Message: &queue.Message{ID: ids.Next(at), Envelope: env, Arrived: at,
				Size: int64(size)}, Domain: domain, Due: at, Recipients: []uint32{0},
		}
		if b.TryReserve(int64(size)) {
			it.Content, it.Release = make([]byte, size), func() { b.Release(int64(size)) }
		}
		items = append(items, it)
	}
	return items
}

// Contents are given up before memory is full, entries only when it is; what is dropped gives all
// its memory back.
func TestMemoryIsBounded(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	b := mail.NewBudget(1 << 20)
	c := coreAt(Options{Budget: b, Window: 5000}, &fakeSite{})
	for range 40 {
		c.accepted(itemsFor(b, "a.test", 50, 4096, now), now)
		c.dispatch(now)
		now = now.Add(time.Second)
		if b.Used() > b.Limit() {
			t.Fatalf("%d octets of %d in use", b.Used(), b.Limit())
		}
	}
	d := c.dests[destKey{"a.test", noRoute}]
	if n := int64(d.waiting); n < 500 || n*(entryCost+recipientCost) > b.Limit() {
		t.Errorf("%d entries in memory", n)
	}
	contents := 0
	for e := d.recent.list.head; e != nil; e = e.next {
		if e.item.Content != nil {
			contents++
		}
	}
	if contents > 192 { // three quarters of the budget
		t.Errorf("%d contents of 4 KiB in memory", contents)
	}
	c.check(t)
	c.dropAll(d)
	if b.Used() != 0 || !d.backlog {
		t.Errorf("%d octets in use after all was dropped, backlog %v", b.Used(), d.backlog)
	}
	c.check(t)
}

// Many slow destinations share the window; a new one finds room.
func TestWindowIsShared(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	c := coreAt(Options{Window: 500, WindowTotal: 2000}, &fakeSite{})
	for i := range 10 {
		c.accepted(itemsFor(c.o.Budget, fmt.Sprintf("d%d.test", i), 1000, 10, now), now)
		c.dispatch(now)
	}
	if c.held > 2000 {
		t.Errorf("%d entries in memory, want at most 2000", c.held)
	}
	c.accepted(itemsFor(c.o.Budget, "late.test", 1, 10, now), now)
	if d := c.dests[destKey{"late.test", noRoute}]; d.waiting != 1 {
		t.Error("no room for a new destination's first message")
	}
	c.check(t)
}
