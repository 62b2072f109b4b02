package faults

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Terms reads from the nodes' logs when they began to own groups.
func (c *Cluster) Terms() (terms []Term, err error) {
	for _, n := range c.All() {
		f, oerr := os.Open(filepath.Join(n.Dir, "log"))
		if oerr != nil {
			err = errors.Join(err, oerr)
			continue
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, lineLimit)
		for lines.Scan() {
			if t, ok := termOf(lines.Text(), time.Now().UTC()); ok {
				t.Node = n.Number
				terms = append(terms, t)
			}
		}
		err = errors.Join(err, lines.Err(), f.Close())
	}
	sortTerms(terms)
	return terms, err
}

// termOf reads a line of a log, whose times have no year: it is that of now, or the one before.
func termOf(line string, now time.Time) (t Term, ok bool) {
	stamp, rest, ok := strings.Cut(line, " postroad[")
	if !ok || !strings.Contains(rest, "this node is the owner") || len(stamp) < len(time.Stamp) {
		return t, false
	}
	_, words, _ := strings.Cut(rest, "]: ")
	if _, err := fmt.Sscanf(words, "group %d:", &t.Group); err != nil {
		return t, false
	}
	at, err := time.Parse(time.Stamp, stamp[:len(time.Stamp)])
	if err != nil {
		return t, false
	}
	t.At = at.AddDate(now.Year(), 0, 0)
	if t.At.After(now.Add(time.Hour)) {
		t.At = at.AddDate(now.Year()-1, 0, 0)
	}
	return t, true
}
