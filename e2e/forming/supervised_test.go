package forming

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// Bounds of a forming.
const (
	restartAfter = 200 * time.Millisecond // until the supervisor starts a node again that has ended
	readyWithin  = 20 * time.Second       // of the last start, all nodes take mail
	// at most, of a node that is not ready: it says every three what it waits for
	silentFor = 8 * time.Second
)

// forming is one cluster that is being formed, in one of the documented ways, by nodes under a
// supervisor that starts again whatever ends.
type forming struct {
	*kit.Run
	rng  *rand.Rand
	hand bool // by `cluster token` and `cluster join`; else by a list that all share

	watching sync.WaitGroup
	end      chan struct{} // closed when the supervisor is to start nothing more

	mu      sync.Mutex
	crashes []faults.Fault
	last    time.Time       // the newest start
	killed  map[string]bool // by us: its end is no fault
	faulty  []string
}

// supervise runs a node from now on, as a service manager does.
func (f *forming) supervise(n *faults.Node) {
	f.watching.Go(func() {
		for {
			f.mu.Lock()
			f.last = time.Now()
			f.killed[n.Name] = false
			f.mu.Unlock()
			if err := n.Start(); err != nil {
				f.fault("%v", err)
				return
			}
			f.listen(n)
			f.mu.Lock()
			ours := f.killed[n.Name]
			f.mu.Unlock()
			select {
			case <-f.end:
				return
			default:
			}
			if !ours {
				f.fault("%s ended by itself:\n%s", n.Name, n.Log())
			}
			select {
			case <-f.end:
				return
			case <-time.After(restartAfter):
			}
		}
	})
}

// listen returns when the node has ended. While it is not ready its log must not be silent.
func (f *forming) listen(n *faults.Node) {
	var size int64
	spoke, looked := time.Now(), time.Now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-n.Gone():
			return
		case <-tick.C:
		}
		now := time.Now()
		stood := now.Sub(looked) > 2*time.Second // this process was not run: neither was the node
		looked = now
		info, err := os.Stat(filepath.Join(n.Dir, "log"))
		if _, ready := n.Ready(f.Ctx); ready || stood || err == nil && info.Size() != size {
			spoke = now
		}
		if err == nil {
			size = info.Size()
		}
		if now.Sub(spoke) > silentFor {
			why, _ := n.Ready(f.Ctx)
			if strings.Contains(why, "connection refused") || strings.Contains(why, "deadline") {
				f.fault(
					"%s is not ready, and has said nothing for %v:\n%s",
					n.Name,
					now.Sub(spoke),
					n.Log(),
				)
			}
			spoke = now
		}
	}
}

func (f *forming) fault(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faulty = append(f.faulty, fmt.Sprintf(format, args...))
}

// kill kills a node that runs; the supervisor starts it again.
func (f *forming) kill(n *faults.Node) {
	if !n.Up() {
		return
	}
	f.mu.Lock()
	f.killed[n.Name] = true
	f.mu.Unlock()
	c := f.Crash(n)
	c.Until = time.Now().Add(restartAfter)
	f.mu.Lock()
	f.crashes = append(f.crashes, c)
	f.mu.Unlock()
	f.T.Logf("SIGKILL %s", n.Name)
}

// any returns a node whose process runs, nil without one.
func (f *forming) any() *faults.Node {
	if live := f.Cluster.Live(); len(live) > 0 {
		return live[f.rng.IntN(len(live))]
	}
	return nil
}

// step is a place where a kill may come: one time in three at once, one in three within the next
// half second.
func (f *forming) step() {
	n := f.any()
	if n == nil {
		return
	}
	switch f.rng.IntN(3) {
	case 0:
		f.kill(n)
	case 1:
		after := time.Duration(f.rng.IntN(500)) * time.Millisecond
		f.watching.Go(func() {
			select {
			case <-time.After(after):
				f.kill(n)
			case <-f.end:
			}
		})
	}
}

// insist repeats a command of an operator, who may be cut off at any moment, until it succeeds.
func (f *forming) insist(n *faults.Node, args ...string) string {
	f.T.Helper()
	for end := time.Now().Add(time.Minute); ; {
		limit := 20 * time.Second
		if f.rng.IntN(3) == 0 {
			limit = time.Duration(
				f.rng.IntN(150),
			) * time.Millisecond // the command itself is killed
		}
		ctx, cancel := context.WithTimeout(f.Ctx, limit)
		out, err := n.Run(ctx, args...)
		cancel()
		var refused *faults.CommandError
		switch {
		case err == nil:
			return strings.TrimSpace(out)
		case errors.As(err, &refused) &&
			strings.Contains(err.Error(), "has joined a cluster already"):
			return "" // the one before had come to its end
		case time.Now().After(end):
			f.T.Fatalf("at %s: %v", n.Name, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// form makes the nodes a cluster.
func (f *forming) form() {
	nodes := f.Cluster.Nodes()
	if !f.hand {
		for _, n := range nodes {
			f.supervise(n)
			<-time.After(time.Duration(f.rng.IntN(400)) * time.Millisecond)
			f.step()
		}
		return
	}
	f.supervise(nodes[0])
	f.step()
	for _, n := range nodes[1:] {
		through := nodes[0]
		if at := f.any(); at != nil && f.rng.IntN(2) == 0 {
			through = at // any member gives tokens
		}
		token := f.insist(through, "cluster", "token")
		f.step()
		f.insist(n, "cluster", "join", "--token", token, through.Advertise)
		f.step()
		f.supervise(n)
		f.step()
	}
}

// settle waits until all is ready after the last start, and returns for how long.
func (f *forming) settle() time.Duration {
	f.T.Helper()
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(f.Ctx, time.Minute)
	defer cancel()
	for _, n := range f.Cluster.Nodes() {
		if err := n.AwaitReady(ctx); err != nil {
			f.T.Fatalf("%v\n%s", err, f.Chronicle())
		}
	}
	return time.Since(last)
}
