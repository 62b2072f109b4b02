package node

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
)

// stuckAfter is how long the reconciler, which comes by twice a second, may stay away.
const stuckAfter = 2 * time.Minute

// Live, Ready and Notes implement admin.Health. A node whose reconciler is stuck, on a lock or
// a disk, has to be started again.
func (n *node) Live() error {
	last := n.reconciler.LastRound()
	if n.background.Err() == nil && !last.IsZero() && time.Since(last) > stuckAfter {
		return fmt.Errorf("the node has not looked after its groups for %v",
			time.Since(last).Round(time.Second))
	}
	return nil
}

func (n *node) Ready() error {
	if n.background.Err() != nil {
		return errors.New("stopping")
	}
	if f := n.pressure.Failure(); f != nil {
		return f
	}
	if r := n.pushed.refused.Load(); r != nil {
		return r
	}
	if n.budget.Used() >= n.budget.Limit() {
		return errors.New("the memory for mail is used up (limits.memory)")
	}
	if _, err := n.accepting(); err != nil {
		return n.unready(err)
	}
	return nil
}

// unready says of a node that takes no mail what its home group waits for, if it is that.
func (n *node) unready(err error) error {
	h := n.home.Load()
	if !errors.Is(err, errNotHome) || h == nil || !h.owns() {
		return err
	}
	g, _ := n.control.Group(h.group.ID())
	name := func(id uint16) string { m, _ := n.control.Member(id); return m.Name }
	return cmp.Or(tooFew(g, h.group.Members().Voters, name, n.detector.Reachable), err)
}

// tooFew names the voters that a group is to have before it takes mail, and has not got yet; nil:
// none.
func tooFew(
	g control.Group,
	voters []uint16,
	name func(uint16) string,
	answers func(uint16) bool,
) error {
	var missing []string
	for _, id := range g.Voters {
		if slices.Contains(voters, id) {
			continue
		}
		m := name(id)
		if !answers(id) {
			m += ", which does not answer"
		}
		missing = append(missing, m)
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf(
		"this node takes mail once its home group (group %d) has %d voters: it has %d and "+
			"waits for %s",
		g.ID, len(g.Voters), len(voters), strings.Join(missing, "; for "),
	)
}

// Notes are what the cluster lacks, whether or not this node takes mail: members that do not
// answer, and groups that survive no further loss. Each node knows it of all.
func (n *node) Notes() (notes []string) {
	if n.out.Load() != nil {
		return nil // this node knows nothing of the cluster any more
	}
	for _, a := range n.detector.Absent(member.GoneAfter) {
		notes = append(notes, fmt.Sprintf("%s (member %d) does not answer, since %s (%v)",
			a.Member.Name, a.Member.ID, a.Since.UTC().Format(time.RFC3339),
			time.Since(a.Since).Round(time.Second)))
	}
	if len(n.control.Members()) < 2 {
		return notes // a node that is alone has never survived its loss
	}
	own := n.report()
	reports := n.detector.Reports()
	reports[n.self.Member] = &own
	return append(notes, n.operator.Lacks(reports, n.knowsLeader)...)
}

// knowsLeader reports whether this node takes part in a group and hears from its leader.
func (n *node) knowsLeader(group uint64) bool {
	p := n.part(group)
	if p == nil {
		return false
	}
	_, known := p.base().group.Leader()
	return known
}
