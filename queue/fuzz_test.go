package queue

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
	"github.com/postroad/postroad/queue/queuetest"
)

// Decoders read what a disk or another member gives. They may refuse, but neither panic nor take
// memory that the input does not warrant; and what they take, the encoders write back as it was or
// shorter (a varint can be written longer than need be).

var fuzzAttempt = mail.Attempt{
	At: time.UnixMilli(
		1_700_000_000_123,
	), Remote: "mx.example.com", RemoteIP: netip.MustParseAddrPort("192.0.2.1:25"),
	LocalIP: netip.MustParseAddr(
		"2001:db8::1",
	), TLS: "TLSv1.3", Code: 451, Enhanced: "4.7.1", Text: "try again later",
}

func fuzzEnvelope() *mail.Envelope {
	e := envelope(
		"sender@example.net",
		"a@example.com success,delay",
		"b@example.org",
		"c@example.com never",
	)
	e.Recipients[1].ORcpt, e.EnvelopeID, e.SMTPUTF8, e.Body, e.Ret = "rfc822;b@example.org",
		"env-1", true, mail.Body8BitMIME, mail.RetHeaders
	e.Origin.Client = netip.MustParseAddrPort("[2001:db8::2]:40000")
	e.TraceContext = bytes.Repeat([]byte{7}, 24)
	return e
}

func FuzzRecord(f *testing.F) {
	var w machine.EnvelopeWriter
	head := machine.AppendHead(nil, machine.FlagReport, 77, 4096,
		[]PartRef{{Index: 77, Part: 0, Size: 4096}})
	f.Add(append(head, w.Encode(fuzzEnvelope())...))
	f.Add(append(machine.AppendHead(nil, 0, 1, 0, nil), w.Encode(envelope("", "x@y.example"))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r machine.Record
		if r.Decode(b) != nil {
			return
		}
		m, err := r.Message(mail.ID{1})
		if err != nil {
			return
		}
		if len(m.Envelope.Recipients) != len(r.Recipients) ||
			m.Envelope.Sender != string(r.Sender) {
			t.Fatalf("view and envelope differ: %+v, %+v", r, m.Envelope)
		}
		for i, v := range r.Recipients {
			if got := m.Envelope.Recipients[i]; got.Address != string(v.Address) ||
				got.Domain != string(r.Domains[v.Domain]) {
				t.Fatalf("recipient %d: %+v, %+v", i, got, v)
			}
		}
		var w machine.EnvelopeWriter
		again, err := machine.DecodeEnvelope(w.Encode(m.Envelope))
		if err != nil || !reflect.DeepEqual(again, m.Envelope) {
			t.Fatalf("%v: %+v, want %+v", err, again, m.Envelope)
		}
	})
}

