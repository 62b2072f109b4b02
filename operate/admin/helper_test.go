package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/queuetest"
)

const testToken = "a token that nobody guesses"

// node is a server over a real queue and a real directory, each on a group in memory.
type node struct {
	*Server
	queue  *queue.Queue
	client *client.Client
	ready  error
	notes  []string
	mu     sync.Mutex
	moves  []string // what Moved heard
	group  uint64
	// the knowledge of its scheduler
	inFlight   func(mail.ID, uint32) bool
	reason     func(string) (mail.Attempt, time.Time, bool)
	waits      func(string, time.Time) string
	suspension func(string, *mail.Origin) (string, time.Time, bool)
}

func (n *node) local() LocalQueue {
	return LocalQueue{Group: n.group, Queue: n.queue, InFlight: n.inFlight, Reason: n.reason,
		Waits: n.waits, Suspension: n.suspension}
}

// nobody is a Listener without a scheduler.
type nobody struct{}

func (nobody) Accepted([]queue.Item)       {}
func (nobody) Changed([]mail.ID, []string) {}
func (nobody) Gone([]mail.ID)              {}
func (nobody) Suspended(queue.Suspensions) {}

// users is the directory as the node wires it.
type users struct {
	*directory.Editor
	*directory.Directory
}

func (u users) Remove(ctx context.Context, name string, _ bool) error {
	return u.Editor.Remove(ctx, name)
}

func (users) Sync(context.Context, bool) (directory.Synced, error) {
	return directory.Synced{Users: 3, Changed: 2}, nil
}

func (n *node) Live() error  { return nil }
func (n *node) Ready() error { return n.ready }

func (n *node) Notes() []string { return n.notes }

func start(t *testing.T, change func(*Options)) *node {
	t.Helper()
	return startMember(t, 1, change)
}

// startMember starts a node with a number; its group is that and one.
func startMember(t *testing.T, member uint16, change func(*Options)) *node {
	t.Helper()
	n := &node{queue: queue.New(queue.Options{Member: member}), group: uint64(member) + 1}
	group := queuetest.New(queuetest.Machine{
		Apply: func(w *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
			return n.queue.Apply(w, index, term, data, parts)
		},
		Committed: n.queue.Committed,
	})
	if err := n.queue.Start(t.Context(), group, nobody{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.queue.Stop(context.Background()) })
	d := directory.New()
	control := queuetest.New(queuetest.Machine{
		Apply: func(w *queuetest.Writer, index, term uint64, data []byte, parts [][]byte) any {
			return d.Apply(w, index, term, data, parts)
		},
		Committed: d.Committed,
	})
	if err := d.Load(control); err != nil {
		t.Fatal(err)
	}
	editor := &directory.Editor{Directory: d, Proposer: control, Now: time.Now,
		Cost: directory.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}}
	o := Options{
		Socket: filepath.Join(t.TempDir(), "admin.sock"), Address: "127.0.0.1:0",
		Settings: Settings{Token: testToken, Hosts: []string{"mx1.example.net"}}, Node: "mx1",
		Health: n, Users: users{editor, d},
		Queues: func() []LocalQueue { return []LocalQueue{n.local()} },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "postroad_up 1\n")
		}),
		Moved: func(verb string, m *queue.Stored, r uint32, to queue.State) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.moves = append(n.moves, verb+" "+m.Message.Envelope.Recipients[r].Address+" "+
				to.String())
		},
	}
	if change != nil {
		change(&o)
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	n.Server, n.client = s, client.New(o.Socket, "")
	t.Cleanup(func() {
		n.client.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// submit puts a message into the queue.
func (n *node) submit(t *testing.T, sender string, recipients ...string) string {
	t.Helper()
	env := &mail.Envelope{Sender: sender, Origin: mail.Origin{Tenant: "t1", Campaign: "spring",
		Protocol: "ESMTP", Helo: "client.example"}}
	for _, r := range recipients {
		env.Recipients = append(env.Recipients,
			mail.Recipient{Address: r, Domain: mail.DomainOf(r)})
	}
	ids, failed := make(chan mail.ID, 1), make(chan error, 1)
	body := []byte("Subject: x\r\n\r\nhello\r\n")
	n.queue.Submit(env, &mail.Content{Chunks: [][]byte{body}, Size: int64(len(body))},
		func(id mail.ID, f *smtp.Failure) {
			if f != nil {
				failed <- f
				return
			}
			ids <- id
		})
	select {
	case id := <-ids:
		return id.String()
	case err := <-failed:
		t.Fatal(err)
		return ""
	}
}

// exit returns the exit status of an error, 0 for nil.
func exit(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *api.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *Error", err)
	}
	return e.Exit
}
