package mailbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/queuetest"
)

// modelRun gives random commands to the state machine and to the model.
type modelRun struct {
	*bed
	m       model
	rand    *rand.Rand
	seq     uint64
	uploads uint64
	chunks  map[chunkKey]int64 // rows that are there, and when they came
	refs    []Ref              // all mailboxes that ever were
	last    []byte             // the last command
	parts   [][]byte
	result  any
}

func newModelRun(t *testing.T, seed uint64) *modelRun {
	r := &modelRun{bed: newBed(t, Options{}), rand: rand.New(rand.NewPCG(seed, 1)),
		chunks: map[chunkKey]int64{}}
	r.m = model{boxes: map[string]*modelBox{}, records: map[DedupRecord]uint64{}}
	r.g.History = true
	r.s.Open(r.g)
	r.epoch()
	return r
}

func (r *modelRun) propose(data []byte, parts [][]byte) any {
	r.t.Helper()
	result, err := r.g.Propose(r.t.Context(), data, parts)
	r.ok(err)
	return result
}

func (r *modelRun) tick() int64 {
	r.c.add(time.Duration(r.rand.IntN(30_000)) * time.Millisecond)
	// clocks of owners differ
	now := r.c.Now().UnixMilli() - int64(r.rand.IntN(2))*int64(r.rand.IntN(5000))
	r.m.time = max(r.m.time, now)
	return now
}

func (r *modelRun) epoch() {
	got := r.propose(appendCommand(nil, cmdEpoch, r.tick(), sender{session: r.m.session}), nil)
	index := uint64(len(r.g.Log()))
	if got != (epochResult{index, r.m.time}) {
		r.t.Fatalf("%+v", got)
	}
	r.m.session, r.seq, r.last = index, 0, nil
	for _, b := range r.m.boxes {
		b.lock = 0
	}
}

func (r *modelRun) begin(kind commandType) []byte {
	r.seq++
	return appendCommand(nil, kind, r.tick(), sender{r.m.session, 3, r.seq})
}

// do proposes a command whose result must be as the model says.
func (r *modelRun) do(data []byte, parts [][]byte, want any) {
	r.t.Helper()
	got := r.propose(data, parts)
	if !reflect.DeepEqual(got, want) {
		r.t.Fatalf("entry %d: %+v, want %+v", len(r.g.Log()), got, want)
	}
	r.last, r.parts, r.result = data, parts, got
	for kind, i := range r.m.boxes {
		if len(r.refs) == 0 || !slices.Contains(r.refs, Ref{kind, i.number}) {
			r.refs = append(r.refs, Ref{kind, i.number})
		}
	}
}

// again repeats the last command: its result is that of the first time, and nothing changes.
func (r *modelRun) again() {
	if r.last == nil {
		return
	}
	before := r.g.Now()
	got := r.propose(r.last, r.parts)
	if !reflect.DeepEqual(got, r.result) {
		r.t.Fatalf("repeated: %+v, first %+v", got, r.result)
	}
	r.unchanged(before)
}

func (r *modelRun) unchanged(before queuetest.State) {
	if diff := before.Diff(r.g.Now()); diff != "" {
		r.t.Fatalf("entry %d changed %s", len(r.g.Log()), diff)
	}
}

// late sends a command of another session, or one that was overtaken on its slot.
func (r *modelRun) late() {
	log := r.g.Log()
	e := log[r.rand.IntN(len(log))]
	var c command
	r.ok(c.decode(e.Data))
	if c.kind == cmdEpoch || c.session == r.m.session && c.seq == r.seq {
		return
	}
	before := r.g.Now()
	if got := r.propose(e.Data, e.Parts); got != (refused{}) {
		r.t.Fatalf("late: %+v", got)
	}
	r.unchanged(before)
}

var modelAddresses = []string{"a@example.net", "b@example.net", "c@example.net"}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// ref names a mailbox, mostly one that is there.
func (r *modelRun) ref() Ref {
	if len(r.refs) == 0 || r.rand.IntN(30) == 0 {
		return Ref{"nobody@example.net", 1}
	}
	if there := slices.Sorted(maps.Keys(r.m.boxes)); len(there) > 0 && r.rand.IntN(20) > 0 {
		address := pick(r.rand, there)
		return Ref{address, r.m.boxes[address].number}
	}
	return pick(r.rand, r.refs)
}

func (r *modelRun) folder() uint32 { return []uint32{1, 1, 1, 2, 3, 4, 5, 6}[r.rand.IntN(8)] }

