package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// mailboxes are all mailboxes of the cluster, wherever they are: each call goes to the owner of the
// mailbox's shard, on this node or another. While there is none, as during an election, it is
// looked for again, for ownerPatience. Safe for use by several goroutines. ErrRefused: no owner was
// found in time, and nothing happened; ErrUnknown: it may have happened.
type mailboxes struct {
	n *node
	// settings are what the directory says of a mailbox that is to be made; false: there is no such
	// user. Set before the node takes mail.
	settings func(address string) (mailbox.Settings, bool)

	mu      sync.Mutex
	senders map[uint16]*remote.Sender // by member
	guesses map[int]int               // by shard of which this node has no copy: which of its voters was last found to own it
	forgets forgets
	rooms   rooms
	unlocks unlocks
}

func newMailboxes(n *node) *mailboxes {
	return &mailboxes{
		n: n, senders: map[uint16]*remote.Sender{}, guesses: map[int]int{}, rooms: rooms{known: map[string]room{}},
		settings: func(string) (mailbox.Settings, bool) { return mailbox.Settings{}, false },
	}
}

// How long, and how often, an owner is looked for. An election takes some three seconds.
const (
	ownerPatience = 8 * time.Second
	ownerFirst    = 20 * time.Millisecond
	ownerMost     = 500 * time.Millisecond
)

var (
	errNoBoxes = fmt.Errorf("%w: the cluster has no mailboxes yet", mailbox.ErrRefused)
	errNoOwner = fmt.Errorf("%w: their shard has no owner now", mailbox.ErrRefused)
)

// Shards is the number of shards, a constant of the cluster; 0: there are none yet.
func (m *mailboxes) Shards() int { return len(m.n.control.Shards()) }

// shardOf is the shard of a mailbox.
func (m *mailboxes) shardOf(address string) (int, error) {
	if n := m.Shards(); n > 0 {
		return mailbox.Shard(address, n), nil
	}
	return 0, errNoBoxes
}

// held returns this node's member of a shard; nil: it has none.
func (m *mailboxes) held(number int) *shard {
	groups := m.n.control.Shards()
	if number < 0 || number >= len(groups) || groups[number] == 0 {
		return nil
	}
	return m.n.shards.Get(groups[number])
}

// Held is the copy of a shard that this node has (remote.Shards); nil: it has none.
func (m *mailboxes) Held(number int) *mailbox.Store {
	if s := m.held(number); s != nil {
		return s.store
	}
	return nil
}

// Owned is a shard that this node surely owns (remote.Shards); nil: it does not.
func (m *mailboxes) Owned(number int) *mailbox.Store {
	if s := m.held(number); s != nil && s.open() {
		return s.store
	}
	return nil
}

// owner finds the owner of a shard: this node, whose store it returns, or another member, 0 when
// none is known.
func (m *mailboxes) owner(number int) (here *mailbox.Store, member uint16) {
	if s := m.held(number); s != nil {
		if s.open() {
			return s.store, 0
		}
		switch leader, known := s.group.Leader(); {
		case leader == m.n.self.Member: // it does not serve yet, or its lease has ended
			return nil, 0
		case known:
			return nil, leader
		}
		// There is an election, or the shard has moved away and this copy is about to be deleted:
		// others may know.
	}
	voters := m.voters(number)
	if len(voters) == 0 {
		return nil, 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return nil, voters[m.guesses[number]%len(voters)]
}

// voters are the other members that have a shard.
func (m *mailboxes) voters(number int) []uint16 {
	groups := m.n.control.Shards()
	if number < 0 || number >= len(groups) {
		return nil
	}
	g, _ := m.n.control.Group(groups[number])
	voters := g.Observed.Voters
	if len(voters) == 0 {
		voters = g.Voters
	}
	return slices.DeleteFunc(slices.Clone(voters), func(id uint16) bool { return id == m.n.self.Member })
}

// wrong notes that a member does not own a shard, if it was asked by a guess.
func (m *mailboxes) wrong(number int, member uint16) {
	voters := m.voters(number)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(voters) > 0 && voters[m.guesses[number]%len(voters)] == member {
		m.guesses[number]++
	}
}

// atOwner does something at the owner of a shard, here or at another member; again while it is
// refused.
func (m *mailboxes) atOwner(ctx context.Context, number int, here func(*mailbox.Store) error, there func(remote.Call) error) error {
	limit := time.Now().Add(ownerPatience)
	for wait := ownerFirst; ; wait = min(2*wait, ownerMost) {
		err := errNoOwner
		if s, member := m.owner(number); s != nil {
			err = here(s)
		} else if member != 0 {
			if err = there(m.call(member)); errors.Is(err, mailbox.ErrRefused) {
				m.wrong(number, member)
			}
		}
		if !errors.Is(err, mailbox.ErrRefused) || time.Now().Add(wait).After(limit) || !clock.Pause(ctx, wait) {
			return err
		}
	}
}

// call makes requests to a member.
func (m *mailboxes) call(member uint16) remote.Call {
	return func(ctx context.Context, path string, body io.Reader, read func(io.Reader) error) error {
		err := m.n.store.Call(ctx, member, http.MethodPost, path, body, read)
		if err == nil {
			return nil
		}
		// An answer other than 200 says that what was asked could not be read: nothing was done.
		if answer := (*cluster.Answer)(nil); errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &answer) {
			return fmt.Errorf("%w: member %d: %w", mailbox.ErrRefused, member, err)
		}
		return fmt.Errorf("member %d: %w", member, err)
	}
}

