package crash

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// node is a node without its network side: store, raft group and queue, wired as package node does.
type node struct {
	cluster *cluster.Node
	queue   *queue.Queue
	silent  atomic.Bool   // it is being taken down: its failures are no news
	synced  chan struct{} // gets a value now and then when the log was synced
}

// discard gives fresh mail's memory back; the test delivers by itself.
type discard struct{}

func (discard) Accepted(items []queue.Item) {
	for i := range items {
		if items[i].Release != nil {
			items[i].Release()
		}
	}
}
func (discard) Changed([]mail.ID, []string) {}
func (discard) Gone([]mail.ID)              {}
func (discard) Suspended(queue.Suspensions) {}

// Small segments and markers, so that a run of seconds recycles, marks and moves as days do.
const (
	segmentSize = 4 << 20
	markerBytes = 3 << 20
)

func start(fs vfs.FS) (n *node, err error) {
	n = &node{synced: make(chan struct{})}
	n.cluster, err = cluster.Open(cluster.Options{
		Dir: "/node", FS: fs, SegmentSize: segmentSize, MarkerBytes: markerBytes,
		GarbageBytes: segmentSize,
		OnSync: func(time.Duration, int) {
			select {
			case n.synced <- struct{}{}:
			default: // nobody waits
			}
		},
		OnFailure: func(err error) {
			if !n.silent.Load() {
				panic(err)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	n.queue = queue.New(queue.Options{Member: n.cluster.Member(), Budget: mail.NewBudget(8 << 20)})
	leading := make(chan struct{}, 1)
	g := n.cluster.Group(cluster.HomeGroup)
	err = g.Start(n.queue, func(term uint64) {
		if term != 0 {
			leading <- struct{}{}
		}
	})
	if err != nil {
		return n, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	select {
	case <-leading:
	case <-ctx.Done():
		return n, errors.New("no leader after a minute")
	}
	return n, n.queue.Start(ctx, g, discard{})
}

// stop ends a node whose disk nobody will look at again.
func (n *node) stop() {
	n.silent.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n.queue.Stop(ctx)
	n.cluster.Close()
}
