package delivery

import (
	"github.com/postroad/postroad/queue"
)

// entry is an item in memory. It is in exactly one list: its flow's while recipients of it wait,
// its destination's busy list while all of them are being attempted or wait for the queue to record
// their outcome. Owned by the core.
type entry struct {
	item       queue.Item
	dest       *destination
	flow       *flow
	state      entryState
	next, prev *entry
	sibling    *entry // ring of the entries of one message that came together
	taken      int    // recipients handed out: item.Recipients[:taken]
	// its recipients' rows are others by now: the disk is asked when its time in memory ends
	moved bool
	stray bool  // it is attempted by a route that is not its recipients' any more
	cost  int64 // octets of the memory budget, for the envelope and the entry itself
	open  int   // transactions with recipients of this entry that are not settled
}

type entryState uint8

const (
	entryWaiting entryState = iota // in its flow
	entryBusy                      // in its destination's busy list
	entryGone                      // in no list: recorded, or left to the disk
)

// row is a place in a domain's schedule: that of the entry's row.
func (e *entry) row() row { return rowOf(&e.item) }

// An entry counts with so much memory beside its content: for itself and the message, and for each
// recipient of the envelope that it holds on to.
const (
	entryCost     = 600
	recipientCost = 200
)

// release gives back the content's memory; the disk has it.
func (e *entry) release() {
	if e.item.Release != nil {
		e.item.Release()
	}
	e.item.Content, e.item.Release = nil, nil
}

// entryList is a list of entries through their own links.
type entryList struct {
	head, tail *entry
	n          int
}

func (l *entryList) pushBack(e *entry) {
	e.prev, e.next = l.tail, nil
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.next = e
	}
	l.tail = e
	l.n++
}

func (l *entryList) pushFront(e *entry) {
	e.prev, e.next = nil, l.head
	if l.head == nil {
		l.tail = e
	} else {
		l.head.prev = e
	}
	l.head = e
	l.n++
}

func (l *entryList) remove(e *entry) {
	if e.prev == nil {
		l.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.next, e.prev = nil, nil
	l.n--
}
