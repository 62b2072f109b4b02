package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/node/internal/controlgroup"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// operatorsCluster answers the cluster commands (admin.Cluster).
type operatorsCluster struct{ n *node }

// find returns the member that an operator names, by name or by number.
func (c operatorsCluster) find(name string) (control.Member, error) {
	if m, ok := c.n.control.MemberByName(name); ok {
		return m, nil
	}
	if id, err := strconv.ParseUint(name, 10, 16); err == nil {
		if m, ok := c.n.control.Member(uint16(id)); ok {
			return m, nil
		}
	}
	return control.Member{}, &api.Error{Exit: api.ExitData, Message: fmt.Sprintf("there is no node %s in the cluster", name), Hint: "`postroad cluster status` lists them"}
}

// said turns a refusal of the control group into an answer that waiting does not change.
func said(err error) error {
	if errors.Is(err, control.ErrInvalid) {
		return &api.Error{Exit: api.ExitData, Message: err.Error()}
	}
	return err
}

func (c operatorsCluster) Init(ctx context.Context) error {
	n := c.n
	if m, ok := n.control.Member(n.self.Member); ok {
		if err := misnamed(n.cfg, m.Name, m.ID); err != nil {
			return api.Permanent(err) // before others know it under that name
		}
	}
	if err := n.store.OpenUp(); err != nil {
		return err
	}
	if err := n.listenCluster(ctx); err != nil {
		return err
	}
	if m, ok := n.control.Member(n.self.Member); ok && m.Address != n.cfg.Cluster.Advertise {
		return said(n.locator.SetAddress(ctx, m.ID, n.cfg.Cluster.Advertise))
	}
	return nil
}

func (c operatorsCluster) Token(ctx context.Context, ttl time.Duration) (string, error) {
	if err := c.Init(ctx); err != nil {
		return "", err
	}
	token, err := c.n.changes.AddToken(ctx, ttl)
	if err != nil {
		return "", said(err)
	}
	return token, c.knows(ctx, token)
}

// tokenWait bounds how long a token may take to arrive here when another node has recorded it.
const tokenWait = 10 * time.Second

// knows waits until this node knows a token: whoever made it here will use it here.
func (c operatorsCluster) knows(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !slices.Contains(c.n.control.Tokens(time.Now()), token) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &api.Error{Exit: api.ExitTemporary, Message: "the token is recorded, and this node has not heard of it yet", Hint: "run the command again, or at another node"}
		}
	}
	return nil
}

// drainLook is how often a drain looks how far it is.
const drainLook = 500 * time.Millisecond

func (c operatorsCluster) Drain(ctx context.Context, node string, progress func(api.DrainProgress)) error {
	m, err := c.find(node)
	if err != nil {
		return err
	}
	if err := lastThatTakes(m, c.n.control.Members()); err != nil {
		return err
	}
	if err := c.n.changes.Drain(ctx, m.ID); err != nil {
		return said(err)
	}
	home, _ := c.n.control.HomeOf(m.ID) // once it is retired, none
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		p := c.drained(ctx, m, home)
		if progress != nil {
			progress(p)
		}
		if len(c.n.control.Placed(m.ID)) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf(
				"it goes on draining (%s); run the command again to wait for it",
				DrainLine(&p),
			)
		}
	}
}

// lastThatTakes refuses to drain the only node that takes mail: nobody would take it then, and
// nobody could get what waits. A drain that has begun is watched all the same.
func lastThatTakes(m control.Member, all []control.Member) error {
	others := func(o control.Member) bool { return o.ID != m.ID && o.State == control.Active }
	if m.State != control.Active || slices.ContainsFunc(all, others) {
		return nil
	}
	return &api.Error{
		Exit:    api.ExitData,
		Message: m.Name + " is the last node that takes mail: without it the cluster takes none",
		Hint: "let another node join first (`postroad cluster token`); to give the cluster up, stop its clients, " +
			"and the nodes once `postroad queue count` says that nothing is left",
	}
}

// drained is how far a member's drain is; home was its home group when it began.
func (c operatorsCluster) drained(
	ctx context.Context,
	m control.Member,
	home uint64,
) api.DrainProgress {
	reports := c.reports(ctx)
	g, ok := c.n.control.Group(home)
	p := homeDrained(m, home, ok && g.State != control.GroupRetired, reports)
	for _, id := range c.n.control.Placed(m.ID) {
		if g, _ := c.n.control.Group(id); g.Kind == control.KindMailbox {
			p.Shards++
		}
	}
	return p
}

