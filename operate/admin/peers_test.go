package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/queue"
)

// TestAnyNodeAnswersForAll: lists are merged by arrival, counts added, and each group's index told.
func TestAnyNodeAnswersForAll(t *testing.T) {
	w := startWorld(t, 3, nil)
	var want []string
	for i := range 30 {
		want = append(want, w.nodes[i%3].submit(t, "a@example.org", "b@example.net",
			fmt.Sprintf("c%d@example.com", i)))
	}
	slices.Sort(want)
	for i, n := range w.nodes {
		ms, total := n.list(t, api.Filter{})
		var got []string
		for _, m := range ms {
			got = append(got, m.QueueID)
		}
		if !slices.Equal(got, want) || total.Messages != 30 || total.Recipients != 60 ||
			total.Node != fmt.Sprintf("mx%d", i+1) {
			t.Errorf("mx%d lists %d messages of 30, in order %v: %+v", i+1, len(got),
				slices.IsSorted(got), total)
		}
		counted, err := n.client.Count(t.Context(), api.Filter{Domain: "example.com"})
		if err != nil || counted.Recipients != 30 || len(counted.Groups) != 3 ||
			counted.Index != 0 || counted.States["ready"] != 30 {
			t.Errorf("mx%d counts %+v, %v", i+1, counted, err)
		}
		for k, g := range counted.Groups {
			if g.Group != uint64(k+2) || g.Node != fmt.Sprintf("mx%d", k+1) || g.Index == 0 ||
				g.Messages != 10 {
				t.Errorf("mx%d on group %d: %+v", i+1, k+2, g)
			}
		}
		for _, id := range want[:3] {
			raw, err := n.client.Show(t.Context(), id)
			var d api.Detail
			if err != nil || json.Unmarshal(raw, &d) != nil || d.QueueID != id ||
				d.Group != uint64(d.Node[2]-'0')+1 {
				t.Errorf("mx%d shows %s, %v", i+1, raw, err)
			}
		}
	}
	if _, err := w.nodes[0].client.Show(t.Context(), "0000000000000000"); exit(t,
		err) != api.ExitData {
		t.Errorf("no such message: %v", err)
	}
}

// TestVerbsReachAllGroups: what one node is told is in every group's log, and logged where it was
// done.
func TestVerbsReachAllGroups(t *testing.T) {
	w := startWorld(t, 3, nil)
	var ids []string
	for _, n := range w.nodes {
		ids = append(ids, n.submit(t, "a@example.org", "b@example.net", "c@example.com"))
	}
	for i, step := range []struct {
		verb string
		f    api.Filter
		want int64
		to   string
	}{
		{"hold", api.Filter{Domain: "example.com"}, 3, "held"},
		{"release", api.Filter{IDs: ids[:2]}, 2, "ready"},
		{"flush", api.Filter{}, 0, "ready"},
		{"fail", api.Filter{States: []string{"held"}, Reason: "no more"}, 1, "failed"},
		{"remove", api.Filter{All: true}, 5, "removed"},
	} {
		total, err := w.nodes[i%3].client.Move(t.Context(), step.verb, step.f, nil)
		if err != nil || total.Recipients != step.want || total.States[step.to] != step.want ||
			len(total.Groups) != 3 {
			t.Errorf("%s: %+v, %v", step.verb, total, err)
		}
	}
	if want := []string{"hold c@example.com held", "fail c@example.com failed",
		"remove b@example.net removed"}; !slices.Equal(w.nodes[2].moves, want) {
		t.Errorf("mx3 logged %q", w.nodes[2].moves)
	}
}

// TestWhoDoesNotAnswerIsNamed: the rest is done, and the exit status is 75.
func TestWhoDoesNotAnswerIsNamed(t *testing.T) {
	w := startWorld(t, 3, nil)
	for _, n := range w.nodes {
		n.submit(t, "a@example.org", "b@example.net")
	}
	w.wires[2].Close()
	check := func(what string, total *api.Total, err error, says ...string) {
		t.Helper()
		if exit(t, err) != api.ExitTemporary || total == nil || total.Messages != 2 ||
			len(total.Groups) != 2 || len(total.Missing) == 0 {
			t.Fatalf("%s: %+v, %v", what, total, err)
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s does not say %q: %v", what, s, err)
			}
		}
	}
	client := w.nodes[0].client
	total, err := client.Count(t.Context(), api.Filter{})
	check("count", total, err, "mx3: it cannot be reached", "group 4 (the home of mx3)",
		"postroad cluster status")
	var listed int
	total, err = client.List(t.Context(), api.Filter{},
		func(json.RawMessage) error { listed++; return nil })
	check("list", total, err, "mx3", "group 4")
	if listed != 2 {
		t.Errorf("listed %d", listed)
	}
	total, err = client.Move(t.Context(), "hold", api.Filter{All: true}, nil)
	check("hold", total, err, "mx3", "group 4")
	if _, err := client.Show(t.Context(), "0000000000000000"); exit(t, err) != api.ExitTemporary {
		t.Errorf("a message that the missing may have: %v", err)
	}
	w.move(4, 1)
	total, err = client.Count(t.Context(), api.Filter{})
	if err != nil || total.Messages != 3 || !slices.Equal(total.Unreachable, []string{"mx3"}) ||
		total.Groups[2].Node != "mx2" {
		t.Errorf("after mx2 has taken over: %+v, %v", total, err)
	}
	w.move(2, -1)
	total, err = client.Count(t.Context(), api.Filter{})
	check("a group without an owner", total, err,
		"group 2 (the home of mx1): no node that answers owns it")
}

