package load

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/postroad/postroad/internal/config"
)

// Sizes is a distribution of sizes.
type Sizes struct {
	sizes []int
	pick  alias
}

// ParseSizes reads "4KiB" or "4096", or sizes with weights: "4KiB:70%,64KiB:25%,1MiB:5%". Weights
// need not come to 100.
func ParseSizes(text string) (Sizes, error) {
	var s Sizes
	var weights []float64
	for part := range strings.SplitSeq(text, ",") {
		name, share, weighted := strings.Cut(strings.TrimSpace(part), ":")
		var size config.Size
		unit := ""
		if _, err := strconv.Atoi(name); err == nil {
			unit = "B"
		}
		if err := size.UnmarshalText([]byte(name + unit)); err != nil {
			return Sizes{}, fmt.Errorf("size %q: %w", name, err)
		}
		if size < MinSize || size > MaxSize {
			return Sizes{}, fmt.Errorf("size %q: a message has %d octets to %s", name, MinSize,
				config.Size(MaxSize))
		}
		weight := 1.0
		if weighted {
			w, err := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
			if err != nil || !(w > 0 && w < 1e12) {
				return Sizes{}, fmt.Errorf("weight %q: a number over 0 it should be, such as 25%%",
					share)
			}
			weight = w
		}
		s.sizes = append(s.sizes, int(size))
		weights = append(weights, weight)
	}
	s.pick = newAlias(weights)
	return s, nil
}

// Bounds of a made message: the header needs some room, and the content is held in memory.
const (
	MinSize = 512
	MaxSize = 256 << 20
)

// of returns the size of the message whose random number is r.
func (s *Sizes) of(r uint64) int {
	if len(s.sizes) == 1 {
		return s.sizes[0]
	}
	return s.sizes[s.pick.of(r)]
}

// largest returns the largest size.
func (s *Sizes) largest() (n int) {
	for _, size := range s.sizes {
		n = max(n, size)
	}
	return n
}
