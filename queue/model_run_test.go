package queue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// modelRun drives queue and model with the same random commands.
type modelRun struct {
	*bed
	m    model
	rand *rand.Rand
	ids  *mail.IDs
	seen []mail.ID // accepted at some time
	seq  uint64
	last []byte // the last accept command and its parts
	with [][]byte
	all  []ReportID
}

func newModelRun(t *testing.T, seed uint64) *modelRun {
	r := &modelRun{bed: newBed(t, Options{}), rand: rand.New(rand.NewPCG(seed, 1)),
		ids: mail.NewIDs(3, testEpoch)}
	r.m = model{messages: map[mail.ID]*modelMessage{}, reports: map[ReportID][]reportedAs{}}
	r.g.History = true
	r.q.Open(r.g)
	return r
}

func (r *modelRun) begin(kind machine.CommandType) []byte {
	// clocks of owners differ
	now := r.c.Now().UnixMilli() - int64(r.rand.IntN(2))*int64(r.rand.IntN(5000))
	r.m.now = max(r.m.now, uint64(now))
	r.m.index++
	return machine.AppendCommand(nil, kind, now)
}

func (r *modelRun) propose(data []byte, parts [][]byte) {
	r.t.Helper()
	if _, err := r.g.Propose(r.t.Context(), data, parts); err != nil {
		r.t.Fatal(err)
	}
}

func (r *modelRun) envelope() *mail.Envelope {
	sender := []string{"", "s@example.net", "s@example.net"}[r.rand.IntN(3)]
	e := envelope(sender)
	for range 1 + r.rand.IntN(2)*r.rand.IntN(5) {
		domain := []string{"a.example", "b.example", "a.example.b"}[r.rand.IntN(3)]
		e.Recipients = append(e.Recipients, mail.Recipient{
			Address: "u@" + domain, Domain: domain,
			Notify: []mail.Notify{0, 1, 2, 4, 7, 8}[r.rand.IntN(6)],
		})
	}
	return e
}

func (r *modelRun) accept() {
	if r.seq > 0 && r.rand.IntN(8) == 0 { // an answer was lost: the same again
		r.m.index++
		r.propose(r.last, r.with)
		return
	}
	data := r.begin(machine.CmdAccept)
	r.seq++
	n := 1 + r.rand.IntN(3)
	data = machine.AppendAcceptHead(data, machine.SlotKey{Session: 1, Slot: 0}, r.seq, n)
	var parts [][]byte
	var w machine.EnvelopeWriter
	for range n {
		id, e, report := r.ids.Next(r.c.Now()), r.envelope(), ReportID{}
		if len(r.all) > 0 && r.rand.IntN(2) == 0 {
			report, e.Sender = r.all[r.rand.IntN(len(r.all))], ""
		}
		content := make([]byte, 1+r.rand.IntN(50))
		parts = append(parts, content)
		data = machine.AppendAcceptEntry(data, id, report, int64(len(content)), 0, w.Encode(e))
		r.m.accept(id, e, len(content), report)
		r.seen = append(r.seen, id)
	}
	r.last, r.with = data, parts
	r.propose(data, parts)
}

// large sends chunks, sometimes twice, and sometimes never the end of them.
func (r *modelRun) large() {
	id, e := r.ids.Next(r.c.Now()), r.envelope()
	n, size := 1+r.rand.IntN(3), 0
	for seq := range n {
		chunk := make([]byte, 10+seq)
		size += len(chunk)
		for range 1 + r.rand.IntN(2) {
			data := binary.AppendUvarint(append(r.begin(machine.CmdChunk), id[:]...), uint64(seq))
			r.propose(data, [][]byte{chunk})
		}
	}
	if r.rand.IntN(3) == 0 {
		return
	}
	data := r.begin(machine.CmdAccept)
	r.seq++
	r.m.accept(id, e, size, ReportID{})
	data = machine.AppendAcceptHead(data, machine.SlotKey{Session: 1, Slot: 0}, r.seq, 1)
	var w machine.EnvelopeWriter
	r.last, r.with = machine.AppendAcceptEntry(data, id, ReportID{}, int64(size), uint32(n),
		w.Encode(e)),
		nil
	r.propose(r.last, nil)
	r.seen = append(r.seen, id)
}

func (r *modelRun) some() mail.ID {
	if n := len(r.seen); n > 0 {
		return r.seen[max(0, n-1-r.rand.IntN(12))]
	}
	return mail.ID{}
}

