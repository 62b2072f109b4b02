package wire

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// flood makes rate silent connections a second to an address, from all sources in turn, until the
// test ends; so many as are open at first come at once.
func flood(t *testing.T, address string, sources []string, atOnce, rate int) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	connect := func(i int) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(sources[i%len(sources)])}}
		if c, err := d.DialContext(ctx, "tcp", address); err == nil {
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}
	t.Cleanup(func() {
		cancel()
		work.Wait()
		for _, c := range open {
			c.Close()
		}
	})
	for i := range atOnce {
		connect(i)
	}
	work.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				work.Go(func() { connect(i) }) // not held up by a queue that is full
			case <-ctx.Done():
				return
			}
		}
	})
}

// TestMemberComesBackInAFlood: three hundred silent connections a second, from one address, from
// many, and from the restarting member's own, do not keep it out: it has all its streams again.
func TestMemberComesBackInAFlood(t *testing.T) {
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf("127.20.%d.1", i)
	}
	for name, sources := range map[string][]string{
		"quiet": nil, "one address": {"127.9.0.1"}, "many addresses": many,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.port(1)
			const groups = 16
			for g := range groups {
				accept(t, a.Stream(uint64(g)))
			}
			back := func() time.Duration {
				began := time.Now()
				b := w.port(2)
				defer b.Close()
				for g := range groups {
					for {
						c, err := b.Stream(uint64(g)).DialMember(1, 0)
						if err == nil {
							c.Close()
							break
						}
						if time.Since(began) > 2*patience {
							t.Fatalf("the member is not back after %v: %v", 2*patience, err)
						}
						time.Sleep(50 * time.Millisecond) // as raft does
					}
				}
				return time.Since(began)
			}
			back() // the first life
			if sources != nil {
				address, _ := w.address(1)
				flood(t, address, sources, 600, 300)
			}
			t.Logf("the member is back after %v", back())
		})
	}
}

// accept takes the connections of a stream, which end with the port.
func accept(t *testing.T, s *Stream) {
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	})
}
