package eventloop

// wheelSlots is the number of ticks that a turn of the wheel takes: 102 s at the usual 100 ms.
const wheelSlots = 1024

// wheel holds the deadlines of a loop's connections, in ticks. Setting one is O(1) and most often a
// single store: a deadline that moves away, as it does with every command of a session, leaves the
// timer in its slot, and the slot, when it comes up, moves the timer on. So does a deadline further
// away than a turn. The wheel has no clock; advance is told the time.
type wheel struct {
	now   int64
	lost  int64 // ticks of halts, which do not count
	slots [wheelSlots]*timer
}

// timer is one connection's place in the wheel.
type timer struct {
	owner      *Conn
	next, prev *timer
	due        int64 // tick; 0 when not set
	at         int64 // tick of the slot it is linked in; 0 when in none
}

// set makes t due at a tick, 0 for never.
func (w *wheel) set(t *timer, due int64) {
	t.due = due
	if due == 0 || (t.at != 0 && t.at <= due) {
		return // the slot, when it comes up, sees to it
	}
	w.unlink(t)
	w.link(t)
}

func (w *wheel) link(t *timer) {
	t.at = min(max(t.due, w.now+1), w.now+wheelSlots-1)
	head := &w.slots[t.at%wheelSlots]
	t.prev, t.next = nil, *head
	if t.next != nil {
		t.next.prev = t
	}
	*head = t
}

// unlink takes t out of the wheel.
func (w *wheel) unlink(t *timer) {
	if t.at == 0 {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.at%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.at = nil, nil, 0
}

// haltTicks is a gap between two ticks that is taken for a halt of the loop or the machine.
const haltTicks = 10

// tick moves the time to now, less the halts so far. During a halt nobody could be heard; so it
// must not use up the peers' time, nor that of a deadline which was set just after it, by a clock
// that had stood still.
func (w *wheel) tick(now int64, fire func(*timer)) {
	gap := now - w.lost - w.now
	if gap > haltTicks {
		w.lost += gap - 1
	}
	w.advance(now-w.lost, fire)
}

// advance moves the time to now and fires, in order of their ticks, the timers that are due. fire
// may set and unlink timers.
func (w *wheel) advance(now int64, fire func(*timer)) {
	if now-w.now > wheelSlots { // after a long halt once around is enough
		w.now = now - wheelSlots
	}
	for w.now < now {
		w.now++
		w.turn(w.now%wheelSlots, now, fire)
	}
}

// turn empties one slot. A timer that is put back goes to another slot, so this ends.
func (w *wheel) turn(slot, now int64, fire func(*timer)) {
	for t := w.slots[slot]; t != nil; t = w.slots[slot] {
		w.unlink(t)
		switch {
		case t.due == 0:
		case t.due > now:
			w.link(t)
		default:
			t.due = 0
			fire(t)
		}
	}
}