func (r *modelRun) name() string {
	return pick(r.rand, []string{"Work", "Work/Now", "Trash", "inbox", "Sent", "Old"})
}

func (r *modelRun) uids(box Ref, folder uint32) (uids []UID) {
	next := UID(3)
	if _, f, _ := r.m.target(box, folder); f != nil {
		next = f.next
	}
	for uid := UID(1); uid <= next; uid++ {
		if r.rand.IntN(3) == 0 {
			uids = append(uids, uid)
		}
	}
	return uids
}

func (r *modelRun) set() Settings {
	return Settings{int64(r.rand.IntN(2) * r.rand.IntN(300)),
		int64(r.rand.IntN(2) * r.rand.IntN(600)),
		time.Duration(r.rand.IntN(2)*r.rand.IntN(600)) * time.Second}
}

func (r *modelRun) item() Item {
	it := Item{Mailbox: pick(r.rand, append(modelAddresses, "no@example.net")),
		Flags: Flags(r.rand.IntN(int(allFlags) + 1)), OverQuota: r.rand.IntN(5) == 0}
	if r.rand.IntN(3) > 0 {
		it.Key = AppendKey{mail.ID{5, byte(r.rand.IntN(4))}, uint32(r.rand.IntN(8)),
			uint8(r.rand.IntN(2))}
	}
	if r.rand.IntN(2) == 0 {
		it.Folder = r.name()
	}
	if r.rand.IntN(2) == 0 {
		it.Date = r.c.Now().Add(-time.Duration(r.rand.IntN(1e9)))
	}
	it.Prefix = []byte(strings.Repeat("P", r.rand.IntN(2)*r.rand.IntN(20)))
	return it
}

func (r *modelRun) items() (items []Item) {
	for range 1 + r.rand.IntN(3) {
		items = append(items, r.item())
	}
	return items
}

func (r *modelRun) forgotten() (records []DedupRecord) {
	for range r.rand.IntN(2) * r.rand.IntN(3) {
		record := DedupRecord{mail.ID{5, byte(r.rand.IntN(4))}, uint32(r.rand.IntN(8))}
		records = append(records, record)
		delete(r.m.records, record)
	}
	return records
}

func (r *modelRun) append() {
	data := r.begin(cmdAppend)
	data = appendDrops(data, r.forgotten())
	n := 1 + r.rand.IntN(3)
	data = appendCount(data, n)
	var parts [][]byte
	var want appendResult
	touched := map[*modelFolder]bool{}
	for range n {
		content := fmt.Sprint("content ", r.seq, strings.Repeat(".", r.rand.IntN(60)))
		items := r.items()
		want = append(want, r.m.append(content, items, touched)...)
		data = appendItems(appendDelivery(data, int64(len(content)), 0, 0, len(items)), items)
		parts = append(parts, []byte(content))
	}
	r.do(data, parts, want)
}

// large sends chunks, and sometimes never the end of them.
func (r *modelRun) large() {
	r.uploads++
	n := uint32(1 + r.rand.IntN(2))
	content := make([]byte, int(n-1)*partSize+1+r.rand.IntN(50))
	for seq := range n {
		part := content[seq*partSize : min(len(content), int(seq+1)*partSize)]
		r.do(appendChunk(r.begin(cmdChunk), r.uploads, seq), [][]byte{part}, verbResult{})
		r.chunks[chunkKey{r.m.session, r.uploads, seq}] = r.m.time
	}
	if r.rand.IntN(3) == 0 {
		return
	}
	items := r.items()
	data := appendCount(appendDrops(r.begin(cmdAppend), nil), 1)
	data = appendItems(appendDelivery(data, int64(len(content)), n, r.uploads, len(items)), items)
	r.do(data, nil, r.m.append(string(content), items, map[*modelFolder]bool{}))
	for seq := range n {
		delete(r.chunks, chunkKey{r.m.session, r.uploads, seq})
	}
}

func (r *modelRun) sweep() {
	data := r.begin(cmdSweep)
	var all []chunkKey
	var want verbResult
	for c, at := range r.chunks {
		all = append(all, c)
		if c.session < r.m.session || at < r.m.time-orphanAge {
			delete(r.chunks, c)
			want.count++
		}
	}
	r.do(appendSweep(data, append(all, chunkKey{1, 2, 3})), nil, want)
}

func (r *modelRun) purge() {
	if len(r.m.condemned) == 0 {
		return
	}
	f := pick(r.rand, r.m.condemned)
	data := r.begin(cmdPurge)
	uids := r.m.purge(f, 1+r.rand.IntN(3))
	r.do(appendPurge(data, f.mailbox, f.number, append(uids, 1<<31)), nil,
		verbResult{count: uint32(len(uids))})
}

