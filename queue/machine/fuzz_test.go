package machine

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
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

func FuzzRecord(f *testing.F) {
	var w EnvelopeWriter
	head := AppendHead(nil, FlagReport, 77, 4096,
		[]PartRef{{Index: 77, Part: 0, Size: 4096}})
	f.Add(append(head, w.Encode(queuetest.FullEnvelope())...))
	f.Add(append(AppendHead(nil, 0, 1, 0, nil), w.Encode(queuetest.Envelope("", "x@y.example"))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
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
		var w EnvelopeWriter
		again, err := DecodeEnvelope(w.Encode(m.Envelope))
		if err != nil || !reflect.DeepEqual(again, m.Envelope) {
			t.Fatalf("%v: %+v, want %+v", err, again, m.Envelope)
		}
	})
}

func FuzzRecipientRow(f *testing.F) {
	row := RecipientRow{
		State:    Deferred,
		Warned:   true,
		Attempts: 3,
		Due:      1_700_000_000_000,
		Index:    9,
		Attempt:  AppendAttempt(nil, &fuzzAttempt),
	}
	f.Add(row.Append(nil))
	f.Add((&RecipientRow{State: Held, Maybe: true, Attempt: NoAttempt}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecipientRow(b)
		if err != nil {
			return
		}
		r.Last()
		again, err := DecodeRecipientRow(r.Append(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, want %+v", err, again, r)
		}
	})
}

func FuzzSmallRows(f *testing.F) {
	f.Add(Counts{Remaining: 3, Reports: 1}.Append(nil))
	f.Add(AppendNumbers(nil, []uint32{0, 2, 3, 900}))
	f.Add(AppendChunkRow(nil, PartRef{Index: 5, Part: 0, Size: 1 << 19}))
	f.Add(SlotRow{Seq: 7, Time: 1_700_000_000_000, Ok: true}.Append(nil))
	m := Meta{Index: 7, Time: 1_700_000_000_000, Epoch: 3, Idle: true}
	m.Counters[CountMessages] = 12
	f.Add(m.Append(nil))
	f.Add(
		(&Suspensions{Version: 7, Index: 9,
			All: []Suspension{{Kind: SuspendSite, Name: "mx.example", Reason: "why", Serial: 7,
				Until: time.UnixMilli(99)}}}).Append(
			nil,
		),
	)
	f.Add(AppendReportRow(nil,
		[]Reported{{Number: 4, State: Failed,
			Attempt: AppendAttempt(nil, &fuzzAttempt)}}))
	m.Incoming = 2
	f.Add(m.Append(nil))
	f.Add((&HandoverRow{Phase: HandoverGone, Serial: 7, Target: 5, Total: 900,
		Gone: []mail.ID{{1}, {2}}}).Append(nil))
	f.Add(
		(&IncomingRow{Over: 5, Serial: 7, IDs: []mail.ID{{1}}, Chunked: mail.ID{3},
			Chunks: 2}).Append(
			nil,
		),
	)
	f.Add(fuzzLetter().Encoded)
	f.Add(AppendIncomingRow(nil, []PartRef{{Index: 5, Part: 0, Size: 1 << 19}},
		fuzzLetter().Encoded))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeCounts(b); err == nil {
			same(t, c, c.Append, DecodeCounts)
		}
		if p, err := DecodeChunkRow(b); err == nil {
			same(t, p, func(b []byte) []byte { return AppendChunkRow(b, p) },
				DecodeChunkRow)
		}
		if l, err := DecodeSlotRow(b); err == nil {
			same(t, l, l.Append, DecodeSlotRow)
		}
		if m, err := DecodeMeta(b); err == nil {
			same(t, m, m.Append, DecodeMeta)
		}
		if n, err := DecodeNumbers(nil, b); err == nil {
			same(
				t,
				n,
				func(b []byte) []byte { return AppendNumbers(b, n) },
				func(b []byte) ([]uint32, error) { return DecodeNumbers(nil, b) },
			)
		}
		if s, err := DecodeSuspendRow(b); err == nil {
			same(t, s, s.Append, DecodeSuspendRow)
		}
		if h, err := DecodeHandoverRow(b); err == nil {
			same(t, h, h.Append, DecodeHandoverRow)
		}
		if in, err := DecodeIncomingState(b); err == nil {
			same(t, in, in.Append, DecodeIncomingState)
		}
		if l, err := DecodeLetter(b); err == nil {
			rec := Record{Flags: l.Flags, Size: l.Size, Envelope: l.Envelope}
			again, err := DecodeLetter(AppendLetter(nil, &rec, l.Rows,
				&Meta{}))
			if err != nil || len(again.Rows) != len(l.Rows) || again.Size != l.Size ||
				!bytes.Equal(again.Envelope, l.Envelope) {
				t.Fatalf("%v: %+v, want %+v", err, again, l)
			}
		}
		DecodeIncomingRow(b)
		DecodeReportRow(b)
	})
}

