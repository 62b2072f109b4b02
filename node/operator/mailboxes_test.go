package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/archive"
)

// fakeBoxes are mailboxes in memory. What it is not asked for by a test panics.
type fakeBoxes struct {
	Boxes
	shards   [][]string // addresses
	made     map[string]mailbox.Settings
	folders  []string
	batches  [][]*mailbox.Delivery // as they were appended
	large    []*mailbox.Delivery
	fails    []error // of the next appends
	appends  int     // tried
	keys     map[mail.ID]int
	forgot   []mailbox.DedupRecord
	messages map[uint32][]string // by folder
	lost     mailbox.UID         // listed, and gone when it is opened
}

func newBoxes(addresses ...string) *fakeBoxes {
	b := &fakeBoxes{
		shards: make([][]string, 3), made: map[string]mailbox.Settings{}, keys: map[mail.ID]int{},
	}
	for i, a := range addresses {
		b.shards[i%3] = append(b.shards[i%3], a)
		b.made[a] = mailbox.Settings{}
	}
	return b
}

func (b *fakeBoxes) Shards() int               { return len(b.shards) }
func (b *fakeBoxes) Shard(string) (int, error) { return 2, nil }

func (b *fakeBoxes) List(
	_ context.Context, shard int, after string, most int,
) (page []mailbox.Mailbox, err error) {
	for _, a := range b.shards[shard] {
		if a > after && len(page) < most {
			page = append(page, mailbox.Mailbox{Ref: mailbox.Ref{Address: a}})
		}
	}
	return page, nil
}

func (b *fakeBoxes) Create(_ context.Context, address string, s mailbox.Settings) error {
	b.made[address] = s
	return nil
}

func (b *fakeBoxes) Mailbox(_ context.Context, address string) (mailbox.Mailbox, error) {
	if _, ok := b.made[address]; !ok {
		return mailbox.Mailbox{}, mailbox.ErrNoMailbox
	}
	return mailbox.Mailbox{Ref: mailbox.Ref{Address: address}}, nil
}

func (b *fakeBoxes) Folders(context.Context, mailbox.Ref) ([]mailbox.Folder, error) {
	return []mailbox.Folder{{Number: 1, Name: "INBOX"}, {Number: 2, Name: "Old/2025"}}, nil
}

func (b *fakeBoxes) MakeFolder(_ context.Context, _ mailbox.Ref, name string) error {
	b.folders = append(b.folders, name)
	return nil
}

func (b *fakeBoxes) Messages(
	_ context.Context, _ mailbox.Ref, folder uint32,
) (all []mailbox.Message, err error) {
	for i := range b.messages[folder] {
		all = append(all, mailbox.Message{UID: mailbox.UID(i + 1)})
	}
	return all, nil
}

func (b *fakeBoxes) Open(
	_ context.Context, _ mailbox.Ref, folder uint32, uid mailbox.UID,
) (io.ReadCloser, int64, error) {
	if uid == b.lost {
		return nil, 0, mailbox.ErrNoMessage
	}
	content := b.messages[folder][uid-1]
	return io.NopCloser(strings.NewReader(content)), int64(len(content)), nil
}

// try counts an append, and returns what it is to fail with.
func (b *fakeBoxes) try(all []*mailbox.Delivery) error {
	b.appends++
	for _, d := range all {
		b.keys[d.Items[0].Key.ID]++
	}
	if len(b.fails) == 0 {
		return nil
	}
	err := b.fails[0]
	b.fails = b.fails[1:]
	return err
}

func (b *fakeBoxes) AppendBatch(
	_ context.Context, _ int, all []*mailbox.Delivery,
) ([][]mailbox.Result, error) {
	if err := b.try(all); err != nil {
		return nil, err
	}
	b.batches = append(b.batches, all)
	results := make([][]mailbox.Result, len(all))
	for i := range results {
		results[i] = []mailbox.Result{{Code: mailbox.Stored}}
	}
	return results, nil
}

