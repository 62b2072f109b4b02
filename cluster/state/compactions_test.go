package state

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// waitingDB has a compaction that waits, and lets it run when it may.
type waitingDB struct {
	allowed int
	waits   bool
	granted chan pebble.CompactionGrantHandle
}

func (d *waitingDB) GetAllowedWithoutPermission() int { return d.allowed }

func (d *waitingDB) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	return d.waits, pebble.WaitingCompaction{}
}

func (d *waitingDB) Schedule(h pebble.CompactionGrantHandle) bool {
	d.waits = false
	d.granted <- h
	return true
}

// TestCompactionsAfterAFlush: a compaction that waits is granted when a flush allows one more, and
// after the last one, though nobody looks again and again.
func TestCompactionsAfterAFlush(t *testing.T) {
	c := newCompactions()
	db := &waitingDB{allowed: 1, granted: make(chan pebble.CompactionGrantHandle, 1)}
	c.Register(1, db)
	ok, first := c.TrySchedule()
	if !ok {
		t.Fatal("the first one is refused")
	}
	if ok, _ := c.TrySchedule(); ok {
		t.Fatal("a second one is granted")
	}
	db.waits, db.allowed = true, 2
	c.UpdateGetAllowedWithoutPermission()
	second := <-db.granted
	db.waits = true
	if ok, _ := c.TrySchedule(); ok {
		t.Fatal("a third one is granted")
	}
	second.Done()
	third := <-db.granted
	first.Done()
	third.Done()
	c.Unregister()
	if ok, _ := c.TrySchedule(); ok {
		t.Error("one is granted after the end")
	}
}
