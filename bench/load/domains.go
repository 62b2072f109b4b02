package load

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Domains are recipients' domains, each with a weight.
type Domains struct {
	names []string
	pick  alias
}

// maxDomains bounds a list.
const maxDomains = 1 << 20

// NewDomains returns domains of equal weight.
func NewDomains(names ...string) *Domains {
	weights := make([]float64, len(names))
	for i := range weights {
		weights[i] = 1
	}
	return &Domains{names, newAlias(weights)}
}

// ReadDomains reads a list: a domain and, where it is not 1, its weight on each line; "#" begins a
// comment.
func ReadDomains(r io.Reader) (*Domains, error) {
	d := &Domains{}
	var weights []float64
	in := bufio.NewScanner(r)
	for line := 1; in.Scan(); line++ {
		text, _, _ := strings.Cut(in.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		w := 1.0
		if len(fields) > 1 {
			var err error
			if w, err = strconv.ParseFloat(strings.TrimSuffix(fields[1], "%"), 64); err != nil ||
				!(w > 0 && w < 1e12) {
				return nil, fmt.Errorf("line %d: weight %q: a number over 0 it should be", line,
					fields[1])
			}
		}
		if len(fields) > 2 || strings.ContainsAny(fields[0], "<>@") {
			return nil, fmt.Errorf("line %d: a domain and a weight it should be", line)
		}
		if len(d.names) == maxDomains {
			return nil, fmt.Errorf("line %d: more than %d domains", line, maxDomains)
		}
		d.names = append(d.names, fields[0])
		weights = append(weights, w)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("reading domains: %w", err)
	}
	if len(d.names) == 0 {
		return nil, fmt.Errorf("no domains in the list")
	}
	d.pick = newAlias(weights)
	return d, nil
}

// MixedDomains returns n domains (at least 10) with the weights that a list of private recipients
// tends to have: a few large providers take most of it (the first 38 %, the next 20, 12, 7 and 3 %)
// and the rest is a long tail in which the k-th domain weighs 1/k (Zipf). The names are
// large1.example to large5.example and tail1.example and so on, below suffix when it is set.
func MixedDomains(n int, suffix string) *Domains {
	large := []float64{38, 20, 12, 7, 3}
	n = min(max(n, 10), maxDomains)
	if suffix == "" {
		suffix = "example"
	}
	d := &Domains{}
	weights := append([]float64(nil), large...)
	for i := range large {
		d.names = append(d.names, fmt.Sprintf("large%d.%s", i+1, suffix))
	}
	tail := n - len(large)
	harmonic := 0.0
	for k := 1; k <= tail; k++ {
		harmonic += 1 / float64(k)
	}
	share := 100.0
	for _, w := range large {
		share -= w
	}
	for k := 1; k <= tail; k++ {
		d.names = append(d.names, fmt.Sprintf("tail%d.%s", k, suffix))
		weights = append(weights, math.Max(share/harmonic/float64(k), 1e-9))
	}
	d.pick = newAlias(weights)
	return d
}

// Names returns the domains, the order being that of the list.
func (d *Domains) Names() []string { return d.names }

func (d *Domains) of(r uint64) string {
	if len(d.names) == 1 {
		return d.names[0]
	}
	return d.names[d.pick.of(r)]
}
