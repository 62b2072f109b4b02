package directory

import (
	"testing"
	"time"

	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

// cheap is a cost for tests; it is not the cost that matters to them.
var cheap = Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}

var clockStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newEditor(t *testing.T) (*Editor, *rowstest.Store) {
	t.Helper()
	d := New()
	s := rowstest.New(d)
	must(t, d.Load(s))
	return &Editor{
		Directory: d,
		Proposer:  s,
		Now:       func() time.Time { return clockStart },
		Cost:      cheap,
	}, s
}

// to is an edit that gives a user these settings and no others.
func to(s Settings) func(*Settings) { return func(old *Settings) { *old = s } }
