package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// Settle waits until everything that was acknowledged has arrived, or nothing has arrived for as
// long as patience says.
func (w *World) Settle(ctx context.Context, tries []Try, patience time.Duration) {
	missing := map[key]bool{}
	for i := range tries {
		for _, r := range tries[i].Accepted {
			missing[key{tries[i].ID, r}] = true
		}
	}
	seen, moved := 0, time.Now()
	for time.Since(moved) < patience {
		got := w.Sink.Since(seen)
		if len(got) > 0 {
			moved = time.Now()
		}
		for i := range got {
			for _, r := range got[i].Recipients {
				delete(missing, key{got[i].ID, r})
			}
		}
		seen += len(got)
		if len(missing) == 0 || !clock.Pause(ctx, 200*time.Millisecond) {
			return
		}
	}
}

// Held asks the cluster what its queues hold: recipients by queue ID. It asks one living node after
// another until one answers for all; an error says that none did.
func (c *Cluster) Held(ctx context.Context) (map[string][]string, error) {
	err := errors.New("no node is up")
	for _, n := range c.Live() {
		var out string
		if out, err = n.Run(ctx, "queue", "list", "--json"); err == nil {
			return ParseHeld(out)
		}
	}
	return nil, fmt.Errorf("asking what the queues hold: %w", err)
}

// ParseHeld reads what `queue list --json` prints: recipients by queue ID.
func ParseHeld(out string) (map[string][]string, error) {
	held := map[string][]string{}
	for line := range strings.Lines(out) {
		var m struct {
			ID         string `json:"queue_id"`
			Recipients []struct {
				Address string `json:"address"`
			} `json:"recipients"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, fmt.Errorf("queue list: %q: %w", line, err)
		}
		if m.ID == "" {
			continue // the last line has the totals
		}
		for _, r := range m.Recipients {
			held[m.ID] = append(held[m.ID], r.Address)
		}
	}
	return held, nil
}

// Collect gathers what is known of a run, after Settle. It asks the queues only when something
// acknowledged has not arrived.
func Collect(
	ctx context.Context, c *Cluster, w *World, tries []Try, faults []Fault, verbs ...Verb,
) (*History, error) {
	h := &History{Tries: tries, Deliveries: w.Sink.Deliveries(), Faults: faults, Begun: w.Begun(),
		Verbs: verbs}
	err := h.readLogs(ctx, c)
	if Check(h, Rules{}).Lost.N > 0 {
		var herr error
		if h.Held, herr = c.Held(ctx); herr == nil {
			h.Deliveries = w.Sink.Deliveries() // what left a queue meanwhile
		}
		err = errors.Join(err, herr)
	}
	return h, err
}

// Servers are where a Load may send to: the nodes whose process runs, whether or not they are
// ready, paused or cut off. Clients find that out.
func (c *Cluster) Servers() (servers []Server) {
	for _, n := range c.Nodes() {
		select {
		case <-n.Gone():
		default:
			servers = append(servers, Server{n.Number, n.SMTP})
		}
	}
	return servers
}

// logPatience is how long a node may take to write down what it has done: its event log is
// buffered.
const logPatience = 5 * time.Second

// readLogs reads what nodes logged of the recipients of several copies, again for a while when
// something seems not to be there.
func (h *History) readLogs(ctx context.Context, c *Cluster) (err error) {
	for from := time.Now(); ; {
		h.Attempts, err = Again(h.Deliveries), nil
		if len(h.Attempts) == 0 {
			return nil
		}
		for _, n := range c.All() {
			err = errors.Join(err, h.Attempts.Read(n))
		}
		if Check(h, Rules{}).Unlogged.N == 0 || time.Since(from) > logPatience ||
			!clock.Pause(ctx, 200*time.Millisecond) {
			return err
		}
	}
}
