package delivery

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// scout looks ahead. Rows lie in order of their due times, so one tenant's retry lies behind
// another's flood of which a part is overdue. While a destination has such a backlog, a small load
// every few seconds reads what has become due since the one before, and takes from it what belongs
// to flows that have little in memory. When the cursor comes to these rows they are known or gone.
type scout struct {
	at   row       // what lies before it was looked at
	last time.Time // when the latest was sent
	due  bool      // the next load is one
	out  bool      // the load under way is one
}

const (
	scoutInterval = 5 * time.Second
	scoutItems    = 200
)

// callScout has a scout sent if it is time. It is called when an entry of d is handed out.
func (c *core) callScout(d *destination, now time.Time) {
	if !d.ahead || d.scout.due || d.loading || now.Sub(d.scout.last) < scoutInterval {
		return
	}
	if d.scout.last = now; d.scout.at.before(d.cursor) {
		d.scout.at = row{due: now.Add(-scoutInterval).UnixMilli()}
	}
	d.scout.due = true
	c.wantMore(d)
}

// sendScout begins the load.
func (c *core) sendScout(d *destination, now time.Time) {
	d.scout.due = false
	if d.scout.at.before(d.cursor) {
		c.wantMore(d) // the cursor has come so far itself
		return
	}
	d.scout.out = true
	c.beginLoad(d, d.scout.at, min(scoutItems, d.affordable(), max(1, c.window()/8)), now)
}

// plenty reports whether the flow of an item has more than an equal share of what waits in memory.
func (c *core) plenty(d *destination, it *queue.Item) bool {
	f := d.flow(&it.Message.Envelope.Origin)
	return f.list.n*len(d.flows) > d.waiting
}
