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
	var w envelopeWriter
	head := appendHead(nil, flagReport, 77, 4096, []PartRef{{77, 0, 4096}})
	f.Add(append(head, w.encode(fuzzEnvelope())...))
	f.Add(append(appendHead(nil, 0, 1, 0, nil), w.encode(envelope("", "x@y.example"))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		if r.decode(b) != nil {
			return
		}
		m, err := r.message(mail.ID{1})
		if err != nil {
			return
		}
		if len(m.Envelope.Recipients) != len(r.recipients) ||
			m.Envelope.Sender != string(r.sender) {
			t.Fatalf("view and envelope differ: %+v, %+v", r, m.Envelope)
		}
		for i, v := range r.recipients {
			if got := m.Envelope.Recipients[i]; got.Address != string(v.address) ||
				got.Domain != string(r.domains[v.domain]) {
				t.Fatalf("recipient %d: %+v, %+v", i, got, v)
			}
		}
		var w envelopeWriter
		again, err := decodeEnvelope(w.encode(m.Envelope))
		if err != nil || !reflect.DeepEqual(again, m.Envelope) {
			t.Fatalf("%v: %+v, want %+v", err, again, m.Envelope)
		}
	})
}

func FuzzRecipientRow(f *testing.F) {
	row := recipientRow{
		state:    Deferred,
		warned:   true,
		attempts: 3,
		due:      1_700_000_000_000,
		index:    9,
		attempt:  appendAttempt(nil, &fuzzAttempt),
	}
	f.Add(row.append(nil))
	f.Add((&recipientRow{state: Held, maybe: true, attempt: noAttempt}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecipientRow(b)
		if err != nil {
			return
		}
		r.last()
		again, err := decodeRecipientRow(r.append(nil))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, want %+v", err, again, r)
		}
	})
}

func FuzzSmallRows(f *testing.F) {
	f.Add(counts{3, 1}.append(nil))
	f.Add(appendNumbers(nil, []uint32{0, 2, 3, 900}))
	f.Add(appendChunkRow(nil, PartRef{5, 0, 1 << 19}))
	f.Add(slotRow{7, 1_700_000_000_000, true}.append(nil))
	m := meta{index: 7, time: 1_700_000_000_000, epoch: 3, idle: true}
	m.counters[countMessages] = 12
	f.Add(m.append(nil))
	f.Add(
		(&Suspensions{Version: 7, Index: 9,
			All: []Suspension{{Kind: SuspendSite, Name: "mx.example", Reason: "why", Serial: 7,
				Until: time.UnixMilli(99)}}}).append(
			nil,
		),
	)
	f.Add(appendReportRow(nil, []reported{{4, Failed, appendAttempt(nil, &fuzzAttempt)}}))
	m.incoming = 2
	f.Add(m.append(nil))
	f.Add((&handoverRow{handoverGone, 7, 5, 900, []mail.ID{{1}, {2}}}).append(nil))
	f.Add(
		(&incomingRow{over: 5, serial: 7, ids: []mail.ID{{1}}, chunked: mail.ID{3},
			chunks: 2}).append(
			nil,
		),
	)
	f.Add(fuzzLetter().encoded)
	f.Add(appendIncomingRow(nil, []PartRef{{5, 0, 1 << 19}}, fuzzLetter().encoded))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCounts(b); err == nil {
			same(t, c, c.append, decodeCounts)
		}
		if p, err := decodeChunkRow(b); err == nil {
			same(t, p, func(b []byte) []byte { return appendChunkRow(b, p) }, decodeChunkRow)
		}
		if l, err := decodeSlotRow(b); err == nil {
			same(t, l, l.append, decodeSlotRow)
		}
		if m, err := decodeMeta(b); err == nil {
			same(t, m, m.append, decodeMeta)
		}
		if n, err := decodeNumbers(nil, b); err == nil {
			same(
				t,
				n,
				func(b []byte) []byte { return appendNumbers(b, n) },
				func(b []byte) ([]uint32, error) { return decodeNumbers(nil, b) },
			)
		}
		if s, err := decodeSuspendRow(b); err == nil {
			same(t, s, s.append, decodeSuspendRow)
		}
		if h, err := decodeHandoverRow(b); err == nil {
			same(t, h, h.append, decodeHandoverRow)
		}
		if in, err := decodeIncomingState(b); err == nil {
			same(t, in, in.append, decodeIncomingState)
		}
		if l, err := decodeLetter(b); err == nil {
			rec := record{flags: l.flags, size: l.size, envelope: l.envelope}
			again, err := decodeLetter(appendLetter(nil, &rec, l.rows, &meta{}))
			if err != nil || len(again.rows) != len(l.rows) || again.size != l.size ||
				!bytes.Equal(again.envelope, l.envelope) {
				t.Fatalf("%v: %+v, want %+v", err, again, l)
			}
		}
		decodeIncomingRow(b)
		decodeReportRow(b)
	})
}

