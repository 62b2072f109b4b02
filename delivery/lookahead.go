package delivery

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// lookahead looks ahead. Rows lie in order of their due times, so one tenant's retry lies behind
// another's flood of which a part is overdue. While a destination has such a backlog, a small load
// every few seconds reads what has become due since the one before, and takes from it what belongs
// to flows that have little in memory. When the cursor comes to these rows they are known or gone.
type lookahead struct {
	at   row       // what lies before it was looked at
	last time.Time // when the latest was sent
	due  bool      // the next load is one
	out  bool      // the load under way is one
}

const (
	lookaheadInterval = 5 * time.Second
	lookaheadItems    = 200
)

// scheduleLookahead has the next load look ahead if it is time. It is called when an entry of d is
// handed out.
func (c *core) scheduleLookahead(d *destination, now time.Time) {
	if !d.ahead || d.lookahead.due || d.loading || now.Sub(d.lookahead.last) < lookaheadInterval {
		return
	}
	if d.lookahead.last = now; d.lookahead.at.before(d.cursor) {
		d.lookahead.at = row{due: now.Add(-lookaheadInterval).UnixMilli()}
	}
	d.lookahead.due = true
	c.wantMore(d)
}

// beginLookahead begins the load.
func (c *core) beginLookahead(d *destination, now time.Time) {
	d.lookahead.due = false
	if d.lookahead.at.before(d.cursor) {
		c.wantMore(d) // the cursor has come so far itself
		return
	}
	d.lookahead.out = true
	c.beginLoad(d, d.lookahead.at, min(lookaheadItems, d.affordable(), max(1, c.window()/8)), now)
}

// plenty reports whether the flow of an item has more than an equal share of what waits in memory.
func (c *core) plenty(d *destination, it *queue.Item) bool {
	f := d.flow(&it.Message.Envelope.Origin)
	return f.list.n*len(d.flows) > d.waiting
}
