package config

import (
	"cmp"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File         string // "" for the embedded default
	Line, Column int    // from 1; 0 when the problem has no place in the file
	// the full key, such as "limits.memory" or "listener[1].kind"; "" for a fault of syntax
	Key  string
	What string // what is wrong
	Hint string // what to write instead, "" when there is nothing to say
}

// Error gives the problem as `file:line:column: key: what is wrong; hint`.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
		if p.Line > 0 {
			b.WriteString(strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column) + ":")
		}
		b.WriteByte(' ')
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems is the error of Load and Check: everything that was found, in the order of the file.
type Problems []Problem

// maxProblems bounds what is reported at once; the rest is found after these are mended.
const maxProblems = 20

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

func (ps *Problems) add(p Problem) {
	if len(*ps) < maxProblems {
		*ps = append(*ps, p)
	}
}

// asError returns nil when there are none: a nil Problems in an error would not be nil.
func (ps Problems) asError() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// position is a place in a file; line and column count from 1, the column in octets.
type position struct {
	file         string
	line, column int
}

// positions maps the full key of everything in a file to its place.
type positions map[string]position

// has reports whether the file says anything of key. It is false for all keys of nil positions.
func (ps positions) has(key string) bool {
	_, ok := ps[key]
	return ok
}

// at returns the place of key, or of the nearest thing around it that the file has: a missing key
// is missing in its table.
func (ps positions) at(key string) position {
	for key != "" {
		if p, ok := ps[key]; ok {
			return p
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return position{}
}

// problem is one at this place, which is in file when it is in none.
func (p position) problem(file, key, what, hint string) Problem {
	return Problem{File: cmp.Or(p.file, file), Line: p.line, Column: p.column, Key: key, What: what,
		Hint: hint}
}

// within calls fn with the places of key and of all that is in it.
func (ps positions) within(key string, fn func(key string, p position)) {
	for k, p := range ps {
		if rest, ok := strings.CutPrefix(k, key); ok && (rest == "" || rest[0] == '.' ||
			rest[0] == '[') {
			fn(k, p)
		}
	}
}

// take makes the places of key, and of all that is in it, those of another document.
func (ps positions) take(key string, from positions) {
	ps.within(key, func(k string, _ position) { delete(ps, k) })
	from.within(key, func(k string, p position) { ps[k] = p })
}

// join makes a full key. A name that is not a bare key of TOML is quoted, as it is in the file.
func join(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		if name == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(name)
	}
	return b.String()
}

// quoteKey returns name as it is written in a TOML key.
func quoteKey(name string) string {
	for i := 0; i < len(name); i++ {
		if c := name[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '_' || c == '-') {
			return quoteString(name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}

// Nearest returns the word of words that name was most likely meant to be, or "". A third of the
// letters may be wrong.
func Nearest(name string, words []string) string {
	best, distance := "", len(name)/3+2
	for _, w := range words {
		if d := editDistance(name, w, distance); d < distance {
			best, distance = w, d
		}
	}
	return best
}

// editDistance is Levenshtein's, with the exchange of two neighbours as one step (Damerau), or
// limit when it is not below limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
