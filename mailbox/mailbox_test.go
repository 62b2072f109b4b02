package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// A delivery to several recipients is stored once, each with its own first lines; a repeated one is
// known, also after the user deleted it.
func TestAppend(t *testing.T) {
	b := newBed(t, Options{Proposers: 1}).start() // so that commands keep their order
	anna, ben := b.box("anna@example.net", Settings{}), b.box("ben@example.net", Settings{})
	key := b.key()
	items := []Item{
		{Key: key, Mailbox: "anna@example.net", Prefix: []byte("Delivered-To: anna\r\n")},
		{Key: b.key(), Mailbox: "ben@example.net", Prefix: []byte("Delivered-To: ben\r\n"),
			Flags: Flagged, Date: testEpoch.Add(-time.Hour)},
		{Key: b.key(), Mailbox: "nobody@example.net"},
		{Key: b.key(), Mailbox: "ben@example.net", Folder: "None/Such"},
	}
	got, err := b.send(contentOf("Subject: x\r\n\r\nhello\r\n"), items...)
	b.ok(err)
	want := []Result{{Code: Stored, UID: 1}, {Code: Stored, UID: 1}, {Code: NoMailbox},
		{Code: Stored, UID: 2, InInbox: true}}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if text := b.read(ben, Inbox, 1); text != "Delivered-To: ben\r\nSubject: x\r\n\r\nhello\r\n" {
		t.Fatalf("%q", text)
	}
	m, err := b.s.Message(ben, Inbox, 1)
	if b.ok(err); m.Flags != Flagged || m.Date != testEpoch.Add(-time.Hour).UnixMilli() ||
		m.Saved != testEpoch.UnixMilli() || m.Size != 40 {
		t.Fatalf("%+v", m)
	}
	if s := b.stats(); s.Messages != 3 || s.Contents != 1 || s.DedupRecords != 3 ||
		len(b.g.Now().Kept()) != 1 {
		t.Fatalf("%+v", s)
	}

	// The user deletes it, and the queue delivers again because the first answer was lost.
	n, err := b.s.Expunge(t.Context(), anna, Inbox, []UID{1}, false)
	if b.ok(err); n != 1 {
		t.Fatal(n)
	}
	if got, err = b.send(contentOf("Subject: x\r\n\r\nhello\r\n"), items[0]); err != nil ||
		got[0].Code != Duplicate || len(b.list(anna, Inbox)) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	other := items[0]
	other.Key.Copy = 3 // a rule keeps a second copy
	if got, err = b.send(contentOf("x"), other); err != nil ||
		got[0] != (Result{Code: Stored, UID: 2}) {
		t.Fatalf("%+v, %v", got, err)
	}
	b.ok(b.s.DropDedupRecords([]DedupRecord{{key.ID, key.Recipient}}))
	b.store("y", Item{Mailbox: "anna@example.net"}) // a command after it
	if s := b.stats(); s.DedupRecords != 2 || s.Duplicates != 1 {
		t.Fatalf("%+v", s)
	}
	// Nothing refers to the content any more.
	_, err = b.s.Expunge(t.Context(), ben, Inbox, []UID{1, 2}, false)
	b.ok(err)
	if s := b.stats(); s.Contents != 2 || len(b.g.Now().Kept()) != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestQuotas(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{Soft: 100, Hard: 200})
	text := contentOf(strings.Repeat("x", 60))
	var got []Result
	for range 4 {
		r, err := b.send(text, Item{Key: b.key(), Mailbox: box.Address})
		b.ok(err)
		got = append(got, r[0])
	}
	want := []Result{{Code: Stored, UID: 1}, {Code: Stored, UID: 2, Warn: true},
		{Code: Stored, UID: 3}, {Code: Full}}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if err := b.s.Room(box.Address, 21); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err := b.s.Room("no@example.net", 21); !errors.Is(err, ErrNoMailbox) {
		t.Fatal(err)
	}
	b.ok(b.s.Room(box.Address, 20))
	if _, err := b.s.Copy(t.Context(), box, Inbox, []UID{1}, Inbox, false); !errors.Is(err,
		ErrFull) {
		t.Fatal(err)
	}
	b.store("x", Item{Mailbox: box.Address, OverQuota: true})
	// Below the soft quota again, and over it: told again.
	_, err := b.s.Expunge(t.Context(), box, Inbox, []UID{1, 2}, false)
	b.ok(err)
	if r, err := b.send(text, Item{Mailbox: box.Address}); err != nil || !r[0].Warn {
		t.Fatalf("%+v, %v", r, err)
	}
	m, err := b.s.Mailbox(box.Address)
	if b.ok(err); m.Bytes != 121 || m.Messages != 3 || m.Hard != 200 {
		t.Fatalf("%+v", m)
	}
}