func FuzzRecipientRow(f *testing.F) {
	row := machine.RecipientRow{
		State:    Deferred,
		Warned:   true,
		Attempts: 3,
		Due:      1_700_000_000_000,
		Index:    9,
		Attempt:  machine.AppendAttempt(nil, &fuzzAttempt),
	}
	f.Add(row.Append(nil))
	f.Add((&machine.RecipientRow{State: Held, Maybe: true, Attempt: machine.NoAttempt}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := machine.DecodeRecipientRow(b)
		if err != nil {
			return
		}
		r.Last()
		again, err := machine.DecodeRecipientRow(r.Append(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, want %+v", err, again, r)
		}
	})
}

func FuzzSmallRows(f *testing.F) {
	f.Add(machine.Counts{Remaining: 3, Reports: 1}.Append(nil))
	f.Add(machine.AppendNumbers(nil, []uint32{0, 2, 3, 900}))
	f.Add(machine.AppendChunkRow(nil, PartRef{Index: 5, Part: 0, Size: 1 << 19}))
	f.Add(machine.SlotRow{Seq: 7, Time: 1_700_000_000_000, Ok: true}.Append(nil))
	m := machine.Meta{Index: 7, Time: 1_700_000_000_000, Epoch: 3, Idle: true}
	m.Counters[machine.CountMessages] = 12
	f.Add(m.Append(nil))
	f.Add(
		(&Suspensions{Version: 7, Index: 9,
			All: []Suspension{{Kind: SuspendSite, Name: "mx.example", Reason: "why", Serial: 7,
				Until: time.UnixMilli(99)}}}).Append(
			nil,
		),
	)
	f.Add(machine.AppendReportRow(nil,
		[]machine.Reported{{Number: 4, State: Failed,
			Attempt: machine.AppendAttempt(nil, &fuzzAttempt)}}))
	m.Incoming = 2
	f.Add(m.Append(nil))
	f.Add((&machine.HandoverRow{Phase: machine.HandoverGone, Serial: 7, Target: 5, Total: 900,
		Gone: []mail.ID{{1}, {2}}}).Append(nil))
	f.Add(
		(&machine.IncomingRow{Over: 5, Serial: 7, IDs: []mail.ID{{1}}, Chunked: mail.ID{3},
			Chunks: 2}).Append(
			nil,
		),
	)
	f.Add(fuzzLetter().Encoded)
	f.Add(machine.AppendIncomingRow(nil, []PartRef{{Index: 5, Part: 0, Size: 1 << 19}},
		fuzzLetter().Encoded))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := machine.DecodeCounts(b); err == nil {
			same(t, c, c.Append, machine.DecodeCounts)
		}
		if p, err := machine.DecodeChunkRow(b); err == nil {
			same(t, p, func(b []byte) []byte { return machine.AppendChunkRow(b, p) },
				machine.DecodeChunkRow)
		}
		if l, err := machine.DecodeSlotRow(b); err == nil {
			same(t, l, l.Append, machine.DecodeSlotRow)
		}
		if m, err := machine.DecodeMeta(b); err == nil {
			same(t, m, m.Append, machine.DecodeMeta)
		}
		if n, err := machine.DecodeNumbers(nil, b); err == nil {
			same(
				t,
				n,
				func(b []byte) []byte { return machine.AppendNumbers(b, n) },
				func(b []byte) ([]uint32, error) { return machine.DecodeNumbers(nil, b) },
			)
		}
		if s, err := machine.DecodeSuspendRow(b); err == nil {
			same(t, s, s.Append, machine.DecodeSuspendRow)
		}
		if h, err := machine.DecodeHandoverRow(b); err == nil {
			same(t, h, h.Append, machine.DecodeHandoverRow)
		}
		if in, err := machine.DecodeIncomingState(b); err == nil {
			same(t, in, in.Append, machine.DecodeIncomingState)
		}
		if l, err := machine.DecodeLetter(b); err == nil {
			rec := machine.Record{Flags: l.Flags, Size: l.Size, Envelope: l.Envelope}
			again, err := machine.DecodeLetter(machine.AppendLetter(nil, &rec, l.Rows,
				&machine.Meta{}))
			if err != nil || len(again.Rows) != len(l.Rows) || again.Size != l.Size ||
				!bytes.Equal(again.Envelope, l.Envelope) {
				t.Fatalf("%v: %+v, want %+v", err, again, l)
			}
		}
		machine.DecodeIncomingRow(b)
		machine.DecodeReportRow(b)
	})
}

// fuzzLetter is a message on its way to another group.
func fuzzLetter() machine.Letter {
	var w machine.EnvelopeWriter
	rows := []machine.RecipientRow{
		{State: Held, Attempt: machine.NoAttempt},
		{State: Deferred, Warned: true, Attempts: 3, Due: 1_700_000_000_000,
			Attempt: machine.AppendAttempt(nil, &fuzzAttempt)},
		{State: Relayed, Attempt: machine.NoAttempt},
	}
	l, err := machine.DecodeLetter(
		machine.AppendLetter(nil, &machine.Record{Size: 10, Envelope: w.Encode(fuzzEnvelope())},
			rows, &machine.Meta{}),
	)
	if err != nil {
		panic(err)
	}
	l.ID = mail.ID{1, 2, 3}
	return l
}

// fuzzTake is a command that brings a message.
func fuzzTake() []byte {
	l := fuzzLetter()
	return machine.AppendTaken(machine.AppendTake(machine.AppendCommand(nil, machine.CmdTake, 5), 7,
		300, 1), &l)
}

func same[T any](t *testing.T, v T, encode func([]byte) []byte, decode func([]byte) (T, error)) {
	t.Helper()
	if again, err := decode(encode(nil)); err != nil || !reflect.DeepEqual(again, v) {
		t.Fatalf("%v: %+v, want %+v", err, again, v)
	}
}

