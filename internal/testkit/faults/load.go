package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Server is where a Load may send to.
type Server struct {
	Number int
	Addr   string
}

// LoadOptions say what a Load does.
type LoadOptions struct {
	// asked whenever a connection is wanted, so that nodes may come and go
	Servers     func() []Server
	Connections int
	Message     func(int) *mailtest.Message
	Count       int           // messages; 0: until Stop
	Interval    time.Duration // between messages of one connection; 0: as fast as they are taken
	// for each reply; default 90 s: longer than a node may take to find that it cannot know
	Timeout time.Duration
	Tries   int           // at most for each message; default 200
	After   time.Duration // between tries; default 50 ms
	OnTry   func(*Try)    // called for each try, by several goroutines
}

// Try is one attempt of a client at a message and what it was told. Each has an ID of its own, so
// that every copy that arrives tells which answer it had got.
type Try struct {
	mailtest.Sent
	Message int    // its number
	Node    int    // that it was sent to
	Late    string // the reply that put somebody off
	PutOff  []string
}

// Load is clients that spread over the nodes. A client that is put off, refused a connection or cut
// off before the end of its data sends the message to another node. One that has sent the end of
// data and got no reply counts as not told, and does not send it again: it could not know, and a
// further copy would be its own.
type Load struct {
	o    LoadOptions
	stop chan struct{}
	done chan struct{} // closed when all clients have ended
	once sync.Once
	work sync.WaitGroup

	next     atomic.Int64
	accepted atomic.Int64

	mu struct {
		sync.Mutex
		tries  []Try
		failed map[string]int // connections and tries without an answer, by reason
		gaveUp int
	}
}

// StartLoad starts clients.
func StartLoad(ctx context.Context, o LoadOptions) (*Load, error) {
	if o.Servers == nil || o.Message == nil || o.Connections < 1 {
		return nil, errors.New("faults: a load needs servers, messages and connections")
	}
	if o.Timeout == 0 {
		o.Timeout = 90 * time.Second
	}
	if o.Tries == 0 {
		o.Tries = 200
	}
	if o.After == 0 {
		o.After = 50 * time.Millisecond
	}
	l := &Load{o: o, stop: make(chan struct{}), done: make(chan struct{})}
	l.mu.failed = map[string]int{}
	ctx, cancel := context.WithCancel(ctx)
	for i := range o.Connections {
		l.work.Go(func() { (&sender{l: l, turn: i}).run(ctx) })
	}
	context.AfterFunc(ctx, l.Stop)
	go func() { l.work.Wait(); close(l.done); cancel() }()
	return l, nil
}

// Stop has each client end after the message that it has in hand.
func (l *Load) Stop() { l.once.Do(func() { close(l.stop) }) }

// Wait waits until all clients have ended and returns their tries.
func (l *Load) Wait() []Try {
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.tries
}

// Tries returns the tries so far.
func (l *Load) Tries() []Try {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mu.tries)
}

// Done is closed when all clients have ended.
func (l *Load) Done() <-chan struct{} { return l.done }

// Accepted returns the number of messages with a 250 so far.
func (l *Load) Accepted() int { return int(l.accepted.Load()) }

// GaveUp returns the number of messages that no node took.
func (l *Load) GaveUp() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.gaveUp
}

// Failures returns why tries had no answer, and how often each.
func (l *Load) Failures() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []string
	for why, n := range l.mu.failed {
		rows = append(rows, fmt.Sprintf("%6d  %s", n, why))
	}
	slices.Sort(rows)
	s := ""
	for _, r := range slices.Backward(rows) {
		s += r + "\n"
	}
	return s
}

// maxReasons bounds the reasons that are told apart.
const maxReasons = 200

func (l *Load) fail(node int, what string, err error) {
	why := fmt.Sprintf("n%d %s: %v", node, what, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.mu.failed[why]; !known && len(l.mu.failed) >= maxReasons {
		why = "other"
	}
	l.mu.failed[why]++
}

// note keeps a try.
func (l *Load) note(t *Try) {
	if len(t.Accepted) > 0 {
		l.accepted.Add(1)
	}
	if l.o.OnTry != nil {
		l.o.OnTry(t)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.tries = append(l.mu.tries, *t)
}

// With returns what two loads that have ended did together.
func (l *Load) With(other *Load) *Load {
	l.Wait()
	other.Wait()
	both := &Load{o: l.o, stop: l.stop, done: l.done}
	both.accepted.Store(int64(l.Accepted() + other.Accepted()))
	both.mu.tries = slices.Concat(l.mu.tries, other.mu.tries)
	both.mu.gaveUp = l.mu.gaveUp // the other one was ended in the middle
	both.mu.failed = map[string]int{}
	for _, m := range []map[string]int{l.mu.failed, other.mu.failed} {
		for why, n := range m {
			both.mu.failed[why] += n
		}
	}
	return both
}