func (r *modelRun) settle() {
	states := []State{Deferred, Deferred, Deferred, Held, Delivered, Relayed, Expanded, Failed,
		Expired}
	var outcomes []Outcome
	for range 1 + r.rand.IntN(6) {
		o := Outcome{ID: r.some(), Recipient: uint32(r.rand.IntN(5)),
			State: states[r.rand.IntN(len(states))],
			Warn:  r.rand.IntN(4) == 0, HopDSN: r.rand.IntN(2) == 0}
		if o.State == Deferred {
			o.Due = r.c.Now().Add(time.Duration(r.rand.IntN(4)) * time.Minute)
		}
		if r.rand.IntN(4) > 0 {
			o.Attempt = mail.Attempt{At: r.c.Now(), Code: 450, Enhanced: "4.2.0",
				Text: fmt.Sprint("try ", r.m.index)}
		}
		outcomes = append(outcomes, o)
	}
	session := r.q.machine.Meta.Epoch
	late := r.rand.IntN(8) == 0 // the outcomes of an owner of the past change nothing
	if late {
		session++
	}
	data := machine.AppendSettle(r.begin(machine.CmdSettle), session, len(outcomes))
	for i := range outcomes {
		data = machine.AppendOutcome(data, &outcomes[i])
	}
	if late {
		r.propose(data, nil)
		return
	}
	r.m.settle(outcomes)
	r.propose(data, nil)
	if r.rand.IntN(6) == 0 { // an answer was lost: the same again changes nothing but the index
		r.m.index++
		r.m.settle(outcomes)
		r.propose(data, nil)
	}
}

func (r *modelRun) operate() {
	v := machine.Verb(1 + r.rand.IntN(5))
	why := mail.Attempt{At: r.c.Now(), Code: 550, Enhanced: "5.7.1", Text: "by the operator"}
	var refs []machine.RecipientRef
	for range 1 + r.rand.IntN(6) {
		refs = append(refs, machine.RecipientRef{ID: r.some(), Number: uint32(r.rand.IntN(5))})
	}
	data := machine.AppendOperator(r.begin(machine.CmdOperator), v, &why, refs)
	r.m.operate(v, why, refs)
	r.propose(data, nil)
}

func (r *modelRun) drop() {
	if len(r.all) == 0 {
		return
	}
	id := r.all[r.rand.IntN(len(r.all))]
	data := machine.AppendDrop(r.begin(machine.CmdDrop), []ReportID{id})
	r.m.answer(id)
	r.propose(data, nil)
}

func (r *modelRun) owner() {
	if r.rand.IntN(2) == 0 {
		data := binary.BigEndian.AppendUint64(r.begin(machine.CmdIdle), r.q.machine.Meta.Epoch)
		r.m.idle = true
		r.propose(data, nil)
		return
	}
	data := machine.AppendEpoch(r.begin(machine.CmdEpoch), 3, r.q.machine.Meta.Epoch)
	if !r.m.idle {
		r.m.maybe, r.m.maybeDue = r.m.index, r.m.now
	}
	r.m.idle = false
	r.propose(data, nil)
}

func (r *modelRun) sweep() {
	var chunks []machine.ChunkRef
	for _, k := range r.rowsOf(machine.KeyChunk) {
		id, seq, _ := machine.ParseChunkKey(k)
		chunks = append(chunks, machine.ChunkRef{ID: id, Seq: seq})
	}
	r.propose(machine.AppendSweep(r.begin(machine.CmdSweep), 0, chunks), nil)
}

func (r *modelRun) suspend() {
	version := r.m.suspended.Version + uint64(r.rand.IntN(4)) // 0: it was repeated, or came late
	var all []Suspension
	for n := range r.rand.IntN(4) {
		all = append(all, Suspension{Kind: SuspensionKind(1 + r.rand.IntN(4)),
			Name: fmt.Sprint("n", n), Reason: "why",
			Serial: max(1, version-uint64(r.rand.IntN(3))),
			Lasts:  time.Duration(r.rand.IntN(3)) * time.Minute})
	}
	data := machine.AppendSuspensions(r.begin(machine.CmdSuspend), version, all)
	r.m.suspend(version, all)
	r.propose(data, nil)
}

func (r *modelRun) step() {
	r.c.add(time.Duration(r.rand.IntN(90)) * time.Second)
	switch n := r.rand.IntN(100); {
	case n < 35:
		r.accept()
	case n < 40:
		r.large()
	case n < 75:
		r.settle()
	case n < 88:
		r.operate()
	case n < 92:
		r.drop()
	case n < 95:
		r.owner()
	case n < 97:
		r.suspend()
	default:
		r.sweep()
	}
	r.all = r.all[:0]
	for id := range r.m.reports {
		r.all = append(r.all, id)
	}
	slices.SortFunc(r.all, func(a, b ReportID) int {
		return cmp.Or(bytes.Compare(a.ID[:], b.ID[:]), cmp.Compare(a.Index, b.Index),
			cmp.Compare(a.Kind, b.Kind))
	})
}

// check compares all that can be read with the model.
func (r *modelRun) check() {
	r.t.Helper()
	if got := r.q.machine.Meta; got.Counters != r.m.counters || got.Index != r.m.index ||
		uint64(got.Time) != r.m.now {
		r.t.Fatalf("meta %+v, want %+v at %d, %d", got, r.m.counters, r.m.index, r.m.now)
	}
	seen := 0
	err := r.q.scanMessages(mail.ID{}, mail.ID(bytes.Repeat([]byte{0xff}, machine.IDLen)), nil,
		func(s *Stored) bool {
			seen++
			r.checkMessage(s)
			return true
		})
	if err != nil || seen != len(r.m.messages) {
		r.t.Fatalf("%d messages, want %d; %v", seen, len(r.m.messages), err)
	}
	if got, err := r.q.Suspensions(); err != nil || !reflect.DeepEqual(got, r.m.suspended) {
		r.t.Fatalf("suspended: %+v, %v; want %+v", got, err, r.m.suspended)
	}
	r.checkSchedule()
	r.checkReports()
	r.checkLeavings()
}

