// Package glob matches names against patterns in which * stands for anything.
package glob

// Match reports whether s matches pattern, in which * stands for any run of octets; "" matches
// everything. It takes time in proportion to the product of the lengths at most.
func Match(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	star, mark, p, i := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
