package mailbox

import (
	"bytes"

	"github.com/postroad/postroad/internal/mail"
)

// recent knows the newest dedup records, so that the key of a fresh message is not looked for among
// all rows: fresh keys are almost never there, and the look-up would be the dearest read of an
// append. Message IDs ascend with time, so almost every key is above all that the ring has lost.
//
// Invariant: a record in the store is at or below the floor, or in the ring. It is a cache of the
// rows: Apply gives the same with any ring.
type recent struct {
	floor mail.ID
	known map[DedupRecord]struct{}
	ring  []DedupRecord // oldest first, from next on
	next  int
}

// recentRecords is what is out of order for long enough to matter: messages that are on their way
// at a time.
const recentRecords = 2048

// reset begins with nothing known of records up to newest, the highest ID that any had.
func (r *recent) reset(newest mail.ID) { *r = recent{floor: newest} }

// absent reports that there is surely no such record.
func (r *recent) absent(x DedupRecord) bool {
	if bytes.Compare(x.ID[:], r.floor[:]) <= 0 {
		return false
	}
	_, known := r.known[x]
	return !known
}

// add notes a record that was written.
func (r *recent) add(x DedupRecord) {
	if bytes.Compare(x.ID[:], r.floor[:]) <= 0 {
		return
	}
	if r.known == nil {
		r.known = map[DedupRecord]struct{}{}
	}
	if len(r.ring) < recentRecords {
		r.ring = append(r.ring, x)
	} else {
		old := r.ring[r.next]
		if bytes.Compare(old.ID[:], r.floor[:]) > 0 {
			r.floor = old.ID
		}
		delete(r.known, old)
		r.ring[r.next] = x
		r.next = (r.next + 1) % recentRecords
	}
	r.known[x] = struct{}{}
}