// fuzzLetter is a message on its way to another group.
func fuzzLetter() letter {
	var w envelopeWriter
	rows := []recipientRow{
		{state: Held, attempt: noAttempt},
		{state: Deferred, warned: true, attempts: 3, due: 1_700_000_000_000,
			attempt: appendAttempt(nil, &fuzzAttempt)},
		{state: Relayed, attempt: noAttempt},
	}
	l, err := decodeLetter(
		appendLetter(nil, &record{size: 10, envelope: w.encode(fuzzEnvelope())}, rows, &meta{}),
	)
	if err != nil {
		panic(err)
	}
	l.id = mail.ID{1, 2, 3}
	return l
}

// fuzzTake is a command that brings a message.
func fuzzTake() []byte {
	l := fuzzLetter()
	return appendTaken(appendTake(appendCommand(nil, cmdTake, 5), 7, 300, 1), &l)
}

func same[T any](t *testing.T, v T, encode func([]byte) []byte, decode func([]byte) (T, error)) {
	t.Helper()
	if again, err := decode(encode(nil)); err != nil || !reflect.DeepEqual(again, v) {
		t.Fatalf("%v: %+v, want %+v", err, again, v)
	}
}

func FuzzKeys(f *testing.F) {
	id := mail.ID{1, 2, 3}
	f.Add(appendScheduleKey(nil, "example.com", 1_700_000_000_000, id))
	f.Add(appendReportKey(nil, ReportID{id, 7, ReportDelay}))
	f.Add(appendRecipientKey(nil, id, 3))
	f.Add(appendMessageKey(nil, id))
	f.Add(appendChunkKey(nil, id, 1))
	f.Fuzz(func(t *testing.T, k []byte) {
		check := func(what string, again []byte) {
			if !bytes.Equal(again, k) {
				t.Fatalf("%s key %q came back as %q", what, k, again)
			}
		}
		if domain, due, id, ok := parseScheduleKey(k); ok {
			check("schedule", appendScheduleKey(nil, domain, due, id))
		}
		if r, ok := parseReportKey(k); ok {
			check("report", appendReportKey(nil, r))
		}
		if id, seq, ok := parseChunkKey(k); ok {
			check("chunk", appendChunkKey(nil, id, seq))
		}
		if id, number, isRow, ok := parseMessageKey(k); ok && isRow {
			check("recipient", appendRecipientKey(nil, id, number))
		} else if ok {
			check("message", appendMessageKey(nil, id))
		}
	})
}

var fuzzSuspensions = []Suspension{
	{Kind: SuspendDomain, Name: "a.example", Reason: "they asked for it", Serial: 6},
	{Kind: SuspendCampaign, Name: "spring", Reason: "x", Serial: 7, Lasts: time.Hour},
}

