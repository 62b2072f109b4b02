package operator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
)

// PrintStatus prints how the cluster is, and what to do about it last, where it is seen.
func PrintStatus(c *cli.Console, st *api.ClusterStatus) error {
	fmt.Fprintf(c.Out, "cluster %s, as %s sees it: %s\n\n", cli.Clean(st.Cluster),
		cli.Clean(st.Node), survival(st))
	members := [][]string{{"NODE", "NAME", "STATE", "ADDRESS", "VERSION", "PROTOCOL", "HEALTH"}}
	for i := range st.Members {
		members = append(members, memberRow(&st.Members[i]))
	}
	if err := cli.Table(c.Out, members); err != nil {
		return err
	}
	fmt.Fprintln(c.Out)
	groups := [][]string{{"GROUP", "KIND", "HOME", "LEADER", "STATE", "VOTERS", "NON-VOTERS", "LAG",
		"MAY DIE", "MESSAGES"}}
	for i := range st.Groups {
		groups = append(groups, groupRow(&st.Groups[i]))
	}
	if err := cli.Table(c.Out, groups); err != nil {
		return err
	}
	printMoves(c, st)
	if st.Suspensions > 0 {
		fmt.Fprintf(c.Out, "\n%s in force: `postroad suspend list`\n",
			cli.Number(int64(st.Suspensions), "suspension"))
	}
	for i, problem := range st.Problems {
		if i == 0 {
			fmt.Fprintln(c.Out, "\nWhat to look after:")
		}
		fmt.Fprintln(c.Out, "  "+cli.Clean(problem))
	}
	return nil
}

// printMoves prints what is on its way to where it should lie.
func printMoves(c *cli.Console, st *api.ClusterStatus) {
	first := true
	for i := range st.Groups {
		g := &st.Groups[i]
		for k := range g.Moves {
			if first {
				fmt.Fprintln(c.Out, "\nOn the move:")
				first = false
			}
			fmt.Fprintln(c.Out, "  "+moveLine(g, &g.Moves[k]))
		}
	}
}

// FewLeft says what two nodes mean, and what to do, where without one, which may be "", no more are
// left: a majority of two is both.
func FewLeft(st *api.ClusterStatus, without string) string {
	count := 0
	for i := range st.Members {
		m := &st.Members[i]
		takesPart := m.State == string(control.Active) || m.State == string(control.Draining)
		if takesPart && m.Name != without && strconv.Itoa(int(m.ID)) != without {
			count++
		}
	}
	if count != 2 {
		return ""
	}
	return "two nodes are left, and the cluster takes mail only while both answer: let a third " +
		"join (`postroad cluster token` says how)"
}

func survival(st *api.ClusterStatus) string {
	leaderless := 0
	for i := range st.Groups {
		if st.Groups[i].Leader == "" {
			leaderless++
		}
	}
	if leaderless > 0 {
		return cli.Number(int64(leaderless), "group") +
			" without a leader, of which nothing more is known"
	}
	if st.Survives == 0 {
		s := "no node may die without a stop"
		if advice := FewLeft(st, ""); advice != "" {
			s += "; " + advice
		}
		return s
	}
	return "any " + cli.Number(int64(st.Survives), "node") + " may fail, and nothing stops"
}

func memberRow(m *api.MemberStatus) []string {
	health := m.Ready
	switch {
	case m.State == "removed":
		health = ""
	case m.Self:
		health += " (this node)"
	case !m.Reachable:
		health = "no answer"
		if !m.Since.IsZero() {
			health += " since " + m.Since.Format(time.RFC3339)
		}
	}
	return []string{strconv.Itoa(int(m.ID)), cli.Clean(m.Name), cli.Clean(m.State),
		cli.Clean(m.Address), cli.Clean(m.Version), strconv.Itoa(m.Protocol), cli.Clean(health)}
}

func groupRow(g *api.GroupStatus) []string {
	leader, state, mayDie := g.Leader, g.State, strconv.Itoa(g.Survives)
	if leader == "" {
		leader, mayDie = "none", "?"
		if state == "serving" { // that is what it should do
			state = "unknown"
		}
	}
	var lag []string
	for _, node := range slices.Sorted(maps.Keys(g.Lag)) {
		if g.Lag[node] > 0 {
			lag = append(lag, fmt.Sprintf("%s:%d", node, g.Lag[node]))
		}
	}
	messages := ""
	if g.Kind != "control" {
		messages = "?"
		if g.Messages != nil && g.Leader != "" {
			messages = strconv.FormatInt(*g.Messages, 10)
		}
	}
	home := cli.Clean(g.Home)
	if g.Shard != nil {
		home = "shard " + strconv.Itoa(*g.Shard)
	}
	return []string{strconv.FormatUint(g.ID, 10), cli.Clean(g.Kind), home, cli.Clean(leader),
		cli.Clean(state), cli.Clean(strings.Join(g.Voters, ",")),
		cli.Clean(strings.Join(g.Nonvoters, ",")), cli.Clean(strings.Join(lag, ",")), mayDie,
		messages}
}

// moveLine is one move in words.
func moveLine(g *api.GroupStatus, m *api.Move) string {
	line := g.Title() + ": " + cli.Clean(m.Node) + " " + cli.Clean(m.Phase)
	switch m.Phase {
	case api.MoveCopies:
		line += fmt.Sprintf(", %s of about %s", octets(m.Octets), octets(m.Of))
		if m.Of > 0 {
			line += fmt.Sprintf(" (%d %%)", m.Octets*100/m.Of)
		}
	case api.MoveCatchesUp:
		line += ", " + strconv.FormatUint(m.Behind, 10) + " entries behind"
	}
	return line
}

// octets is a number of octets in the largest unit that leaves it a digit before the point.
func octets(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1<<10 {
		return cli.Number(n, "octet")
	}
	x := float64(n)
	for i, unit := range units {
		if x /= 1 << 10; x < 1<<10 || i == len(units)-1 {
			return fmt.Sprintf("%.1f %s", x, unit)
		}
	}
	return ""
}
