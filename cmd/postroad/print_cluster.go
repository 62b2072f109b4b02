package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postroad/postroad/internal/admin"
)

// table prints rows in aligned columns. Cells must be clean.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// clusterStatus prints how the cluster is, and what to do about it last, where it is seen.
func (c *console) clusterStatus(st *admin.ClusterStatus) error {
	fmt.Fprintf(c.out, "cluster %s, as %s sees it: %s\n\n", clean(st.Cluster), clean(st.Node), survival(st))
	members := [][]string{{"NODE", "NAME", "STATE", "ADDRESS", "VERSION", "PROTOCOL", "HEALTH"}}
	for i := range st.Members {
		members = append(members, memberRow(&st.Members[i]))
	}
	if err := table(c.out, members); err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	groups := [][]string{{"GROUP", "KIND", "HOME", "LEADER", "STATE", "VOTERS", "NON-VOTERS", "LAG", "MAY DIE", "MESSAGES"}}
	for i := range st.Groups {
		groups = append(groups, groupRow(&st.Groups[i]))
	}
	if err := table(c.out, groups); err != nil {
		return err
	}
	c.moves(st)
	if st.Suspensions > 0 {
		fmt.Fprintf(c.out, "\n%s in force: `postroad suspend list`\n", number(int64(st.Suspensions), "suspension"))
	}
	for i, problem := range st.Problems {
		if i == 0 {
			fmt.Fprintln(c.out, "\nWhat to look after:")
		}
		fmt.Fprintln(c.out, "  "+clean(problem))
	}
	return nil
}

// moves prints what is on its way to where it should lie.
func (c *console) moves(st *admin.ClusterStatus) {
	first := true
	for i := range st.Groups {
		g := &st.Groups[i]
		for k := range g.Moves {
			if first {
				fmt.Fprintln(c.out, "\nOn the move:")
				first = false
			}
			fmt.Fprintln(c.out, "  "+moveLine(g, &g.Moves[k]))
		}
	}
}

func survival(st *admin.ClusterStatus) string {
	leaderless := 0
	for i := range st.Groups {
		if st.Groups[i].Leader == "" {
			leaderless++
		}
	}
	if leaderless > 0 {
		return number(int64(leaderless), "group") + " without a leader, of which nothing more is known"
	}
	if st.Survives == 0 {
		return "no node may die without a stop"
	}
	return "any " + number(int64(st.Survives), "node") + " may die, and nothing stops"
}

func memberRow(m *admin.MemberStatus) []string {
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
	return []string{strconv.Itoa(int(m.ID)), clean(m.Name), clean(m.State), clean(m.Address), clean(m.Version), strconv.Itoa(m.Protocol), clean(health)}
}

func groupRow(g *admin.GroupStatus) []string {
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
	home := clean(g.Home)
	if g.Shard != nil {
		home = "shard " + strconv.Itoa(*g.Shard)
	}
	return []string{strconv.FormatUint(g.ID, 10), clean(g.Kind), home, clean(leader), clean(state), clean(strings.Join(g.Voters, ",")),
		clean(strings.Join(g.Nonvoters, ",")), clean(strings.Join(lag, ",")), mayDie, messages}
}