func FuzzCommand(f *testing.F) {
	id, report := mail.ID{1, 2, 3}, ReportID{mail.ID{9}, 4, ReportFailure}
	var w envelopeWriter
	accept := appendAcceptHead(
		appendCommand(nil, cmdAccept, 1_700_000_000_000),
		slotKey{5, 1},
		8,
		2,
	)
	accept = appendAcceptEntry(accept, id, ReportID{}, 100, 0, w.encode(fuzzEnvelope()))
	f.Add(appendAcceptEntry(accept, id, report, 300, 0, w.encode(envelope("", "x@y.example"))))
	large := appendAcceptHead(appendCommand(nil, cmdAccept, 1_700_000_000_000), slotKey{5, 3}, 1, 1)
	f.Add(appendAcceptEntry(large, id, ReportID{}, 2<<20, 4, w.encode(envelope("", "x@y.example"))))
	f.Add(binary.AppendUvarint(append(appendCommand(nil, cmdChunk, 5), id[:]...), 3))
	settle := appendSettle(appendCommand(nil, cmdSettle, 5), 3, 1)
	f.Add(
		appendOutcome(
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
		appendOperator(
			appendCommand(nil, cmdOperator, 5),
			verbFail,
			&fuzzAttempt,
			[]recipientRef{{id, 0}, {id, 7}},
		),
	)
	f.Add(appendEpoch(appendCommand(nil, cmdEpoch, 5), 1, 300))
	f.Add(binary.BigEndian.AppendUint64(appendCommand(nil, cmdIdle, 5), 1))
	f.Add(appendSweep(appendCommand(nil, cmdSweep, 5), 17, []chunkRef{{id, 1}}))
	f.Add(appendDrop(appendCommand(nil, cmdDrop, 5), []ReportID{report}))
	f.Add(appendSuspensions(appendCommand(nil, cmdSuspend, 5), 7, fuzzSuspensions))
	f.Add(appendSuspensions(appendCommand(nil, cmdSuspend, 5), 8, nil))
	f.Add(appendOffer(appendCommand(nil, cmdOffer, 5), 3, 7))
	f.Add(appendLetGo(appendCommand(nil, cmdLetGo, 5), 3, 300, []goingRef{{id, digest{9}}}))
	f.Add(appendOver(appendCommand(nil, cmdOver, 5), 300))
	f.Add(appendBring(appendCommand(nil, cmdBring, 5), 7, 300, chunkRef{id, 2}))
	f.Add(fuzzTake())
	f.Add(appendFinish(appendCommand(nil, cmdFinish, 5), 7, 300, []mail.ID{id}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c command
		if err := c.decode(b); err != nil {
			return
		}
		if c.kind == cmdSuspend {
			var again command
			data := appendSuspensions(
				appendCommand(nil, cmdSuspend, c.time),
				c.suspend.Version,
				c.suspend.All,
			)
			if err := again.decode(data); err != nil ||
				!reflect.DeepEqual(again.suspend, c.suspend) {
				t.Fatalf("%v: %+v, want %+v", err, again.suspend, c.suspend)
			}
		}
		if c.kind == cmdAccept {
			if len(c.accept) > 1 &&
				slices.ContainsFunc(c.accept, func(e acceptEntry) bool { return e.chunks > 0 }) {
				t.Fatal("a message in chunks is not alone")
			}
			for _, e := range c.accept {
				var v envelopeView
				v.decode(e.envelope)
			}
		}
	})
}

func FuzzResult(f *testing.F) {
	for _, r := range results {
		f.Add(appendResult(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseResult(b)
		if err != nil {
			return
		}
		if again, err := ParseResult(appendResult(nil, r)); err != nil ||
			!reflect.DeepEqual(again, r) {
			t.Fatalf("%v: %+v, want %+v", err, again, r)
		}
	})
}

var results = []any{
	nil, acceptResult{true}, acceptResult{}, settleResult{true}, sealResult{true}, epochResult{},
	epochResult{7, 1_700_000_000_000},
	[]recipientRef{
		{mail.ID{1}, 2},
		{mail.ID{3}, 400},
	}, []recipientRef(nil), suspendResult{}, suspendResult{9, 1 << 40},
	offerResult{}, offerResult{300}, letGoResult{true}, takeResult{true}, takeResult{},
	finishResult{true},
}

func TestResultsTravel(t *testing.T) {
	for _, r := range results {
		b := appendResult([]byte("x"), r)
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
	var w envelopeWriter
	head := appendAcceptHead(appendCommand(nil, cmdAccept, 1_700_000_000_000), slotKey{5, 1}, 8, 1)
	f.Add(
		appendAcceptEntry(head, id, ReportID{}, 10, 0, w.encode(fuzzEnvelope())),
		make([]byte, 10),
		byte(1),
	)
	f.Add(
		appendAcceptEntry(head, id, ReportID{id, 1, ReportDelay}, 10, 2, w.encode(fuzzEnvelope())),
		[]byte{},
		byte(0),
	)
	f.Add(
		binary.AppendUvarint(append(appendCommand(nil, cmdChunk, 5), id[:]...), 3),
		make([]byte, 10),
		byte(1),
	)
	f.Add(appendEpoch(appendCommand(nil, cmdEpoch, 5), 1, 0), []byte{}, byte(0))
	f.Add(
		appendSuspensions(appendCommand(nil, cmdSuspend, 5), 7, fuzzSuspensions),
		[]byte{},
		byte(0),
	)
	f.Add(fuzzTake(), make([]byte, 10), byte(1))
	f.Add(
		appendBring(appendCommand(nil, cmdBring, 5), 7, 300, chunkRef{id, 0}),
		make([]byte, 10),
		byte(1),
	)
	f.Add(appendFinish(appendCommand(nil, cmdFinish, 5), 7, 300, []mail.ID{id}), []byte{}, byte(0))
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
			case acceptResult, takeResult, finishResult:
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
	var c command
	if c.decode(data) != nil || c.kind != cmdTake {
		return
	}
	var ids []mail.ID
	for _, l := range c.handover.letters {
		ids = append(ids, l.id)
	}
	finish := appendFinish(
		appendCommand(nil, cmdFinish, 5),
		c.handover.source,
		c.handover.serial,
		ids,
	)
	if result, err := g.Propose(t.Context(), finish, nil); result != (finishResult{true}) {
		t.Fatal(result, err)
	}
}

func TestCheckForwarded(t *testing.T) {
	var w envelopeWriter
	head := appendAcceptHead(appendCommand(nil, cmdAccept, 5), slotKey{5, 1}, 8, 1)
	entry := func(e *mail.Envelope) []byte {
		return appendAcceptEntry(bytes.Clone(head), mail.ID{1}, ReportID{}, 4, 0, w.encode(e))
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
		"epoch":    {appendEpoch(appendCommand(nil, cmdEpoch, 5), 1, 0), nil},
		"outcomes": {appendSettle(appendCommand(nil, cmdSettle, 5), 1, 0), nil},
		"chunk without content": {binary.AppendUvarint(append(appendCommand(nil, cmdChunk, 5),
			make([]byte, idLen)...), 3), nil},
	} {
		if checkForwarded(c.data, c.parts) == nil {
			t.Errorf("%s: let through", name)
		}
	}
}

// An unknown command, or one that is cut short, must not be passed over: the members would differ
// from there on.
func TestApplyPanicsOnCorruptCommand(t *testing.T) {
	good := appendEpoch(appendCommand(nil, cmdEpoch, 5), 1, 0)
	for name, data := range map[string][]byte{
		"unknown type":  appendCommand(nil, newestCommand, 5),
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
