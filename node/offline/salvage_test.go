package offline

import (
	"testing"

	"github.com/postroad/postroad/cluster/control"
)

// TestSalvageNamesGroups: also those that this node's rows do not have yet, by what the living
// cluster tells, else by number.
func TestSalvageNamesGroups(t *testing.T) {
	group := control.Group{ID: 3, Kind: control.KindQueue, Home: 2}
	for _, c := range []struct {
		living takers
		want   string
	}{
		{takers{}, "group 3 (mail)"},
		// Of an older version.
		{takers{Groups: []control.Group{group}}, "group 3 (mail accepted by member 2)"},
		{
			takers{Groups: []control.Group{group}, Names: map[uint16]string{2: "mx2"}},
			"group 3 (mail accepted by mx2)",
		},
	} {
		s := &salvager{own: control.New(), living: c.living}
		if got := s.name(3); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
