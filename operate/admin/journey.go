package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/trace"
	"github.com/postroad/postroad/operate/admin/api"
)

// A trace is made in rounds. The first finds, in all event logs and queues, which messages are
// meant; the second fetches what any node knows of these: a message that one node accepted may have
// been delivered by the node that took over. The third and the fourth do so for the messages that
// were made of these, for lists and those who forward, and for the reports on them.

// journey is the whole: all rounds, in all nodes.
func (s *Server) journey(
	ctx context.Context, t *api.TraceRequest, found func(any) bool,
) (*api.Total, error) {
	total, since := &api.Total{Node: s.o.Node, Missing: s.uncalled(ctx)}, t.Since
	items := &collection{}
	if len(t.IDs) == 0 || len(t.Names()) > 0 {
		t.IDs = s.meant(ctx, t, total, items)
		since = 0 // it has said which messages; now their whole journey is wanted
	}
	// without IDs, what was refused is all there may be; the second time, what was made of these
	for ids, n := t.IDs, 0; len(ids) > 0 && n < 3; n++ {
		ids = s.steps(ctx, &api.TraceRequest{IDs: ids, Recipient: t.Recipient, Since: since},
			total, items)
	}
	all := items.sorted()
	total.Truncated = total.Truncated || items.dropped
	if len(all) == 0 {
		return total, nothing(total)
	}
	for i := range all {
		if !found(&all[i]) {
			break
		}
	}
	return total, ctx.Err()
}

// steps gathers what is known of messages, and returns the IDs of those that were made of them.
func (s *Server) steps(
	ctx context.Context, t *api.TraceRequest, total *api.Total, items *collection,
) []string {
	now, made := s.o.Now(), &idSet{}
	asked := traceQuery(t, now).IDs
	s.eachNode(ctx, "events", t, s.events, total, func(raw json.RawMessage) error {
		var item api.TraceItem
		if err := json.Unmarshal(raw, &item); err != nil {
			return err
		}
		if asked[item.ID] {
			items.add(item)
		} else {
			made.add(item.ID)
		}
		return nil
	})
	s.queued(ctx, &api.Filter{IDs: t.IDs, Recipient: t.Recipient}, total,
		func(m *api.Message) bool {
			items.add(api.TraceItem{At: api.At(now), Node: m.Node, ID: m.QueueID, Queue: m})
			return true
		})
	return made.newest(total)
}

// nothing says that nothing is known, unless somebody who may know has not answered: the total
// names them.
func nothing(total *api.Total) error {
	if len(total.Missing) > 0 {
		return nil
	}
	return api.Fail(api.ExitData, "no event log and no queue knows of such a message",
		"event logs are kept as long as events.keep says; with a Message-ID, a session or an "+
			"address, --since looks further back")
}

// meant returns the IDs of the newest messages that match, with those that the request has, and
// adds what was refused to items.
func (s *Server) meant(
	ctx context.Context, t *api.TraceRequest, total *api.Total, items *collection,
) []string {
	ids, wanted := &idSet{}, *t
	for _, id := range t.IDs {
		ids.add(strings.ToLower(id))
	}
	wanted.IDs, wanted.Refusals = nil, true
	s.eachNode(ctx, "find?refusals", &wanted, s.find, total, func(raw json.RawMessage) error {
		var item api.TraceItem
		if raw[0] == '{' {
			err := json.Unmarshal(raw, &item)
			items.add(item)
			return err
		}
		err := json.Unmarshal(raw, &item.ID)
		ids.add(item.ID)
		return err
	})
	if len(wanted.Names()) > 0 { // the queues know neither
		return ids.newest(total)
	}
	f, queued := wanted.Filter(), 0
	s.queued(ctx, &f, total, func(m *api.Message) bool {
		ids.add(m.QueueID)
		queued++
		total.Truncated = total.Truncated || queued == api.MaxTraced
		return queued < api.MaxTraced
	})
	return ids.newest(total)
}

// idSet gathers IDs. Safe for use by several goroutines.
type idSet struct {
	mu sync.Mutex
	m  map[string]bool
}

func (s *idSet) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[string]bool{}
	}
	s.m[id] = true
}

// newest returns the newest IDs by time, as many as are traced at once, and notes in total that
// there are more.
func (s *idSet) newest(total *api.Total) []string {
	all := slices.Sorted(maps.Keys(s.m))
	if len(all) > api.MaxTraced {
		all, total.Truncated = all[len(all)-api.MaxTraced:], true
	}
	return all
}