// checkLeavings finds rows and parts that nothing needs.
func (r *modelRun) checkLeavings() {
	r.t.Helper()
	parts := len(r.rowsOf(machine.KeyChunk))
	for _, k := range r.rowsOf(machine.KeyMessage) {
		id, _, isRow, ok := machine.ParseMessageKey(k)
		if r.m.messages[id] == nil || !ok {
			r.t.Fatalf("row %q of message %v is left", k, id)
		}
		if !isRow {
			parts += len(r.load(id).Message.Parts)
		}
	}
	if kept := len(r.g.Now().Kept()); kept != parts {
		r.t.Fatalf("%d parts are kept, want %d", kept, parts)
	}
}

func (r *modelRun) checkMessage(s *Stored) {
	r.t.Helper()
	m := r.m.messages[s.Message.ID]
	if m == nil || m.isReport != s.Message.IsReport || m.sender != s.Message.Envelope.Sender {
		r.t.Fatalf("message %v, want %+v", s.Message.ID, m)
	}
	for i, got := range s.Recipients {
		want := &m.recipients[i]
		status := RecipientStatus{State: want.state, Attempts: want.attempts, Warned: want.warned,
			Last: want.last}
		if machine.Scheduled(want.state) {
			status.Due = time.UnixMilli(int64(want.due))
		}
		status.MaybeAttempted = !want.state.Final() && r.m.maybeAttempted(want)
		if !got.Due.Equal(status.Due) || !got.Last.At.Equal(status.Last.At) {
			r.t.Fatalf("recipient %d of %v: %+v, want %+v", i, s.Message.ID, got, status)
		}
		got.Due, got.Last.At, status.Last.At = status.Due, time.Time{}, time.Time{}
		if got != status {
			r.t.Fatalf("recipient %d of %v: %+v, want %+v", i, s.Message.ID, got, status)
		}
	}
}

func (r *modelRun) checkSchedule() {
	r.t.Helper()
	want := map[string]int{}
	for id, m := range r.m.messages {
		for i, rc := range m.recipients {
			if machine.Scheduled(rc.state) {
				want[fmt.Sprintf("%s %d %v %d", rc.domain, rc.due, id, i)]++
			}
		}
	}
	domains, err := r.q.Domains("", 100)
	if err != nil {
		r.t.Fatal(err)
	}
	got := 0
	for _, d := range domains {
		items, _, err := r.q.Due(d.Domain, Cursor{}, r.c.Now().Add(time.Hour), 10_000)
		if err != nil || len(items) == 0 || !items[0].Due.Equal(d.Due) {
			r.t.Fatalf("%v: %d items, %v", d, len(items), err)
		}
		for _, it := range items {
			for _, n := range it.Recipients {
				key := fmt.Sprintf("%s %d %v %d", it.Domain, it.Due.UnixMilli(), it.Message.ID, n)
				if got++; want[key] != 1 {
					r.t.Fatalf("scheduled but should not be: %s", key)
				}
			}
		}
	}
	if got != len(want) {
		r.t.Fatalf("%d recipients scheduled, want %d", got, len(want))
	}
}

func (r *modelRun) checkReports() {
	r.t.Helper()
	reports, err := r.q.PendingReports(ReportID{}, 10_000)
	if err != nil || len(reports) != len(r.m.reports) {
		r.t.Fatalf("%d reports, want %d; %v", len(reports), len(r.m.reports), err)
	}
	for _, got := range reports {
		var as []reportedAs
		for _, n := range got.Recipients {
			as = append(as, reportedAs{n.Number, n.State})
		}
		if want := r.m.reports[got.ID]; !slices.Equal(as, want) {
			r.t.Fatalf("report %+v, want %+v", got, want)
		}
	}
}

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		r := newModelRun(t, seed)
		for n := range 120 {
			if r.step(); n%6 == 5 {
				r.check()
			}
		}
		replay(t, r.g, r.rand)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// replay applies the log again from several of its prefixes: each must end in the same state, as
// after a crash.
func replay(t *testing.T, g *queuetest.Group, rnd *rand.Rand) {
	t.Helper()
	states := append([]queuetest.State{{}}, g.States()...)
	for range 10 {
		from := states[rnd.IntN(len(states))]
		q := New(Options{})
		again := queuetest.Recover(machineOf(q), from, g.Log())
		if diff := again.Now().Diff(g.Now()); diff != "" {
			t.Fatalf("replayed from %d: %s", from.Index, diff)
		}
	}
}
