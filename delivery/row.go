package delivery

import (
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// row is a place in a domain's schedule, comparable: a queue.Cursor with the resolution of the
// disk. The zero row is before all.
type row struct {
	due int64 // milliseconds since 1970
	id  mail.ID
}

func rowOf(it *queue.Item) row { return row{it.Due.UnixMilli(), it.Message.ID} }
func rowAt(c queue.Cursor) row { return row{max(0, c.Due.UnixMilli()), c.ID} }
func (r row) time() time.Time  { return time.UnixMilli(r.due) }
func (r row) before(other row) bool {
	return r.due < other.due || r.due == other.due && string(r.id[:]) < string(other.id[:])
}

// cursor returns the row as the queue knows it.
func (r row) cursor() queue.Cursor {
	if r.due <= 0 {
		return queue.Cursor{}
	}
	return queue.Cursor{Due: r.time(), ID: r.id}
}

// previous returns the place after which r is the first row.
func (r row) previous() row {
	for i := len(r.id) - 1; i >= 0; i-- {
		r.id[i]--
		if r.id[i] != 0xff {
			return r
		}
	}
	r.due-- // the ID was zero and is the greatest one now: that of the millisecond before
	return r
}
