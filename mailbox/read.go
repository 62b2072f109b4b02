package mailbox

import (
	"errors"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/codec"
)

// Reads work on every member, on what it has applied.

var errNotOpen = errors.New("mailbox: not open")

func (s *Store) read() (Reader, error) {
	if r := s.reader.Load(); r != nil {
		return *r, nil
	}
	return nil, errNotOpen
}

// Mailbox returns a mailbox by its canonical address, or ErrNoMailbox: one look-up of one row.
func (s *Store) Mailbox(address string) (Mailbox, error) {
	r, err := s.read()
	if err != nil {
		return Mailbox{}, err
	}
	v, ok, err := r.Get(appendMailboxKey(nil, address))
	if err != nil {
		return Mailbox{}, fmt.Errorf("read mailbox %s: %w", address, err)
	}
	if !ok {
		return Mailbox{}, ErrNoMailbox
	}
	return decodeMailbox(address, v)
}

func decodeMailbox(address string, v []byte) (Mailbox, error) {
	row, err := decodeBoxRow(v)
	if err != nil {
		return Mailbox{}, fmt.Errorf("mailbox %s: %w", address, err)
	}
	return Mailbox{
		Ref: Ref{
			address,
			row.number,
		}, Settings: row.settings, Created: codec.FromMillis(row.created),
		Messages: row.messages, Bytes: int64(row.bytes), Folders: int(row.folders) + 1,
	}, nil
}

// Room reports whether a message of size octets would be taken now: ErrNoMailbox, ErrFull or nil.
// For RCPT, where the answer may be a little old; the append decides.
func (s *Store) Room(address string, size int64) error {
	m, err := s.Mailbox(address)
	if err == nil && m.Hard > 0 && m.Bytes+size > m.Hard {
		return ErrFull
	}
	return err
}

// Mailboxes returns up to most mailboxes after an address, in the order of their addresses.
func (s *Store) Mailboxes(after string, most int) (all []Mailbox, err error) {
	from := append(appendMailboxKey(nil, after), 0)
	if after == "" {
		from = []byte{keyMailbox}
	}
	err = s.scan(from, []byte{keyMailbox + 1}, func(k, v []byte) (bool, error) {
		m, err := decodeMailbox(string(k[1:]), v)
		all = append(all, m)
		return len(all) < most, err
	})
	return all, err
}

// scan is Reader.Scan for a function that may fail.
func (s *Store) scan(from, to []byte, fn func(k, v []byte) (bool, error)) error {
	r, err := s.read()
	if err != nil {
		return err
	}
	var bad error
	err = r.Scan(from, to, func(k, v []byte) (more bool) {
		more, bad = fn(k, v)
		return more && bad == nil
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return fmt.Errorf("read mailboxes: %w", err)
	}
	return nil
}

// Folders returns the folders of a mailbox, up to 1,000, in the order of their making; none when
// the mailbox is no more.
func (s *Store) Folders(box Ref) (all []Folder, err error) {
	err = s.scan(
		appendPrefix(nil, keyFolder, box.Number),
		appendPrefix(nil, keyFolder, box.Number+1),
		func(k, v []byte) (bool, error) {
			_, number, ok := parsePair(k, keyFolder)
			if !ok {
				return false, errCorrupt
			}
			f, err := decodeFolder(number, v)
			all = append(all, f)
			return true, err
		},
	)
	return all, err
}

func decodeFolder(number uint32, v []byte) (Folder, error) {
	row, err := decodeFolderRow(v)
	return Folder{
		Number: number, Name: string(row.name), Subscribed: row.subscribed,
		Retention: time.Duration(row.retention) * time.Millisecond,
		Validity:  row.validity, Next: row.next, ModSeq: row.modSeq,
		Messages: row.messages, Bytes: int64(row.bytes), Unseen: row.unseen, Deleted: row.deleted,
	}, err
}

// Folder returns a folder by its number, or ErrNoFolder. Its totals are POP3's STAT and IMAP's
// STATUS.
func (s *Store) Folder(box Ref, number uint32) (Folder, error) {
	v, err := s.get(appendFolderKey(nil, box.Number, number), ErrNoFolder)
	if err != nil {
		return Folder{}, err
	}
	return decodeFolder(number, v)
}

// FolderNamed returns a folder by its name, or ErrNoFolder.
func (s *Store) FolderNamed(box Ref, name string) (Folder, error) {
	number := uint64(Inbox)
	if !isInbox([]byte(name)) {
		v, err := s.get(appendNameKey(nil, box.Number, name), ErrNoFolder)
		if err == nil {
			number, err = decodeNumberRow(v)
		}
		if err != nil {
			return Folder{}, err
		}
	}
	return s.Folder(box, uint32(number))
}

// get reads a row; missing: there is none.
func (s *Store) get(key []byte, missing error) ([]byte, error) {
	r, err := s.read()
	if err != nil {
		return nil, err
	}
	v, ok, err := r.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read mailboxes: %w", err)
	}
	if !ok {
		return nil, missing
	}
	return v, nil
}

// Range is a range of UIDs; Last 0: to the end.
type Range struct{ First, Last UID }

// Messages calls fn with the messages of a folder in the order of their UIDs until it returns
// false. m is valid during the call, and nothing is allocated for it. It sees the state of
// one moment, which the store keeps as long as it runs: fn must not wait for a client.
func (s *Store) Messages(box Ref, folder uint32, in Range, fn func(m *Message) bool) error {
	from, to := appendMessageKey(
		nil,
		box.Number,
		folder,
		in.First,
	), appendPair(
		nil,
		keyMessage,
		box.Number,
		folder+1,
	)
	if in.Last != 0 && in.Last < 1<<32-1 {
		to = appendMessageKey(nil, box.Number, folder, in.Last+1)
	}
	var m Message
	return s.scan(from, to, func(k, v []byte) (bool, error) {
		_, _, uid, ok := parseMessageKey(k)
		if !ok {
			return false, errCorrupt
		}
		if err := m.decode(uid, v); err != nil {
			return false, err
		}
		return fn(&m), nil
	})
}

func (m *Message) decode(uid UID, v []byte) error {
	row, err := decodeMessageRow(v)
	*m = Message{uid, row.flags, row.modSeq, row.size, row.date, row.saved, row.rest}
	return err
}

// Message returns one message, or ErrNoMessage.
func (s *Store) Message(box Ref, folder uint32, uid UID) (m Message, err error) {
	v, err := s.get(appendMessageKey(nil, box.Number, folder, uid), ErrNoMessage)
	if err == nil {
		err = m.decode(uid, v)
	}
	return m, err
}

// DedupRecords returns up to most dedup records after one, oldest message first: those of long ago
// are of recipients that the queue has settled, if it says so, and are to be forgotten.
func (s *Store) DedupRecords(after DedupRecord, most int) (all []DedupRecord, err error) {
	from := append(appendRecordKey(nil, after), 0)
	err = s.scan(from, []byte{keyRecord + 1}, func(k, _ []byte) (bool, error) {
		r, ok := parseRecordKey(k)
		if !ok {
			return false, errCorrupt
		}
		all = append(all, r)
		return len(all) < most, nil
	})
	return all, err
}
