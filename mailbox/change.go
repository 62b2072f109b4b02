package mailbox

import "bytes"

// changeSet is the mailboxes and folders that a command changes: each is read once, changed in
// memory, and written once at its end.
type changeSet struct {
	boxes   []*openBox
	folders []*openFolder
	byName  map[string]*openBox
	byID    map[uint64]*openFolder
	nBoxes  int // in use; the others are kept for the next command
	nFolder int
}

type openBox struct {
	boxRow
	was     boxRow // as it is stored
	address []byte
	gone    bool
}

type openFolder struct {
	folderRow
	box    *openBox
	number uint32
	dirty  bool // its mod-sequence was raised: all that a command changes in a folder has the same
	gone   bool
	buf    []byte // has the name
}

// maxOpened bounds what is kept from one command for the next.
const maxChangeSet = 1024

// box returns the mailbox of an address, or nil.
func (m *machine) box(address []byte) *openBox {
	o := &m.changeSet
	if b, ok := o.byName[string(address)]; ok {
		if b.gone {
			return nil
		}
		return b
	}
	m.key = appendMailboxKey(m.key[:0], address)
	v, ok := m.w.Get(m.key)
	if !ok {
		return nil
	}
	b := m.addBox(address, must(decodeBoxRow(v)))
	b.was = b.boxRow
	return b
}

func (m *machine) addBox(address []byte, row boxRow) *openBox {
	o := &m.changeSet
	if o.nBoxes == len(o.boxes) {
		o.boxes = append(o.boxes, new(openBox))
	}
	b := o.boxes[o.nBoxes]
	o.nBoxes++
	*b = openBox{boxRow: row, address: append(b.address[:0], address...)}
	if o.byName == nil {
		o.byName, o.byID = make(map[string]*openBox), make(map[uint64]*openFolder)
	}
	o.byName[string(address)] = b
	return b
}

// named returns the mailbox that the command names, if it is still that one.
func (m *machine) named() *openBox {
	if b := m.box(m.cmd.box.address); b != nil && b.number == m.cmd.box.number {
		return b
	}
	return nil
}

// folder returns a folder of a mailbox, or nil.
func (m *machine) folder(b *openBox, number uint32) *openFolder {
	o := &m.changeSet
	id := uint64(b.number)<<32 | uint64(number)
	if f, ok := o.byID[id]; ok {
		if f.gone {
			return nil
		}
		return f
	}
	m.key = appendFolderKey(m.key[:0], b.number, number)
	v, ok := m.w.Get(m.key)
	if !ok {
		return nil
	}
	f := m.addFolder(b, number)
	f.buf = append(f.buf[:0], v...)
	f.folderRow = must(decodeFolderRow(f.buf))
	return f
}

func (m *machine) addFolder(b *openBox, number uint32) *openFolder {
	o := &m.changeSet
	if o.nFolder == len(o.folders) {
		o.folders = append(o.folders, new(openFolder))
	}
	f := o.folders[o.nFolder]
	o.nFolder++
	*f = openFolder{box: b, number: number, buf: f.buf}
	o.byID[uint64(b.number)<<32|uint64(number)] = f
	return f
}

// target returns the folder that the command names, and why not.
func (m *machine) target() (*openFolder, status) {
	b := m.named()
	if b == nil {
		return nil, statusNoMailbox
	}
	if f := m.folder(b, m.cmd.folder); f != nil {
		return f, statusOK
	}
	return nil, statusNoFolder
}

// byName returns the number of a folder, 0: there is none.
func (m *machine) byName(b *openBox, name []byte) uint32 {
	if isInbox(name) {
		return Inbox
	}
	m.key = appendNameKey(m.key[:0], b.number, name)
	if v, ok := m.w.Get(m.key); ok {
		return uint32(must(decodeNumberRow(v)))
	}
	return 0
}

func isInbox(name []byte) bool { return len(name) == 5 && bytes.EqualFold(name, []byte("INBOX")) }

// touch raises the folder's mod-sequence, once a command, and returns it.
func (f *openFolder) touch() uint64 {
	if !f.dirty {
		f.dirty = true
		f.modSeq++
	}
	return f.modSeq
}

// close writes what the command opened. A mailbox or folder that is gone was deleted when it went.
func (m *machine) close() {
	o := &m.changeSet
	for _, b := range o.boxes[:o.nBoxes] {
		b.warned = b.warned && b.bytes > uint64(b.settings.Soft)
		if !b.gone && b.boxRow != b.was {
			m.key = appendMailboxKey(m.key[:0], b.address)
			m.set(m.key, b.append(m.val[:0]))
		}
	}
	for _, f := range o.folders[:o.nFolder] {
		if f.dirty && !f.gone {
			m.key = appendFolderKey(m.key[:0], f.box.number, f.number)
			m.set(m.key, f.append(m.val[:0]))
		}
		if f.dirty || f.gone {
			m.changed(f.box, f.number, f.modSeq)
		}
	}
	if len(o.boxes) > maxChangeSet || len(o.folders) > maxChangeSet {
		*o = changeSet{}
		return
	}
	o.nBoxes, o.nFolder = 0, 0
	clear(o.byName)
	clear(o.byID)
}
