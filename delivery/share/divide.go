package share

import (
	"cmp"
	"slices"
)

// divide shares a pool out by demand: whoever wants little gets it, the rest is the same for all
// others (max-min fairness). The shares come in the order of the wants; their sum is at most the
// pool.
func divide(pool float64, wants []float64) []float64 {
	order := byWant(wants)
	shares := make([]float64, len(wants))
	for n, i := range order {
		shares[i] = max(0, min(wants[i], pool/float64(len(wants)-n)))
		pool -= shares[i]
	}
	return shares
}

// divideWhole is divide for what cannot be split. When there are fewer than takers, they take
// turns: the turn says who is first.
func divideWhole(pool int, wants []int, turn int) []int {
	order := byWant(wants)
	order = slices.DeleteFunc(order, func(i int) bool { return wants[i] <= 0 })
	shares := make([]int, len(wants))
	if pool < len(order) {
		slices.Sort(order)
		for n := range max(0, pool) {
			shares[order[(turn+n)%len(order)]] = 1
		}
		return shares
	}
	for n, i := range order {
		shares[i] = min(wants[i], pool/(len(order)-n))
		pool -= shares[i]
	}
	return shares
}

func byWant[T cmp.Ordered](wants []T) []int {
	order := make([]int, len(wants))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wants[a], wants[b]) })
	return order
}
