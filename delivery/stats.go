package delivery

import (
	"github.com/postroad/postroad/queue"
)

// Stats are the scheduler's counts since the start and its present state, for metrics.
type Stats struct {
	// Recipients by the outcome of an attempt or of the clock.
	Relayed, Delivered, Deferred, Failed, Expired uint64
	// Warned are the recipients for which a delay warning became due.
	Warned uint64
	// DoubleBounces are reports of ours that could not be delivered.
	DoubleBounces uint64
	// Throttled counts how often waiting mail met a limit, by the limit.
	Throttled [Limits]uint64
	// Transactions that were begun; connections that were opened, and those that could not be.
	Transactions, Connected, ConnectFailed uint64

	Connections  int // open now
	Items        int // in memory: waiting, being attempted or not yet settled
	Unsettled    int // recipients whose outcome the queue has not recorded yet
	Destinations int
	Sites        int
	DeadSites    int

	// BySite has the sites with labels of their own, and the rest under "other".
	BySite map[string]SiteStats
}

// SiteStats are the counts of one site. What the local site has relayed is in mailboxes.
// Throttled counts how often its mail met a limit. Waiting are the messages in memory that wait for
// it now.
type SiteStats struct{ Relayed, Deferred, Failed, Throttled, Waiting uint64 }

// OtherSites is the label of the sites that have none of their own.
const OtherSites = "other"

// Stats returns the counts.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.mu.core
	st := c.counters.Stats
	st.Connections, st.Items, st.Unsettled = len(c.conns), c.held, c.unsettled
	st.Destinations, st.Sites, st.DeadSites = len(c.all), len(c.sites), c.deadSites
	for _, s := range c.sites {
		s.stats.Waiting += uint64(s.waiting)
	}
	st.BySite = make(map[string]SiteStats, len(c.counters.sites)+1)
	for name, site := range c.counters.sites {
		st.BySite[name] = *site
		site.Waiting = 0
	}
	st.BySite[OtherSites] = c.counters.other
	c.counters.other.Waiting = 0
	return st
}

// counters are what the core counts.
type counters struct {
	Stats
	sites map[string]*SiteStats
	other SiteStats
	max   int
}

func (c *counters) init(o *Options) {
	c.sites, c.max = map[string]*SiteStats{}, o.SiteLabels
}

// site returns where a site is counted: the first sites to be seen have labels.
func (c *counters) site(name string) *SiteStats {
	if st := c.sites[name]; st != nil {
		return st
	}
	if len(c.sites) >= c.max {
		return &c.other
	}
	st := &SiteStats{}
	c.sites[name] = st
	return st
}

// countAged counts what a scan settles: the outcomes are in the order of the batch.
func (s *Scheduler) countAged(batch []*queue.Stored, outcomes []queue.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.mu.core.counters
	for i := range outcomes {
		for batch[0].Message.ID != outcomes[i].ID {
			batch = batch[1:]
		}
		if outcomes[i].Warn {
			c.Warned++
			continue
		}
		c.Expired++
		if batch[0].Message.IsReport {
			c.DoubleBounces++
		}
	}
}

// count counts a transaction's outcomes. s is nil when there was no attempt.
func (c *counters) count(t *transaction, s *site) {
	site := &c.other
	if s != nil {
		site = s.stats
	}
	for i := range t.outcomes {
		switch t.outcomes[i].State {
		case queue.Relayed:
			c.Relayed++
			site.Relayed++
			continue
		case queue.Delivered, queue.Expanded:
			c.Delivered++
			site.Relayed++
			continue
		case queue.Deferred:
			c.Deferred++
			site.Deferred++
			continue
		case queue.Expired:
			c.Expired++
		default:
			c.Failed++
		}
		site.Failed++
		if t.message.IsReport {
			c.DoubleBounces++
		}
	}
}
