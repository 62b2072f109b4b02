package telemetry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// maxLabels bounds the label values of one figure in one collection; what comes after them is
// summed as "other".
const maxLabels = 200

// Observer takes the figures of one area.
type Observer interface {
	// Counter gives a total that never falls while the process runs. Its name ends in _total.
	Counter(name, help string, value uint64)
	// Gauge gives a figure of now.
	Gauge(name, help string, value float64)
	// CounterBy and GaugeBy give the figure for one value of a label. The values come from a closed
	// list.
	CounterBy(name, help, label, labelValue string, value uint64)
	GaugeBy(name, help, label, labelValue string, value float64)
	// Durations gives a histogram. Its name ends in _seconds.
	Durations(name, help string, d *Durations)
}

// Area offers the figures that collect gives as metrics named postroad_<area>_<name>. collect is
// called at each collection, by several goroutines at a time when there are several readers, and
// once now to find bad names.
func (t *Telemetry) Area(area string, collect func(Observer)) error {
	if _, err := gather(area, collect); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	t.areas.mu.Lock()
	defer t.areas.mu.Unlock()
	t.areas.mu.all = append(t.areas.mu.all, namedArea{area, collect})
	return nil
}

// areas is the SDK's Producer of all areas' figures. Road not taken: observable instruments. They
// must all be known before the first collection, but a site's figures appear when the site does.
type areas struct {
	start time.Time
	mu    struct {
		sync.Mutex
		all []namedArea
	}
}

type namedArea struct {
	name    string
	collect func(Observer)
}

// Produce implements sdkmetric.Producer.
func (a *areas) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	a.mu.Lock()
	all := a.mu.all
	a.mu.Unlock()
	var out []metricdata.ScopeMetrics
	var errs []error
	now := time.Now()
	for _, area := range all {
		c, err := gather(area.name, area.collect)
		errs = append(errs, err)
		out = append(out,
			metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: "postroad/" + area.name},
				Metrics: c.metrics(a.start, now)})
	}
	return out, errors.Join(errs...)
}

// collection is the Observer of one collection of one area. Figures with a bad name are left out.
type collection struct {
	area    string
	figures map[string]*figure
	order   []string
	err     error
}

// figure is a metric with its values by label value; without a label that is "".
type figure struct {
	help, label string
	counter     bool
	counts      map[string]uint64
	gauges      map[string]float64
	durations   *Durations // of a histogram, which has no label
}

func gather(area string, collect func(Observer)) (*collection, error) {
	c := &collection{area: area, figures: map[string]*figure{}}
	collect(c)
	return c, c.err
}

var goodName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// figure returns the figure of a name, or nil when the name is bad or already means something else.
func (c *collection) figure(name, help, label string, counter bool) *figure {
	f := c.figures[name]
	switch {
	case f == nil && (!goodName.MatchString(name) || strings.HasSuffix(name, "_total") != counter):
		c.err = fmt.Errorf(
			"%s: %q is not a good name: lower case with underscores; counters, and only they, "+
				"end in _total", c.area, name)
		return nil
	case f == nil:
		f = &figure{help: help, label: label, counter: counter, counts: map[string]uint64{},
			gauges: map[string]float64{}}
		c.figures[name], c.order = f, append(c.order, name)
	case f.label != label || f.counter != counter:
		c.err = fmt.Errorf("%s: %s is used in two ways", c.area, name)
		return nil
	}
	return f
}

func (c *collection) Counter(name, help string, v uint64) { c.CounterBy(name, help, "", "", v) }
func (c *collection) Gauge(name, help string, v float64)  { c.GaugeBy(name, help, "", "", v) }

func (c *collection) CounterBy(name, help, label, labelValue string, v uint64) {
	if f := c.figure(name, help, label, true); f != nil {
		f.counts[capped(f.counts, labelValue)] += v
	}
}

func (c *collection) GaugeBy(name, help, label, labelValue string, v float64) {
	if f := c.figure(name, help, label, false); f != nil {
		f.gauges[capped(f.gauges, labelValue)] += v
	}
}

func (c *collection) Durations(name, help string, d *Durations) {
	if !strings.HasSuffix(name, "_seconds") {
		c.err = fmt.Errorf("%s: %q is no good name of a histogram: it ends in _seconds", c.area,
			name)
		return
	}
	if f := c.figure(name, help, "", false); f != nil {
		f.durations = d
	}
}

// capped is the label value under which a figure is kept.
func capped[V any](have map[string]V, labelValue string) string {
	if _, ok := have[labelValue]; !ok && len(have) >= maxLabels {
		return "other"
	}
	return labelValue
}

func (c *collection) metrics(start, now time.Time) []metricdata.Metrics {
	out := make([]metricdata.Metrics, 0, len(c.order))
	for _, name := range c.order {
		f := c.figures[name]
		m := metricdata.Metrics{Name: "postroad_" + c.area + "_" + name, Description: f.help}
		switch {
		case f.durations != nil:
			m.Data = metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality,
				DataPoints: []metricdata.HistogramDataPoint[float64]{f.durations.point(start, now)}}
		case f.counter:
			sum := metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality,
				IsMonotonic: true}
			for value, n := range f.counts {
				sum.DataPoints = append(sum.DataPoints,
					metricdata.DataPoint[int64]{Attributes: f.attributes(value), StartTime: start,
						Time: now, Value: int64(n)})
			}
			m.Data = sum
		default:
			var gauge metricdata.Gauge[float64]
			for value, n := range f.gauges {
				gauge.DataPoints = append(gauge.DataPoints,
					metricdata.DataPoint[float64]{Attributes: f.attributes(value), Time: now,
						Value: n})
			}
			m.Data = gauge
		}
		out = append(out, m)
	}
	return out
}

func (f *figure) attributes(value string) attribute.Set {
	if f.label == "" {
		return *attribute.EmptySet()
	}
	return attribute.NewSet(attribute.String(f.label, value))
}