// homeDrained is how far the drain of a member's home group is, by what the members say. waited:
// the group is still there, so that somebody who leads it must say what is left in it.
func homeDrained(
	m control.Member,
	home uint64,
	waited bool,
	reports map[uint16]*peer.Report,
) api.DrainProgress {
	p := api.DrainProgress{Node: m.Name, Phase: "handing over"}
	var term uint64 // of who tells of the home group
	for _, r := range reports {
		if r == nil {
			continue
		}
		for _, g := range r.Groups {
			if !g.Leading {
				continue
			}
			if g.Leader == m.ID {
				p.Leads++
			}
			if g.Group == home && g.Term >= term {
				p.Messages, p.Phase, p.HandedOver, p.Waits = int64(g.Messages), "delivering", int64(g.Handed), g.Waits
				term = g.Term
			}
		}
	}
	if waited && term == 0 {
		p.Phase = "waiting"
		p.Unknown = "no node that answers leads the mail of " + m.Name + "; `postroad cluster status` shows what is wrong"
	}
	return p
}

func (c operatorsCluster) Remove(ctx context.Context, node string) error {
	m, err := c.find(node)
	if err != nil {
		return err
	}
	if m.State != control.Joining && len(c.n.control.Placed(m.ID)) > 0 && c.n.detector.Reachable(m.ID) {
		return &api.Error{Exit: api.ExitData, Message: m.Name + " still has mail or votes", Hint: "run `postroad cluster drain " + m.Name + "` first; a dead node is replaced: `postroad cluster replace " + m.Name + " NEW`"}
	}
	changes, silent := c.asNow(ctx, m)
	return without(changes.Remove(ctx, m.ID), silent)
}

func (c operatorsCluster) Replace(ctx context.Context, old, heir string) error {
	m, err := c.find(old)
	if err != nil {
		return err
	}
	h, err := c.find(heir)
	if err != nil {
		return err
	}
	changes, silent := c.asNow(ctx, m)
	if err := replaceable(m, h, changes.Reachable); err != nil {
		return err
	}
	return without(changes.Replace(ctx, m.ID, h.ID), silent)
}

// asNow asks every member whether it is there, and returns what edits the state by that: one that
// died a moment ago must not count for a majority. silent are the members beside m that do not
// answer.
func (c operatorsCluster) asNow(
	ctx context.Context,
	m control.Member,
) (changes *control.Editor, silent []string) {
	reports := c.reports(ctx)
	now := *c.n.changes
	now.Reachable = func(id uint16) bool { return reports[id] != nil }
	for _, o := range c.n.control.Members() {
		if o.ID != m.ID && o.State != control.Joining && !now.Reachable(o.ID) {
			silent = append(silent, o.Name)
		}
	}
	return &now, silent
}

// replaceable refuses to replace a node that is alive, which would be shut out with its votes, and
// to replace one by a node that is not there.
func replaceable(old, heir control.Member, answers func(uint16) bool) error {
	switch {
	case old.ID == heir.ID || old.State == control.Removed || heir.State != control.Active:
		return nil // refused where the state is
	case answers(old.ID):
		return &api.Error{
			Exit:    api.ExitData,
			Message: old.Name + " answers: only a node that is gone for good is replaced",
			Hint: "a living one goes by `postroad cluster drain " + old.Name +
				"` and `postroad cluster remove " + old.Name + "`",
		}
	case !answers(heir.ID):
		return &api.Error{
			Exit:    api.ExitTemporary,
			Message: heir.Name + " does not answer",
			Hint:    "start it, or name another node; `postroad cluster status` shows who answers",
		}
	}
	return nil
}

// without is what becomes of a removal while other nodes do not answer: that may be why it is
// refused.
func without(err error, silent []string) error {
	err = said(err)
	var refused *api.Error
	if errors.As(err, &refused) && len(silent) > 0 {
		refused.Hint = "bring these back, which do not answer: " + strings.Join(silent, ", ")
	}
	return err
}

// Backup writes the rows of the control group.
func (c operatorsCluster) Backup(_ context.Context, w io.Writer) error {
	id, _ := c.n.control.Cluster()
	group := c.n.store.Group(cluster.ControlGroup)
	return controlgroup.WriteBackup(w, id, c.n.control.Version(), group.Scan)
}

// reports asks all members how they are; nil: no answer.
func (c operatorsCluster) reports(ctx context.Context) map[uint16]*peer.Report {
	n := c.n
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	reports := map[uint16]*peer.Report{}
	for _, m := range n.knownMembers() {
		all.Go(func() {
			r := new(peer.Report)
			if m.ID == n.self.Member {
				*r = n.report()
			} else if err := n.ask(ctx, m.ID, http.MethodGet, peer.ReportPath, nil, r); err != nil {
				r = nil
			}
			mu.Lock()
			defer mu.Unlock()
			reports[m.ID] = r
		})
	}
	all.Wait()
	return reports
}