// queued gives fn the messages that wait in the queues of all nodes, until it returns false.
func (s *Server) queued(
	ctx context.Context, f *api.Filter, total *api.Total, fn func(*api.Message) bool,
) {
	a := &ask{verb: "list", filter: *f}
	if err := s.parse(a); err != nil {
		total.Miss(api.Missing{Node: s.o.Node, Why: err.Error()})
		return
	}
	t := s.all(ctx, a, func(raw json.RawMessage) bool {
		var m api.Message
		return json.Unmarshal(raw, &m) == nil && fn(&m)
	}, nil)
	total.Miss(t.Missing...)
}

// eachNode asks this node and its peers at once. What they find goes to found, which may be called
// by several goroutines.
func (s *Server) eachNode(ctx context.Context, what string, t *api.TraceRequest,
	local func(context.Context, *api.TraceRequest, func(any) bool) (*api.Total, error),
	total *api.Total, found func(json.RawMessage) error) {
	peers := s.peers()
	totals := make([]*api.Total, len(peers)+1)
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() { totals[i] = p.trace(ctx, what, t, found) })
	}
	all.Go(func() {
		part, err := local(ctx, t, func(item any) bool {
			raw, err := json.Marshal(item)
			return err == nil && found(raw) == nil
		})
		if err != nil {
			part.Miss(api.Missing{Node: s.o.Node, Why: err.Error()})
		}
		totals[len(peers)] = part
	})
	all.Wait()
	for _, part := range totals {
		total.Miss(part.Missing...)
		total.Truncated = total.Truncated || part.Truncated
	}
}

// trace asks a peer. One that is of an older version has no such answer, and is named.
func (p *peerSource) trace(
	ctx context.Context, what string, t *api.TraceRequest, found func(json.RawMessage) error,
) *api.Total {
	total, err := p.client().Stream(ctx, "POST", "/v1/trace/"+what, t, found, nil)
	if err != nil {
		return &api.Total{Missing: []api.Missing{{Node: p.p.Node, Why: api.AsError(err).Message}}}
	}
	return total
}

// collection keeps the newest steps, at most twice maxEvents of them. Safe for use by several
// goroutines.
type collection struct {
	mu      sync.Mutex
	items   []collected
	n       int // added so far
	dropped bool
}

type collected struct {
	api.TraceItem
	n         int
	reception bool
	stands    time.Time // where it is sorted in: not before the message was accepted
}

// add takes steps that come, from each node, the newest first.
func (c *collection) add(item api.TraceItem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	one := collected{TraceItem: item, n: c.n, reception: trace.IsReception(item.Event)}
	if c.items = append(c.items, one); len(c.items) == 2*maxEvents {
		c.trim()
	}
}

// before orders by time; of one moment, an acceptance stands first, then what a node wrote first.
// Recipients that wait now come last, whatever the nodes' clocks say.
func (a *collected) before(b *collected) int {
	switch {
	case a.Queue != nil && b.Queue != nil:
		return cmp.Compare(a.ID, b.ID)
	case a.Queue != nil:
		return 1
	case b.Queue != nil:
		return -1
	}
	if a.reception != b.reception && a.stands.Equal(b.stands) {
		if a.reception {
			return -1
		}
		return 1
	}
	return cmp.Or(a.stands.Compare(b.stands), a.At.Compare(b.At.Time), cmp.Compare(b.n, a.n))
}

// place says where the steps stand. A message is attempted as soon as it is in the queue, by a node
// whose clock may be another, and its acceptance is noted a moment later: it is first all the same.
func (c *collection) place() {
	accepted := map[string]time.Time{}
	for i := range c.items {
		if s := &c.items[i]; s.reception {
			accepted[s.ID] = s.At.Time
		}
	}
	for i := range c.items {
		s := &c.items[i]
		if s.stands = s.At.Time; s.At.Before(accepted[s.ID]) {
			s.stands = accepted[s.ID]
		}
	}
}

func (c *collection) trim() {
	c.place()
	slices.SortFunc(c.items, func(a, b collected) int { return a.before(&b) })
	if more := len(c.items) - maxEvents; more > 0 {
		c.items, c.dropped = slices.Delete(c.items, 0, more), true
	}
}

// sorted returns the newest steps by time.
func (c *collection) sorted() (steps []api.TraceItem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trim()
	for i := range c.items {
		steps = append(steps, c.items[i].TraceItem)
	}
	return steps
}
