package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// cliSuspensions has one suspension in force; of a second group nothing is heard when a campaign is
// meant.
type cliSuspensions struct{}

func (c cliSuspensions) Suspend(
	ctx context.Context, s api.Suspension, lasts time.Duration,
) (api.Acknowledgement, error) {
	a := api.Acknowledgement{Suspension: s,
		Groups: []api.Acknowledged{{Group: 2, Node: "mx1", Index: 17}}}
	if lasts > 0 {
		a.Suspension.Until = api.At(time.Now().Add(lasts))
	}
	if s.Kind == "campaign" {
		a.Missing = []api.Missing{{Group: 3, Home: "mx-three", Why: "no node that answers owns it"}}
	}
	return a, nil
}

func (c cliSuspensions) Resume(ctx context.Context, s api.Suspension) (api.Acknowledgement, error) {
	return c.Suspend(ctx, s, 0)
}

func (cliSuspensions) Suspensions() []api.Suspension {
	return []api.Suspension{{Kind: "tenant", Name: "shop\x1b7", Reason: "stolen password",
		Since: api.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local))}}
}

func TestSuspendCommands(t *testing.T) {
	startCLINode(t)
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"suspend", "--domain", "Example.Net", "--reason", "they asked", "--for", "2h"}, 0,
			"domain example.net is suspended until 2"},
		{[]string{"suspend", "--site", "mx.example.net", "--reason", "x"}, 0,
			"suspended until it is resumed; 1 queue group obeying, each from an index of its " +
				"log on: 2:17"},
		{[]string{"suspend", "--tenant", "t1", "--reason", "x", "--json"}, 0,
			`"groups":[{"group":2,"node":"mx1","index":17}]`},
		{[]string{"suspend", "--campaign", "spring", "--reason", "x"}, 75,
			"group 3 (the home of mx-three): no node that answers owns it"},
		{[]string{"resume", "--domain", "example.net"}, 0, "domain example.net is resumed"},
		{[]string{"suspend", "list"}, 0,
			"tenant   shop?7  until it is resumed, since 2026-01-02 03:04:05: stolen password\n"},
		{[]string{"suspend", "list", "--json"}, 0, `"kind":"tenant"`},
		{[]string{"suspend"}, 64, "name one thing to suspend"},
		{[]string{"suspend", "--reason", "x"}, 64, "name one thing"},
		{[]string{"suspend", "--domain", "a.example", "--tenant", "t", "--reason", "x"}, 64,
			"name one thing"},
		{[]string{"suspend", "--domain", "a.example"}, 64, "needs a reason"},
		{[]string{"suspend", "--domain", "a.example", "--reason", "x", "--for", "2"}, 64, "for"},
		{[]string{"suspend", "--domain", "u@a.example", "--reason", "x"}, 65,
			"is no name of a domain"},
		{[]string{"resume", "--domain", "a.example", "--for", "2h"}, 64, "for"},
		{[]string{"resume", "list"}, 64, "one argument too many"},
	} {
		status, out, errs := postroad(t, "", c.args...)
		if status != c.want || !strings.Contains(out+errs, c.says) {
			t.Errorf("%q: exit %d, want %d\n%s%s", c.args, status, c.want, out, errs)
		}
	}
}