// TestAnOwnerIsWaitedFor: the group of a node that died has another owner soon; nothing is done or
// counted twice meanwhile.
func TestAnOwnerIsWaitedFor(t *testing.T) {
	var w *world
	var rounds atomic.Int32
	w = startWorld(t, 3, func(i int, o *Options) {
		o.OwnerWait = time.Minute
		groups := o.Groups
		o.Groups = func() []QueueGroup {
			if rounds.Add(1) == 3 {
				w.move(4, 1)
			}
			return groups()
		}
	})
	for _, n := range w.nodes {
		n.submit(t, "a@example.org", "b@example.net")
	}
	w.wires[2].Close()
	for _, verb := range []string{"hold", "release"} {
		rounds.Store(0)
		w.move(4, -1)
		total, err := w.nodes[0].client.Move(t.Context(), verb, api.Filter{All: true}, nil)
		if err != nil || total.Recipients != 3 || len(total.Groups) != 3 ||
			total.Groups[2].Node != "mx2" || rounds.Load() != 3 {
			t.Errorf("%s: %+v, %v after %d rounds", verb, total, err, rounds.Load())
		}
	}
	rounds.Store(0)
	w.move(4, -1)
	if total, err := w.nodes[0].client.Count(t.Context(), api.Filter{}); err != nil ||
		total.Messages != 3 || !slices.Equal(total.Unreachable, []string{"mx3"}) {
		t.Errorf("count: %+v, %v", total, err)
	}
}

// TestSilentNode is stopped, or cut off: connections stand, nothing comes.
func TestSilentNode(t *testing.T) {
	w := startWorld(t, 2, func(_ int, o *Options) { o.PeerWait = 50 * time.Millisecond })
	w.nodes[0].submit(t, "a@example.org", "b@example.net")
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-release
	}))
	defer silent.Close()
	defer close(release)
	w.mu.Lock()
	w.wires[1] = silent
	w.mu.Unlock()
	total, err := w.nodes[0].client.Count(t.Context(), api.Filter{})
	if exit(t, err) != api.ExitTemporary || total.Messages != 1 ||
		!strings.Contains(err.Error(), "mx2: it does not answer") {
		t.Errorf("%+v, %v", total, err)
	}
}

