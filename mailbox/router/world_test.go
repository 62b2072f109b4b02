package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/queue/queuetest"
)

// Groups of the world: one shard, and two queues.
const (
	shardGroup = 7
	queueHere  = 4
	queueThere = 5
)

// world is a cluster with one shard, without raft and sockets. All of it runs in a bubble of
// testing/synctest.
type world struct {
	*testing.T
	group *queuetest.Cluster
	end   context.CancelFunc // of everybody's background

	mu      sync.Mutex // guards what follows, and all members
	shards  []uint64
	queues  []control.Group
	members map[uint16]*member
	owner   *member
	starts  bool                              // the owner leads, and does not serve yet
	asked   []uint16                          // who was asked something, in order
	fault   func(to uint16, path string) bool // loses an answer; nil: none
	log     []string
}

// member is a member of the cluster. Without a store it has no copy of the shard.
type member struct {
	w       *world
	id      uint16
	router  *Router
	rows    *queuetest.Member
	store   *mailbox.Store
	down    bool
	deaf    bool                         // it does not know who leads
	pending map[mailbox.DedupRecord]bool // nil: it owns no queue
}

// play runs a test with members 1 to 3, which have copies of the shard, and 9, which has none.
// Member 1 owns the shard.
func play(t *testing.T, run func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			T: t, shards: []uint64{shardGroup}, members: map[uint16]*member{},
			group: &queuetest.Cluster{Refused: mailbox.ErrRefused},
		}
		background, end := context.WithCancel(context.Background())
		w.end = end
		for _, id := range []uint16{1, 2, 3, 9} {
			m := &member{w: w, id: id}
			w.members[id] = m
			m.router = New(Options{
				Member: id, Placement: w, Held: m.held, Call: m.call, Pending: m.pendingIn,
				Settings: settings, Background: background, Logf: w.logf,
			})
			if id == 9 {
				continue
			}
			m.store = mailbox.New(mailbox.Options{Shards: 1})
			m.rows = w.group.Join(queuetest.Machine{
				Apply: func(
					r *queuetest.Writer, index, term uint64, data []byte, parts [][]byte,
				) any {
					return m.store.Apply(r, index, term, data, parts)
				},
				Committed: m.store.Committed, Restored: m.store.Restored,
			}, nil)
			m.store.Open(m.rows)
		}
		w.leads(1)
		run(w)
		end()
		w.leads(0)
		time.Sleep(time.Minute) // in the bubble: for what was given up, but has not heard it yet
	})
}

// settings are what the directory knows: users of h.
func settings(address string) (mailbox.Settings, bool) {
	return mailbox.Settings{Hard: 1 << 30}, strings.HasSuffix(address, "@h")
}

// member returns a member's mailboxes.
func (w *world) member(id uint16) *Router { return w.members[id].router }

// leads makes a member the owner of the shard; 0: it has none.
func (w *world) leads(id uint16) {
	w.Helper()
	w.mu.Lock()
	before := w.owner
	w.owner = nil
	next := w.members[id]
	w.mu.Unlock()
	if before != nil {
		before.store.Abandon()
	}
	if next == nil {
		w.group.Lead(nil)
		return
	}
	w.group.Lead(next.rows)
	if err := next.store.Start(w.Context(), next.rows, nobody{}); err != nil {
		w.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owner = next
}

// nobody hears of no changes.
type nobody struct{}

func (nobody) Changed([]mailbox.Change) {}

// set changes the world.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// were returns who was asked since the last time, once all is at rest.
func (w *world) were() []uint16 {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// wereAsked checks who was asked since the last time.
func (w *world) wereAsked(want ...uint16) {
	w.Helper()
	if got := w.were(); !slices.Equal(got, want) {
		w.Errorf("%v were asked, not %v", got, want)
	}
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) logf(format string, args ...any) {
	w.set(func() { w.log = append(w.log, fmt.Sprintf(format, args...)) })
}

// Shards, Group and Groups are the placement.
func (w *world) Shards() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shards
}

func (w *world) Group(id uint64) (control.Group, bool) {
	if id != shardGroup {
		return control.Group{}, false
	}
	voters := []uint16{1, 2, 3}
	return control.Group{ID: id, Kind: control.KindMailbox, Voters: voters}, true
}

func (w *world) Groups() []control.Group {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queues
}

func (m *member) held(group uint64) Copy {
	if group != shardGroup || m.store == nil {
		return nil
	}
	return m
}

func (m *member) Store() *mailbox.Store { return m.store }

func (m *member) Owned() bool {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return m.w.owner == m && !m.w.starts
}

func (m *member) Leader() (uint16, bool) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.w.owner == nil || m.deaf {
		return 0, false
	}
	return m.w.owner.id, true
}