func TestFlagsCopyMove(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{})
	for n := range 4 {
		b.store(fmt.Sprint("text ", n), Item{Mailbox: box.Address})
	}
	ctx := t.Context()
	work, err := b.s.CreateFolder(ctx, box, "Work/Now")
	b.ok(err)
	done, err := b.s.StoreFlags(ctx, box, Inbox, []UID{1, 3, 9},
		FlagChange{Op: AddFlags, Flags: Seen | Deleted})
	if b.ok(err); done.Changed != 2 {
		t.Fatalf("%+v", done)
	}
	f, err := b.s.Folder(box, Inbox)
	if b.ok(err); f.Unseen != 2 || f.Deleted != 2 || f.ModSeq != done.ModSeq {
		t.Fatalf("%+v", f)
	}
	again, err := b.s.StoreFlags(ctx, box, Inbox, []UID{1, 2},
		FlagChange{Op: SetFlags, Flags: Draft, Since: done.ModSeq - 1})
	if b.ok(err); again.Changed != 1 || !slices.Equal(again.Modified, []UID{1}) {
		t.Fatalf("%+v", again)
	}
	b.c.add(time.Hour)
	copied, err := b.s.Copy(ctx, box, Inbox, []UID{1, 2, 7}, work, false)
	if b.ok(err); len(copied) != 1 || copied[0].First != 1 ||
		!slices.Equal(copied[0].UIDs, []UID{1, 2}) {
		t.Fatalf("%+v", copied)
	}
	_, err = b.s.Copy(ctx, box, Inbox, []UID{3}, work, true)
	b.ok(err)
	if in, out := b.list(box, Inbox),
		b.list(box, work); !slices.Equal(in, []string{"1:9", "2:16", "4:0"}) ||
		!slices.Equal(out, []string{"1:9", "2:16", "3:9"}) {
		t.Fatal(in, out)
	}
	if text := b.read(box, work, 3); text != "text 2" {
		t.Fatalf("%q", text)
	}
	m, err := b.s.Message(box, work, 3)
	if b.ok(err); m.Saved != m.Date+time.Hour.Milliseconds() {
		t.Fatalf("%+v", m)
	}
	if s := b.stats(); s.Messages != 6 || s.Contents != 4 {
		t.Fatalf("%+v", s)
	}
	n, err := b.s.Expunge(ctx, box, Inbox, []UID{1, 2, 4}, true)
	if b.ok(err); n != 1 {
		t.Fatal(n)
	}
	if text := b.read(box, work, 1); text != "text 0" {
		t.Fatalf("%q", text)
	}
}

