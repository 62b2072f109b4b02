package share

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"
)

// FuzzRequest: whatever another node sends, the grantor answers, and what it grants fits into the
// limit that was named.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"group":2,"epoch":1,"seq":1,"reign":1,"groups":3,"needs":[{"site":"a","limit":{"connections":6,"rate":50},"want":9,"want_rate":1e9}]}`))
	f.Add([]byte(`{"group":2,"epoch":1,"seq":2,"reign":1,"groups":3,"age":9223372036854775807,"needs":[{"site":"a","limit":{"connections":1},"used":5,"held":7}]}`))
	f.Add([]byte(`{"group":3,"epoch":9,"seq":1,"reign":1,"groups":1,"needs":[{"site":"a"},{"site":"a","limit":{"rate":1e-300},"held_rate":2147483647}]}`))
	f.Add([]byte(`{"group":2,"epoch":0,"seq":18446744073709551615,"groups":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Unix(1_700_000_000, 0)
		g := NewGrantor(GrantorOptions{
			Leading: func() uint64 { return 1 }, Groups: func() []uint64 { return []uint64{2, 3} },
			Now: func() time.Time { return now },
		})
		ask(t, g, Request{Tenure: Tenure{3, 1}, Seq: 1, Reign: 1, Groups: 2, Age: time.Hour})
		var r Request
		if json.Unmarshal(data, &r) != nil {
			return
		}
		limits := map[string]Limit{}
		for _, n := range r.Needs {
			limits[n.Site] = n.Limit // the last one counts
		}
		for range 3 {
			now = now.Add(3 * time.Second)
			grant, err := g.Ask(context.Background(), r)
			if err != nil {
				break
			}
			for _, s := range grant.Shares {
				if l := limits[s.Site]; s.Connections < 0 || s.Connections > l.Connections ||
					s.Rate < 0 || s.Rate > l.Rate || math.IsNaN(s.Rate) {
					t.Errorf("granted %+v of %+v", s, l)
				}
			}
			r.Seq++
		}
		now = now.Add(time.Hour)
		ask(t, g, Request{Tenure: Tenure{3, 1}, Seq: 2, Reign: 1, Groups: 2, Age: time.Hour})
	})
}

func ask(t testing.TB, g *Grantor, r Request) Grant {
	t.Helper()
	grant, err := g.Ask(context.Background(), r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return grant
}
