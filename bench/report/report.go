package report

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/postroad/postroad/bench/measure"
)

// Report is the outcome of one command.
type Report struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Command string `json:"command"`
	// Short is the form for trying: its figures are held against nothing.
	Short     bool          `json:"short"`
	Started   time.Time     `json:"started"`
	Took      time.Duration `json:"took_ns"`
	Machine   Machine       `json:"machine"`
	Scenarios []*Scenario   `json:"scenarios"`
}

// Machine is where the figures come from.
type Machine struct {
	Processors int          `json:"processors"`
	Model      string       `json:"model"`
	Kernel     string       `json:"kernel"`
	Disk       measure.Disk `json:"disk"`
}

// Scenario is the outcome of one scenario.
type Scenario struct {
	Name    string       `json:"name"`
	Title   string       `json:"title"`
	About   string       `json:"about"`
	Load    string       `json:"load"` // which generator and receiving server
	Systems []SystemInfo `json:"systems"`
	Cells   []*Cell      `json:"cells"`
	Bars    []BarResult  `json:"bars,omitempty"`
	// LeftOut names what the short form had no time for: a cell and a system each.
	LeftOut []string `json:"left_out,omitempty"`
}

// SystemInfo is a system under test.
type SystemInfo struct {
	Name    string `json:"name"`
	About   string `json:"about"`
	Version string `json:"version"`
}

// Cell is one point of a scenario, at which its systems ran in alternation.
type Cell struct {
	Name    string    `json:"name"`
	Results []*Result `json:"results"`
}

// Result is one system at one cell.
type Result struct {
	System string `json:"system"`
	// of each metric, in the order of the rounds
	Values    map[string][]float64 `json:"values"`
	Integrity string               `json:"integrity"` // what the check saw, in one line
	// what it found wrong; the cell has failed
	Faults  []string `json:"faults,omitempty"`
	Problem string   `json:"problem,omitempty"` // why there are no figures
	// messages that arrived in each quarter of a second of the last round
	Timeline []int64 `json:"timeline,omitempty"`
	Marks    []Mark  `json:"marks,omitempty"` // what happened when
	Messages int64   `json:"messages"`        // of all rounds
}

// Mark is a moment of a timeline.
type Mark struct {
	At   float64 `json:"at"` // seconds
	Text string  `json:"text"`
}

// TimelineStep is what one element of a timeline stands for.
const TimelineStep = 250 * time.Millisecond

// Spread is the values of several rounds in three, and how many rounds there were.
type Spread struct {
	Min, Median, Max float64
	Rounds           int
}

// SpreadOf sums values up; ok is false when there are none. Of an even number the median is the
// mean of the middle two.
func SpreadOf(values []float64) (s Spread, ok bool) {
	if len(values) == 0 {
		return s, false
	}
	v := slices.Clone(values)
	slices.Sort(v)
	n := len(v)
	return Spread{v[0], (v[(n-1)/2] + v[n/2]) / 2, v[n-1], n}, true
}

// Figure returns the spread of a metric.
func (r *Result) Figure(metric string) (Spread, bool) { return SpreadOf(r.Values[metric]) }

// Add notes one round's value.
func (r *Result) Add(metric string, value float64) {
	if r.Values == nil {
		r.Values = map[string][]float64{}
	}
	r.Values[metric] = append(r.Values[metric], value)
}

// Result returns a system's result, nil when it has none.
func (c *Cell) Result(system string) *Result {
	for _, r := range c.Results {
		if r.System == system {
			return r
		}
	}
	return nil
}

// Sound reports whether every cell passed its integrity check.
func (r *Report) Sound() bool { return len(r.Faults()) == 0 }

// Faults lists all that the integrity checks found.
func (r *Report) Faults() (all []string) {
	for _, s := range r.Scenarios {
		for _, c := range s.Cells {
			for _, res := range c.Results {
				for _, f := range res.Faults {
					all = append(all, s.Name+", "+c.Name+", "+Title(res.System)+": "+f)
				}
			}
		}
	}
	return all
}

// Missed lists the bars that do not hold.
func (r *Report) Missed() (all []string) {
	for _, s := range r.Scenarios {
		for _, b := range s.Bars {
			if b.Verdict != Holds {
				all = append(all, s.Name+": "+b.Text+": "+b.Said)
			}
		}
	}
	return all
}

// WriteJSON writes all of it.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(r)
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(in io.Reader) (*Report, error) {
	r := &Report{}
	return r, json.NewDecoder(in).Decode(r)
}
