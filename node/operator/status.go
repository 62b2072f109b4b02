package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// Status asks all members how they are, and puts together what they say.
func (op *Operator) Status(ctx context.Context) (api.ClusterStatus, error) {
	reports := op.reports(ctx)
	id, _ := op.o.State.Cluster()
	st := api.ClusterStatus{
		Cluster: id, Node: op.o.Name, Protocol: op.o.State.MinProtocol(), Survives: -1,
	}
	since := map[uint16]time.Time{}
	for _, a := range op.o.Absent() {
		since[a.Member.ID] = a.Since
	}
	for _, m := range op.o.State.Members() {
		s := api.MemberStatus{
			ID: m.ID, Name: m.Name, Address: m.Address, State: string(m.State),
			Version: m.Version, Protocol: m.Protocol, Self: m.ID == op.o.Member, Ready: "no answer",
		}
		if r := reports[m.ID]; r != nil {
			s.Reachable, s.Version, s.Ready = true, r.Version, "ready"
			if r.Ready != "" {
				s.Ready = r.Ready
			}
		}
		if r := reports[m.ID]; r != nil && r.ConfigWhy != "" {
			st.Problems = append(st.Problems, fmt.Sprintf("%s: %s; mend its file and run "+
				"`postroad config reload` there, or push another version", m.Name, r.ConfigWhy))
		}
		if !s.Reachable && m.State != control.Joining {
			s.Since = api.At(since[m.ID])
			st.Problems = append(st.Problems, fmt.Sprintf("%s does not answer since %s: bring it "+
				"back, or join a new node and run `postroad cluster replace %s NEW`",
				m.Name, s.Since.Format(time.RFC3339), m.Name))
		}
		st.Members = append(st.Members, s)
	}
	version, barred := op.o.State.Suspensions()
	st.Suspensions = len(barred)
	var wrong troubles
	for _, g := range op.o.State.Groups() {
		s := op.group(g, reports)
		if g.State == control.GroupServing && (st.Survives < 0 || s.Survives < st.Survives) {
			st.Survives = s.Survives
		}
		if s.Leader == "" {
			wrong.leaderless(&s)
		}
		if g.Kind == control.KindQueue && s.Leader != "" && s.Suspended < version {
			st.Problems = append(st.Problems, fmt.Sprintf("group %d has not taken over the latest "+
				"suspensions: it does so in a moment; if this stays, look at the log of %s",
				g.ID, s.Leader))
		}
		if s.Waits != "" {
			st.Problems = append(st.Problems, fmt.Sprintf(
				"group %d (mail of %s) is to go, and hands nothing over: %s", g.ID, s.Home, s.Waits,
			))
		}
		st.Groups = append(st.Groups, s)
	}
	st.Problems = append(append(st.Problems, wrong.all()...), op.doubts(reports)...)
	st.Survives = max(st.Survives, 0)
	return st, nil
}

// group puts together what the members say of a group; its leader's word counts, that of the newest
// term.
func (op *Operator) group(
	g control.Group, reports map[uint16]*peer.Report,
) api.GroupStatus {
	name := func(id uint16) string { m, _ := op.o.State.Member(id); return m.Name }
	names := func(ids []uint16) (all []string) {
		for _, id := range ids {
			all = append(all, name(id))
		}
		return all
	}
	s := api.GroupStatus{
		ID: g.ID, Shard: shardOf(g), Kind: g.Kind, Home: name(g.Home), State: string(g.State),
		Voters: names(g.Voters), Nonvoters: names(g.Nonvoters),
	}
	for _, r := range reports {
		if r == nil {
			continue
		}
		for _, x := range r.Groups {
			if x.Group != g.ID || !x.Leading || x.Term < s.Term {
				continue
			}
			s.Leader, s.Term, s.Commit, s.Applied = name(x.Leader), x.Term, x.Commit, x.Applied
			s.Messages, s.Suspended = new(int64(x.Messages)), x.Suspended
			s.HandedOver, s.Waits = int64(x.Handed), x.Waits
			s.Voters, s.Nonvoters = names(x.Members.Voters), names(x.Members.Nonvoters)
			s.Lag = map[string]uint64{}
			for id, lag := range x.Lag {
				s.Lag[name(id)] = lag
			}
			answering := 1
			for _, id := range x.Members.Voters {
				if _, ok := x.Lag[id]; ok && !doubted(reports, id, g.ID) {
					answering++
				}
			}
			s.Survives = answering - len(x.Members.Voters)/2 - 1
			s.Moves = movesOf(g, x, name)
		}
	}
	return s
}

// shardOf is the shard of a group of mailboxes.
func shardOf(g control.Group) *int {
	if g.Kind != control.KindMailbox {
		return nil
	}
	return &g.Shard
}
