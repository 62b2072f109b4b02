package mailbox

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// model is the state machine once more, as plainly as it can be said: maps, no rows, no shortcuts.
type model struct {
	time      int64
	session   uint64
	boxes     map[string]*modelBox
	numbers   uint32
	validity  uint32
	records   map[DedupRecord]uint64
	appended  uint64
	known     uint64
	condemned []*modelFolder // messages are left in the store
}

type modelBox struct {
	number  uint32
	set     Settings
	warned  bool
	folders map[uint32]*modelFolder
	last    uint32
	lock    uint64
}

type modelFolder struct {
	mailbox, number uint32
	name            string
	options         folderOptions
	validity        uint32
	next            UID
	modSeq          uint64
	messages        []*modelMessage
}

type modelMessage struct {
	uid         UID
	flags       Flags
	modSeq      uint64
	saved, date int64
	prefix      string
	content     *string // shared by those that came with it
}

func (m *modelMessage) size() int64 { return int64(len(m.prefix) + len(*m.content)) }

func (b *modelBox) bytes() (sum int64) {
	for _, f := range b.folders {
		for _, m := range f.messages {
			sum += m.size()
		}
	}
	return sum
}

func (b *modelBox) below() {
	if b.bytes() <= b.set.Soft {
		b.warned = false
	}
}

func (b *modelBox) named(name string) *modelFolder {
	for _, f := range b.folders {
		if f.name == name || f.number == Inbox && strings.EqualFold(name, "INBOX") {
			return f
		}
	}
	return nil
}

// box is a mailbox that a verb names.
func (m *model) box(r Ref) *modelBox {
	if b := m.boxes[r.Address]; b != nil && b.number == r.Number {
		return b
	}
	return nil
}

func (m *model) target(r Ref, folder uint32) (*modelBox, *modelFolder, status) {
	b := m.box(r)
	if b == nil {
		return nil, nil, statusNoMailbox
	}
	if f := b.folders[folder]; f != nil {
		return b, f, statusOK
	}
	return b, nil, statusNoFolder
}

func (m *model) newFolder(b *modelBox, name string) uint32 {
	b.last++
	m.validity = max(m.validity+1, uint32(m.time/1000))
	b.folders[b.last] = &modelFolder{
		mailbox: b.number, number: b.last, name: name, options: folderOptions{subscribed: true},
		validity: m.validity, next: 1, modSeq: 1,
	}
	return b.last
}

func (m *model) create(address string, set Settings) verbResult {
	if m.boxes[address] != nil {
		return verbResult{status: statusExists}
	}
	m.numbers++
	b := &modelBox{number: m.numbers, set: set, folders: map[uint32]*modelFolder{}}
	m.boxes[address] = b
	m.newFolder(b, "INBOX")
	return verbResult{number: b.number}
}

func (m *model) remove(r Ref) verbResult {
	b := m.box(r)
	if b == nil {
		return verbResult{status: statusNoMailbox}
	}
	for _, n := range slices.Sorted(maps.Keys(b.folders)) {
		if f := b.folders[n]; len(f.messages) > 0 {
			m.condemned = append(m.condemned, f)
		}
	}
	delete(m.boxes, r.Address)
	return verbResult{}
}

func (m *model) rename(r Ref, address string) verbResult {
	b := m.box(r)
	switch {
	case b == nil:
		return verbResult{status: statusNoMailbox}
	case m.boxes[address] != nil:
		return verbResult{status: statusExists}
	}
	delete(m.boxes, r.Address)
	m.boxes[address] = b
	return verbResult{}
}

func (m *model) settings(r Ref, set Settings) verbResult {
	b := m.box(r)
	if b == nil {
		return verbResult{status: statusNoMailbox}
	}
	b.set = set
	b.below()
	return verbResult{}
}

func (m *model) createFolder(r Ref, name string) verbResult {
	b := m.box(r)
	switch {
	case b == nil:
		return verbResult{status: statusNoMailbox}
	case b.named(name) != nil:
		return verbResult{status: statusExists}
	}
	return verbResult{number: m.newFolder(b, name)}
}

func (m *model) renameFolders(r Ref, names []Folder) verbResult {
	b := m.box(r)
	if b == nil {
		return verbResult{status: statusNoMailbox}
	}
	seen := map[string]bool{}
	for _, n := range names {
		switch {
		case n.Number == Inbox || b.folders[n.Number] == nil:
			return verbResult{status: statusNoFolder}
		case b.named(n.Name) != nil || seen[n.Name]:
			return verbResult{status: statusExists}
		}
		seen[n.Name] = true
	}
	touched := map[uint32]bool{}
	for _, n := range names {
		f := b.folders[n.Number]
		if f.name = n.Name; !touched[n.Number] {
			f.modSeq++
		}
		touched[n.Number] = true
	}
	return verbResult{}
}

func (m *model) deleteFolder(r Ref, number uint32) verbResult {
	b, f, s := m.target(r, number)
	switch {
	case f == nil:
		return verbResult{status: s}
	case number == Inbox:
		return verbResult{status: statusNoFolder}
	}
	delete(b.folders, number)
	if len(f.messages) > 0 {
		m.condemned = append(m.condemned, f)
	}
	b.below()
	return verbResult{}
}

func (m *model) options(r Ref, number uint32, o folderOptions) verbResult {
	_, f, s := m.target(r, number)
	if f == nil {
		return verbResult{status: s}
	}
	f.options = o
	f.modSeq++
	return verbResult{}
}

// append is one delivery; touched are the folders whose mod-sequence this command has raised.
func (m *model) append(
	content string, items []Item, touched map[*modelFolder]bool,
) (results appendResult) {
	shared := &content
	for _, it := range items {
		results = append(results, m.item(shared, &it, touched))
	}
	return results
}

