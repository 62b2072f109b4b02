package delivery

import (
	"testing"

	"github.com/postroad/postroad/queue"
)

// check verifies the core's invariants.
func (s *Scheduler) check(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.core.check(t)
}

func (c *core) check(t testing.TB) {
	t.Helper()
	held, active := 0, 0
	waiting := map[*site]int{}
	for i, d := range c.all {
		if d.place != i || c.dests[d.key] != d {
			t.Errorf("destination %v is not where it says", d.key)
		}
		n := 0
		for _, f := range d.flows {
			n += f.list.n
			for e := f.list.head; e != nil; e = e.next {
				if e.state != entryWaiting || c.flowSuspended(&e.item) || e.dest != d ||
					e.flow != f || e.taken >= len(e.item.Recipients) {
					t.Errorf("entry %v of %v: state %d, %d taken", e.item.Message.ID, d.key,
						e.state, e.taken)
				}
			}
			if d.state == destAttached && f.list.n > 0 && !f.queued {
				t.Errorf("flow %q of %v has entries and no place in the round", f.tenant, d.key)
			}
		}
		if n != d.waiting {
			t.Errorf("%v: %d waiting, counted %d", d.key, n, d.waiting)
		}
		if d.state == destAttached {
			waiting[d.site] += n
			if d.site.dests[d.spot] != d || c.sites[d.site.key] != d.site {
				t.Errorf("%v does not hang where it says", d.key)
			}
			if d.site.state == siteDead && n > 0 {
				t.Errorf("%v: %d entries in memory while its site is dead", d.key, n)
			}
		}
		if d.suspension != c.suspensions.kinds[queue.SuspendDomain][d.key.domain] {
			t.Errorf("%v: suspension %v is not the one in force", d.key, d.suspension)
		}
		if d.suspended() && n > 0 {
			t.Errorf("%v: %d entries in memory while it is suspended", d.key, n)
		}
		held += d.held()
		if d.held() > 0 {
			active++
		}
	}
	if held != c.held || active != c.active || len(c.dests) != len(c.all) {
		t.Errorf("held %d, counted %d; active %d, counted %d; %d in the map, %d in the list",
			c.held, held, c.active, active, len(c.dests), len(c.all))
	}
	open := 0
	for _, s := range c.sites {
		open += s.open
		if s.waiting != waiting[s] {
			t.Errorf("site %s: %d waiting, counted %d", s.name, s.waiting, waiting[s])
		}
		if s.open < 0 || s.connecting < 0 || s.lively < 0 || s.open < s.connecting+len(s.idle) {
			t.Errorf("site %s: %d open, %d connecting, %d lively, %d idle", s.name, s.open,
				s.connecting, s.lively, len(s.idle))
		}
	}
	if open != len(c.conns) || c.unsettled < 0 {
		t.Errorf("%d connections, counted %d; %d unsettled", len(c.conns), open, c.unsettled)
	}
}