// do makes a request of the owner of a shard.
func (m *mailboxes) do(ctx context.Context, q *remote.Request) (r remote.Reply, err error) {
	err = m.atOwner(ctx, q.Shard, func(s *mailbox.Store) error {
		r = remote.Do(ctx, s, q)
		return r.Err()
	}, func(call remote.Call) (err error) {
		err = call(ctx, remote.PathVerb, q.Body(), func(from io.Reader) (err error) {
			r, err = remote.ReadReply(from)
			return err
		})
		switch {
		case err == nil:
			return r.Err()
		case errors.Is(err, mailbox.ErrRefused):
			return err
		case q.Repeatable() && ctx.Err() == nil:
			return again{err}
		}
		return fmt.Errorf("%w: %w", mailbox.ErrUnknown, err)
	})
	if lost := (again{}); errors.As(err, &lost) {
		err = fmt.Errorf("%w: %w", mailbox.ErrUnknown, lost.error)
	}
	return r, err
}

// again is a failure on the way there, or back, of a request that may be repeated.
type again struct{ error }

func (again) Is(target error) bool { return target == mailbox.ErrRefused }

// doAt makes a request about a mailbox. The first mailbox of all waits for the shards.
func (m *mailboxes) doAt(ctx context.Context, address string, q remote.Request) (r remote.Reply, err error) {
	limit := time.Now().Add(ownerPatience)
	for q.Makes() && m.Shards() == 0 && time.Now().Before(limit) && clock.Pause(ctx, ownerMost) {
	}
	if q.Shard, err = m.shardOf(address); err != nil {
		return r, err
	}
	return m.do(ctx, &q)
}

// Create makes a mailbox; it is no error that it is there.
func (m *mailboxes) Create(ctx context.Context, address string, s mailbox.Settings) error {
	_, err := m.doAt(ctx, address, remote.Request{Verb: "create", Address: address, Settings: s})
	return err
}

// Configure changes quotas and retention, or returns ErrNoMailbox.
func (m *mailboxes) Configure(ctx context.Context, address string, s mailbox.Settings) error {
	_, err := m.doAt(ctx, address, remote.Request{Verb: "configure", Address: address, Settings: s})
	return err
}

// Remove removes a mailbox and all that is in it; it is no error that there is none.
func (m *mailboxes) Remove(ctx context.Context, address string) error {
	_, err := m.doAt(ctx, address, remote.Request{Verb: "remove", Address: address})
	return err
}

// Mailbox returns a mailbox, or ErrNoMailbox.
func (m *mailboxes) Mailbox(ctx context.Context, address string) (mailbox.Mailbox, error) {
	r, err := m.doAt(ctx, address, remote.Request{Verb: "mailbox", Address: address})
	return r.Mailbox, err
}

// Folders lists the folders of a mailbox.
func (m *mailboxes) Folders(ctx context.Context, box mailbox.Ref) ([]mailbox.Folder, error) {
	r, err := m.doAt(ctx, box.Address, remote.Request{Verb: "folders", Box: box})
	return r.Folders, err
}

// makeFolder makes a folder of a mailbox if it is not there.
func (m *mailboxes) makeFolder(ctx context.Context, box mailbox.Ref, name string) error {
	_, err := m.doAt(ctx, box.Address, remote.Request{Verb: "folder", Box: box, Name: name})
	return err
}

// list lists mailboxes of one shard, by their addresses.
func (m *mailboxes) list(ctx context.Context, number int, after string, most int) ([]mailbox.Mailbox, error) {
	r, err := m.do(ctx, &remote.Request{Verb: "list", Shard: number, After: after, Most: most})
	return r.Mailboxes, err
}