// TestCutOffMidway: a stream that ends without a total is no answer.
func TestCutOffMidway(t *testing.T) {
	w := startWorld(t, 2, nil)
	w.nodes[0].submit(t, "a@example.org", "b@example.net")
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"item":{"queue_id":"0000000000000001","recipients":[]}}`)
	}))
	defer broken.Close()
	w.mu.Lock()
	w.wires[1] = broken
	w.mu.Unlock()
	var ids []string
	total, err := w.nodes[0].client.List(t.Context(), api.Filter{},
		func(raw json.RawMessage) error {
			var m api.Message
			ids = append(ids, m.QueueID)
			return json.Unmarshal(raw, &m)
		})
	if exit(t, err) != api.ExitTemporary || total.Messages != 1 || len(ids) != 2 ||
		!strings.Contains(err.Error(), "cut off") {
		t.Errorf("%+v, %v, %d messages", total, err, len(ids))
	}
}

// handsOver is a queue that loses its owner while it is read.
type handsOver struct {
	Queue
	during func()
}

func (h handsOver) List(
	ctx context.Context, f queue.Filter, fn func(*queue.Stored, []uint32) bool,
) (queue.Total, error) {
	t, err := h.Queue.List(ctx, f, fn)
	h.during()
	return t, err
}

// TestOwnerChangesMeanwhile: an answer of who was deposed while it answered does not count; an
// answer of two owners is the newer's.
func TestOwnerChangesMeanwhile(t *testing.T) {
	var w *world
	var during atomic.Pointer[func()]
	w = startWorld(t, 2, func(i int, o *Options) {
		queues := o.Queues
		o.Queues = func() (all []LocalQueue) {
			for _, q := range queues() {
				if q.Group == 2 {
					q.Queue = handsOver{q.Queue, func() { (*during.Load())() }}
				}
				all = append(all, q)
			}
			return all
		}
	})
	nothing := func() {}
	during.Store(&nothing)
	id := w.nodes[0].submit(t, "a@example.org", "b@example.net")
	away := func() { w.move(2, -1) }
	during.Store(&away)
	f := api.Filter{IDs: []string{id}}
	total, err := w.nodes[1].client.List(t.Context(), f, func(json.RawMessage) error { return nil })
	if exit(t, err) != api.ExitTemporary || !strings.Contains(err.Error(), api.OwnerChanged) ||
		len(total.Groups) != 2 || !total.Groups[0].Partial {
		t.Errorf("%+v, %v", total, err)
	}
	w.move(2, 0)
	during.Store(&nothing)
	if total, err = w.nodes[1].client.List(t.Context(), f,
		func(json.RawMessage) error { return nil }); err != nil || total.Messages != 1 {
		t.Errorf("again: %+v, %v", total, err)
	}
}

// TestExactWhileMailFlows counts from all nodes while all accept: never less than what was
// acknowledged before, never more than what was begun.
func TestExactWhileMailFlows(t *testing.T) {
	w := startWorld(t, 3, nil)
	const each = 150
	var begun, acknowledged atomic.Int64
	var all sync.WaitGroup
	for i, n := range w.nodes {
		all.Go(func() {
			for k := range each {
				begun.Add(1)
				n.submit(t, "a@example.org", fmt.Sprintf("r%d@example%d.net", k, i),
					"x@example.com")
				acknowledged.Add(1)
			}
		})
	}
	for i := 0; acknowledged.Load() < 3*each && !t.Failed(); i++ {
		least := acknowledged.Load()
		total, err := w.nodes[i%3].client.Count(t.Context(), api.Filter{Domain: "example.com"})
		if most := begun.Load(); err != nil || total.Messages < least || total.Messages > most ||
			total.Recipients != total.Messages {
			t.Errorf("counted %+v, %v; %d to %d", total, err, least, most)
		}
		listed := 0
		total, err = w.nodes[(i+1)%3].client.List(t.Context(), api.Filter{Domain: "example.com"},
			func(json.RawMessage) error { listed++; return nil })
		if err != nil || total.Messages != int64(listed) {
			t.Errorf("listed %d: %+v, %v", listed, total, err)
		}
	}
	all.Wait()
	total, err := w.nodes[1].client.Move(t.Context(), "hold", api.Filter{Domain: "example.com"},
		nil)
	if err != nil || total.Recipients != 3*each || total.States["held"] != 3*each {
		t.Errorf("hold: %+v, %v", total, err)
	}
	total, err = w.nodes[2].client.Count(t.Context(), api.Filter{})
	if err != nil || total.Messages != 3*each || total.States["held"] != 3*each ||
		total.States["ready"] != 3*each {
		t.Errorf("at the end: %+v, %v", total, err)
	}
}

// TestManyIDsInManyGroups: the client's several requests make one total.
func TestManyIDsInManyGroups(t *testing.T) {
	w := startWorld(t, 2, nil)
	f := api.Filter{IDs: []string{w.nodes[0].submit(t, "a@example.org", "b@example.net")}}
	for i := range 2 * client.IDsPerRequest {
		id := mail.ID{0, 0, 0, 0, 0, 0, 9, byte(i >> 16), byte(i >> 8), byte(i)}
		f.IDs = append(f.IDs, id.String())
	}
	f.IDs = append(f.IDs, w.nodes[1].submit(t, "a@example.org", "b@example.net"))
	total, err := w.nodes[0].client.Count(t.Context(), f)
	if err != nil || total.Messages != 2 || total.States["ready"] != 2 || len(total.Groups) != 2 {
		t.Errorf("%+v, %v", total, err)
	}
	w.wires[1].Close()
	total, err = w.nodes[0].client.Move(t.Context(), "hold", f, nil)
	if exit(t, err) != api.ExitTemporary || total.Messages != 1 || len(total.Missing) != 2 {
		t.Errorf("without mx2: %+v, %v", total, err)
	}
}

// TestAnswerOfADyingOwner: an owner does what it is asked and dies before it has said so. The next
// one finds nothing left to do, and "0 of 0" would not be true.
func TestAnswerOfADyingOwner(t *testing.T) {
	var w *world
	rounds := 0
	w = startWorld(t, 3, func(i int, o *Options) {
		if i > 0 {
			return
		}
		groups := o.Groups
		o.Groups = func() []QueueGroup {
			if rounds++; rounds == 2 {
				w.move(3, 2)
			}
			return groups()
		}
	})
	dying := w.nodes[1]
	dying.submit(t, "a@example.org", "b@example.net")
	w.wires[1].Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if _, err := dying.queue.Hold(context.Background(), queue.Filter{}, nil); err != nil {
			t.Error(err)
		}
		w.move(dying.group, -1)
		panic(http.ErrAbortHandler)
	})
	total, err := w.nodes[0].client.Move(t.Context(), "hold", api.Filter{All: true}, nil)
	if exit(t, err) != api.ExitTemporary || !strings.Contains(err.Error(), "mx2") ||
		!strings.Contains(err.Error(), "not all counted") || total.Recipients != 0 {
		t.Errorf("%+v, %v", total, err)
	}
}
