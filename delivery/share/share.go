// Package share divides limits that hold for a whole cluster, so many connections to a site and so
// many transactions per second, among those who deliver: each queue group's owner has a Holder, the
// control group's leader is the Grantor. What is granted is a lease; a small part of each limit is
// reserved for each holder and needs none. DESIGN.md has the rules and why they are safe.
//
// This file holds the words that pass between them. They travel as JSON.
package share

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Times of the protocol. All are measured on one side only: no two clocks are ever compared.
const (
	// DefaultLease is how long a grant counts at the grantor; its holder uses it for four fifths of
	// that, from when it asked.
	DefaultLease = 8 * time.Second
	// DefaultLinger is how long connections outlive their owner at most: when a group has a new
	// owner, the one before has cut off the last of its connections (Scheduler.Abandon) before this
	// time has passed.
	DefaultLinger = time.Second
	// DefaultPatience is how long the connections of a deposed owner are counted whose node neither
	// answers nor is known to have ended: it may be stopped, and closes them only when it wakes. A
	// host that was switched off looks the same.
	DefaultPatience = time.Minute

	askAgain  = time.Second  // between two requests while something is held
	waitAgain = askAgain / 2 // between two while the reserved parts must not be used yet
	// after it began a holder asks again after askGap: what the one before had is free any moment
	hurryFor  = 2 * DefaultLinger
	hurryMost = 256                    // sites in a request that is repeated so soon
	askGap    = 100 * time.Millisecond // between two requests at least
	askWait   = time.Second            // for an answer
	// between two looks at who grants and how many groups there are
	lookAgain = 320 * time.Millisecond
)

// Bounds of what is kept and sent.
const (
	maxNeeds   = 10_000 // sites in a request; the others have their reserved part
	maxName    = 4096   // octets of a site's name
	maxHolders = 4096   // that a grantor knows of
	maxCount   = 1 << 20
)

// Limit is what is configured for one site, for all holders together.
type Limit struct {
	Connections int     `json:"connections"`
	Rate        float64 `json:"rate,omitempty"` // transactions per second; 0: no limit
}

// Ask takes a request to the grantor, wherever it is: Grantor.Ask on its own node.
type Ask func(ctx context.Context, r Request) (Grant, error)

// Request is all that a holder has and wants beyond its reserved part. What it does not name it has
// given back.
type Request struct {
	Tenure
	Seq uint64 `json:"seq"` // grows with each request of the holder
	// of the grantor, as the holder heard last; 0: it heard nothing yet
	Reign uint64        `json:"reign"`
	Age   time.Duration `json:"age"` // since the holder began
	// Groups is the number of queue groups by which the holder counts its reserved parts.
	Groups int    `json:"groups"`
	Needs  []Need `json:"needs,omitempty"`
	// Node is who asks. Whoever takes the request in sets it; 0: it is not known.
	Node uint16 `json:"-"`
}

// Tenure names a holder: one owner's time with one group.
type Tenure struct {
	Group uint64 `json:"group"` // of the queue
	Epoch uint64 `json:"epoch"` // grows with each owner of the group
}

// Need is a request's part for one site. Counts and rates are beyond the reserved part.
type Need struct {
	Site  string `json:"site"`
	Limit Limit  `json:"limit"`
	Used  int    `json:"used,omitempty"` // connections open now
	// the holder opens none beyond this before it has an answer
	Held int `json:"held,omitempty"`
	Want int `json:"want,omitempty"` // what it could use; at least Used
	// The same for the rate. There is no rate in use: a share that has ended is not used any more.
	HeldRate float64 `json:"held_rate,omitempty"`
	WantRate float64 `json:"want_rate,omitempty"`
}

// Grant is the answer. Sites of the request that it does not name have no share beyond the reserved
// one. When Reign is not the request's, nothing was decided: the grantor is new, and the holder has
// to ask again under this number.
type Grant struct {
	Reign  uint64        `json:"reign"`
	Lease  time.Duration `json:"lease,omitempty"`
	Shares []Share       `json:"shares,omitempty"`
	// Wait: the reserved part must not be used yet, for an owner of the group before may have
	// connections open.
	Wait bool `json:"wait,omitempty"`
	// Clean: it may be used at once, for all nodes have said that no owner of the group before has
	// connections open. Older grantors do not ask them all, so that a holder waits for
	// DefaultLinger.
	Clean bool `json:"clean,omitempty"`
}

// Share is a grant's part for one site, beyond the reserved part.
type Share struct {
	Site        string  `json:"site"`
	Connections int     `json:"connections,omitempty"`
	Rate        float64 `json:"rate,omitempty"`
}

var (
	// ErrNotGrantor: this node does not lead the control group. Ask the one that does.
	ErrNotGrantor = errors.New(
		"share: this node does not grant: it does not lead the control group")
	// ErrSuperseded: a later request of the same holder came first.
	ErrSuperseded = errors.New("share: a later request was answered already")
)

// check refuses what no holder sends.
func (r *Request) check() error {
	switch {
	case r.Group == 0 || r.Epoch == 0 || r.Seq == 0 || r.Age < 0 || r.Groups < 1 ||
		r.Groups > maxCount:
		return fmt.Errorf("share: request without group, epoch, number or count of groups")
	case len(r.Needs) > maxNeeds:
		return fmt.Errorf("share: request for %d sites, at most %d", len(r.Needs), maxNeeds)
	}
	for i := range r.Needs {
		n := &r.Needs[i]
		count := func(v int) bool { return 0 <= v && v <= maxCount }
		rate := func(v float64) bool { return 0 <= v && v <= math.MaxInt32 } // false for NaN
		if n.Site == "" || len(n.Site) > maxName || !count(n.Limit.Connections) ||
			!rate(n.Limit.Rate) ||
			!count(n.Used) || !count(n.Held) || !count(n.Want) || !rate(n.HeldRate) ||
			!rate(n.WantRate) {
			return fmt.Errorf("share: request with numbers out of bounds for site %.64q", n.Site)
		}
	}
	return nil
}
