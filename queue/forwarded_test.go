package queue

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// FuzzForwarded: a command that is let in from another member can be applied, on an empty queue and
// once more.
func FuzzForwarded(f *testing.F) {
	id := mail.ID{1, 2, 3}
	var w machine.EnvelopeWriter
	head := machine.AppendAcceptHead(machine.AppendCommand(nil, machine.CmdAccept,
		1_700_000_000_000), machine.SlotKey{Session: 5, Slot: 1}, 8, 1)
	f.Add(
		machine.AppendAcceptEntry(head, id, ReportID{}, 10, 0, w.Encode(queuetest.FullEnvelope())),
		make([]byte, 10),
		byte(1),
	)
	f.Add(
		machine.AppendAcceptEntry(head, id, ReportID{ID: id, Index: 1, Kind: ReportDelay}, 10, 2,
			w.Encode(queuetest.FullEnvelope())),
		[]byte{},
		byte(0),
	)
	f.Add(
		binary.AppendUvarint(append(machine.AppendCommand(nil, machine.CmdChunk, 5), id[:]...), 3),
		make([]byte, 10),
		byte(1),
	)
	f.Add(machine.AppendEpoch(machine.AppendCommand(nil, machine.CmdEpoch, 5), 1, 0), []byte{},
		byte(0))
	f.Add(
		machine.AppendSuspensions(machine.AppendCommand(nil, machine.CmdSuspend, 5), 7,
			[]Suspension{{Kind: SuspendDomain, Name: "a.example", Reason: "busy", Serial: 6}}),
		[]byte{},
		byte(0),
	)
	f.Add(takeOne(), make([]byte, 10), byte(1))
	f.Add(
		machine.AppendBring(machine.AppendCommand(nil, machine.CmdBring, 5), 7, 300,
			machine.ChunkRef{ID: id, Seq: 0}),
		make([]byte, 10),
		byte(1),
	)
	f.Add(machine.AppendFinish(machine.AppendCommand(nil, machine.CmdFinish, 5), 7, 300,
		[]mail.ID{id}), []byte{}, byte(0))
	f.Fuzz(func(t *testing.T, data, content []byte, n byte) {
		var parts [][]byte
		for ; n > 0; n-- {
			size := len(content) / int(n)
			parts, content = append(parts, content[:size]), content[size:]
		}
		if checkForwarded(data, parts) != nil {
			return
		}
		q := New(Options{})
		g := queuetest.New(machineOf(q))
		q.Open(g)
		for range 2 {
			result, err := g.Propose(t.Context(), data, parts)
			switch result.(type) {
			case machine.AcceptResult, machine.TakeResult, machine.FinishResult:
			default:
				t.Fatal(result, err)
			}
		}
		takeInAll(t, g, data)
		domains, err := q.Domains("", 100)
		for _, d := range domains {
			if items, _, err := q.Due(d.Domain, Cursor{}, d.Due, 1); err != nil ||
				len(items) != 1 ||
				len(items[0].Recipients) == 0 {
				t.Fatal(items, err)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// takeOne is a command that brings a message of another group.
func takeOne() []byte {
	var w machine.EnvelopeWriter
	e := queuetest.FullEnvelope()
	rows := make([]machine.RecipientRow, len(e.Recipients))
	for i := range rows {
		rows[i] = machine.RecipientRow{State: Held, Attempt: machine.NoAttempt}
	}
	l, err := machine.DecodeLetter(machine.AppendLetter(nil,
		&machine.Record{Size: 10, Envelope: w.Encode(e)}, rows, &machine.Meta{}))
	if err != nil {
		panic(err)
	}
	l.ID = mail.ID{1, 2, 3}
	take := machine.AppendTake(machine.AppendCommand(nil, machine.CmdTake, 5), 7, 300, 1)
	return machine.AppendTaken(take, &l)
}

// takeInAll lets a group that messages came to from another one know that all of them are its own.
func takeInAll(t *testing.T, g *queuetest.Group, data []byte) {
	var c machine.Command
	if c.Decode(data) != nil || c.Kind != machine.CmdTake {
		return
	}
	var ids []mail.ID
	for _, l := range c.Handover.Letters {
		ids = append(ids, l.ID)
	}
	finish := machine.AppendFinish(
		machine.AppendCommand(nil, machine.CmdFinish, 5),
		c.Handover.Source,
		c.Handover.Serial,
		ids,
	)
	if result, err := g.Propose(t.Context(), finish,
		nil); result != (machine.FinishResult{Ok: true}) {
		t.Fatal(result, err)
	}
}

func TestCheckForwarded(t *testing.T) {
	var w machine.EnvelopeWriter
	head := machine.AppendAcceptHead(machine.AppendCommand(nil, machine.CmdAccept, 5),
		machine.SlotKey{Session: 5, Slot: 1}, 8, 1)
	entry := func(e *mail.Envelope) []byte {
		return machine.AppendAcceptEntry(bytes.Clone(head), mail.ID{1}, ReportID{}, 4, 0,
			w.Encode(e))
	}
	good, four := entry(queuetest.FullEnvelope()), [][]byte{make([]byte, 4)}
	if err := checkForwarded(good, four); err != nil {
		t.Fatal(err)
	}
	odd := queuetest.FullEnvelope()
	odd.Recipients[0].Domain = "a\x00b"
	for name, c := range map[string]struct {
		data  []byte
		parts [][]byte
	}{
		"short": {good[:len(good)-1], four}, "no content": {good, nil},
		"other content": {good, [][]byte{make([]byte, 5)}},
		"no recipients": {entry(&mail.Envelope{}), four}, "NUL in a domain": {entry(odd), four},
		"epoch": {machine.AppendEpoch(machine.AppendCommand(nil, machine.CmdEpoch, 5), 1, 0),
			nil},
		"outcomes": {machine.AppendSettle(machine.AppendCommand(nil, machine.CmdSettle, 5), 1, 0),
			nil},
		"chunk without content": {binary.AppendUvarint(append(machine.AppendCommand(nil,
			machine.CmdChunk, 5),
			make([]byte, machine.IDLen)...), 3), nil},
	} {
		if checkForwarded(c.data, c.parts) == nil {
			t.Errorf("%s: let through", name)
		}
	}
}

// An unknown command, or one that is cut short, must not be passed over: the members would differ
// from there on.
func TestApplyPanicsOnCorruptCommand(t *testing.T) {
	good := machine.AppendEpoch(machine.AppendCommand(nil, machine.CmdEpoch, 5), 1, 0)
	for name, data := range map[string][]byte{
		"unknown type":  machine.AppendCommand(nil, machine.NewestCommand, 5),
		"other version": append([]byte{2}, good[1:]...),
		"cut short":     good[:len(good)-1], "too long": append(bytes.Clone(good), 0), "empty": nil,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, Options{})
			defer func() {
				if recover() == nil {
					t.Error("applied")
				}
			}()
			b.g.Propose(t.Context(), data, nil)
		})
	}
}
