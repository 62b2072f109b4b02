package mailbox

// inboxName is how the inbox is listed.
const inboxName = "INBOX"

// applyCreateMailbox makes a mailbox with its inbox. Its number is never given again, so a verb
// that names address and number never hits a later mailbox of that address.
func (m *machine) applyCreateMailbox([][]byte) any {
	c := &m.cmd
	if m.box(c.address) != nil {
		return verbResult{status: statusExists}
	}
	m.meta.mailbox++
	b := m.addBox(
		c.address,
		boxRow{
			number:     m.meta.mailbox,
			lastFolder: Inbox,
			settings:   c.settings,
			created:    m.meta.time,
		},
	)
	m.newFolder(b, Inbox, []byte(inboxName))
	m.meta.counters[countMailboxes]++
	return verbResult{number: b.number}
}

// newFolder makes a folder. Its number and its UIDVALIDITY are above all that were given before.
func (m *machine) newFolder(b *openBox, number uint32, name []byte) {
	f := m.addFolder(b, number)
	f.buf = append(f.buf[:0], name...)
	f.folderRow = folderRow{subscribed: true, validity: m.meta.nextValidity(), next: 1, name: f.buf}
	f.touch()
}

// applyRemoveMailbox lets a mailbox and its folders go; the address is free at once. Its messages
// are purged after it, some at a time.
func (m *machine) applyRemoveMailbox([][]byte) any {
	b := m.named()
	if b == nil {
		return verbResult{status: statusNoMailbox}
	}
	m.key = appendMailboxKey(m.key[:0], b.address)
	m.w.Delete(m.key)
	for _, kind := range []byte{keyFolder, keyName} {
		m.w.DeleteRange(appendPrefix(nil, kind, b.number), appendPrefix(nil, kind, b.number+1))
	}
	m.condemn(b.number, 0, b.messages, b.bytes)
	b.gone = true
	m.meta.counters[countMailboxes]--
	m.changed(b, 0, 0)
	return verbResult{}
}

// condemn leaves messages to be purged. They are not counted any more.
func (m *machine) condemn(mailbox, folder uint32, messages, bytes uint64) {
	m.meta.counters[countMessages] -= messages
	m.meta.counters[countBytes] -= bytes
	m.setCondemned(mailbox, folder, messages)
}

func (m *machine) setCondemned(mailbox, folder uint32, messages uint64) {
	m.key = appendCondemnedKey(m.key[:0], mailbox, folder)
	if messages == 0 {
		m.w.Delete(m.key)
	} else {
		m.set(m.key, appendNumberRow(m.val[:0], messages))
	}
}

// applyPurge removes messages of what was deleted. With the last, nothing is left of it.
func (m *machine) applyPurge([][]byte) any {
	c := &m.cmd
	folder := c.folder
	left, ok := m.condemned(c.box.number, folder)
	if !ok { // then perhaps with its mailbox
		folder = 0
		if left, ok = m.condemned(c.box.number, 0); !ok {
			return verbResult{}
		}
	}
	var r verbResult
	f := openFolder{box: &openBox{boxRow: boxRow{number: c.box.number}}, number: c.folder}
	for _, uid := range c.uids {
		if row, ok := m.message(&f, uid); ok {
			id := refersTo(&row)
			m.key = appendMessageKey(m.key[:0], c.box.number, c.folder, uid)
			m.w.Delete(m.key)
			m.release(id)
			r.count++
		}
	}
	m.setCondemned(c.box.number, folder, left-uint64(r.count))
	return r
}

func (m *machine) condemned(mailbox, folder uint32) (left uint64, ok bool) {
	m.key = appendCondemnedKey(m.key[:0], mailbox, folder)
	v, ok := m.w.Get(m.key)
	if !ok {
		return 0, false
	}
	return must(decodeNumberRow(v)), true
}

func (m *machine) applyRenameMailbox([][]byte) any {
	b := m.named()
	switch {
	case b == nil:
		return verbResult{status: statusNoMailbox}
	case m.box(m.cmd.address) != nil:
		return verbResult{status: statusExists}
	}
	m.key = appendMailboxKey(m.key[:0], b.address)
	m.w.Delete(m.key)
	b.gone = true
	m.addBox(m.cmd.address, b.boxRow)
	m.changed(b, 0, 0)
	return verbResult{}
}

func (m *machine) applySettings([][]byte) any {
	b := m.named()
	if b == nil {
		return verbResult{status: statusNoMailbox}
	}
	b.settings = m.cmd.settings
	return verbResult{}
}

func (m *machine) applyCreateFolder([][]byte) any {
	c := &m.cmd
	b := m.named()
	switch {
	case b == nil:
		return verbResult{status: statusNoMailbox}
	case m.byName(b, c.name) != 0:
		return verbResult{status: statusExists}
	case b.folders+1 >= maxFolders:
		return verbResult{status: statusTooMany}
	}
	b.folders++
	b.lastFolder++
	m.newFolder(b, b.lastFolder, c.name)
	m.setName(b, b.lastFolder, c.name)
	return verbResult{number: b.lastFolder}
}

func (m *machine) setName(b *openBox, number uint32, name []byte) {
	m.key = appendNameKey(m.key[:0], b.number, name)
	m.set(m.key, appendNumberRow(m.val[:0], uint64(number)))
}

// applyRenameFolders renames all or none.
func (m *machine) applyRenameFolders([][]byte) any {
	c := &m.cmd
	b := m.named()
	if b == nil {
		return verbResult{status: statusNoMailbox}
	}
	taken := make(map[string]bool)
	for _, n := range c.names {
		switch {
		case n.number == Inbox || m.folder(b, n.number) == nil:
			return verbResult{status: statusNoFolder}
		case m.byName(b, n.name) != 0 || taken[string(n.name)]:
			return verbResult{status: statusExists}
		}
		taken[string(n.name)] = true
	}
	for _, n := range c.names {
		f := m.folder(b, n.number)
		m.key = appendNameKey(m.key[:0], b.number, f.name)
		m.w.Delete(m.key)
		f.buf = append(f.buf[:0], n.name...)
		f.name = f.buf
		f.touch()
		m.setName(b, n.number, n.name)
	}
	return verbResult{}
}

// applyDeleteFolder lets a folder go, with the quota that its messages took. They are purged after
// it, some at a time.
func (m *machine) applyDeleteFolder([][]byte) any {
	f, s := m.target()
	switch {
	case f == nil:
		return verbResult{status: s}
	case f.number == Inbox:
		return verbResult{status: statusNoFolder}
	}
	m.key = appendNameKey(m.key[:0], f.box.number, f.name)
	m.w.Delete(m.key)
	m.key = appendFolderKey(m.key[:0], f.box.number, f.number)
	m.w.Delete(m.key)
	m.condemn(f.box.number, f.number, f.messages, f.bytes)
	f.gone = true
	f.box.folders--
	f.box.messages -= f.messages
	f.box.bytes -= f.bytes
	return verbResult{}
}

func (m *machine) applyFolderOptions([][]byte) any {
	f, s := m.target()
	if f == nil {
		return verbResult{status: s}
	}
	f.subscribed, f.retention = m.cmd.options.subscribed, m.cmd.options.retention.Milliseconds()
	f.touch()
	return verbResult{}
}