func (m *member) pendingIn(group uint64, records []mailbox.DedupRecord) ([]byte, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.pending == nil || (group == queueHere) != (m.id == 1) {
		return nil, errors.New("not my queue")
	}
	answer := make([]byte, len(records))
	for i, r := range records {
		if m.pending[r] {
			answer[i] = 1
		}
	}
	return answer, nil
}

var errCut = errors.New("the connection was cut")

// call takes a request to another member's Handler, a millisecond away.
func (m *member) call(
	ctx context.Context, to uint16, path string, body io.Reader, read func(io.Reader) error,
) error {
	w := m.w
	w.mu.Lock()
	w.asked = append(w.asked, to)
	other, fault := w.members[to], w.fault
	down := other.down
	w.mu.Unlock()
	time.Sleep(time.Millisecond)
	if err := ctx.Err(); err != nil {
		return err
	}
	if down {
		return fmt.Errorf("%w: member %d is down", mailbox.ErrRefused, to)
	}
	answer := httptest.NewRecorder()
	request := httptest.NewRequest("POST", path, body).WithContext(ctx)
	other.router.Handler().ServeHTTP(answer, request)
	switch {
	case fault != nil && fault(to, path):
		return errCut
	case answer.Code != 200:
		return fmt.Errorf("%w: %s", mailbox.ErrRefused, answer.Body)
	case read == nil:
		return nil
	}
	return read(answer.Body)
}

// losing loses the next answers of a path.
func (w *world) losing(answers int, of string) {
	w.set(func() {
		w.fault = func(_ uint16, path string) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			if path != of || answers == 0 {
				return false
			}
			answers--
			return true
		}
	})
}

// key is that of a message that came just now.
func key(number uint32) mailbox.AppendKey {
	return mailbox.AppendKey{ID: mail.FloorID(time.Now()), Recipient: number}
}

// outcome is what became of an append of one item.
type outcome struct {
	code mailbox.Code
	err  error
	took time.Duration
}

// begin begins to append a message at a member.
func (w *world) begin(
	at uint16, k mailbox.AppendKey, address, text string,
) <-chan outcome {
	start, done := time.Now(), make(chan outcome, 2)
	w.member(at).Append(0, delivery(k, address, text), func(r []mailbox.Result, err error) {
		o := outcome{err: err, took: time.Since(start)}
		if err == nil {
			o.code = r[0].Code
		}
		done <- o
	})
	return done
}

func delivery(k mailbox.AppendKey, address, text string) *mailbox.Delivery {
	return &mailbox.Delivery{
		Content: mailbox.Content{Size: int64(len(text)), Bytes: []byte(text)},
		Items:   []mailbox.Item{{Key: k, Mailbox: address}},
	}
}

// append appends a message at a member.
func (w *world) append(at uint16, k mailbox.AppendKey, address, text string) outcome {
	w.Helper()
	done := w.begin(at, k, address, text)
	o := <-done
	if synctest.Wait(); len(done) > 0 {
		w.Error("an append was answered twice")
	}
	return o
}

// appended checks what becomes of a message that is appended at a member.
func (w *world) appended(at uint16, k mailbox.AppendKey, address string, want mailbox.Code) {
	w.Helper()
	if o := w.append(at, k, address, "text"); o.err != nil || o.code != want {
		w.Errorf("an append at member %d: code %d, %v; want code %d", at, o.code, o.err, want)
	}
}

// follow lets all copies apply what was decided.
func (w *world) follow() {
	for _, m := range w.members {
		if m.rows != nil {
			w.group.Follow(m.rows, 1<<20)
		}
	}
}
