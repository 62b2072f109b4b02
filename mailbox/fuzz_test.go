package mailbox

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/queuetest"
)

// Decoders read what a disk or another member gives. They may refuse, but neither panic nor take
// memory that the input does not warrant; and what they take, the encoders write back as it was or
// shorter (a varint can be written longer than need be).

// same: what was decoded comes back from its encoding.
func same[T any](t *testing.T, b []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	t.Helper()
	v, err := decode(b)
	if err != nil {
		return
	}
	if again, err := decode(encode(v)); err != nil || !reflect.DeepEqual(again, v) {
		t.Fatalf("%v: %+v, want %+v", err, again, v)
	}
}

func FuzzRows(f *testing.F) {
	box := boxRow{
		number:      3,
		lastFolder:  7,
		folders:     2,
		warned:      true,
		settings:    Settings{1, 2, time.Hour},
		created:     5,
		messages:    6,
		bytes:       7,
		lockSession: 8,
		lock:        9,
	}
	folder := folderRow{
		subscribed: true,
		validity:   1_700_000_000,
		next:       5,
		modSeq:     9,
		messages:   3,
		bytes:      100,
		unseen:     1,
		deleted:    1,
		retention:  60_000,
		name:       []byte("Work"),
	}
	message := messageRow{
		flags:  Seen | Draft,
		modSeq: 7,
		saved:  1_700_000_000_000,
		tail: appendTail(
			nil,
			4096,
			1_700_000_000_000,
			contentID{77, 3},
			[]byte("Return-Path: <>\r\n"),
		),
	}
	state := meta{
		time:     1_700_000_000_000,
		epoch:    4,
		mailbox:  5,
		validity: 6,
		counters: [countersNumber]uint64{1, 2, 3},
	}
	for _, b := range [][]byte{
		box.append(nil), folder.append(nil), message.append(nil), state.append(nil),
		(&contentRow{refs: 2, size: 4096, first: 1}).append(nil),
		(&contentRow{refs: 1, size: partSize + 1, indexes: []uint64{4, 5}}).append(nil),
		appendRecordRow(nil, 5), (&chunkRow{5, partSize, 1_700_000_000_000}).append(nil),
		appendNumberRow(nil, 9), (&slotRow{8, []byte{1, 1}}).append(nil),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, decodeBoxRow, func(r boxRow) []byte { return r.append(nil) })
		same(t, b, decodeFolderRow, func(r folderRow) []byte { return r.append(nil) })
		same(t, b, decodeMeta, func(m meta) []byte { return m.append(nil) })
		same(t, b, decodeContentRow, func(r contentRow) []byte { return r.append(nil) })
		same(t, b, decodeRecordRow, func(n uint64) []byte { return appendRecordRow(nil, n) })
		same(t, b, decodeChunkRow, func(r chunkRow) []byte { return r.append(nil) })
		same(t, b, decodeNumberRow, func(n uint64) []byte { return appendNumberRow(nil, n) })
		same(t, b, decodeSlotRow, func(r slotRow) []byte { return r.append(nil) })
		if r, err := decodeMessageRow(b); err == nil {
			same(t, b, decodeMessageRow, func(r messageRow) []byte { return r.append(nil) })
			if id, prefix, err := body(r.rest); err == nil {
				again, err := decodeMessageRow(
					append(
						(&messageRow{flags: r.flags, modSeq: r.modSeq, saved: r.saved}).append(nil),
						appendTail(nil, r.size, r.date, id, prefix)...),
				)
				if err != nil || again.size != r.size || again.date != r.date {
					t.Fatalf("%v: %+v, want %+v", err, again, r)
				}
			}
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(appendRecordKey(nil, DedupRecord{mail.ID{1, 2}, 3}))
	f.Add(appendMessageKey(nil, 1, 2, 3))
	f.Add(appendCondemnedKey(nil, 1, 2))
	f.Add(appendChunkKey(nil, chunkKey{1, 2, 3}))
	f.Fuzz(func(t *testing.T, k []byte) {
		check := func(what string, again []byte) {
			if !bytes.Equal(again, k) {
				t.Fatalf("%s key %q came back as %q", what, k, again)
			}
		}
		if r, ok := parseRecordKey(k); ok {
			check("record", appendRecordKey(nil, r))
		}
		if c, ok := parseChunkKey(k); ok {
			check("chunk", appendChunkKey(nil, c))
		}
		if mailbox, folder, uid, ok := parseMessageKey(k); ok {
			check("message", appendMessageKey(nil, mailbox, folder, uid))
		}
	})
}

func FuzzResult(f *testing.F) {
	for _, r := range []any{
		refused{}, epochResult{7, 1_700_000_000_000},
		appendResult{{Code: Stored, UID: 7, InInbox: true, Warn: true}, {Code: Full}},
		verbResult{statusOK, 4, 3, 9, []UID{1, 2, 900}, 17}, verbResult{status: statusAgain},
	} {
		f.Add(encodeResult(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same(t, b, parseResult, func(r any) []byte { return encodeResult(nil, r) })
	})
}

// fuzzCommands is one command of each kind and of a store that is not empty.
func fuzzCommands() (all [][]byte) {
	box, uids := Ref{"a@example.net", 1}, []UID{1, 2, 5}
	begin := func(t commandType) []byte {
		return appendCommand(nil, t, 1_700_000_000_000, sender{1, 2, uint64(len(all) + 1)})
	}
	add := func(b []byte) { all = append(all, b) }
	add(
		appendSettings(
			codec.AppendBytes(begin(cmdCreateMailbox), box.Address),
			Settings{100, 200, time.Hour},
		),
	)
	data := appendCount(appendDrops(begin(cmdAppend), []DedupRecord{{mail.ID{1}, 2}}), 1)
	items := []Item{
		{
			Key:     AppendKey{mail.ID{3}, 1, 2},
			Mailbox: box.Address,
			Folder:  "Work",
			Flags:   Seen,
			Date:    testEpoch,
			Prefix:  []byte("P\r\n"),
		},
		{Mailbox: box.Address, OverQuota: true},
	}
	add(appendItems(appendDelivery(data, 10, 0, 0, len(items)), items))
	add(appendChunk(begin(cmdChunk), 4, 0))
	add(
		appendItems(
			appendDelivery(appendCount(appendDrops(begin(cmdAppend), nil), 1), 10, 1, 4, 1),
			items[:1],
		),
	)
	add(appendSweep(begin(cmdSweep), []chunkKey{{1, 4, 0}}))
	add(appendSettings(appendBox(begin(cmdSettings), box), Settings{}))
	add(codec.AppendBytes(appendBox(begin(cmdCreateFolder), box), "Work"))
	add(appendRenames(begin(cmdRenameFolders), box, []Folder{{Number: 2, Name: "Old"}}))
	add(appendFolderOptions(begin(cmdFolderOptions), box, &Folder{Number: 2, Retention: time.Hour}))
	add(appendFlags(begin(cmdFlags), box, Inbox, AddFlags, Deleted, 0, uids))
	add(append(appendCount(appendMessages(begin(cmdCopy), box, Inbox, uids), 2), 1))
	add(append(appendMessages(begin(cmdExpunge), box, Inbox, uids), 1))
	add(appendUIDs(appendCount(appendBox(begin(cmdUpdate), box), 3), uids))
	add(appendCount(appendBox(begin(cmdFenceLock), box), 4))
	add(appendMessages(begin(cmdRetain), box, Inbox, uids))
	add(appendFolder(begin(cmdDeleteFolder), box, 2))
	add(appendPurge(begin(cmdPurge), 1, 2, uids))
	add(codec.AppendBytes(appendBox(begin(cmdRenameMailbox), box), "b@example.net"))
	add(appendBox(begin(cmdRemoveMailbox), Ref{"b@example.net", 1}))
	return all
}

// FuzzCommand applies what can be decoded to a store that is not empty: it may be refused, and what
// Apply panics at is only a content that is not there.
func FuzzCommand(f *testing.F) {
	for _, c := range fuzzCommands() {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c command
		if c.decode(b) != nil {
			return
		}
		g := queuetest.New(machineOf(New(Options{})))
		propose := func(data []byte) any {
			var c command
			if err := c.decode(data); err != nil {
				t.Fatal(err)
			}
			parts, ok := partsFor(&c)
			if !ok {
				return nil
			}
			result, err := g.Propose(t.Context(), data, parts)
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
		propose(appendCommand(nil, cmdEpoch, 1, sender{}))
		for _, data := range fuzzCommands()[:8] {
			if result := propose(data); result == (refused{}) {
				t.Fatalf("%+v", result)
			}
		}
		propose(b)
	})
}

// partsFor makes the parts that a command says it has.
func partsFor(c *command) (parts [][]byte, ok bool) {
	if c.kind == cmdChunk {
		return [][]byte{make([]byte, 10)}, true
	}
	if c.kind != cmdAppend {
		return nil, true
	}
	for _, d := range c.deliveries {
		if d.size > 1<<20 {
			return nil, false
		}
		if d.chunks > 0 {
			continue
		}
		for left := d.size; left > 0; left -= partSize {
			parts = append(parts, make([]byte, min(left, partSize)))
		}
	}
	return parts, true
}

// All kinds of commands do what they say when they come in this order.
func TestEachCommand(t *testing.T) {
	g := queuetest.New(machineOf(New(Options{})))
	if r, err := g.Propose(t.Context(), appendCommand(nil, cmdEpoch, 1, sender{}),
		nil); err != nil ||
		r != (epochResult{1, 1}) {
		t.Fatal(r, err)
	}
	seen := map[commandType]bool{cmdEpoch: true}
	for _, data := range fuzzCommands() {
		var c command
		if err := c.decode(data); err != nil {
			t.Fatal(err)
		}
		seen[c.kind] = true
		parts, _ := partsFor(&c)
		r, err := g.Propose(t.Context(), data, parts)
		if v, ok := r.(verbResult); err != nil || ok && v.status != statusOK {
			t.Errorf("command %d: %+v, %v", c.kind, r, err)
		}
	}
	if len(seen) != int(commandTypes)-1 {
		t.Errorf("%d of %d kinds", len(seen), commandTypes-1)
	}
}
