package control

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/rows"
)

// Suspension keeps something from being delivered, until it is resumed or its time is over. What
// its kind and name mean is the callers' business. A plain value.
type Suspension struct {
	Kind   string    `json:"kind"`
	Name   string    `json:"name"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is resumed
	// Serial tells it from a later one of the same kind and name: the version in which it began.
	Serial uint64 `json:"serial"`
}

// Bounds of suspensions. All of them together are one command of each queue group, so they must
// stay well below 1 MiB.
const (
	MaxSuspensions = 1000
	maxKind        = 16  // octets
	maxSuspended   = 255 // octets of a name: a domain
	maxReason      = 200 // octets
)

// SuspensionsProtocol is the first protocol that knows suspensions.
const SuspensionsProtocol = 2

// Suspensions returns what is suspended, and the version of that: it grows with each change, and is
// 0 before the first.
func (s *State) Suspensions() (version uint64, all []Suspension) {
	m := s.view.Load()
	return m.counts.Suspended, slices.Clone(m.suspensions)
}

// Suspend records a suspension that begins now and lasts for so long; 0: until it is resumed. One
// of the same kind and name is replaced. It returns the version that has it.
func (e *Editor) Suspend(
	ctx context.Context, s Suspension, lasts time.Duration,
) (version uint64, err error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if s.Reason == "" || len(s.Reason) > maxReason {
		return 0, fmt.Errorf("the reason of a suspension has 1 to %d octets", maxReason)
	}
	s.Since, s.Until = e.Now().UTC(), time.Time{}
	if lasts > 0 {
		s.Until = s.Since.Add(lasts)
	}
	return e.suspensions(ctx, cmdSuspend, s)
}

// Resume ends the suspension of that kind and name, and returns the version that does not have it
// any more. ErrUnknown: there is none.
func (e *Editor) Resume(ctx context.Context, kind, name string) (version uint64, err error) {
	s := Suspension{Kind: kind, Name: name}
	if err := s.check(); err != nil {
		return 0, err
	}
	return e.suspensions(ctx, cmdResume, s)
}

// Expire ends this very suspension, whose time is over. If it has ended or was replaced meanwhile,
// nothing happens.
func (e *Editor) Expire(ctx context.Context, s Suspension) error {
	_, err := e.suspensions(ctx, cmdResume,
		Suspension{Kind: s.Kind, Name: s.Name, Serial: s.Serial})
	return err
}

func (e *Editor) suspensions(
	ctx context.Context, kind commandType, s Suspension,
) (version uint64, err error) {
	if err := e.State.Needs(SuspensionsProtocol, "a suspension"); err != nil {
		return 0, err
	}
	r, err := e.propose(ctx, kind, command{Suspension: &s})
	return r.Index, err
}

func (s *Suspension) check() error {
	if s.Kind == "" || len(s.Kind) > maxKind || s.Name == "" || len(s.Name) > maxSuspended {
		return fmt.Errorf("what is suspended has a name of 1 to %d octets", maxSuspended)
	}
	return nil
}

// same reports whether they suspend the same.
func (s *Suspension) same(o Suspension) bool { return s.Kind == o.Kind && s.Name == o.Name }

func (d *draft) suspend(c *command) Result {
	s := *c.Suspension
	slot := slices.IndexFunc(d.model.suspensions, s.same)
	if slot < 0 {
		if slot = len(d.model.suspensions); slot >= MaxSuspensions {
			return refuse(Full,
				"%d suspensions are in force, and that is the most: `postroad resume` those "+
					"that are not needed (`postroad suspend list`)", slot)
		}
	}
	d.resuspend()
	s.Serial = d.counts.Suspended
	d.put(slot, s)
	return Result{Index: d.counts.Suspended}
}

// resume ends a suspension; with a serial only that very one.
func (d *draft) resume(c *command) Result {
	s := c.Suspension
	slot := slices.IndexFunc(d.model.suspensions, s.same)
	switch {
	case s.Serial != 0 && (slot < 0 || d.model.suspensions[slot].Serial != s.Serial):
		return Result{Index: d.counts.Suspended}
	case slot < 0:
		return refuse(Unknown, "the %s %s is not suspended: `postroad suspend list` shows what is",
			s.Kind, s.Name)
	}
	d.resuspend()
	last := len(d.model.suspensions) - 1
	if slot != last {
		d.put(slot, d.model.suspensions[last])
	}
	d.model.suspensions = d.model.suspensions[:last]
	d.counts.Suspensions--
	d.freed = true
	return Result{Index: d.counts.Suspended}
}

// resuspend begins a new version.
func (d *draft) resuspend() {
	d.model.suspensions = slices.Clone(d.model.suspensions) // the state before has it, too
	d.counts.Suspended = max(d.counts.Suspended+1, d.index)
}

// put sets a slot of the list, which has no gaps: so all can be read without a scan.
func (d *draft) put(slot int, s Suspension) {
	if slot == len(d.model.suspensions) {
		d.model.suspensions = append(d.model.suspensions, s)
		d.counts.Suspensions++
	} else {
		d.model.suspensions[slot] = s
	}
	d.slots = append(d.slots, slot)
}

// suspensionsOutlast makes the next version one that no group can have heard of, in a cluster whose
// log was cut short by a recovery.
func (d *draft) suspensionsOutlast() {
	if d.counts.Suspended > 0 {
		d.counts.Suspended += 1 << 32
	}
}

// writeSuspensions writes the slots that changed.
func (d *draft) writeSuspensions(w rows.Writer) {
	for _, slot := range d.slots {
		w.Set(suspensionKey(slot), encodeRecord(d.model.suspensions[slot]))
	}
	if d.freed {
		w.Delete(suspensionKey(len(d.model.suspensions)))
	}
}

func suspensionKey(slot int) []byte {
	return binary.BigEndian.AppendUint16([]byte("cs"), uint16(slot))
}

// loadSuspensions reads the slots.
func (m *model) loadSuspensions(read func(key []byte, v any) error) error {
	if m.counts.Suspensions < 0 || m.counts.Suspensions > MaxSuspensions {
		return fmt.Errorf("row %q: %d suspensions are more than there can be", keyCounts,
			m.counts.Suspensions)
	}
	m.suspensions = make([]Suspension, m.counts.Suspensions)
	for slot := range m.suspensions {
		if err := read(suspensionKey(slot), &m.suspensions[slot]); err != nil {
			return err
		}
	}
	return nil
}