func (r *modelRun) onFolders(n int) {
	box, folder, name := r.ref(), r.folder(), r.name()
	switch n {
	case 0:
		r.do(codec.AppendBytes(appendBox(r.begin(cmdCreateFolder), box), name), nil,
			r.m.createFolder(box, name))
	case 1:
		names := []Folder{{Number: folder, Name: name},
			{Number: r.folder(), Name: r.name()}}[:1+r.rand.IntN(2)]
		r.do(appendRenames(r.begin(cmdRenameFolders), box, names), nil,
			r.m.renameFolders(box, names))
	case 2:
		r.do(appendFolder(r.begin(cmdDeleteFolder), box, folder), nil,
			r.m.deleteFolder(box, folder))
	case 3:
		o := folderOptions{r.rand.IntN(2) == 0,
			time.Duration(r.rand.IntN(2)*r.rand.IntN(300)) * time.Second}
		f := &Folder{Number: folder, Subscribed: o.subscribed, Retention: o.retention}
		r.do(appendFolderOptions(r.begin(cmdFolderOptions), box, f), nil,
			r.m.options(box, folder, o))
	}
}

func (r *modelRun) onMailboxes(n int) {
	box, address, set := r.ref(), pick(r.rand, modelAddresses), r.set()
	switch n {
	case 0:
		r.do(appendBox(r.begin(cmdRemoveMailbox), box), nil, r.m.remove(box))
	case 1:
		r.do(codec.AppendBytes(appendBox(r.begin(cmdRenameMailbox), box), address), nil,
			r.m.rename(box, address))
	case 2:
		r.do(appendSettings(appendBox(r.begin(cmdSettings), box), set), nil, r.m.settings(box, set))
	default:
		data := appendSettings(codec.AppendBytes(r.begin(cmdCreateMailbox), address), set)
		r.do(data, nil, r.m.create(address, set))
	}
}

func (r *modelRun) onMessages(n int) {
	box, folder := r.ref(), r.folder()
	uids := r.uids(box, folder)
	switch n {
	case 0, 1:
		c := FlagChange{SetFlags + FlagOp(r.rand.IntN(3)), Flags(r.rand.IntN(int(allFlags) + 1)),
			uint64(r.rand.IntN(2) * r.rand.IntN(20))}
		r.do(appendFlags(r.begin(cmdFlags), box, folder, c.Op, c.Flags, c.Since, uids), nil,
			r.m.flags(box, folder, uids, c))
	case 2:
		marked := r.rand.IntN(2) == 0
		want := r.m.expunge(box, folder, uids, func(m *modelMessage) bool {
			return !marked || m.flags&Deleted != 0
		})
		r.do(append(appendMessages(r.begin(cmdExpunge), box, folder, uids), codec.Bit(marked)), nil,
			want)
	case 3, 4:
		to, move := r.folder(), n == 4
		data := r.begin(cmdCopy)
		want := r.m.copy(box, folder, uids, to, move)
		r.do(append(appendCount(appendMessages(data, box, folder, uids), int(to)), codec.Bit(move)),
			nil, want)
	case 5:
		lock, data := uint64(1+r.rand.IntN(20)), r.begin(cmdUpdate)
		r.do(appendUIDs(appendCount(appendBox(data, box), int(lock)), uids), nil,
			r.m.update(box, lock, uids))
	case 6:
		data := r.begin(cmdRetain)
		r.do(appendMessages(data, box, folder, uids), nil, r.m.retain(box, folder, uids))
	}
}

func (r *modelRun) step() {
	switch n := r.rand.IntN(100); {
	case n < 30:
		r.append()
	case n < 32:
		r.large()
	case n < 34:
		r.sweep()
	case n < 40:
		r.purge()
	case n < 50:
		r.onFolders(r.rand.IntN(4))
	case n < 60:
		r.onMailboxes(r.rand.IntN(10))
	case n < 90:
		r.onMessages(r.rand.IntN(7))
	case n < 94:
		r.again()
	case n < 98:
		r.late()
	case n < 99:
		r.c.add(2 * time.Hour)
	default:
		r.epoch()
	}
}