func (b *fakeBoxes) Append(_ int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	if err := b.try([]*mailbox.Delivery{d}); err != nil {
		done(nil, err)
		return
	}
	b.large = append(b.large, d)
	done([]mailbox.Result{{Code: mailbox.Stored}}, nil)
}

func (b *fakeBoxes) Forget(_ int, records []mailbox.DedupRecord) {
	b.forgot = append(b.forgot, records...)
}

// stored is what was appended, in its order.
func (b *fakeBoxes) stored() (contents []string) {
	for _, batch := range b.batches {
		for _, d := range batch {
			contents = append(contents, d.Items[0].Folder+" "+string(d.Content.Bytes))
		}
	}
	return contents
}

// mailboxesOf makes the room; the directory has the users of example.net.
func mailboxesOf(b *fakeBoxes) Mailboxes {
	serial := byte(0)
	return Mailboxes{
		Boxes: b,
		Settings: func(address string) (mailbox.Settings, bool) {
			return mailbox.Settings{Hard: 7}, strings.HasSuffix(address, "@example.net")
		},
		NextID: func(now time.Time) mail.ID {
			serial++
			id := mail.FloorID(now)
			id[9] = serial
			return id
		},
	}
}

// streamOf is a stream of messages of an inbox.
func streamOf(t *testing.T, contents ...string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := archive.NewStreamWriter(&b)
	for _, c := range contents {
		m := archive.Message{Folder: "INBOX", Date: time.Unix(1_700_000_000, 0), Content: []byte(c)}
		if err := w.Write(&m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// TestImportCounts: what is skipped counts, each batch is told of, and their order stays.
func TestImportCounts(t *testing.T) {
	b := newBoxes()
	var contents, want []string
	for i := range importMost + 3 {
		contents = append(contents, fmt.Sprintf("message %d\r\n", i))
		want = append(want, "INBOX "+contents[i])
	}
	var told []int64
	m := mailboxesOf(b)
	n, err := m.Import(t.Context(), "A@example.net", 2, streamOf(t, contents...),
		func(done int64) { told = append(told, done) })
	if err != nil || n != int64(len(contents)) {
		t.Fatalf("%d of %d messages, %v", n, len(contents), err)
	}
	if !slices.Equal(told, []int64{importMost + 2, importMost + 3}) {
		t.Errorf("told %v", told)
	}
	if got := b.stored(); !slices.Equal(got, want[2:]) {
		t.Errorf("%d messages were stored, from %q on", len(got), got[0])
	}
	if s, ok := b.made["a@example.net"]; !ok || s.Hard != 7 {
		t.Errorf("made: %+v", b.made)
	}
	if !slices.Equal(b.folders, []string{"INBOX"}) || len(b.forgot) != len(contents)-2 {
		t.Errorf("folders %q, %d records forgotten", b.folders, len(b.forgot))
	}
}

// TestImportOfLargeMessages: a batch is bounded in octets, and a message beyond what a batch takes
// goes alone.
func TestImportOfLargeMessages(t *testing.T) {
	b := newBoxes()
	half := strings.Repeat("x", importOctets/2+1)
	huge := strings.Repeat("y", mailbox.MaxBatch+1)
	n, err := mailboxesOf(b).Import(t.Context(), "a@example.net", 0,
		streamOf(t, half, half, huge, "z"), func(int64) {})
	if err != nil || n != 4 {
		t.Fatalf("%d messages, %v", n, err)
	}
	if len(b.batches) != 3 || len(b.large) != 1 || len(b.large[0].Content.Bytes) != len(huge) {
		t.Errorf("%d batches, %d alone", len(b.batches), len(b.large))
	}
}

// TestImportIsRepeated: as long as it may pass, under the same keys; what was done before counts
// also when it then fails.
func TestImportIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoxes()
		b.fails = []error{mailbox.ErrUnknown, mailbox.ErrBusy, mailbox.ErrRefused}
		n, err := mailboxesOf(b).Import(t.Context(), "a@example.net", 0,
			streamOf(t, "one", "two"), func(int64) {})
		if err != nil || n != 2 || b.appends != 4 || len(b.keys) != 2 {
			t.Errorf("%d messages by %d appends of %d keys, %v", n, b.appends, len(b.keys), err)
		}

		b = newBoxes()
		b.fails = []error{nil, mailbox.ErrNoMailbox}
		half := strings.Repeat("x", importOctets/2+1)
		n, err = mailboxesOf(b).Import(t.Context(), "a@example.net", 0,
			streamOf(t, half, half, half), func(int64) {})
		if !errors.Is(err, mailbox.ErrNoMailbox) || n != 1 || b.appends != 2 {
			t.Errorf("%d messages by %d appends, %v", n, b.appends, err)
		}

		b = newBoxes()
		b.fails = slices.Repeat([]error{mailbox.ErrBusy}, 10_000)
		began := time.Now()
		n, err = mailboxesOf(b).Import(t.Context(), "a@example.net", 0,
			streamOf(t, "one"), func(int64) {})
		if !errors.Is(err, mailbox.ErrBusy) || n != 0 || time.Since(began) < importLimit {
			t.Errorf("%d messages after %v, %v", n, time.Since(began), err)
		}
	})
}

