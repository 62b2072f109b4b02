package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/share"
)

// Limits that hold for all nodes together: this scheduler has a share of them, which comes and
// goes. Where it has none of its own to ask for (Options.Shares is nil, or the site's scope is the
// node), the whole limit is its own.

// joinShares makes the limits of a site, a new one or one whose shape is another one now, those of
// its share.
func (c *core) joinShares(s *site, now time.Time) {
	s.share, s.rate = s.shape.Connections, s.rate.To(s.shape.Rate, now)
	if c.o.Shares == nil || s.shape.Scope == shaping.Node {
		if s.lease != nil { // connections that are open are still given back
			s.lease.Leave()
			s.lease = nil
		}
		return
	}
	limit := share.Limit{Connections: s.shape.Connections, Rate: s.shape.Rate.PerSecond()}
	s.lease = c.o.Shares.Site(shareName(s), limit, s)
	if s.open > 0 {
		for cn := range c.conns {
			if cn.site == s && cn.lease == nil {
				cn.lease = s.lease
				cn.lease.Adopt()
			}
		}
	}
	s.share = s.lease.Allowed()
}

// shareName is the same on all nodes and tells no password.
func shareName(s *site) string {
	if !strings.Contains(s.key, "\x00") && len(s.key) < 256 {
		return s.key
	}
	sum := sha256.Sum256([]byte(s.key))
	return s.name[:min(len(s.name), 200)] + " " + hex.EncodeToString(sum[:12])
}

// wanted is how many connections a site could use now if it had the share. Where a rate holds it
// up, what it has will do.
func (s *site) wanted() int {
	n := s.open - len(s.idle) + max(0, s.waiting-s.connecting)
	switch {
	case s.state == siteDead:
		return 0
	case s.shape.Rate.Count <= 0:
	case len(s.idle) > 0:
		n = min(n, s.open)
	default:
		n = min(n, s.open+2)
	}
	return min(n, s.allow)
}

// shareChanged goes by a site's new share: idle connections beyond it are closed, busy ones when
// they have finished.
func (c *core) shareChanged(s *site) {
	s.share = s.lease.Allowed()
	c.closeExcess(s, s.share)
	c.rouse(s)
}

// closeExcess closes idle connections of a site beyond a limit.
func (c *core) closeExcess(s *site, limit int) {
	for excess := s.open - limit; excess > 0 && len(s.idle) > 0; excess-- {
		c.dismiss(s.idle[len(s.idle)-1])
	}
}

// shareUser is the scheduler as its shares' holder sees it.
type shareUser struct{ *Scheduler }

// Survey tells what sites could use.
func (u shareUser) Survey(sites []*share.Site) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range sites {
		if s := l.Tag.(*site); s.lease == l {
			l.Want(s.wanted(), s.waiting)
		}
	}
}

// Changed goes by what sites may use now.
func (u shareUser) Changed(sites []*share.Site) {
	now := u.lock()
	for _, l := range sites {
		if s := l.Tag.(*site); s.lease == l {
			u.mu.core.shareChanged(s)
		}
	}
	u.unlock(now)
}
