package queue

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// handWorld is some queue groups that hand messages over to each other, while owners are killed at
// any step, answers are lost and commands of long ago come once more. Nothing may be lost, be in
// two groups, or change on its way.
type handWorld struct {
	t      *testing.T
	rand   *rand.Rand
	clock  *testClock
	groups []*handGroup
	known  map[mail.ID]*kept
	killIn int // proposals until the owner that makes them is killed; 0: never
	kill   context.CancelFunc
	faults bool
}

// kept is what is true of a message, wherever it is.
type kept struct {
	content []byte
	env     *mail.Envelope
	rs      []RecipientStatus
}

type handGroup struct {
	w    *handWorld
	id   uint64
	q    *Queue
	g    *queuetest.Group
	sent []sentCommand
}

type sentCommand struct {
	data  []byte
	parts [][]byte
}

func newHandWorld(t *testing.T, seed uint64, n int) *handWorld {
	w := &handWorld{
		t:     t,
		rand:  rand.New(rand.NewPCG(seed, 7)),
		clock: &testClock{now: testEpoch},
		known: map[mail.ID]*kept{},
	}
	for i := range n {
		g := &handGroup{w: w, id: uint64(i + 2)}
		g.q = g.newQueue()
		g.g = queuetest.New(machineOf(g.q))
		g.g.Refused = ErrRefused
		w.groups = append(w.groups, g)
		g.start()
	}
	return w
}

func (g *handGroup) newQueue() *Queue {
	return New(Options{Member: uint16(g.id), NewClock: func(time.Time) Clock { return g.w.clock }})
}

func (g *handGroup) start() {
	if err := g.q.Start(context.Background(), g, &heard{}); err != nil {
		g.w.t.Fatal(err)
	}
}

// restart gives the group a new owner without a word from the one before: the same process, or one
// that reads what was kept.
func (g *handGroup) restart() {
	g.q.Abandon()
	if g.w.rand.IntN(2) == 0 {
		g.q.waitPast(context.Background())
		g.q = g.newQueue()
		g.g = queuetest.Recover(machineOf(g.q), g.g.Now(), g.g.Log())
		g.g.Refused = ErrRefused
	}
	g.start()
}

func (g *handGroup) Get(key []byte) ([]byte, bool, error) { return g.g.Get(key) }
func (g *handGroup) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	return g.g.Scan(from, to, fn)
}
func (g *handGroup) ReadPart(buf []byte, index uint64, part int) ([]byte, error) {
	return g.g.ReadPart(buf, index, part)
}

// Propose is the group's, with faults.
func (g *handGroup) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	w := g.w
	if kind := machine.CommandType(data[1]); w.faults && kind >= machine.CmdOffer &&
		kind <= machine.CmdFinish {
		var copies [][]byte
		for _, p := range parts {
			copies = append(copies, bytes.Clone(p))
		}
		g.sent = append(g.sent, sentCommand{bytes.Clone(data), copies})
		if w.killIn > 0 {
			if w.killIn--; w.killIn == 0 {
				w.kill()
				if w.rand.IntN(2) == 0 {
					g.g.Propose(context.Background(), data, parts) // it got there
				}
				return nil, queuetest.ErrUnknown
			}
		}
		switch w.rand.IntN(12) {
		case 0:
			return nil, ErrRefused
		case 1:
			return nil, queuetest.ErrUnknown
		case 2:
			g.g.Propose(ctx, data, parts)
			return nil, queuetest.ErrUnknown
		}
	}
	return g.g.Propose(ctx, data, parts)
}

func (w *handWorld) elsewhere(group uint64) Proposer { return w.groups[group-2] }

// accept takes a message in at a group, in some state.
func (w *handWorld) accept(g *handGroup) {
	w.t.Helper()
	env := envelope([]string{"sender@example.net", ""}[w.rand.IntN(2)])
	env.Origin.Campaign, env.EnvelopeID = "spring", "env-7"
	for i := range 1 + w.rand.IntN(3) {
		r := mail.Recipient{
			Address: fmt.Sprintf("r%d@d%d.example", i, w.rand.IntN(3)),
			Notify:  mail.NotifyNever,
			ORcpt:   "rfc822;x@y.example",
		}
		r.Domain = mail.DomainOf(r.Address)
		env.Recipients = append(env.Recipients, r)
	}
	size := w.rand.IntN(3000)
	if w.rand.IntN(20) == 0 {
		size = directSize + 1 + w.rand.IntN(directSize)
	}
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(w.rand.Uint32())
	}
	b := &bed{t: w.t, q: g.q}
	a := b.send(env, content)
	if a.fail != nil {
		w.t.Fatal(a.fail)
	}
	w.known[a.id] = &kept{content: content, env: env}
	w.look(a.id)
}