func (c operatorsCluster) Status(ctx context.Context) (api.ClusterStatus, error) {
	n := c.n
	reports := c.reports(ctx)
	id, _ := n.control.Cluster()
	st := api.ClusterStatus{Cluster: id, Node: n.cfg.Node.Name, Protocol: n.control.MinProtocol(), Survives: -1}
	since := map[uint16]time.Time{}
	for _, a := range n.detector.Absent(0) {
		since[a.Member.ID] = a.Since
	}
	for _, m := range n.control.Members() {
		s := api.MemberStatus{ID: m.ID, Name: m.Name, Address: m.Address, State: string(m.State), Version: m.Version, Protocol: m.Protocol, Self: m.ID == n.self.Member, Ready: "no answer"}
		if r := reports[m.ID]; r != nil {
			s.Reachable, s.Version, s.Ready = true, r.Version, "ready"
			if r.Ready != "" {
				s.Ready = r.Ready
			}
		}
		if !s.Reachable && m.State != control.Joining {
			s.Since = since[m.ID].UTC()
			st.Problems = append(st.Problems, fmt.Sprintf("%s does not answer since %s: bring it back, or join a new node and run `postroad cluster replace %s NEW`",
				m.Name, s.Since.Format(time.RFC3339), m.Name))
		}
		st.Members = append(st.Members, s)
	}
	version, barred := n.control.Suspensions()
	st.Suspensions = len(barred)
	var wrong troubles
	for _, g := range n.control.Groups() {
		s := c.group(g, reports)
		if g.State == control.GroupServing && (st.Survives < 0 || s.Survives < st.Survives) {
			st.Survives = s.Survives
		}
		if s.Leader == "" {
			wrong.leaderless(&s)
		}
		if g.Kind == control.KindQueue && s.Leader != "" && s.Suspended < version {
			st.Problems = append(st.Problems, fmt.Sprintf("group %d has not taken over the latest suspensions: it does so in a moment; if this stays, look at the log of %s", g.ID, s.Leader))
		}
		if s.Waits != "" {
			st.Problems = append(st.Problems, fmt.Sprintf("group %d (mail of %s) is to go, and hands nothing over: %s", g.ID, s.Home, s.Waits))
		}
		st.Groups = append(st.Groups, s)
	}
	st.Problems = append(append(st.Problems, wrong.all()...), c.doubts(reports)...)
	st.Survives = max(st.Survives, 0)
	return st, nil
}

// group puts together what the members say of a group; its leader's word counts, that of the newest
// term.
func (c operatorsCluster) group(g control.Group, reports map[uint16]*peer.Report) api.GroupStatus {
	name := func(id uint16) string { m, _ := c.n.control.Member(id); return m.Name }
	names := func(ids []uint16) (all []string) {
		for _, id := range ids {
			all = append(all, name(id))
		}
		return all
	}
	s := api.GroupStatus{ID: g.ID, Shard: shardOf(g), Kind: g.Kind, Home: name(g.Home), State: string(g.State), Voters: names(g.Voters), Nonvoters: names(g.Nonvoters)}
	for _, r := range reports {
		if r == nil {
			continue
		}
		for _, x := range r.Groups {
			if x.Group != g.ID || !x.Leading || x.Term < s.Term {
				continue
			}
			s.Leader, s.Term, s.Commit, s.Applied = name(x.Leader), x.Term, x.Commit, x.Applied
			s.Messages, s.Suspended, s.HandedOver, s.Waits = new(int64(x.Messages)), x.Suspended, int64(x.Handed), x.Waits
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

// DrainLine is how far a drain is, in a line.
func DrainLine(p *api.DrainProgress) string {
	line := cli.Clean(p.Node) + ": " + cli.Clean(p.Phase) + ", "
	if p.Unknown != "" {
		line += "how many messages are left is not known: " + cli.Clean(p.Unknown)
	} else {
		line += cli.Number(p.Messages, "message") + " left"
	}
	if p.HandedOver > 0 {
		line += ", " + cli.Number(p.HandedOver, "message") + " handed over"
	}
	if p.Leads > 0 {
		line += ", leads " + cli.Number(int64(p.Leads), "group")
	}
	if p.Shards > 0 {
		line += ", " + cli.Number(int64(p.Shards), "shard") + " of mailboxes to be moved"
	}
	if p.Waits != "" {
		line += "; waits: " + cli.Clean(p.Waits)
	}
	return line
}