// TestImportForNobody: an address that no user has is refused before anything is read, one that is
// none is the operator's mistake, and a stream that is cut off is told of.
func TestImportForNobody(t *testing.T) {
	m := mailboxesOf(newBoxes())
	told := func(int64) { t.Error("something was done") }
	_, err := m.Import(t.Context(), "nobody@example.org", 0, streamOf(t, "one"), told)
	if !errors.Is(err, mailbox.ErrNoMailbox) ||
		!strings.Contains(err.Error(), "nobody@example.org") {
		t.Errorf("nobody: %v", err)
	}
	_, err = m.Import(t.Context(), "", 0, streamOf(t, "one"), told)
	if !errors.Is(err, mailbox.ErrName) {
		t.Errorf("no address: %v", err)
	}
	cut := streamOf(t, "one")
	cut.Truncate(cut.Len() - 3)
	if _, err = m.Import(t.Context(), "a@example.net", 0, cut, func(int64) {}); err == nil {
		t.Error("a stream that was cut off is a whole one")
	}
}

// TestEachMergesTheShards, which each list their mailboxes by address, a page at a time.
func TestEachMergesTheShards(t *testing.T) {
	var all []string
	for i := range 2*3*boxPage + 4 {
		all = append(all, fmt.Sprintf("user%05d@example.net", i))
	}
	m := mailboxesOf(newBoxes(all...))
	var got []string
	err := m.Each(t.Context(), func(b *mailbox.Mailbox) bool {
		got = append(got, b.Address)
		return true
	})
	if err != nil || !slices.Equal(got, all) {
		t.Errorf("%d of %d mailboxes, %v", len(got), len(all), err)
	}
	seen := 0
	err = m.Each(t.Context(), func(*mailbox.Mailbox) bool { seen++; return seen < 2 })
	if err != nil || seen != 2 {
		t.Errorf("it ends after %d, %v", seen, err)
	}
}

// TestExport writes folder after folder, without what goes meanwhile; an import takes it again.
func TestExport(t *testing.T) {
	b := newBoxes("a@example.net")
	b.messages = map[uint32][]string{1: {"one", "two", "three"}, 2: {"four"}}
	b.lost = 2
	var stream bytes.Buffer
	if err := mailboxesOf(b).Export(t.Context(), "a@example.net", &stream); err != nil {
		t.Fatal(err)
	}
	to := newBoxes()
	n, err := mailboxesOf(to).Import(t.Context(), "b@example.net", 0, &stream, func(int64) {})
	if err != nil || n != 3 {
		t.Fatalf("%d messages, %v", n, err)
	}
	if got := to.stored(); !slices.Equal(got,
		[]string{"INBOX one", "INBOX three", "Old/2025 four"}) {
		t.Errorf("%q", got)
	}
}
