package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/bench/report"
	"github.com/postroad/postroad/bench/sink"
	"github.com/postroad/postroad/internal/config"
)

// Scenario is a file under bench/scenarios: which systems are measured at which cells.
// docs/bench.md has an example of it.
type Scenario struct {
	// Name is one word; Title heads its part of the report; About is a paragraph on what it shows
	// and how.
	Name  string `toml:"name"`
	Title string `toml:"title"`
	About string `toml:"about"`
	// Systems are measured in alternation: "node" is this program, "cluster-3" and "cluster-5"
	// clusters of it on this machine, the others are those of bench/peers. One that is not
	// installed is left out, and the report says so.
	Systems []string `toml:"systems"`
	// Load says whose generator and receiving server are used: "postroad" (bench send and bench
	// sink) or "postfix-tools" (smtp-source and smtp-sink, which count messages and do not know
	// them again). Default: "postroad".
	Load string `toml:"load" enum:"postroad,postfix-tools"`
	// Rounds is how often each system is measured at each cell. Default: 3.
	Rounds int `toml:"rounds"`
	// Duration is how long one measurement is to last, about. Default: "4s".
	Duration config.Duration `toml:"duration"`
	// Cells are what is measured. In those with several numbers of connections or sizes each goes
	// with each.
	Cells []Cell `toml:"cell"`
	// Bars are what is asked of the figures.
	Bars []report.Bar `toml:"bar"`
}

// Cell is one load. Systems, rounds and duration are the scenario's unless it says otherwise.
type Cell struct {
	// Name tells cells apart. Default: made of size and connections.
	Name     string          `toml:"name"`
	Systems  []string        `toml:"systems"`
	Rounds   int             `toml:"rounds"`
	Duration config.Duration `toml:"duration"`

	// Kind is "through" (mail comes and goes at the same time), "drain" (the destination is down
	// while mail comes, then up) or "kill" (through, and half-way one node of a cluster is killed).
	// Default: "through".
	Kind string `toml:"kind" enum:"through,drain,kill"`
	// Connections is how many the generator has, spread over all nodes. Default: [20].
	Connections []int `toml:"connections"`
	// Size is that of the messages. Default: ["4KiB"].
	Size []config.Size `toml:"size"`
	// Recipients is how many each message has. Default: 1.
	Recipients int `toml:"recipients"`
	// Domains is how many domains the recipients are spread over, each a destination of its own. 0:
	// one smart host takes everything.
	Domains int `toml:"domains"`
	// Sites is how many mail exchangers the domains share. 0: each has its own.
	Sites int `toml:"sites"`
	// Rate is how many messages a second the generator sends, whatever the system does. 0: as many
	// as the system takes.
	Rate float64 `toml:"rate"`
	// Pipelining is what the generator does: "off", "message" or "stream" (docs/bench.md, bench
	// send). Default: "message".
	Pipelining string `toml:"pipelining" enum:"off,message,stream"`
	// TLS encrypts both sides.
	TLS bool `toml:"tls"`
	// Auth has the generator log in, over TLS, at the submission listener.
	Auth bool `toml:"auth"`
	// Messages is the most of one measurement. 0: as many as the duration asks for.
	Messages int `toml:"messages"`
	// Backlog is how many messages wait for a destination that is down while others are measured.
	Backlog int `toml:"backlog"`
	// DrainBacklog has that destination come up in the end, and the backlog counted as it arrives.
	DrainBacklog bool `toml:"drain_backlog"`
	// Idle is how many further connections are open and say nothing.
	Idle int `toml:"idle"`
	// Fsyncs has fsyncs counted, by another instance of each system, under strace.
	Fsyncs bool `toml:"fsyncs"`
	// Bounces says that the rules refuse some recipients for good: each of those must come back as
	// a report to the sender.
	Bounces bool `toml:"bounces"`
	// Rules are how the receiving server behaves (docs/bench.md, bench sink). Default: it accepts
	// everything.
	Rules []sink.Rule `toml:"rule"`
	// Retry has what a destination puts off tried again after a second. It needs domains.
	Retry bool `toml:"retry"`
	// Node is further configuration of Postroad's nodes, TOML.
	Node string `toml:"node"`
}

// postfixTools is the value of Scenario.Load.
const postfixTools = "postfix-tools"

// Parse reads a scenario; name is only for its problems.
func Parse(name string, data []byte) (*Scenario, error) {
	s := &Scenario{Load: "postroad", Rounds: 3, Duration: config.Duration(4e9)}
	places, err := config.DecodePlaces(name, data, s)
	if err != nil {
		return nil, err
	}
	var problems config.Problems
	bad := func(key, what, hint string) {
		problems = append(problems, places.Problem(key, what, hint))
	}
	s.check(bad)
	for i := range s.Cells {
		s.Cells[i].complete(s)
		s.checkCell(&s.Cells[i], func(key, what, hint string) {
			bad(fmt.Sprintf("cell[%d].%s", i, key), what, hint)
		})
	}
	for i := range s.Bars {
		if why := s.Bars[i].Check(); why != "" {
			bad(fmt.Sprintf("bar[%d]", i), why, "")
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return s, nil
}

func (s *Scenario) check(bad func(key, what, hint string)) {
	if s.Name == "" || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		bad("name", "is to be a word of small letters, digits and hyphens", "")
	}
	if s.Title == "" {
		bad("title", "is missing", "")
	}
	if len(s.Cells) == 0 {
		bad("cell", "there is none", "write [[cell]]")
	}
	if s.Rounds < 1 || s.Rounds > 100 {
		bad("rounds", "is to be 1 to 100", "")
	}
	if s.Duration <= 0 {
		bad("duration", "is to be over 0", "")
	}
	checkSystems(s.Systems, func(what, hint string) { bad("systems", what, hint) })
}

func checkSystems(names []string, bad func(what, hint string)) {
	known := []string{"node", "cluster-3", "cluster-5"}
	for _, k := range peers.Kinds() {
		known = append(known, k.Name)
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			bad(fmt.Sprintf("there is no system %q", n),
				"the systems are "+strings.Join(known, ", "))
		}
	}
}