func FuzzKeys(f *testing.F) {
	id := mail.ID{1, 2, 3}
	f.Add(machine.AppendScheduleKey(nil, "example.com", 1_700_000_000_000, id))
	f.Add(machine.AppendReportKey(nil, ReportID{ID: id, Index: 7, Kind: ReportDelay}))
	f.Add(machine.AppendRecipientKey(nil, id, 3))
	f.Add(machine.AppendMessageKey(nil, id))
	f.Add(machine.AppendChunkKey(nil, id, 1))
	f.Fuzz(func(t *testing.T, k []byte) {
		check := func(what string, again []byte) {
			if !bytes.Equal(again, k) {
				t.Fatalf("%s key %q came back as %q", what, k, again)
			}
		}
		if domain, due, id, ok := machine.ParseScheduleKey(k); ok {
			check("schedule", machine.AppendScheduleKey(nil, domain, due, id))
		}
		if r, ok := machine.ParseReportKey(k); ok {
			check("report", machine.AppendReportKey(nil, r))
		}
		if id, seq, ok := machine.ParseChunkKey(k); ok {
			check("chunk", machine.AppendChunkKey(nil, id, seq))
		}
		if id, number, isRow, ok := machine.ParseMessageKey(k); ok && isRow {
			check("recipient", machine.AppendRecipientKey(nil, id, number))
		} else if ok {
			check("message", machine.AppendMessageKey(nil, id))
		}
	})
}

var fuzzSuspensions = []Suspension{
	{Kind: SuspendDomain, Name: "a.example", Reason: "they asked for it", Serial: 6},
	{Kind: SuspendCampaign, Name: "spring", Reason: "x", Serial: 7, Lasts: time.Hour},
}

func FuzzCommand(f *testing.F) {
	id, report := mail.ID{1, 2, 3}, ReportID{ID: mail.ID{9}, Index: 4, Kind: ReportFailure}
	var w machine.EnvelopeWriter
	accept := machine.AppendAcceptHead(
		machine.AppendCommand(nil, machine.CmdAccept, 1_700_000_000_000),
		machine.SlotKey{Session: 5, Slot: 1},
		8,
		2,
	)
	accept = machine.AppendAcceptEntry(accept, id, ReportID{}, 100, 0, w.Encode(fuzzEnvelope()))
	f.Add(machine.AppendAcceptEntry(accept, id, report, 300, 0,
		w.Encode(envelope("", "x@y.example"))))
	large := machine.AppendAcceptHead(machine.AppendCommand(nil, machine.CmdAccept,
		1_700_000_000_000), machine.SlotKey{Session: 5, Slot: 3}, 1, 1)
	f.Add(machine.AppendAcceptEntry(large, id, ReportID{}, 2<<20, 4,
		w.Encode(envelope("", "x@y.example"))))
	f.Add(binary.AppendUvarint(append(machine.AppendCommand(nil, machine.CmdChunk, 5), id[:]...),
		3))
	settle := machine.AppendSettle(machine.AppendCommand(nil, machine.CmdSettle, 5), 3, 1)
	f.Add(
		machine.AppendOutcome(
			settle,
			&Outcome{
				ID:        id,
				Recipient: 2,
				State:     Deferred,
				Due:       time.UnixMilli(99),
				Attempt:   fuzzAttempt,
				Warn:      true,
			},
		),
	)
	f.Add(
		machine.AppendOperator(
			machine.AppendCommand(nil, machine.CmdOperator, 5),
			machine.VerbFail,
			&fuzzAttempt,
			[]machine.RecipientRef{{ID: id, Number: 0}, {ID: id, Number: 7}},
		),
	)
	f.Add(machine.AppendEpoch(machine.AppendCommand(nil, machine.CmdEpoch, 5), 1, 300))
	f.Add(binary.BigEndian.AppendUint64(machine.AppendCommand(nil, machine.CmdIdle, 5), 1))
	f.Add(machine.AppendSweep(machine.AppendCommand(nil, machine.CmdSweep, 5), 17,
		[]machine.ChunkRef{{ID: id, Seq: 1}}))
	f.Add(machine.AppendDrop(machine.AppendCommand(nil, machine.CmdDrop, 5), []ReportID{report}))
	f.Add(machine.AppendSuspensions(machine.AppendCommand(nil, machine.CmdSuspend, 5), 7,
		fuzzSuspensions))
	f.Add(machine.AppendSuspensions(machine.AppendCommand(nil, machine.CmdSuspend, 5), 8, nil))
	f.Add(machine.AppendOffer(machine.AppendCommand(nil, machine.CmdOffer, 5), 3, 7))
	f.Add(machine.AppendLetGo(machine.AppendCommand(nil, machine.CmdLetGo, 5), 3, 300,
		[]machine.GoingRef{{ID: id, Digest: machine.Digest{9}}}))
	f.Add(machine.AppendOver(machine.AppendCommand(nil, machine.CmdOver, 5), 300))
	f.Add(machine.AppendBring(machine.AppendCommand(nil, machine.CmdBring, 5), 7, 300,
		machine.ChunkRef{ID: id, Seq: 2}))
	f.Add(fuzzTake())
	f.Add(machine.AppendFinish(machine.AppendCommand(nil, machine.CmdFinish, 5), 7, 300,
		[]mail.ID{id}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c machine.Command
		if err := c.Decode(b); err != nil {
			return
		}
		if c.Kind == machine.CmdSuspend {
			var again machine.Command
			data := machine.AppendSuspensions(
				machine.AppendCommand(nil, machine.CmdSuspend, c.Time),
				c.Suspend.Version,
				c.Suspend.All,
			)
			if err := again.Decode(data); err != nil ||
				!reflect.DeepEqual(again.Suspend, c.Suspend) {
				t.Fatalf("%v: %+v, want %+v", err, again.Suspend, c.Suspend)
			}
		}
		if c.Kind == machine.CmdAccept {
			if len(c.Accept) > 1 &&
				slices.ContainsFunc(c.Accept, func(e machine.AcceptEntry) bool {
					return e.Chunks > 0
				}) {
				t.Fatal("a message in chunks is not alone")
			}
			for _, e := range c.Accept {
				var v machine.EnvelopeView
				v.Decode(e.Envelope)
			}
		}
	})
}