// where returns the groups that have a message.
func (w *handWorld) where(id mail.ID) (in []*handGroup) {
	for _, g := range w.groups {
		s, err := g.q.Load(id)
		if err != nil {
			w.t.Fatal(err)
		}
		if s != nil {
			in = append(in, g)
		}
	}
	return in
}

// look takes over what a message's group says of it, after something that may change it.
func (w *handWorld) look(id mail.ID) {
	w.t.Helper()
	in := w.where(id)
	if len(in) == 0 {
		delete(w.known, id)
		return
	}
	s, _ := in[0].q.Load(id)
	w.known[id].rs = s.Recipients
}

func (w *handWorld) any() (mail.ID, *handGroup, bool) {
	ids := make([]mail.ID, 0, len(w.known))
	for id := range w.known {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b mail.ID) int { return bytes.Compare(a[:], b[:]) })
	for range 20 {
		if len(ids) == 0 {
			break
		}
		id := ids[w.rand.IntN(len(ids))]
		if in := w.where(id); len(in) == 1 {
			return id, in[0], true
		}
	}
	return mail.ID{}, nil, false
}

// touch lets something happen to a message: an outcome, or an operator's verb.
func (w *handWorld) touch() {
	id, g, ok := w.any()
	if !ok {
		return
	}
	ctx, f := context.Background(), Filter{IDs: []mail.ID{id}}
	var err error
	switch w.rand.IntN(6) {
	case 0, 1:
		_, err = g.q.Hold(ctx, f, nil)
	case 2:
		_, err = g.q.ReleaseHeld(ctx, f, nil)
	case 3:
		if w.rand.IntN(4) == 0 {
			_, err = g.q.Remove(ctx, f, nil)
		}
	default:
		s, _ := g.q.Load(id)
		n := uint32(w.rand.IntN(len(s.Recipients)))
		if s.Recipients[n].State.Final() || s.Recipients[n].State == Held {
			return
		}
		w.clock.add(time.Second)
		o := Outcome{
			ID:        id,
			Recipient: n,
			Domain:    s.Message.Envelope.Recipients[n].Domain,
			WasDue:    s.Recipients[n].Due,
			State:     Deferred,
			Due: w.clock.Now().
				Add(7 * 24 * time.Hour),
			Attempt: mail.Attempt{
				At:       w.clock.Now(),
				Code:     450,
				Enhanced: "4.2.0",
				Text:     "next week",
			},
		}
		if w.rand.IntN(3) == 0 {
			o.State, o.Due = Relayed, time.Time{}
		}
		b := &bed{t: w.t, q: g.q}
		b.settle(o)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.look(id)
}

// handOver lets a group hand over some of its messages, with a kill somewhere on the way now and
// then.
func (w *handWorld) handOver() {
	from := w.groups[w.rand.IntN(len(w.groups))]
	to := w.groups[w.rand.IntN(len(w.groups))]
	if from == to {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w.kill, w.killIn = cancel, 0
	if w.rand.IntN(3) == 0 {
		w.killIn = 1 + w.rand.IntN(8)
	}
	var ids []mail.ID
	from.q.ScanArrived(mail.ID{}, w.clock.Now().Add(time.Hour), func(s *Stored) bool {
		if w.rand.IntN(3) > 0 {
			ids = append(ids, s.Message.ID)
		}
		return len(ids) < 20
	})
	if p, err := from.q.Pack(ctx, from.id, to.id, w.elsewhere, ids); err == nil {
		if w.rand.IntN(3) == 0 && w.killIn == 0 {
			w.touch() // while it is copied
		}
		p.LetGo(ctx)
	}
	from.q.EndHandOver(ctx, from.id, w.elsewhere)
	if w.killIn = 0; ctx.Err() != nil {
		from.restart()
	}
}

// repeat lets a command of long ago enter its group's log once more.
func (w *handWorld) repeat() {
	g := w.groups[w.rand.IntN(len(w.groups))]
	if len(g.sent) > 0 {
		c := g.sent[w.rand.IntN(len(g.sent))]
		g.g.Propose(context.Background(), c.data, c.parts)
	}
}

// check looks for each message where it must be.
func (w *handWorld) check(end bool) {
	w.t.Helper()
	onTheWay := map[mail.ID]bool{}
	for _, g := range w.groups {
		if h, err := readHandover(g.g); err != nil {
			w.t.Fatal(err)
		} else {
			for _, id := range h.Gone {
				onTheWay[id] = true
			}
		}
	}
	for id, k := range w.known {
		in := w.where(id)
		switch {
		case len(in) == 0 && onTheWay[id] && !end:
			continue
		case len(in) != 1:
			w.t.Fatalf("message %v is in %d groups (on the way: %v)", id, len(in), onTheWay[id])
		}
		s, _ := in[0].q.Load(id)
		for i := range s.Recipients {
			got, want := s.Recipients[i], k.rs[i]
			if want.MaybeAttempted = want.MaybeAttempted || got.MaybeAttempted; !reflect.DeepEqual(
				got,
				want,
			) {
				w.t.Fatalf("message %v, recipient %d: %+v, want %+v", id, i, got, want)
			}
			k.rs[i] = want
		}
		if !end {
			continue
		}
		if b := (&bed{t: w.t, q: in[0].q}).readAll(s.Message); !bytes.Equal(b, k.content) {
			w.t.Fatalf("message %v has another content in group %d", id, in[0].id)
		}
		if !reflect.DeepEqual(s.Message.Envelope, k.env) || !s.Message.Arrived.Equal(id.Time()) {
			w.t.Fatalf(
				"message %v has another envelope in group %d: %+v",
				id,
				in[0].id,
				s.Message.Envelope,
			)
		}
	}
}

// whole checks that a group's counters, schedule and parts are those of its messages, and that its
// log makes the same rows again.
func (g *handGroup) whole() {
	t, kept, due := g.w.t, map[queuetest.PartKey]bool{}, 0
	var m machine.Meta
	var want [machine.CountersNumber]uint64
	g.g.Now().Rows(func(k, v []byte) {
		switch k[0] {
		case machine.KeyMeta:
			m, _ = machine.DecodeMeta(v)
		case machine.KeyHandover, machine.KeySchedule, machine.KeySlot:
			due += len(k) * map[byte]int{machine.KeySchedule: 1}[k[0]]
		case machine.KeyIncoming:
			if len(k) > 9 {
				t.Errorf("group %d: row %q is left of a hand-over", g.id, k)
			}
		}
	})
	scheduled := 0
	g.q.ScanArrived(mail.ID{}, g.w.clock.Now().Add(time.Hour), func(s *Stored) bool {
		want[machine.CountMessages]++
		want[machine.CountBytes] += uint64(s.Message.Size)
		for _, p := range s.Message.Parts {
			kept[queuetest.PartKey{Index: p.Index, Part: p.Part}] = true
		}
		places := map[string]bool{}
		for i, r := range s.Recipients {
			if !r.State.Final() {
				want[machine.CountState+machine.Counter(r.State)]++
			}
			if r.State == Ready || r.State == Deferred {
				places[string(machine.AppendScheduleKey(nil,
					s.Message.Envelope.Recipients[i].Domain,
					codec.ToMillis(r.Due), s.Message.ID))] = true
			}
		}
		for k := range places {
			scheduled += len(k)
		}
		return true
	})
	for c := range want {
		if n := machine.Counter(c); n != machine.CountAccepted && n != machine.CountBounced &&
			n != machine.CountReports &&
			n < machine.CountState+machine.Counter(Delivered) &&
			m.Counters[c] != want[c] {
			t.Errorf(
				"group %d: counter %d is %d, and %d are there",
				g.id,
				c,
				m.Counters[c],
				want[c],
			)
		}
	}
	if due != scheduled {
		t.Errorf(
			"group %d: its schedule has %d octets of keys, its messages have %d",
			g.id,
			due,
			scheduled,
		)
	}
	if m.Incoming != 0 {
		t.Errorf("group %d: %d hand-overs to it have not ended", g.id, m.Incoming)
	}
	if got := g.g.Now().Kept(); !reflect.DeepEqual(got, kept) && len(got)+len(kept) > 0 {
		t.Errorf("group %d keeps %d parts, and its messages have %d", g.id, len(got), len(kept))
	}
	again := g.newQueue()
	if diff := queuetest.Recover(machineOf(again), queuetest.New(machineOf(again)).Now(),
		g.g.Log()).Now().Diff(g.g.Now()); diff != "" {
		t.Errorf("group %d: its log makes other rows: %s", g.id, diff)
	}
}
