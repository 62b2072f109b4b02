package telemetry

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// maxLabels bounds the label values of one instrument in one collection; what comes after them is summed as "other".
const maxLabels = 200

// Observer takes the figures of one area. A name is used with one kind and one label only.
type Observer interface {
	// Counter gives a total that never falls while the process runs. Its name ends in _total.
	Counter(name, help string, value uint64)
	// Gauge gives a figure of now.
	Gauge(name, help string, value float64)
	// CounterBy and GaugeBy give the figure for one value of a label. The values come from a closed list.
	CounterBy(name, help, label, labelValue string, value uint64)
	GaugeBy(name, help, label, labelValue string, value float64)
}

// Area makes instruments named postroad_<area>_<name> of the figures that collect gives. collect is called once now, which
// tells the names, and at each collection, by several goroutines at a time when there are several readers; it must give the same names each time (label values may differ).
func (t *Telemetry) Area(area string, collect func(Observer)) error {
	n := &namer{area: area, meter: t.Meter("postroad/" + area), instruments: map[string]*instrument{}}
	collect(n)
	if n.err != nil {
		return fmt.Errorf("telemetry: %w", n.err)
	}
	_, err := n.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		r := &reader{instruments: n.instruments, sums: map[string]*sums{}}
		collect(r)
		r.observe(o)
		return r.err
	}, n.all...)
	if err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	return nil
}

type instrument struct {
	counter metric.Int64ObservableCounter // nil for a gauge
	gauge   metric.Float64ObservableGauge
	label   string
}

// namer is the Observer of the first call: it makes the instruments.
type namer struct {
	area        string
	meter       metric.Meter
	instruments map[string]*instrument
	all         []metric.Observable
	err         error
}

var goodName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

func (n *namer) add(name, help, label string, counter bool) {
	in, ok := n.instruments[name]
	switch {
	case n.err != nil:
	case ok && (in.label != label || (in.counter != nil) != counter):
		n.err = fmt.Errorf("%s: %s is used in two ways", n.area, name)
	case ok:
	case !goodName.MatchString(name) || strings.HasSuffix(name, "_total") != counter:
		n.err = fmt.Errorf("%s: %q is not a good name: lower case with underscores; counters, and only they, end in _total", n.area, name)
	default:
		n.make(name, help, label, counter)
	}
}

func (n *namer) make(name, help, label string, counter bool) {
	full := "postroad_" + n.area + "_" + name
	in := &instrument{label: label}
	if counter {
		in.counter, n.err = n.meter.Int64ObservableCounter(full, metric.WithDescription(help))
		n.all = append(n.all, in.counter)
	} else {
		in.gauge, n.err = n.meter.Float64ObservableGauge(full, metric.WithDescription(help))
		n.all = append(n.all, in.gauge)
	}
	n.instruments[name] = in
}

func (n *namer) Counter(name, help string, _ uint64)             { n.add(name, help, "", true) }
func (n *namer) Gauge(name, help string, _ float64)              { n.add(name, help, "", false) }
func (n *namer) CounterBy(name, help, label, _ string, _ uint64) { n.add(name, help, label, true) }
func (n *namer) GaugeBy(name, help, label, _ string, _ float64)  { n.add(name, help, label, false) }

// reader is the Observer of a collection: it sums what has the same label value and caps their number.
type reader struct {
	instruments map[string]*instrument
	sums        map[string]*sums
	err         error
}

type sums struct {
	counters map[string]uint64
	gauges   map[string]float64
}

func (r *reader) add(name, labelValue string, counter uint64, gauge float64) {
	if r.instruments[name] == nil {
		r.err = fmt.Errorf("%s was not named in the area's first call", name)
		return
	}
	s := r.sums[name]
	if s == nil {
		s = &sums{map[string]uint64{}, map[string]float64{}}
		r.sums[name] = s
	}
	if _, ok := s.counters[labelValue]; !ok && len(s.counters) >= maxLabels {
		labelValue = "other"
	}
	s.counters[labelValue] += counter
	s.gauges[labelValue] += gauge
}

func (r *reader) observe(o metric.Observer) {
	for name, s := range r.sums {
		in := r.instruments[name]
		for value, n := range s.counters {
			set := metric.WithAttributes()
			if in.label != "" {
				set = metric.WithAttributes(attribute.String(in.label, value))
			}
			if in.counter != nil {
				o.ObserveInt64(in.counter, int64(n), set)
			} else {
				o.ObserveFloat64(in.gauge, s.gauges[value], set)
			}
		}
	}
}

func (r *reader) Counter(name, _ string, v uint64)                  { r.add(name, "", v, 0) }
func (r *reader) Gauge(name, _ string, v float64)                   { r.add(name, "", 0, v) }
func (r *reader) CounterBy(name, _, _, labelValue string, v uint64) { r.add(name, labelValue, v, 0) }
func (r *reader) GaugeBy(name, _, _, labelValue string, v float64)  { r.add(name, labelValue, 0, v) }