// check compares all that can be read.
func (r *modelRun) check() {
	r.t.Helper()
	boxes, err := r.s.Mailboxes("", 100)
	r.ok(err)
	contents := map[*string]bool{}
	var messages, bytes uint64
	if len(boxes) != len(r.m.boxes) {
		r.t.Fatalf("%d mailboxes, want %d", len(boxes), len(r.m.boxes))
	}
	for _, got := range boxes {
		want := r.m.boxes[got.Address]
		n, size := r.checkBox(&got, want, contents)
		if got.Number != want.number || got.Settings != want.set ||
			got.Folders != len(want.folders) || got.Messages != n || got.Bytes != int64(size) {
			r.t.Fatalf("%+v, want %+v, %d messages, %d octets", got, want, n, size)
		}
		messages, bytes = messages+n, bytes+size
	}
	left := 0
	for _, f := range r.m.condemned {
		left += len(f.messages)
		for _, m := range f.messages {
			contents[m.content] = true
		}
	}
	parts, stored := len(r.chunks), uint64(0)
	for c := range contents {
		parts, stored = parts+partsOf(int64(len(*c))), stored+uint64(len(*c))
	}
	s, want := r.stats(), Stats{
		Mailboxes: uint64(len(boxes)), Messages: messages, Bytes: bytes,
		Contents: uint64(len(contents)), ContentBytes: stored,
		DedupRecords: uint64(len(r.m.records)), Appended: r.m.appended, Duplicates: r.m.known,
	}
	if s != want || len(r.g.Now().Kept()) != parts || r.rows(keyMessage) != int(messages)+left ||
		r.rows(keyContent) != len(contents) {
		r.t.Fatalf("%+v, %d parts; want %+v, %d parts", s, len(r.g.Now().Kept()), want, parts)
	}
	if left == 0 && r.rows(keyCondemned) > 0 {
		r.t.Fatal("something is condemned for ever")
	}
	records, err := r.s.DedupRecords(DedupRecord{}, 1000)
	if r.ok(err); len(records) != len(r.m.records) {
		r.t.Fatalf("%d records, want %d", len(records), len(r.m.records))
	}
}

func (r *modelRun) checkBox(
	box *Mailbox, want *modelBox, contents map[*string]bool,
) (messages, bytes uint64) {
	r.t.Helper()
	folders, err := r.s.Folders(box.Ref)
	if r.ok(err); len(folders) != len(want.folders) {
		r.t.Fatalf("%s: %d folders, want %d", box.Address, len(folders), len(want.folders))
	}
	for _, got := range folders {
		f := want.folders[got.Number]
		if named, err := r.s.FolderNamed(box.Ref, got.Name); err != nil || named != got {
			r.t.Fatalf("%+v, %+v, %v", named, got, err)
		}
		wanted := Folder{
			Number: f.number, Name: f.name, Subscribed: f.options.subscribed,
			Retention: f.options.retention,
			Validity:  f.validity, Next: f.next, ModSeq: f.modSeq,
			Messages: uint64(len(f.messages)),
		}
		var n int
		r.ok(r.s.Messages(box.Ref, got.Number, Range{}, func(m *Message) bool {
			msg := f.messages[n]
			if rest := m.rest; m.UID != msg.uid || rest == nil {
				r.t.Fatalf("UID %d, want %d", m.UID, msg.uid)
			}
			if m.rest = nil; !reflect.DeepEqual(*m,
				Message{msg.uid, msg.flags, msg.modSeq, msg.size(), msg.date, msg.saved, nil}) {
				r.t.Fatalf("%+v, want %+v", m, msg)
			}
			if r.rand.IntN(5) == 0 &&
				r.read(box.Ref, got.Number, m.UID) != msg.prefix+*msg.content {
				r.t.Fatalf("message %d of folder %d has another content", m.UID, got.Number)
			}
			contents[msg.content] = true
			wanted.Bytes += msg.size()
			wanted.Unseen += uint64(1 - msg.flags&Seen)
			wanted.Deleted += uint64(msg.flags & Deleted / Deleted)
			n++
			return true
		}))
		if n != len(f.messages) || got != wanted {
			r.t.Fatalf("%+v, want %+v", got, wanted)
		}
		messages, bytes = messages+uint64(n), bytes+uint64(wanted.Bytes)
	}
	return messages, bytes
}

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		r := newModelRun(t, seed)
		for range 4 {
			r.onMailboxes(9)
		}
		for n := range 300 {
			if r.step(); n%10 == 9 {
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
		again := queuetest.Recover(machineOf(New(Options{})), from, g.Log())
		if diff := again.Now().Diff(g.Now()); diff != "" {
			t.Fatalf("replayed from %d: %s", from.Index, diff)
		}
	}
}
