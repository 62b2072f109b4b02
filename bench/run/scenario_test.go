package run

import (
	"strings"
	"testing"
	"time"
)

const small = "name = \"x\"\ntitle = \"X\"\nsystems = [\"node\"]\n"

func TestParse(t *testing.T) {
	s, err := Parse("x.toml", []byte(small+`
[[cell]]
connections = [1, 20]
size = ["4KiB", "1MiB"]
systems = ["node", "postfix"]
duration = "2s"
[[cell]]
name = "many"
kind = "drain"
[[cell.rule]]
domain = ["*.sink.example"]
do = [{at = "rcpt", share = "2%", reply = "550 no"}]
[[bar]]
text = "fast"
metric = "rate"
at_least = 1.5
`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range s.Cells {
		for _, p := range s.Cells[i].points() {
			names = append(names, p.name)
		}
	}
	if got := strings.Join(names,
		"; "); got != "4 KiB, 1 connection; 4 KiB, 20 connections; 1 MiB, 1 connection; 1 MiB, "+
		"20 connections; many" {
		t.Error(got)
	}
	c := s.Cells[1]
	if s.Rounds != 3 || time.Duration(c.Duration) != 4*time.Second || c.Rounds != 3 ||
		c.Systems[0] != "node" || c.Rules[0].Do[0].Reply != "550 no" || c.Pipelining != "message" {
		t.Errorf("%+v", c)
	}
}

func TestParseProblems(t *testing.T) {
	for text, want := range map[string]string{
		small + "[[cell]]\nconections = [1]\n": "x.toml:5:1: " +
			"cell[0].conections: there is no such key; did you mean cell[0].connections?",
		small + "[[cell]]\nkind = \"through\"\nconnections = [0]\n": "x.toml:6:1: " +
			"cell[0].connections: is to be 1 to 20,000",
		small + "[[cell]]\nsystems = [\"sendmail\"]\n": `cell[0].systems: there is no system "sendmail"`,
		small + "[[cell]]\nkind = \"kill\"\n": "a node can be killed only " +
			"in a cluster",
		small + "[[cell]]\nname = \"a\"\nconnections = [1, 2]\n": "cannot be " +
			"given to several cells",
		small + "[[cell]]\nsystems = [\"postfix\"]\nidle = 5\n": "postfix is not set up for " +
			"TLS, a backlog or idle connections",
		small + "load = \"postfix-tools\"\n[[cell]]\ntls = true\n": "Postfix's " +
			"tools only send to one destination, in clear",
		small + "[[cell]]\n[[bar]]\ntext = \"a\"\nmetric = \"fast\"\nat_most = 1\n": `x.toml:5:3: bar[0]: there is no metric "fast"`,
		small:                       "cell: there is none",
		"title = \"X\"\n[[cell]]\n": "name: is to be a word",
	} {
		if _, err := Parse("x.toml", []byte(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestShare(t *testing.T) {
	for _, n := range []int64{0, 1, 7, 20, 61} {
		sum := int64(0)
		for i := range 3 {
			sum += share(n, 3, i)
		}
		if sum != n {
			t.Errorf("%d messages become %d", n, sum)
		}
	}
}