func FuzzResult(f *testing.F) {
	for _, r := range results {
		f.Add(machine.AppendResult(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResult(b)
		if err != nil {
			return
		}
		if again, err := ParseResult(machine.AppendResult(nil, r)); err != nil ||
			!reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, want %+v", err, again, r)
		}
	})
}

var results = []any{
	nil, machine.AcceptResult{Ok: true}, machine.AcceptResult{}, machine.SettleResult{Ok: true},
	machine.SealResult{Ok: true}, machine.EpochResult{},
	machine.EpochResult{Index: 7, Time: 1_700_000_000_000},
	[]machine.RecipientRef{
		{ID: mail.ID{1}, Number: 2},
		{ID: mail.ID{3}, Number: 400},
	}, []machine.RecipientRef(nil), machine.SuspendResult{},
	machine.SuspendResult{Version: 9, Index: 1 << 40},
	machine.OfferResult{}, machine.OfferResult{Serial: 300}, machine.LetGoResult{Ok: true},
	machine.TakeResult{Ok: true}, machine.TakeResult{},
	machine.FinishResult{Ok: true},
}

func TestResultsTravel(t *testing.T) {
	for _, r := range results {
		b := machine.AppendResult([]byte("x"), r)
		if got, err := ParseResult(b[1:]); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%#v came back as %#v, %v", r, got, err)
		}
		for n := range b[1:] {
			if got, err := ParseResult(b[1 : n+1]); err == nil {
				t.Errorf("%#v cut short at %d: %#v", r, n, got)
			}
		}
	}
}

// What is let in from another member can be applied, on an empty queue and once more.
func FuzzForwarded(f *testing.F) {
	id := mail.ID{1, 2, 3}
	var w machine.EnvelopeWriter
	head := machine.AppendAcceptHead(machine.AppendCommand(nil, machine.CmdAccept,
		1_700_000_000_000), machine.SlotKey{Session: 5, Slot: 1}, 8, 1)
	f.Add(
		machine.AppendAcceptEntry(head, id, ReportID{}, 10, 0, w.Encode(fuzzEnvelope())),
		make([]byte, 10),
		byte(1),
	)
	f.Add(
		machine.AppendAcceptEntry(head, id, ReportID{ID: id, Index: 1, Kind: ReportDelay}, 10, 2,
			w.Encode(fuzzEnvelope())),
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
			fuzzSuspensions),
		[]byte{},
		byte(0),
	)
	f.Add(fuzzTake(), make([]byte, 10), byte(1))
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
	good, four := entry(fuzzEnvelope()), [][]byte{make([]byte, 4)}
	if err := checkForwarded(good, four); err != nil {
		t.Fatal(err)
	}
	odd := fuzzEnvelope()
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