func TestFolders(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{})
	ctx := t.Context()
	var numbers []uint32
	for _, name := range []string{"Work", "Work/Now", "Workshop"} {
		n, err := b.s.CreateFolder(ctx, box, name)
		b.ok(err)
		numbers = append(numbers, n)
	}
	for _, name := range []string{"Work", "inbox"} {
		if _, err := b.s.CreateFolder(ctx, box, name); !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "/a", "a//b", "a\x00", "\xff", strings.Repeat("x", 256)} {
		if _, err := b.s.CreateFolder(ctx, box, name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := b.s.RenameFolder(ctx, box, numbers[0], "Workshop"); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	b.ok(b.s.RenameFolder(ctx, box, numbers[0], "Old"))
	b.ok(b.s.SetFolder(ctx, box, Folder{Number: numbers[1], Retention: time.Hour}))
	f, err := b.s.FolderNamed(box, "Old/Now")
	if b.ok(err); f.Number != numbers[1] || f.Subscribed || f.Retention != time.Hour {
		t.Fatalf("%+v", f)
	}
	if _, err := b.s.FolderNamed(box, "Work"); !errors.Is(err, ErrNoFolder) {
		t.Fatal(err)
	}
	b.store("x", Item{Mailbox: box.Address, Folder: "Old"})
	for _, err := range []error{b.s.DeleteFolder(ctx, box, Inbox),
		b.s.RenameFolder(ctx, box, Inbox, "Other")} {
		if !errors.Is(err, ErrNoFolder) {
			t.Fatal(err)
		}
	}
	before, err := b.s.Folder(box, numbers[0])
	b.ok(err)
	b.ok(b.s.DeleteFolder(ctx, box, numbers[0]))
	n, err := b.s.CreateFolder(ctx, box, "Old")
	b.ok(err)
	after, err := b.s.Folder(box, n)
	if b.ok(err); after.Validity <= before.Validity || n == before.Number || after.Messages != 0 {
		t.Fatalf("%+v, %+v", before, after)
	}
	if m, err := b.s.Mailbox(box.Address); err != nil || m.Bytes != 0 || m.Folders != 4 {
		t.Fatalf("%+v, %v", m, err)
	}
	all, err := b.s.Folders(box)
	if b.ok(err); len(all) != 4 || all[0].Name != "INBOX" {
		t.Fatalf("%+v", all)
	}
}

// TestPurge: deleted messages are purged some at a time, also when a folder went before its
// mailbox.
func TestPurge(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{})
	ctx := t.Context()
	folder, err := b.s.CreateFolder(ctx, box, "Many")
	b.ok(err)
	items := make([]Item, 700)
	for i := range items {
		items[i] = Item{Mailbox: box.Address, Folder: []string{"", "Many"}[i%2]}
	}
	_, err = b.send(contentOf("one content"), items...)
	b.ok(err)
	b.ok(b.s.DeleteFolder(ctx, box, folder))
	b.ok(b.s.RemoveMailbox(ctx, box))
	again := b.box("a@example.net", Settings{})
	if again.Number == box.Number || len(b.list(again, Inbox)) != 0 {
		t.Fatalf("%+v", again)
	}
	if err := b.s.RemoveMailbox(ctx, box); !errors.Is(err, ErrNoMailbox) {
		t.Fatal(err)
	}
	b.ok(b.s.Sweep(ctx))
	if b.rows(keyMessage) != 0 || b.rows(keyCondemned) != 0 || b.rows(keyContent) != 0 ||
		len(b.g.Now().Kept()) != 0 {
		t.Fatalf("%d messages, %d condemned, %d contents are left", b.rows(keyMessage),
			b.rows(keyCondemned), b.rows(keyContent))
	}
	if s := b.stats(); s.Messages != 0 || s.Bytes != 0 || s.Mailboxes != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestRenameMailbox(t *testing.T) {
	b := newBed(t, Options{}).start()
	box, other := b.box("a@example.net", Settings{Soft: 7}), b.box("b@example.net", Settings{})
	b.store("hello", Item{Mailbox: box.Address})
	if err := b.s.RenameMailbox(t.Context(), box, other.Address); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	b.ok(b.s.RenameMailbox(t.Context(), box, "c@example.net"))
	m, err := b.s.Mailbox("c@example.net")
	if b.ok(err); m.Number != box.Number || m.Soft != 7 || b.read(m.Ref, Inbox, 1) != "hello" {
		t.Fatalf("%+v", m)
	}
	if _, err := b.s.Mailbox(box.Address); !errors.Is(err, ErrNoMailbox) {
		t.Fatal(err)
	}
	b.ok(b.s.SetSettings(t.Context(), m.Ref, Settings{Hard: 5}))
	if all, err := b.s.Mailboxes("b@example.net", 10); err != nil || len(all) != 1 ||
		all[0].Hard != 5 {
		t.Fatalf("%+v, %v", all, err)
	}
}

func TestRetention(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{Retention: 48 * time.Hour})
	b.box("z@example.net", Settings{})
	ctx := t.Context()
	trash, err := b.s.CreateFolder(ctx, box, "Trash")
	b.ok(err)
	b.ok(b.s.SetFolder(ctx, box, Folder{Number: trash, Retention: time.Hour}))
	b.store("old", Item{Mailbox: box.Address, Date: testEpoch.Add(-1000 * time.Hour)})
	b.store("kept", Item{Mailbox: "z@example.net"})
	b.store("trash", Item{Mailbox: box.Address, Folder: "Trash"})
	b.c.add(2 * time.Hour)
	b.store("young", Item{Mailbox: box.Address, Folder: "Trash"})
	b.ok(b.s.Sweep(ctx))
	if in, out := b.list(box, Inbox), b.list(box, trash); len(in) != 1 ||
		!slices.Equal(out, []string{"2:0"}) {
		t.Fatal(in, out)
	}
	b.c.add(46 * time.Hour)
	b.ok(b.s.Sweep(ctx))
	if s := b.stats(); s.Messages != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestLargeContent(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{Hard: 4 << 20})
	text := bytes.Repeat([]byte("0123456789abcde\n"), (3<<20)/16)
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(iotest.HalfReader(bytes.NewReader(text))), nil
	}
	large := Content{Size: int64(len(text)), Open: open}
	r, err := b.send(large, Item{Key: b.key(), Mailbox: box.Address, Prefix: []byte("P: 1\r\n")},
		Item{Mailbox: "no@example.net"})
	if b.ok(err); r[0].Code != Stored || r[1].Code != NoMailbox {
		t.Fatalf("%+v", r)
	}
	if got := b.read(box, Inbox, 1); got != "P: 1\r\n"+string(text) {
		t.Fatalf("%d octets differ", len(got))
	}
	// A range, in pieces.
	c, err := b.s.OpenMessage(box, Inbox, 1)
	b.ok(err)
	_, err = c.Seek(partSize+3, io.SeekStart)
	b.ok(err)
	some, err := io.ReadAll(io.LimitReader(c, 20))
	if b.ok(err); string(some) != string(text[partSize-3:partSize+17]) {
		t.Fatalf("%q", some)
	}
	var rest bytes.Buffer
	n, err := c.WriteTo(&rest)
	if b.ok(err); n != int64(len(text))+6-partSize-23 || !bytes.HasSuffix(text, rest.Bytes()) {
		t.Fatal(n)
	}
	// One that nobody takes leaves nothing.
	kept := len(b.g.Now().Kept())
	if r, err = b.send(large, Item{Mailbox: box.Address}); err != nil || r[0].Code != Full {
		t.Fatalf("%+v, %v", r, err)
	}
	if b.rows(keyChunk) != 0 || len(b.g.Now().Kept()) != kept {
		t.Fatal("chunks are left")
	}
	// One that breaks off is collected by command time.
	broken := Content{Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text[:2<<20])), nil
	}}
	if _, err = b.send(broken, Item{Mailbox: box.Address}); !errors.Is(err, ErrContent) {
		t.Fatal(err)
	}
	b.ok(b.s.Sweep(t.Context()))
	if b.rows(keyChunk) != 4 {
		t.Fatalf("%d chunks", b.rows(keyChunk))
	}
	b.c.add(2 * time.Hour)
	b.store("time goes on", Item{Mailbox: box.Address})
	b.ok(b.s.Sweep(t.Context()))
	if b.rows(keyChunk) != 0 || len(b.g.Now().Kept()) != kept+1 {
		t.Fatalf("%d chunks are left", b.rows(keyChunk))
	}
}

