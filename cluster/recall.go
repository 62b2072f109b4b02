package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// A member whose disk was rolled back does not know it. Others may: who led the group remembers, as
// long as its process runs, what each member acknowledged to it. So each start asks, beside the
// time for which a member that starts is silent anyway, and goes on to ask those who do not answer
// for a while.

const (
	recallEvery = 200 * time.Millisecond
	recallFor   = time.Minute
)

// recall asks the other voters what this member had acknowledged to them.
func (g *Group) recall(conf *raft.Config) error {
	if last, _ := g.log.Last(); last == 0 || g.node.port == nil {
		return nil
	}
	c, err := g.configured(conf)
	if err != nil {
		return err
	}
	var others []uint16
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter && s.ID != g.serverID() {
			others = append(others, memberOf(s.ID))
		}
	}
	g.done.Go(func() {
		tick := time.NewTicker(recallEvery)
		defer tick.Stop()
		for until := time.Now().Add(recallFor); len(others) > 0 && time.Now().Before(until); {
			answers := g.askAll(others)
			g.remembered(answers)
			var silent []uint16
			for _, member := range others {
				if _, ok := answers[member]; !ok {
					silent = append(silent, member)
				}
			}
			others = silent
			select {
			case <-tick.C:
			case <-g.stop:
				return
			}
		}
	})
	return nil
}

// remembered puts this member in quarantine when others remember that it acknowledged more than its
// log has.
func (g *Group) remembered(answers map[uint16]Standing) {
	var most position
	for _, s := range answers {
		if most.before(s.acked()) {
			most = s.acked()
		}
	}
	if !g.position().before(most) {
		return
	}
	d := Doubt{Why: Behind, Since: time.Now().UTC(), FloorTerm: most.term, FloorIndex: most.index}
	g.node.opts.Logf("group %d: %s", g.id, &d)
	if err := g.Doubt(d); err != nil {
		g.node.opts.Logf(
			"group %d: noting that this member is behind: %v",
			g.id,
			err,
		) // it holds until the next start, which asks again
	}
}
