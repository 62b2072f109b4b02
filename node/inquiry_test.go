package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/delivery/share"
)

// TestInquiry: what each kind of answer, or none, says of the connections of a node's deposed
// owners.
func TestInquiry(t *testing.T) {
	open := []share.Tenure{{Group: 3, Epoch: 7}}
	for _, c := range []struct {
		name    string
		removed bool
		ask     func(ctx context.Context) ([]share.Tenure, error)
		noted   bool
		open    []share.Tenure
		ago     time.Duration // when it counts as asked
	}{
		{"answers", false, func(context.Context) ([]share.Tenure, error) { return open, nil }, true,
			open, 0},
		{"refused", false, func(context.Context) ([]share.Tenure, error) {
			return nil, fmt.Errorf("member 2: %w",
				os.NewSyscallError("connect", syscall.ECONNREFUSED))
		}, true, nil, 0},
		{"older version", false, func(context.Context) ([]share.Tenure, error) {
			return nil, fmt.Errorf("member 2: %w",
				&cluster.Answer{Status: 404, Text: "404 page not found"})
		}, true, nil, share.DefaultLinger},
		{"stopped", false, func(ctx context.Context) ([]share.Tenure, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, false, nil, 0},
		{"removed", true, nil, true, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				noted, said := 0, 0
				q := &inquiry{
					doubts: func() []share.Doubt {
						return []share.Doubt{{Node: 2, Connections: 4}}
					},
					member: func(uint16) bool { return !c.removed },
					ask: func(ctx context.Context, _ uint16) ([]share.Tenure, error) {
						return c.ask(ctx)
					},
					note: func(member uint16, asked time.Time, open []share.Tenure) {
						mu.Lock()
						defer mu.Unlock()
						if noted++; member != 2 || !slices.Equal(open, c.open) ||
							time.Since(asked) != c.ago {
							t.Errorf(
								"noted of member %d, as asked %v ago: %v",
								member,
								time.Since(asked),
								open,
							)
						}
					},
					logf:  func(string, ...any) { mu.Lock(); defer mu.Unlock(); said++ },
					under: map[uint16]bool{}, told: map[uint16]bool{},
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { q.run(ctx); close(ended) }()
				time.Sleep(10 * time.Second)
				cancel()
				<-ended
				if (noted >= 39) != c.noted || (said == 1) == c.noted {
					t.Errorf(
						"noted %d times in 10 s, said %d times that it does not answer",
						noted,
						said,
					)
				}
			})
		})
	}
}