func TestExportImport(t *testing.T) {
	b, other := newBed(t, Options{}).start(), newBed(t, Options{}).start()
	box, to := b.box("a@example.net", Settings{}), other.box("a@example.net", Settings{Hard: 1})
	ctx := t.Context()
	_, err := b.s.CreateFolder(ctx, box, "Work")
	b.ok(err)
	var stored sync.WaitGroup // commands are under way side by side: the last one may be done first
	stored.Add(3000)
	for n := range 3000 {
		it := Item{Mailbox: box.Address, Flags: Flags(n) & allFlags,
			Date: testEpoch.Add(time.Duration(-n) * time.Minute), Prefix: []byte("P\r\n")}
		it.Folder = []string{"", "Work"}[n/1500]
		b.s.Append(&Delivery{contentOf(fmt.Sprint("message ", n)), []Item{it}},
			func(r []Result, err error) {
				defer stored.Done()
				if err != nil || r[0].Code != Stored {
					t.Errorf("%+v, %v", r, err)
				}
			})
	}
	stored.Wait()
	b.store("last", Item{Mailbox: box.Address})
	err = b.s.Export(ctx, box, func(f *Folder, m *Message, r *ContentReader) error {
		if _, err := other.s.FolderNamed(to, f.Name); errors.Is(err, ErrNoFolder) {
			if _, err := other.s.CreateFolder(ctx, to, f.Name); err != nil {
				return err
			}
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		it := Item{Mailbox: to.Address, Folder: f.Name, Flags: m.Flags,
			Date: time.UnixMilli(m.Date), OverQuota: true}
		got, err := other.send(contentOf(string(text)), it)
		if err == nil && got[0].Code != Stored {
			err = fmt.Errorf("%+v", got)
		}
		return err
	})
	b.ok(err)
	for folder := range uint32(2) {
		tell := func(b *bed, box Ref) (all []string) {
			b.ok(b.s.Messages(box, folder+1, Range{}, func(m *Message) bool {
				all = append(all, fmt.Sprint(m.Flags, m.Date, m.Size))
				return true
			}))
			return all
		}
		if from, got := tell(b, box), tell(other, to); len(got) < 1500 || !slices.Equal(from, got) {
			t.Fatalf("folder %d: %d messages, %d came", folder, len(from), len(got))
		}
	}
}

func TestListener(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{})
	b.store("x", Item{Mailbox: box.Address})
	_, err := b.s.StoreFlags(t.Context(), box, Inbox, []UID{1},
		FlagChange{Op: AddFlags, Flags: Seen})
	b.ok(err)
	// changes nothing
	_, err = b.s.StoreFlags(t.Context(), box, Inbox, []UID{1},
		FlagChange{Op: AddFlags, Flags: Seen})
	b.ok(err)
	b.ok(b.s.RemoveMailbox(t.Context(), box))
	want := []Change{{box, Inbox, 1}, {box, Inbox, 2}, {box, Inbox, 3}, {box, 0, 0}}
	if got := b.h.take(); !slices.Equal(got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

func TestShard(t *testing.T) {
	count := make([]int, 64)
	for n := range 64_000 {
		count[Shard(fmt.Sprintf("user%d@example.net", n), 64)]++
	}
	if least, most := slices.Min(count), slices.Max(count); least < 850 || most > 1150 {
		t.Errorf("between %d and %d of 1000", least, most)
	}
	// part of the format
	for address, want := range map[string]int{"a@example.net": 1, "postmaster@example.net": 59} {
		if got := Shard(address, 64); got != want {
			t.Errorf("%s is in shard %d, want %d", address, got, want)
		}
	}
	b := newBed(t, Options{Shard: 2, Shards: 64}).start()
	if _, err := b.s.CreateMailbox(t.Context(), "a@example.net", Settings{}); !errors.Is(err,
		ErrWrongShard) {
		t.Error(err)
	}
	if _, err := b.send(contentOf("x"), Item{Mailbox: "a@example.net"}); !errors.Is(err,
		ErrWrongShard) {
		t.Error(err)
	}
}
