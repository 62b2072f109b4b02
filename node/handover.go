package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// A queue group that is to go delivers what is due soon. What waits for longer, because it is held,
// suspended, due later or for a site that is left alone, its owner hands over to the groups of
// nodes that stay: a bounded batch at a time, and no more than half of the time, so that mail does
// not feel it. What was due soon and is still there when that time has passed, because it is put
// off again and again, goes the same way. The steps are package queue's; here is what is handed
// over, where it goes, and when.

const (
	// soon is what is worth waiting for: what is to be tried within this time is not handed over,
	// before the group has been going for as long.
	soon = time.Minute
	// handOverFor bounds one pass, which keeps other changes of the group waiting.
	handOverFor = 2 * time.Second
	// lookAgain is how long a group rests when it has nothing to hand over, at the least, and when
	// nobody takes it.
	lookAgain     = time.Second
	lookAgainLate = 5 * time.Second
	// batchTime bounds the copying of a batch; a large message has a second for each of
	// handOverRate octets beside.
	batchTime    = 30 * time.Second
	handOverRate = 256 << 10
)

// handing is what this node keeps, while it owns a queue group, of handing its mail over.
type handing struct {
	// a place in it is held from when messages are let go until both groups know
	gate   chan struct{}
	mu     sync.Mutex
	term   uint64
	since  time.Time // when the group was first seen to be going, in this term
	again  time.Time // nothing is done before
	cursor mail.ID   // messages up to it were looked at
	turn   int       // of the groups that take it
	waits  string    // what keeps it waiting; "": nothing does
	still  map[string]time.Time
	// messages that are kept from being attempted until a hand-over's end is known
	left     []*queue.Stored
	leftWith *delivery.Scheduler // by this scheduler
}

func newHanding() handing {
	return handing{
		gate:  make(chan struct{}, 1),
		still: map[string]time.Time{},
		turn:  rand.IntN(1 << 16),
	}
}

// handsOver reports whether there is something to do now for a group that is to go, or that has not
// ended what it began.
func (h *holding) handsOver(going bool) bool {
	t := h.tenure.Load()
	if t == nil || !h.queue.Owner() {
		return false
	}
	now, s := time.Now(), &h.handing
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term != t.term {
		s.term, s.since, s.waits, s.cursor, s.again = t.term, time.Time{}, "", mail.ID{},
			time.Time{}
	}
	if going && s.since.IsZero() {
		s.since = now
	} else if !going {
		s.since, s.waits = time.Time{}, ""
	}
	if now.Before(s.again) {
		return false
	}
	if going &&
		now.Sub(
			s.since,
		// whoever counts messages on a word from before this term is through by then
		) >= stillLasts {
		return true
	}
	is, err := h.queue.Handing()
	return err == nil && is.Open
}

// handOver makes one pass: it ends what was begun, and hands over what waits for long.
func (h *holding) handOver(ctx context.Context, group control.Group) error {
	start, t := time.Now(), h.tenure.Load()
	if t == nil {
		return nil
	}
	err := h.endEarlier(ctx)
	if err != nil || group.State != control.GroupDraining || !h.aged() {
		return h.restHandOver(time.Now().Add(lookAgainLate), err)
	}
	targets, err := h.n.takers(group)
	failures := 0
	for err == nil && time.Since(start) < handOverFor {
		batch, more, found := h.waiting(t)
		if found != nil {
			err = found
			break
		}
		if len(batch) > 0 {
			began := time.Now()
			to := targets[h.nextTurn()%len(targets)]
			if moved := h.move(ctx, t, to, batch); moved != nil {
				if failures++; failures >= len(targets) {
					err = moved
				}
				continue
			}
			if took := time.Since(began); !clock.Pause(ctx, min(took, lookAgain)) {
				return nil
			}
		}
		if !more {
			return h.restHandOver(time.Now().Add(max(lookAgain, 4*time.Since(start))), nil)
		}
	}
	if err != nil {
		return h.restHandOver(time.Now().Add(lookAgainLate), err)
	}
	return h.restHandOver(time.Now(), nil)
}

// endEarlier ends what was begun before this pass, perhaps by another owner.
func (h *holding) endEarlier(ctx context.Context) error {
	if is, err := h.queue.Handing(); err != nil || !is.Open {
		return err
	}
	if err := h.enterGate(ctx); err != nil {
		return err
	}
	defer h.leaveGate()
	return h.endHandOver(ctx)
}

// aged reports whether the group has been going for long enough.
func (h *holding) aged() bool { return h.handing.going() >= stillLasts }

// going is for how long the group has been going.
func (s *handing) going() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return 0
	}
	return time.Since(s.since)
}

// restHandOver notes when to go on, and what it waits for, which the log is told when it is news.
func (h *holding) restHandOver(until time.Time, why error) error {
	s, words := &h.handing, ""
	if why != nil {
		words = why.Error()
	}
	s.mu.Lock()
	news := words != s.waits && words != ""
	s.again, s.waits = until, words
	s.mu.Unlock()
	if news && h.n.background.Err() == nil {
		h.n.log.Logf("group %d hands nothing over now: %s", h.ID(), words)
	}
	return nil
}

// waiting is what it waits for; "": for nothing.
func (s *handing) waiting() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits
}

func (h *holding) nextTurn() int {
	h.handing.mu.Lock()
	defer h.handing.mu.Unlock()
	h.handing.turn++
	return h.handing.turn
}