// complete fills in defaults.
func (c *Cell) complete(s *Scenario) {
	orElse := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orElse(&c.Rounds, s.Rounds)
	orElse(&c.Recipients, 1)
	if len(c.Systems) == 0 {
		c.Systems = s.Systems
	}
	if c.Duration == 0 {
		c.Duration = s.Duration
	}
	if c.Kind == "" {
		c.Kind = "through"
	}
	if len(c.Connections) == 0 {
		c.Connections = []int{20}
	}
	if len(c.Size) == 0 {
		c.Size = []config.Size{4 << 10}
	}
	if c.Pipelining == "" {
		c.Pipelining = "message"
	}
}

// maxDomains is how many destinations a cell may have.
const maxDomains = 100_000

func (s *Scenario) checkCell(c *Cell, bad func(key, what, hint string)) {
	checkSystems(c.Systems, func(what, hint string) { bad("systems", what, hint) })
	several := len(c.Connections)*len(c.Size) > 1
	for _, wrong := range []struct {
		it        bool
		key, what string
	}{
		{len(c.Systems) == 0, "systems", "is empty, and so is that of the scenario"},
		{slices.Min(c.Connections) < 1 || slices.Max(c.Connections) > 20_000, "connections",
			"is to be 1 to 20,000"},
		{slices.Min(c.Size) < 1<<10 || slices.Max(c.Size) > 50<<20, "size",
			"is to be 1KiB to 50MiB"},
		{c.Recipients > 10_000, "recipients", "is to be at most 10,000"},
		{c.Domains > maxDomains, "domains", "is to be at most 100,000"},
		{c.Sites > c.Domains, "sites", "cannot be more than domains"},
		{c.Rate < 0 || c.Rate > 1e6, "rate", "is to be at most 1,000,000"},
		{c.Idle > 100_000, "idle", "is to be at most 100,000"},
		{c.Name != "" && several, "name", "cannot be given to several cells; leave it out"},
		{strings.ContainsAny(c.Name, "*?[\\/"), "name",
			"may not have any of * ? [ \\ /, by which bars choose cells"},
		{c.Auth && !c.TLS, "auth", "needs tls"},
		{c.Kind == "drain" && c.Domains > 0, "kind",
			"drain has one destination: leave out domains"},
		{c.DrainBacklog && c.Backlog == 0, "drain_backlog", "needs a backlog"},
		{c.Bounces && c.Recipients > 1, "bounces",
			"needs messages of one recipient: reports are counted"},
		{s.Load == postfixTools &&
			(c.Kind != "through" || c.Domains+c.Idle+c.Backlog+len(c.Rules) > 0 ||
				c.Recipients > 1 || c.TLS), "kind",
			"Postfix's tools only send to one destination, in clear"},
	} {
		if wrong.it {
			bad(wrong.key, wrong.what, "")
		}
	}
	s.checkPeers(c, bad)
}

// checkPeers refuses what only Postroad is set up for.
func (s *Scenario) checkPeers(c *Cell, bad func(key, what, hint string)) {
	for _, name := range c.Systems {
		nodes, ours := nodesOf(name)
		switch {
		case c.Kind == "kill" && nodes < 3:
			bad("systems", "a node can be killed only in a cluster", "")
		case !ours && (c.Backlog > 0 || c.TLS || c.Idle > 0):
			bad("systems", fmt.Sprintf("%s is not set up for TLS, a backlog or idle connections",
				name), "")
		}
	}
}

// nodesOf returns how many of our nodes a system is; ours is false for a peer.
func nodesOf(system string) (nodes int, ours bool) {
	switch system {
	case "node":
		return 1, true
	case "cluster-3":
		return 3, true
	case "cluster-5":
		return 5, true
	}
	return 0, false
}

// point is a cell with one number of connections and one size.
type point struct {
	*Cell
	name        string
	connections int
	size        int
}

// points makes each of them, the sizes outermost.
func (c *Cell) points() (all []point) {
	for _, size := range c.Size {
		for _, conns := range c.Connections {
			p := point{Cell: c, name: c.Name, connections: conns, size: int(size)}
			if p.name == "" {
				p.name = fmt.Sprintf("%s, %d connection", spaced(size), conns)
				if conns > 1 {
					p.name += "s"
				}
			}
			all = append(all, p)
		}
	}
	return all
}

// spaced writes "4 KiB".
func spaced(s config.Size) string {
	text := s.String()
	i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	return text[:i] + " " + text[i:]
}
