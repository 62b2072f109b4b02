package admin

import (
	"context"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/maillog"
)

// world is several nodes that are each other's peers over loopback. Node i, from 0, is called
// mx(i+1) and has a queue group of its own.
type world struct {
	nodes []*node
	wires []*httptest.Server // serve the PeerHandlers
	logs  []*maillog.Log
	mu    sync.Mutex
	owner map[uint64]int // which node answers for a group; none: nobody
}

func startWorld(t *testing.T, n int, change func(i int, o *Options)) *world {
	t.Helper()
	w := &world{owner: map[uint64]int{}}
	for i := range n {
		name, events := fmt.Sprintf("mx%d", i+1), filepath.Join(t.TempDir(), "events.jsonl")
		log, err := maillog.Open(maillog.Options{Events: events, Node: name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { log.Close(context.Background()) })
		node := startMember(t, uint16(i+1), func(o *Options) {
			o.Node, o.Events, o.Flush, o.PeerWait = name, events, log.Flush, 2*time.Second
			o.OwnerWait = time.Nanosecond // once more, at once
			o.Queues = func() []LocalQueue { return w.owned(i) }
			o.Groups, o.Peers = w.groups, func() []Peer { return w.peers(i) }
			if change != nil {
				change(i, o)
			}
		})
		w.mu.Lock()
		w.nodes, w.logs, w.owner[node.group] = append(w.nodes, node), append(w.logs, log), i
		w.wires = append(w.wires, httptest.NewServer(node.PeerHandler()))
		w.mu.Unlock()
		t.Cleanup(w.wires[i].Close)
	}
	return w
}

// move gives a group to another node, -1: to none.
func (w *world) move(group uint64, to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owner[group] = to
}

func (w *world) owned(i int) (all []LocalQueue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if w.owner[n.group] == i {
			all = append(all, n.local())
		}
	}
	return all
}

func (w *world) groups() (all []QueueGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, n := range w.nodes {
		all = append(all, QueueGroup{n.group, fmt.Sprintf("mx%d", i+1)})
	}
	return all
}

func (w *world) peers(of int) (all []Peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.wires {
		if i != of {
			all = append(all, Peer{Node: fmt.Sprintf("mx%d", i+1), Member: uint16(i + 1),
				HTTP: s.Client(), Base: s.URL})
		}
	}
	return all
}