// fuzzLetter is a message on its way to another group.
func fuzzLetter() Letter {
	var w EnvelopeWriter
	rows := []RecipientRow{
		{State: Held, Attempt: NoAttempt},
		{State: Deferred, Warned: true, Attempts: 3, Due: 1_700_000_000_000,
			Attempt: AppendAttempt(nil, &fuzzAttempt)},
		{State: Relayed, Attempt: NoAttempt},
	}
	l, err := DecodeLetter(
		AppendLetter(nil, &Record{Size: 10, Envelope: w.Encode(queuetest.FullEnvelope())},
			rows, &Meta{}),
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
	return AppendTaken(AppendTake(AppendCommand(nil, CmdTake, 5), 7,
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
	f.Add(AppendScheduleKey(nil, "example.com", 1_700_000_000_000, id))
	f.Add(AppendReportKey(nil, ReportID{ID: id, Index: 7, Kind: ReportDelay}))
	f.Add(AppendRecipientKey(nil, id, 3))
	f.Add(AppendMessageKey(nil, id))
	f.Add(AppendChunkKey(nil, id, 1))
	f.Fuzz(func(t *testing.T, k []byte) {
		check := func(what string, again []byte) {
			if !bytes.Equal(again, k) {
				t.Fatalf("%s key %q came back as %q", what, k, again)
			}
		}
		if domain, due, id, ok := ParseScheduleKey(k); ok {
			check("schedule", AppendScheduleKey(nil, domain, due, id))
		}
		if r, ok := ParseReportKey(k); ok {
			check("report", AppendReportKey(nil, r))
		}
		if id, seq, ok := ParseChunkKey(k); ok {
			check("chunk", AppendChunkKey(nil, id, seq))
		}
		if id, number, isRow, ok := ParseMessageKey(k); ok && isRow {
			check("recipient", AppendRecipientKey(nil, id, number))
		} else if ok {
			check("message", AppendMessageKey(nil, id))
		}
	})
}

var fuzzSuspensions = []Suspension{
	{Kind: SuspendDomain, Name: "a.example", Reason: "they asked for it", Serial: 6},
	{Kind: SuspendCampaign, Name: "spring", Reason: "x", Serial: 7, Lasts: time.Hour},
}

func FuzzCommand(f *testing.F) {
	id, report := mail.ID{1, 2, 3}, ReportID{ID: mail.ID{9}, Index: 4, Kind: ReportFailure}
	var w EnvelopeWriter
	accept := AppendAcceptHead(
		AppendCommand(nil, CmdAccept, 1_700_000_000_000),
		SlotKey{Session: 5, Slot: 1},
		8,
		2,
	)
	accept = AppendAcceptEntry(accept, id, ReportID{}, 100, 0, w.Encode(queuetest.FullEnvelope()))
	f.Add(AppendAcceptEntry(accept, id, report, 300, 0,
		w.Encode(queuetest.Envelope("", "x@y.example"))))
	large := AppendAcceptHead(AppendCommand(nil, CmdAccept,
		1_700_000_000_000), SlotKey{Session: 5, Slot: 3}, 1, 1)
	f.Add(AppendAcceptEntry(large, id, ReportID{}, 2<<20, 4,
		w.Encode(queuetest.Envelope("", "x@y.example"))))
	f.Add(binary.AppendUvarint(append(AppendCommand(nil, CmdChunk, 5), id[:]...),
		3))
	settle := AppendSettle(AppendCommand(nil, CmdSettle, 5), 3, 1)
	f.Add(
		AppendOutcome(
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
		AppendOperator(
			AppendCommand(nil, CmdOperator, 5),
			VerbFail,
			&fuzzAttempt,
			[]RecipientRef{{ID: id, Number: 0}, {ID: id, Number: 7}},
		),
	)
	f.Add(AppendEpoch(AppendCommand(nil, CmdEpoch, 5), 1, 300))
	f.Add(binary.BigEndian.AppendUint64(AppendCommand(nil, CmdIdle, 5), 1))
	f.Add(AppendSweep(AppendCommand(nil, CmdSweep, 5), 17,
		[]ChunkRef{{ID: id, Seq: 1}}))
	f.Add(AppendDrop(AppendCommand(nil, CmdDrop, 5), []ReportID{report}))
	f.Add(AppendSuspensions(AppendCommand(nil, CmdSuspend, 5), 7,
		fuzzSuspensions))
	f.Add(AppendSuspensions(AppendCommand(nil, CmdSuspend, 5), 8, nil))
	f.Add(AppendOffer(AppendCommand(nil, CmdOffer, 5), 3, 7))
	f.Add(AppendLetGo(AppendCommand(nil, CmdLetGo, 5), 3, 300,
		[]GoingRef{{ID: id, Digest: Digest{9}}}))
	f.Add(AppendOver(AppendCommand(nil, CmdOver, 5), 300))
	f.Add(AppendBring(AppendCommand(nil, CmdBring, 5), 7, 300,
		ChunkRef{ID: id, Seq: 2}))
	f.Add(fuzzTake())
	f.Add(AppendFinish(AppendCommand(nil, CmdFinish, 5), 7, 300,
		[]mail.ID{id}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Command
		if err := c.Decode(b); err != nil {
			return
		}
		if c.Kind == CmdSuspend {
			var again Command
			data := AppendSuspensions(
				AppendCommand(nil, CmdSuspend, c.Time),
				c.Suspend.Version,
				c.Suspend.All,
			)
			if err := again.Decode(data); err != nil ||
				!reflect.DeepEqual(again.Suspend, c.Suspend) {
				t.Fatalf("%v: %+v, want %+v", err, again.Suspend, c.Suspend)
			}
		}
		if c.Kind == CmdAccept {
			if len(c.Accept) > 1 &&
				slices.ContainsFunc(c.Accept, func(e AcceptEntry) bool {
					return e.Chunks > 0
				}) {
				t.Fatal("a message in chunks is not alone")
			}
			for _, e := range c.Accept {
				var v EnvelopeView
				v.Decode(e.Envelope)
			}
		}
	})
}

func FuzzResult(f *testing.F) {
	for _, r := range results {
		f.Add(AppendResult(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResult(b)
		if err != nil {
			return
		}
		if again, err := ParseResult(AppendResult(nil, r)); err != nil ||
			!reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, want %+v", err, again, r)
		}
	})
}

var results = []any{
	nil, AcceptResult{Ok: true}, AcceptResult{}, SettleResult{Ok: true},
	SealResult{Ok: true}, EpochResult{},
	EpochResult{Index: 7, Time: 1_700_000_000_000},
	[]RecipientRef{
		{ID: mail.ID{1}, Number: 2},
		{ID: mail.ID{3}, Number: 400},
	}, []RecipientRef(nil), SuspendResult{},
	SuspendResult{Version: 9, Index: 1 << 40},
	OfferResult{}, OfferResult{Serial: 300}, LetGoResult{Ok: true},
	TakeResult{Ok: true}, TakeResult{},
	FinishResult{Ok: true},
}

func TestResultsTravel(t *testing.T) {
	for _, r := range results {
		b := AppendResult([]byte("x"), r)
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
