package load

// mix is the finaliser of SplitMix64: a number whose bits look random, and which follows from its
// arguments alone, so that message n of a seed is the same in each run.
func mix(seed, n, salt uint64) uint64 {
	z := seed + n*0x9e3779b97f4a7c15 + salt*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// alias picks from a weighted list in constant time (Walker's method, as Vose builds it): each cell
// is one entry's with a chance, else another's.
type alias struct {
	chance []float64
	other  []int32
}

func newAlias(weights []float64) alias {
	n := len(weights)
	total := 0.0
	for _, w := range weights {
		total += w
	}
	a := alias{chance: make([]float64, n), other: make([]int32, n)}
	var small, large []int
	for i, w := range weights {
		a.chance[i] = w * float64(n) / total
		a.other[i] = int32(i)
		if a.chance[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.other[s] = int32(l)
		if a.chance[l] -= 1 - a.chance[s]; a.chance[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // what rounding has left over
		a.chance[i] = 1
	}
	return a
}

// of returns the entry that random number r picks.
func (a *alias) of(r uint64) int {
	i := int(r >> 32 * uint64(len(a.chance)) >> 32)
	if float64(r&(1<<32-1))*(1.0/(1<<32)) < a.chance[i] {
		return i
	}
	return int(a.other[i])
}
