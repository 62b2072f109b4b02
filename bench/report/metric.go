package report

import (
	"fmt"
	"slices"
	"strconv"
)

// Metric is something that is measured.
type Metric struct {
	Name   string // in scenarios and JSON
	Title  string // heads a column
	Unit   string
	More   bool    // more is better
	Scale  float64 // a value is divided by it for people; 0: 1
	Digits int     // after the point
}

// Metrics are all of them, in the order of the columns.
func Metrics() []Metric {
	const mib = 1 << 20
	return []Metric{
		{"rate", "rate", "messages/s", true, 0, 0},
		{"cpu", "CPU", "µs of CPU/message", false, 0, 0},
		{"accept_rate", "accepting", "messages/s", true, 0, 0},
		{"accept_cpu", "CPU accepting", "µs of CPU/message", false, 0, 0},
		{"drain_rate", "draining", "messages/s", true, 0, 0},
		{"drain_cpu", "CPU draining", "µs of CPU/message", false, 0, 0},
		{"recipients", "recipients", "recipients/s", true, 0, 0},
		{"recipient_cpu", "CPU", "µs of CPU/recipient", false, 0, 1},
		{"memory", "peak memory", "MiB", false, mib, 0},
		{"idle_memory", "memory", "KiB/idle connection", false, 1024, 1},
		{"fsyncs", "fsyncs", "fsyncs/message", false, 0, 2},
		{"written", "written", "octets to disk/octet accepted", false, 0, 2},
		{"disk_share", "use of the disk", "share of its synced rate", true, 0, 2},
		{"accept_p50", "250 after, median (p50)", "ms", false, 0, 1},
		{"accept_p99", "250 after, 99th percentile (p99)", "ms", false, 0, 1},
		{"deliver_p50", "delivered after, median (p50)", "ms", false, 0, 1},
		{"deliver_p99", "delivered after, 99th percentile (p99)", "ms", false, 0, 1},
		{"takeover", "taken over within", "s", false, 0, 1},
	}
}

// MetricOf returns a metric by its name.
func MetricOf(name string) (Metric, bool) {
	all := Metrics()
	i := slices.IndexFunc(all, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return all[i], true
}

// Format writes a value for people, without its unit.
func (m Metric) Format(v float64) string {
	if m.Scale != 0 {
		v /= m.Scale
	}
	if m.Digits == 0 {
		return grouped(v)
	}
	return strconv.FormatFloat(v, 'f', m.Digits, 64)
}

// grouped writes a whole number with commas, and a small one with two places that count.
func grouped(v float64) string {
	if v < 10 && v != float64(int64(v)) {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// FormatSpread writes "median (min to max)", or the value alone when there was one round.
func (m Metric) FormatSpread(s Spread) string {
	if s.Rounds > 1 {
		return fmt.Sprintf("%s (%s to %s)", m.Format(s.Median), m.Format(s.Min), m.Format(s.Max))
	}
	return m.Format(s.Median)
}

// columns returns the metrics that any of the cells has.
func columns(cells []*Cell) (found []Metric) {
	for _, m := range Metrics() {
		if slices.ContainsFunc(cells, func(c *Cell) bool {
			return slices.ContainsFunc(c.Results, func(r *Result) bool {
				return len(r.Values[m.Name]) > 0
			})
		}) {
			found = append(found, m)
		}
	}
	return found
}
