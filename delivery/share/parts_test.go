package share

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestDivide(t *testing.T) {
	for _, c := range []struct {
		pool  int
		wants []int
		want  []int
	}{
		{6, []int{9, 9, 9}, []int{2, 2, 2}},
		{17, []int{1, 20, 20}, []int{1, 8, 8}},
		{17, []int{20, 2, 20}, []int{7, 2, 8}},
		{5, []int{1, 1, 1}, []int{1, 1, 1}},
		{3, []int{0, 9, 0}, []int{0, 3, 0}},
		{1, []int{0, 9, 9}, []int{0, 1, 0}},
		{-3, []int{9, 9}, []int{0, 0}},
		{4, nil, nil},
	} {
		if got := divideWhole(c.pool, c.wants, 0); !slices.Equal(got, c.want) &&
			len(got)+len(c.want) > 0 {
			t.Errorf("%d among %v: %v, want %v", c.pool, c.wants, got, c.want)
		}
		var wants []float64
		for _, w := range c.wants {
			wants = append(wants, float64(w))
		}
		sum, got := 0.0, divide(float64(c.pool), wants)
		for i := range got {
			if sum += got[i]; got[i] < 0 || got[i] > wants[i] {
				t.Errorf("%d among %v: %v", c.pool, c.wants, got)
			}
		}
		if sum > max(0, float64(c.pool))+1e-9 {
			t.Errorf("%d among %v: %v", c.pool, c.wants, got)
		}
	}
}

// All reserved parts together are at most a quarter.
func TestReserved(t *testing.T) {
	for groups := 2; groups < 200; groups++ {
		for _, l := range []Limit{{6, 50}, {20, 0}, {1, 0.01}, {1000, 1e6}} {
			n, rate := l.reserved(groups)
			if 4*n*groups > l.Connections || 4*rate*float64(groups) > l.Rate*(1+1e-9) ||
				groups <= 5 && rate < 0.05*l.Rate {
				t.Errorf("%d groups, %+v: %d and %v each", groups, l, n, rate)
			}
		}
	}
	if n, rate := (Limit{6, 50}).reserved(1); n != 6 || rate != 50 {
		t.Errorf("a single group has %d and %v", n, rate)
	}
}

func TestCensus(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := census{window: 10 * time.Second}
	for _, step := range []struct {
		after       time.Duration
		groups      int
		least, most int
	}{
		{0, 3, 3, 3}, {time.Hour, 4, 3, 4}, {9 * time.Second, 4, 3, 4}, {2 * time.Second, 4, 4, 4},
		{time.Hour, 0, 1, 4}, {11 * time.Second, 1, 1, 1},
	} {
		now = now.Add(step.after)
		if c.add(step.groups, now); c.least() != step.least || c.most() != step.most {
			t.Errorf("%d groups: %d to %d, want %d to %d", step.groups, c.least(), c.most(),
				step.least, step.most)
		}
	}
	for i := range 1000 {
		c.add(2+i%2, now)
	}
	if len(c.seen) > maxChanges {
		t.Errorf("%d numbers remembered", len(c.seen))
	}
}

// TestBucket: several buckets between which a rate moves keep to it in sum, and use it up.
func TestBucket(t *testing.T) {
	const rate, n = 50.0, 3
	r := rand.New(rand.NewPCG(1, 1))
	begin := time.Unix(1_700_000_000, 0)
	now := begin
	buckets := make([]bucket, n)
	for i := range buckets {
		buckets[i] = bucket{at: now}
		buckets[i].set(rate/n, now)
	}
	var times []time.Time
	for now.Sub(begin) < 5*time.Minute {
		now = now.Add(time.Duration(r.IntN(3000)) * time.Microsecond)
		if r.IntN(200) == 0 { // first one gives, then the other takes
			from, to := &buckets[r.IntN(n)], &buckets[r.IntN(n)]
			part := from.rate * r.Float64()
			from.set(from.rate-part, now)
			to.set(to.rate+part, now)
		}
		for i := range buckets {
			for buckets[i].wait(now) == 0 {
				buckets[i].take(now)
				times = append(times, now)
			}
		}
	}
	most, from := 0, 0
	for i := range times {
		for times[i].Sub(times[from]) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	average := float64(len(times)) / now.Sub(begin).Seconds()
	if bound := rate + n + rate*burstSeconds; float64(most) > bound || average < 0.97*rate {
		t.Errorf("%.1f/s, at most %d in a second, bound %v", average, most, bound)
	}
	none := bucket{at: now}
	if d := none.wait(now); d != longWait || math.IsNaN(none.tokens) {
		t.Errorf("without a rate: wait %v", d)
	}
}
