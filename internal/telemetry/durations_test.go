package telemetry

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newDurations() *Durations {
	return NewDurations(10*time.Millisecond, 100*time.Millisecond, time.Second)
}

// TestDurations: each is in its bucket and in those above, which is what Prometheus reads; one that
// is negative, because a clock was set back, counts as none.
func TestDurations(t *testing.T) {
	tel, err := Start(t.Context(), Options{Node: "n1", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(t.Context())
	d := newDurations()
	for _, took := range []time.Duration{-time.Hour, 10 * time.Millisecond, 50 * time.Millisecond,
		time.Minute} {
		d.Record(took)
	}
	var none *Durations
	none.Record(time.Second)
	if err := tel.Area("area", func(o Observer) {
		o.Durations("wait_seconds", "how long it waits", d)
	}); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"# TYPE postroad_area_wait_seconds histogram",
		"# HELP postroad_area_wait_seconds how long it waits",
		`postroad_area_wait_seconds_bucket{le="0.01"} 2`,
		`postroad_area_wait_seconds_bucket{le="0.1"} 3`,
		`postroad_area_wait_seconds_bucket{le="1"} 3`,
		`postroad_area_wait_seconds_bucket{le="+Inf"} 4`,
		"postroad_area_wait_seconds_sum 60.06", "postroad_area_wait_seconds_count 4"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("there is no %q in\n%s", want, w.Body)
		}
	}
	for name, help := range map[string]string{"wait": "a name without its unit",
		"wait_total": "a counter's name"} {
		if err := tel.Area("area", func(o Observer) { o.Durations(name, help, d) }); err == nil {
			t.Errorf("%s is taken for a histogram's name", name)
		}
	}
}

// TestDurationsCostNoAllocation: they are on mail's way.
func TestDurationsCostNoAllocation(t *testing.T) {
	d := newDurations()
	if n := testing.AllocsPerRun(1000, func() { d.Record(30 * time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations each", n)
	}
}

func BenchmarkDurations(b *testing.B) {
	d := newDurations()
	b.ReportAllocs()
	for b.Loop() {
		d.Record(30 * time.Millisecond)
	}
}
