package shaping

import (
	"strings"
	"testing"
	"time"
)

func TestLimitsOfASite(t *testing.T) {
	s, err := NewSet(map[string]Limits{
		"default":          {Rate: Rate{Count: 10, Per: time.Minute}},
		"google.example":   {Connections: 5},
		"a.google.example": {Connections: 7, Scope: Node},
		"own.example":      {Rate: Rate{Count: 1, Per: time.Hour}},
		"free.example":     {Rate: NoRate},
		"local":            {Connections: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts := func(names ...string) Site {
		return Site{Under: func(suffix string) bool {
			for _, name := range names {
				if name != suffix && !strings.HasSuffix(name, "."+suffix) {
					return false
				}
			}
			return true
		}}
	}
	own := hosts("mx.a.google.example")
	own.Domain = "own.example"
	for _, c := range []struct {
		site        Site
		connections int
		of          string
		rate        string
		rateOf      string
		scope       string
	}{
		{hosts("mx.b.example"), 20, "default", "10/m", "default", ""},
		{hosts("mx.google.example", "mx.a.google.example"), 5, "google.example", "10/m", "default",
			""},
		{hosts("mx.a.google.example"), 7, "a.google.example", "10/m", "default", Node},
		{own, 20, "default", "1/h", "own.example", ""},
		{hosts("mx.free.example"), 20, "default", "0/0s", "", ""},
		{Site{Local: true}, 3, "local", "0/0s", "", Node},
	} {
		l := s.Of(c.site)
		if l.Connections != c.connections || l.ConnectionsOf != c.of ||
			l.Rate.String() != c.rate || l.RateOf != c.rateOf || l.Scope != c.scope {
			t.Errorf("%+v, want %+v", l, c)
		}
	}
	if s.Has("local") || !s.Has("own.example") || s.Has("b.example") {
		t.Error("who has limits of its own")
	}
	if _, err := NewSet(map[string]Limits{"a": {Scope: "universe"}}); err == nil {
		t.Error("a scope that does not exist")
	}
}
