package admin

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// TestMergeGivesEachOnceInOrder merges random streams, in which IDs may come twice.
func TestMergeGivesEachOnceInOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		found := make([]chan listed, r.IntN(5))
		var want []string
		for i := range found {
			var ids []string
			for range r.IntN(20) {
				ids = append(ids, fmt.Sprintf("%03d", r.IntN(60)))
			}
			slices.Sort(ids)
			found[i] = make(chan listed, len(ids))
			for _, id := range ids {
				found[i] <- listed{id, json.RawMessage(id)}
			}
			close(found[i])
			want = append(want, ids...)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		var got []string
		if !merge(found, func(raw json.RawMessage) bool {
			got = append(got, string(raw))
			return true
		}) || !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

// TestTwoOwnersOfAGroup: one after the other has answered for it.
func TestTwoOwnersOfAGroup(t *testing.T) {
	s := &Server{o: Options{Node: "mx1", Groups: func() []QueueGroup { return nil }}}
	roll := (&roll{[]QueueGroup{{2, "mx1"}}}).answer(t.Context(), nil, outlet{})
	part := func(index uint64, n int64, partial bool) *api.Total {
		p := &api.Total{Groups: []api.GroupTotal{{Group: 2, Node: fmt.Sprint("mx", index),
			Index: index, Messages: n, Recipients: n,
			States: map[string]int64{"held": n}, Partial: partial}}}
		if partial {
			p.Miss(api.Missing{Group: 2, Node: "mx9", Why: "not the owner"})
		}
		return p
	}
	for _, c := range []struct {
		name, verb string
		a, b       *api.Total
		want       int64
		missing    int
	}{
		{"the newer count", "count", part(5, 10, false), part(7, 12, false), 12, 0},
		{"in any order", "count", part(7, 12, false), part(5, 10, false), 12, 0},
		{"the whole one", "count", part(9, 3, true), part(7, 12, false), 12, 0},
		{"none that is whole", "count", part(9, 3, true), &api.Total{}, 3, 1},
		{"both moved", "hold", part(5, 10, true), part(7, 12, false), 22, 0},
		{"both moved, neither all", "hold", part(5, 10, true), part(7, 12, true), 22, 1},
		{"a list of two moments", "list", part(5, 10, false), part(7, 12, false), 10, 1},
	} {
		got := s.combine(c.verb, []*api.Total{c.a, roll, c.b})
		if got.Messages != c.want || got.States["held"] != c.want ||
			len(got.Missing) != c.missing || len(got.Groups) != 1 {
			t.Errorf("%s: %+v", c.name, got)
		}
		if c.missing > 0 && (got.Missing[0].Home != "mx1" || got.Missing[0].Why == api.NoOwner) {
			t.Errorf("%s does not say what is known: %+v", c.name, got.Missing)
		}
	}
}

// FuzzTotals: whatever totals peers send, they are added up and what is missing in them stays
// missing.
func FuzzTotals(f *testing.F) {
	f.Add([]byte(`{"groups":[{"group":2,"index":3,"messages":1,"states":{"held":1}}],"missing":[{"group":3,"why":"x"}]}`), []byte(`{"groups":[{"group":2,"partial":true}]}`))
	f.Add([]byte(`{"missing":[{"why":"x"},{"node":"mx2"}]}`),
		[]byte(`{"groups":[{"group":2,"states":{"odd":-1}},{"group":2}]}`))
	s := &Server{o: Options{Node: "mx1", Groups: func() []QueueGroup { return nil }}}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, verb := range []string{"count", "list", "hold"} {
			var x, y api.Total
			if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
				return
			}
			total := s.combine(verb,
				[]*api.Total{&x, &y, {Missing: []api.Missing{{Group: 77, Why: api.NoOwner}}}})
			answered := slices.ContainsFunc(total.Groups,
				func(g api.GroupTotal) bool { return g.Group == 77 && !g.Partial })
			if (total.Incomplete() == nil) && !answered {
				t.Errorf("group 77 has not answered: %+v", total)
			}
			total.Merge(&x)
		}
	})
}

// writer is a ResponseWriter that knows deadlines.
type writer struct {
	strings.Builder
	header http.Header
}

func (w *writer) Header() http.Header              { return w.header }
func (w *writer) WriteHeader(int)                  {}
func (w *writer) Flush()                           {}
func (w *writer) SetWriteDeadline(time.Time) error { return nil }

// TestStreamShowsSignsOfLife while the work finds nothing.
func TestStreamShowsSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writer{header: http.Header{}}
		err := streaming(w, func(s *stream) (*api.Total, error) {
			<-time.After(2500 * time.Millisecond)
			s.item("a")
			s.moved(7)
			<-time.After(time.Second)
			s.item("b")
			return &api.Total{Node: "mx1"}, nil
		})
		want := []string{"{}", "{}", `{"item":"a"}`, `{"progress":7}`, `{"item":"b"}`}
		lines := strings.Split(strings.TrimSpace(w.String()), "\n")
		if err != nil || len(lines) != 6 || !slices.Equal(lines[:5], want) ||
			!strings.HasPrefix(lines[5], `{"total":{"node":"mx1"`) {
			t.Errorf("%v: %q", err, lines)
		}
	})
}

// TestPanicEndsTheSignsOfLife: nothing writes to an answer that is over. (synctest fails on
// goroutines that are left.)
func TestPanicEndsTheSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		streaming(&writer{header: http.Header{}}, func(*stream) (*api.Total, error) { panic("x") })
	})
}