// takers are the groups that mail is handed over to: those of nodes that stay and answer.
func (n *node) takers(going control.Group) (groups []uint64, err error) {
	for _, g := range n.control.Groups() {
		if g.Kind == control.KindQueue && g.State == control.GroupServing && g.ID != going.ID &&
			(g.Home == n.self.Member || n.detector.Reachable(g.Home)) {
			groups = append(groups, g.ID)
		}
	}
	if len(groups) == 0 {
		return nil, errors.New(
			"no other node takes mail: what is held or due later stays until one has joined " +
				"(`postroad cluster token`), " +
				"or is released, failed or removed (`postroad queue`)",
		)
	}
	return groups, n.control.Needs(
		control.HandOverProtocol,
		"handing over mail that waits for long",
	)
}

// waiting finds the next messages that are to be handed over. more: there may be others.
func (h *holding) waiting(t *tenure) (batch []*queue.Stored, more bool, err error) {
	s := &h.handing
	s.mu.Lock()
	cursor := s.cursor
	s.mu.Unlock()
	now, going, octets := h.queue.Now(), s.going(), int64(0)
	looked, start := 0, time.Now()
	err = h.queue.ScanArrived(cursor, now.Add(time.Hour), func(m *queue.Stored) bool {
		if t.goes(m, now, going) {
			if len(batch) > 0 && octets+m.Message.Size > queue.HandOverOctets {
				more = true
				return false
			}
			batch, octets = append(batch, m), octets+m.Message.Size
		}
		cursor = m.Message.ID
		looked++
		more = len(batch) == queue.HandOverMessages ||
			looked%100 == 0 && time.Since(start) > handOverFor/2
		return !more
	})
	if err == nil && !more {
		cursor = mail.ID{}
	}
	s.mu.Lock()
	s.cursor = cursor
	s.mu.Unlock()
	return batch, more, err
}

// goes reports whether a message of a group that has been going for so long is to be handed over:
// nothing is to be reported of it, and nothing of it is to be tried soon, or that was waited for.
func (t *tenure) goes(m *queue.Stored, now time.Time, going time.Duration) bool {
	if m.Reports > 0 {
		return false
	}
	if going >= soon {
		return true
	}
	late := func(at time.Time) bool { return at.After(now.Add(soon)) }
	for i := range m.Recipients {
		r, to := &m.Recipients[i], &m.Message.Envelope.Recipients[i]
		if r.State.Final() || r.State == queue.Held || late(r.Due) {
			continue
		}
		if s, ok := t.scheduler.Suspension(to.Domain, &m.Message.Envelope.Origin); ok &&
			(s.Until.IsZero() || late(s.Until)) {
			continue
		}
		if _, until, ok := t.scheduler.Reason(to.Domain); ok && late(until) {
			continue
		}
		return false
	}
	return true
}

var errStill = errors.New("somebody counts or changes what is in the queues")

// move hands a batch over to a group. What of it is being attempted, or changes meanwhile, stays.
func (h *holding) move(ctx context.Context, t *tenure, to uint64, batch []*queue.Stored) error {
	limit := batchTime
	if len(batch) == 1 {
		limit += time.Duration(batch[0].Message.Size/handOverRate) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	idle := t.scheduler.Leave(batch)
	if len(idle) == 0 {
		return nil
	}
	s := &h.handing
	s.mu.Lock()
	s.left, s.leftWith = append(s.left, idle...), t.scheduler
	s.mu.Unlock()
	ids := make([]mail.ID, len(idle))
	for i, m := range idle {
		ids[i] = m.Message.ID
	}
	parcel, err := h.queue.Pack(ctx, h.ID(), to, h.n.elsewhere, ids)
	if err != nil {
		return errors.Join(err, h.endHandOver(ctx))
	}
	if err := h.enterGate(ctx); err != nil {
		return errors.Join(err, h.endHandOver(ctx))
	}
	defer h.leaveGate()
	return errors.Join(parcel.LetGo(ctx), h.endHandOver(ctx))
}

// endHandOver ends a hand-over that is under way, tells the log of what has gone, and lets what has
// not be attempted again.
func (h *holding) endHandOver(ctx context.Context) error {
	done, err := h.queue.EndHandOver(ctx, h.ID(), h.n.elsewhere)
	if err != nil {
		return err
	}
	s := &h.handing
	s.mu.Lock()
	left, with := s.left, s.leftWith
	s.left, s.leftWith = nil, nil
	s.mu.Unlock()
	if with != nil {
		with.Stay(left)
	}
	h.logHandedOver(done, left)
	return nil
}

// logHandedOver writes a line for each message; of those that an owner before this one let go only
// the ID is known.
func (h *holding) logHandedOver(done queue.HandedOver, batch []*queue.Stored) {
	if len(done.IDs) == 0 {
		return
	}
	known := make(map[mail.ID]*queue.Message, len(batch))
	for _, m := range batch {
		known[m.Message.ID] = m.Message
	}
	words := fmt.Sprintf(
		"handed over to %s, for %s is to go",
		h.n.groupName(done.Group),
		h.n.groupName(h.ID()),
	)
	for _, id := range done.IDs {
		r := &maillog.Record{Type: maillog.HandedOver, At: h.n.now(), ID: id, Text: words}
		if m := known[id]; m != nil {
			r.Describe(id, m.Envelope, m.Size, m.Arrived)
			r.To(&m.Envelope.Recipients[0])
		}
		h.n.log.Log(r)
	}
}

// groupName is a queue group in words.
func (n *node) groupName(id uint64) string {
	g, _ := n.control.Group(id)
	m, _ := n.control.Member(g.Home)
	return fmt.Sprintf("group %d (mail of %s)", id, m.Name)
}