func (m *model) item(content *string, it *Item, touched map[*modelFolder]bool) Result {
	key := DedupRecord{it.Key.ID, it.Key.Recipient}
	if !key.ID.IsZero() && m.records[key]>>it.Key.Copy&1 == 1 {
		m.known++
		return Result{Code: Duplicate}
	}
	b := m.boxes[it.Mailbox]
	if b == nil {
		return Result{Code: NoMailbox}
	}
	msg := &modelMessage{
		flags:   it.Flags,
		saved:   m.time,
		date:    it.Date.UnixMilli(),
		prefix:  string(it.Prefix),
		content: content,
	}
	if it.Date.IsZero() {
		msg.date = m.time
	}
	if b.set.Hard > 0 && !it.OverQuota && b.bytes()+msg.size() > b.set.Hard {
		return Result{Code: Full}
	}
	f, r := b.folders[Inbox], Result{Code: Stored}
	if it.Folder != "" {
		if named := b.named(it.Folder); named != nil {
			f = named
		} else {
			r.InInbox = true
		}
	}
	r.UID = f.put(msg, touched)
	if r.Warn = b.set.Soft > 0 && b.bytes() > b.set.Soft && !b.warned; r.Warn {
		b.warned = true
	}
	b.below()
	if m.appended++; !key.ID.IsZero() {
		m.records[key] |= 1 << it.Key.Copy
	}
	return r
}

func (f *modelFolder) put(msg *modelMessage, touched map[*modelFolder]bool) UID {
	msg.uid, msg.modSeq = f.next, f.touch(touched)
	f.next++
	f.messages = append(f.messages, msg)
	return msg.uid
}

func (f *modelFolder) touch(touched map[*modelFolder]bool) uint64 {
	if !touched[f] {
		touched[f] = true
		f.modSeq++
	}
	return f.modSeq
}

func (m *model) flags(r Ref, folder uint32, uids []UID, c FlagChange) verbResult {
	_, f, s := m.target(r, folder)
	if f == nil {
		return verbResult{status: s}
	}
	var v verbResult
	touched := map[*modelFolder]bool{}
	for _, msg := range f.messages {
		if !slices.Contains(uids, msg.uid) {
			continue
		}
		if c.Since != 0 && msg.modSeq > c.Since {
			v.uids = append(v.uids, msg.uid)
		} else if flags := c.Op.apply(msg.flags, c.Flags); flags != msg.flags {
			msg.flags, msg.modSeq = flags, f.touch(touched)
			v.count++
		}
	}
	v.modSeq = f.modSeq
	return v
}

func (m *model) expunge(
	r Ref, folder uint32, uids []UID, want func(*modelMessage) bool,
) verbResult {
	b, f, s := m.target(r, folder)
	if f == nil {
		return verbResult{status: s}
	}
	var v verbResult
	before := len(f.messages)
	f.messages = slices.DeleteFunc(
		f.messages,
		func(msg *modelMessage) bool { return slices.Contains(uids, msg.uid) && want(msg) },
	)
	if v.count = uint32(before - len(f.messages)); v.count > 0 {
		f.modSeq++
	}
	b.below()
	v.modSeq = f.modSeq
	return v
}

func (m *model) retain(r Ref, folder uint32, uids []UID) verbResult {
	var keep time.Duration
	if b, f, _ := m.target(r, folder); f != nil {
		if keep = f.options.retention; keep == 0 {
			keep = b.set.Retention
		}
	}
	return m.expunge(
		r,
		folder,
		uids,
		func(msg *modelMessage) bool { return keep > 0 && msg.saved+keep.Milliseconds() <= m.time },
	)
}

func (m *model) update(r Ref, lock uint64, uids []UID) verbResult {
	b := m.box(r)
	if b == nil {
		return verbResult{status: statusNoMailbox}
	}
	if lock < b.lock {
		return verbResult{status: statusStaleLock}
	}
	b.lock = lock
	return m.expunge(r, Inbox, uids, func(*modelMessage) bool { return true })
}

func (m *model) copy(r Ref, folder uint32, uids []UID, to uint32, move bool) verbResult {
	b, f, s := m.target(r, folder)
	if f == nil {
		return verbResult{status: s}
	}
	g := b.folders[to]
	if g == nil {
		return verbResult{status: statusNoFolder}
	}
	var chosen []*modelMessage
	var size int64
	for _, msg := range f.messages {
		if slices.Contains(uids, msg.uid) {
			chosen, size = append(chosen, msg), size+msg.size()
		}
	}
	if !move && b.set.Hard > 0 && b.bytes()+size > b.set.Hard {
		return verbResult{status: statusFull}
	}
	v := verbResult{first: g.next}
	touched := map[*modelFolder]bool{}
	for _, msg := range chosen {
		n := *msg
		if move {
			f.touch(touched)
			f.messages = slices.DeleteFunc(
				f.messages,
				func(x *modelMessage) bool { return x == msg },
			)
		}
		n.saved = m.time
		g.put(&n, touched)
		v.uids, v.count = append(v.uids, msg.uid), v.count+1
	}
	b.below()
	v.modSeq = g.modSeq
	return v
}

// purge removes the first messages of a condemned folder.
func (m *model) purge(f *modelFolder, most int) (uids []UID) {
	n := min(most, len(f.messages))
	for _, msg := range f.messages[:n] {
		uids = append(uids, msg.uid)
	}
	if f.messages = f.messages[n:]; len(f.messages) == 0 {
		m.condemned = slices.DeleteFunc(m.condemned, func(x *modelFolder) bool { return x == f })
	}
	return uids
}
