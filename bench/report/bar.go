package report

import (
	"fmt"
	"path"
)

// Bar is something that is asked of the figures: a metric, or its ratio to another figure, that is
// to be at least or at most some number.
type Bar struct {
	// Text is the demand in words.
	Text string `toml:"text"`
	// Metric is what is measured: one of the names in docs/bench.md, "rate" for one.
	Metric string `toml:"metric"`
	// System is the system that it is asked of. Default: "node".
	System string `toml:"system"`
	// Cell is the cell, or several: "*" stands for any text in its name. Empty: every cell.
	Cell string `toml:"cell"`
	// AgainstSystem, AgainstCell and AgainstMetric are the figure that the value is divided by;
	// each is by default that of the bar itself. When none is given the value stands by itself.
	AgainstSystem string `toml:"against_system"`
	AgainstCell   string `toml:"against_cell"`
	AgainstMetric string `toml:"against_metric"`
	// AtLeast and AtMost are the bounds; one of them is to be given.
	AtLeast float64 `toml:"at_least"`
	AtMost  float64 `toml:"at_most"`
	// OrMetric and OrAtLeast are another way for a cell to hold: this metric, by itself, is at
	// least so much.
	OrMetric  string  `toml:"or_metric"`
	OrAtLeast float64 `toml:"or_at_least"`
}

// Verdict is what became of a bar.
type Verdict string

// Verdicts.
const (
	Holds  Verdict = "holds"
	Fails  Verdict = "fails"
	Absent Verdict = "not measured" // a system or a cell did not run
)

// BarResult is a bar and what was measured.
type BarResult struct {
	Text    string  `json:"text"`
	Cell    string  `json:"cell"`
	System  string  `json:"system"`
	Metric  string  `json:"metric"`
	Value   float64 `json:"value"`
	Bound   float64 `json:"bound"`
	Verdict Verdict `json:"verdict"`
	Said    string  `json:"said"` // the value and the bound in words
}

// Check says why a bar makes no sense, or "".
func (b *Bar) Check() string {
	switch _, known := MetricOf(b.Metric); {
	case b.Text == "":
		return "a bar needs a text"
	case !known:
		return fmt.Sprintf("there is no metric %q", b.Metric)
	case (b.AtLeast == 0) == (b.AtMost == 0):
		return "a bar needs either at_least or at_most"
	}
	for _, name := range []string{b.AgainstMetric, b.OrMetric} {
		if _, known := MetricOf(name); name != "" && !known {
			return fmt.Sprintf("there is no metric %q", name)
		}
	}
	return ""
}

// Judge holds the bar against a scenario: one result for each cell that it is asked of.
func (b *Bar) Judge(s *Scenario) (results []BarResult) {
	for _, c := range s.Cells {
		if ok, _ := path.Match(b.Cell, c.Name); ok || b.Cell == "" {
			results = append(results, b.judge(s, c))
		}
	}
	if len(results) == 0 {
		results = append(results, BarResult{Text: b.Text, Cell: b.Cell, System: b.system(),
			Metric: b.Metric, Bound: b.bound(), Verdict: Absent, Said: "no such cell was run"})
	}
	return results
}

func (b *Bar) system() string {
	if b.System == "" {
		return "node"
	}
	return b.System
}

func (b *Bar) bound() float64 { return max(b.AtLeast, b.AtMost) }

func (b *Bar) relative() bool {
	return b.AgainstSystem != "" || b.AgainstCell != "" || b.AgainstMetric != ""
}

func (b *Bar) judge(s *Scenario, c *Cell) BarResult {
	r := BarResult{Text: b.Text, Cell: c.Name, System: b.system(), Metric: b.Metric,
		Bound: b.bound(), Verdict: Absent, Said: "not measured"}
	value, ok := b.value(s, c)
	if !ok {
		return r
	}
	m, _ := MetricOf(b.Metric)
	r.Value, r.Verdict = value.Median, Fails
	r.Said = b.say(m, value)
	if v := value.Median; b.AtLeast > 0 && v >= b.AtLeast || b.AtMost > 0 && v <= b.AtMost {
		r.Verdict = Holds
	}
	if b.OrMetric == "" {
		return r
	}
	if other, ok := figure(c.Result(b.system()), b.OrMetric); ok {
		m, _ := MetricOf(b.OrMetric)
		r.Said += fmt.Sprintf(", or %s %s; asked: at least %s", m.FormatSpread(other), m.Unit,
			m.Format(b.OrAtLeast))
		if other.Median >= b.OrAtLeast {
			r.Verdict = Holds
		}
	}
	return r
}

// say is the value with its spread and the bound in words.
func (b *Bar) say(m Metric, v Spread) string {
	how, bound := "at least", b.AtLeast
	if b.AtMost > 0 {
		how, bound = "at most", b.AtMost
	}
	switch {
	case !b.relative():
		return fmt.Sprintf("%s %s; asked: %s %s", m.FormatSpread(v), m.Unit, how, m.Format(bound))
	case b.AtMost > 0 && bound < 1:
		return fmt.Sprintf("%s %%; asked: %s %.1f %%", v.text("%.1f", 100), how, 100*bound)
	}
	return fmt.Sprintf("%s times; asked: %s %.4g", v.text("%.2f", 1), how, bound)
}

// text writes the median and the spread of several rounds' values, times a factor.
func (s Spread) text(form string, times float64) string {
	if s.Rounds < 2 {
		return fmt.Sprintf(form, times*s.Median)
	}
	return fmt.Sprintf(form+" ("+form+" to "+form+")", times*s.Median, times*s.Min, times*s.Max)
}

// value is the metric of the rounds, or of a ratio the rounds' ratios where both ran in the same
// rounds: what disturbs the machine for a while disturbs both then. Where they did not, it is the
// ratio of the medians, which has no spread.
func (b *Bar) value(s *Scenario, c *Cell) (Spread, bool) {
	own := c.Result(b.system())
	if !b.relative() {
		return figure(own, b.Metric)
	}
	system, cell, metric := b.system(), c, b.Metric
	if b.AgainstSystem != "" {
		system = b.AgainstSystem
	}
	if b.AgainstMetric != "" {
		metric = b.AgainstMetric
	}
	if b.AgainstCell != "" {
		if cell = cellNamed(s, b.AgainstCell); cell == nil {
			return Spread{}, false
		}
	}
	other := cell.Result(system)
	if own == nil || other == nil {
		return Spread{}, false
	}
	mine, theirs := own.Values[b.Metric], other.Values[metric]
	if cell == c && len(mine) == len(theirs) {
		var ratios []float64
		for i := range mine {
			ratios = append(ratios, mine[i]/theirs[i])
		}
		return SpreadOf(ratios)
	}
	m, ok := SpreadOf(mine)
	t, ok2 := SpreadOf(theirs)
	if !ok || !ok2 || t.Median <= 0 {
		return Spread{}, false
	}
	return SpreadOf([]float64{m.Median / t.Median})
}

func figure(r *Result, metric string) (Spread, bool) {
	if r == nil {
		return Spread{}, false
	}
	return r.Figure(metric)
}

func cellNamed(s *Scenario, name string) *Cell {
	for _, c := range s.Cells {
		if c.Name == name {
			return c
		}
	}
	return nil
}
