package pop3

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// fakeAuth knows one user, whose password is "secret", and a SCRAM exchange of fixed words.
type fakeAuth struct{}

const fakeUser = "u@local.example"

var errFakeInvalid = smtp.Perm(535, "5.7.8", "The user name or the password is wrong")

func (fakeAuth) Plain(
	_ netip.AddrPort, _, user, password string, done func(string, *smtp.Failure),
) {
	switch {
	case password == "busy":
		done("", smtp.Temp(454, "4.7.0", "Too many log-ins at this moment; try again soon"))
	case password == "blocked":
		f := smtp.Temp(454, "4.7.0", "Too many failed log-ins from your network; try again later")
		f.Close = true
		done("", f)
	case password == "secret":
		done(user, nil)
	default:
		done("", errFakeInvalid)
	}
}

func (fakeAuth) ScramSHA256(netip.AddrPort) ScramExchange { return &fakeScram{} }

type fakeScram struct{ steps int }

func (x *fakeScram) Step(client []byte) ([]byte, string, bool, *smtp.Failure) {
	x.steps++
	switch {
	case x.steps == 1 && string(client) == "client-first":
		return []byte("server-first"), "", false, nil
	case x.steps == 2 && string(client) == "client-final":
		return []byte("server-final"), fakeUser, true, nil
	}
	return nil, "", false, errFakeInvalid
}

// memory is a store of maildrops: that of fakeUser, others on demand. Safe for use by several
// goroutines.
type memory struct {
	// when it is closed, the owner of the mailbox "stuck" answers that it is none
	stuck chan struct{}
	mu    struct {
		sync.Mutex
		boxes  map[string]*memoryBox
		locks  uint64
		fail   map[string]error // by the call's name
		unlock int
		opened int // readers that are open
		opens  int // so far
		renews int
		reads  int
		rests  int           // since the last read
		gate   chan struct{} // each read takes one, if set
	}
}

type memoryBox struct {
	list    []mailbox.Message
	content map[mailbox.UID]string
	holder  uint64
}

func newMemory(messages ...string) *memory {
	m := &memory{}
	m.mu.boxes, m.mu.fail = map[string]*memoryBox{}, map[string]error{}
	m.put(fakeUser, messages...)
	return m
}

func (m *memory) put(address string, messages ...string) {
	b := &memoryBox{content: map[mailbox.UID]string{}}
	for i, text := range messages {
		uid := mailbox.UID(i + 101)
		b.list = append(b.list, mailbox.Message{UID: uid, Size: int64(len(text))})
		b.content[uid] = text
	}
	m.mu.boxes[address] = b
}

// enter locks m, and returns what the call is to fail with.
func (m *memory) enter(call string) error {
	m.mu.Lock()
	return m.mu.fail[call]
}

func (m *memory) failing(call string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.fail[call] = err
}

// hold makes each read wait for a value of the gate, or its end.
func (m *memory) hold() (gate chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.gate = make(chan struct{})
	return m.mu.gate
}

func (m *memory) Lock(_ context.Context, address string) (id mailbox.LockID, err error) {
	if address == "stuck" {
		<-m.stuck
		return id, mailbox.ErrRefused
	}
	err = m.enter("lock")
	defer m.mu.Unlock()
	b := m.mu.boxes[address]
	switch {
	case err != nil:
	case b == nil:
		err = mailbox.ErrNoMailbox
	case b.holder != 0:
		err = mailbox.ErrLocked
	default:
		m.mu.locks++
		b.holder = m.mu.locks
		id = mailbox.LockID{
			Mailbox: mailbox.Ref{Address: address, Number: 1},
			Session: 1,
			Number:  b.holder,
		}
	}
	return id, err
}

func (m *memory) Renew(_ context.Context, id mailbox.LockID) error {
	err := m.enter("renew")
	defer m.mu.Unlock()
	m.mu.renews++
	if b := m.mu.boxes[id.Mailbox.Address]; err == nil && b.holder != id.Number {
		err = mailbox.ErrStaleLock
	}
	return err
}

func (m *memory) Unlock(id mailbox.LockID) {
	_ = m.enter("")
	defer m.mu.Unlock()
	m.mu.unlock++
	if b := m.mu.boxes[id.Mailbox.Address]; b.holder == id.Number {
		b.holder = 0
	}
}

func (m *memory) Update(_ context.Context, id mailbox.LockID, uids []mailbox.UID) error {
	err := m.enter("update")
	defer m.mu.Unlock()
	b := m.mu.boxes[id.Mailbox.Address]
	switch {
	case err != nil:
	case b.holder != id.Number:
		err = mailbox.ErrStaleLock
	default:
		b.list = slices.DeleteFunc(
			b.list,
			func(m mailbox.Message) bool { return slices.Contains(uids, m.UID) },
		)
	}
	return err
}

func (m *memory) Mailbox(_ context.Context, address string) (mailbox.Mailbox, error) {
	err := m.enter("mailbox")
	defer m.mu.Unlock()
	return mailbox.Mailbox{Ref: mailbox.Ref{Address: address, Number: 1}}, err
}

func (m *memory) Folders(context.Context, mailbox.Ref) ([]mailbox.Folder, error) {
	err := m.enter("folders")
	defer m.mu.Unlock()
	return []mailbox.Folder{{Number: mailbox.Inbox, Name: "INBOX", Validity: 0x5eed}}, err
}

func (m *memory) Messages(_ context.Context, box mailbox.Ref, _ uint32) ([]mailbox.Message, error) {
	err := m.enter("messages")
	defer m.mu.Unlock()
	return slices.Clone(m.mu.boxes[box.Address].list), err
}

func (m *memory) Open(
	_ context.Context, box mailbox.Ref, _ uint32, uid mailbox.UID,
) (io.ReadCloser, int64, error) {
	err := m.enter("open")
	defer m.mu.Unlock()
	if err != nil {
		return nil, 0, err
	}
	text, ok := m.mu.boxes[box.Address].content[uid]
	if !ok {
		return nil, 0, mailbox.ErrNoMessage
	}
	m.mu.opened++
	m.mu.opens++
	return &memoryReader{Reader: *bytes.NewReader([]byte(text)), m: m}, int64(len(text)), nil
}

type memoryReader struct {
	bytes.Reader
	m *memory
}

func (r *memoryReader) Read(p []byte) (int, error) {
	_ = r.m.enter("read")
	gate := r.m.mu.gate
	r.m.mu.Unlock()
	if gate != nil {
		<-gate
	}
	err := r.m.enter("read")
	r.m.mu.reads++
	r.m.mu.rests = 0
	r.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func (r *memoryReader) Rest() {
	_ = r.m.enter("")
	defer r.m.mu.Unlock()
	r.m.mu.rests++
}

func (r *memoryReader) Close() error {
	_ = r.m.enter("")
	defer r.m.mu.Unlock()
	r.m.mu.opened--
	return nil
}

func (m *memory) uids(address string) (uids []mailbox.UID) {
	_ = m.enter("")
	defer m.mu.Unlock()
	for _, message := range m.mu.boxes[address].list {
		uids = append(uids, message.UID)
	}
	return uids
}

func (m *memory) locked(address string) bool {
	_ = m.enter("")
	defer m.mu.Unlock()
	return m.mu.boxes[address].holder != 0
}

func testServer(t testing.TB, change func(*Options)) *Server {
	t.Helper()
	o := Options{Hostname: "pop.test", Maildrops: newMemory(), Authenticator: fakeAuth{}}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
