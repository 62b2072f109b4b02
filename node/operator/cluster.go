package operator

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

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/secret"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/node/internal/controlgroup"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// This file answers the cluster commands (admin.Cluster).

// find returns the member that an operator names, by name or by number.
func (op *Operator) find(name string) (control.Member, error) {
	if m, ok := op.o.State.MemberByName(name); ok {
		return m, nil
	}
	if id, err := strconv.ParseUint(name, 10, 16); err == nil {
		if m, ok := op.o.State.Member(uint16(id)); ok {
			return m, nil
		}
	}
	return control.Member{}, &api.Error{
		Exit:    api.ExitData,
		Message: fmt.Sprintf("there is no node %s in the cluster", name),
		Hint:    "`postroad cluster status` lists them",
	}
}

// said turns a refusal of the control group into an answer that waiting does not change.
func said(err error) error {
	if errors.Is(err, control.ErrInvalid) {
		return &api.Error{Exit: api.ExitData, Message: err.Error()}
	}
	return err
}

// Init makes this node the first of a cluster that others may join.
func (op *Operator) Init(ctx context.Context) error { return said(op.o.Open(ctx)) }

// Token makes a secret with which that many nodes join, for as long as ttl; uses 0: any number.
func (op *Operator) Token(ctx context.Context, ttl time.Duration, uses int) (string, error) {
	if err := op.Init(ctx); err != nil {
		return "", err
	}
	token, err := op.o.Changes.AddToken(ctx, ttl, uses)
	if err != nil {
		return "", said(err)
	}
	return token, op.knows(ctx, token)
}

// Tokens lists the tokens that are good now, as far as this node knows.
func (op *Operator) Tokens(context.Context) []api.JoinToken {
	all := []api.JoinToken{}
	for _, t := range op.o.State.TokenList(time.Now()) {
		one := api.JoinToken{Begins: t.Begins, Expires: t.Expires, Nodes: max(0, t.Left())}
		if t.Secret != "" {
			one.Begins = t.Secret[:min(8, len(t.Secret)/2)]
		}
		all = append(all, one)
	}
	return all
}

// Revoke ends all tokens.
func (op *Operator) Revoke(ctx context.Context) error {
	return said(op.o.Changes.EndTokens(ctx))
}

// tokenWait bounds how long a token may take to arrive here when another node has recorded it.
const tokenWait = 10 * time.Second

// knows waits until this node knows a token: whoever made it here will use it here.
func (op *Operator) knows(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !op.o.State.Knows(token, time.Now()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &api.Error{
				Exit:    api.ExitTemporary,
				Message: "the token is recorded, and this node has not heard of it yet",
				Hint:    "run the command again, or at another node",
			}
		}
	}
	return nil
}

// drainLook is how often a drain looks how far it is.
const drainLook = 500 * time.Millisecond

// Drain hands over what a node has, and returns when nothing is left.
func (op *Operator) Drain(
	ctx context.Context, node string, progress func(api.DrainProgress),
) error {
	m, err := op.find(node)
	if err != nil {
		return err
	}
	if err := lastThatTakes(m, op.o.State.Members()); err != nil {
		return err
	}
	if err := op.o.Changes.Drain(ctx, m.ID); err != nil {
		return said(err)
	}
	home, _ := op.o.State.HomeOf(m.ID) // once it is retired, none
	drains := false
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		p := op.drained(ctx, m, home)
		if progress != nil {
			progress(p)
		}
		if len(op.o.State.Placed(m.ID)) == 0 {
			return nil
		}
		now, _ := op.o.State.Member(m.ID)
		if drains && now.State == control.Active {
			return api.Fail(api.ExitTemporary, m.Name+" takes part again: somebody undrained it",
				"if that was a mistake, drain it again")
		}
		drains = drains || now.State == control.Draining
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

// Undrain has a draining node take part again.
func (op *Operator) Undrain(ctx context.Context, node string) error {
	m, err := op.find(node)
	if err != nil {
		return err
	}
	if m.State == control.Active {
		return api.Fail(api.ExitData, m.Name+" is not being drained: it takes part",
			"`postroad cluster status` shows the nodes and their states")
	}
	return said(op.o.Changes.Undrain(ctx, m.ID))
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
		Hint: "let another node join first (`postroad cluster token`); to give the cluster " +
			"up, stop " +
			"its clients, and the nodes once `postroad queue count` says that nothing is left",
	}
}

// drained is how far a member's drain is; home was its home group when it began.
func (op *Operator) drained(
	ctx context.Context,
	m control.Member,
	home uint64,
) api.DrainProgress {
	reports := op.reports(ctx)
	g, ok := op.o.State.Group(home)
	p := homeDrained(m, home, ok && g.State != control.GroupRetired, reports)
	for _, id := range op.o.State.Placed(m.ID) {
		if g, _ := op.o.State.Group(id); g.Kind == control.KindMailbox {
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
				p.Messages, p.Phase = int64(g.Messages), "delivering"
				p.HandedOver, p.Waits = int64(g.Handed), g.Waits
				term = g.Term
			}
		}
	}
	if waited && term == 0 {
		p.Phase = "waiting"
		p.Unknown = "no node that answers leads the mail of " + m.Name +
			"; `postroad cluster status` shows what is wrong"
	}
	return p
}

// Remove takes a drained node out for ever.
func (op *Operator) Remove(ctx context.Context, node string, force bool) error {
	m, err := op.find(node)
	if err != nil {
		return err
	}
	placed := len(op.o.State.Placed(m.ID))
	undrained := m.State != control.Joining && m.State != control.Removed && placed > 0
	if undrained {
		if err := op.gone(ctx, m, force); err != nil {
			return err
		}
		if !force {
			return op.notDrained(ctx, m, placed)
		}
	}
	changes, silent := op.asNow(ctx, m)
	return without(changes.Remove(ctx, m.ID), silent)
}

// gone returns nil when a node that was not drained does not answer any more. That it died a moment
// ago is known when it has answered nobody for a while: with wait, gone waits for that.
func (op *Operator) gone(ctx context.Context, m control.Member, wait bool) error {
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	for op.o.Reachable(m.ID) {
		if op.reports(ctx)[m.ID] != nil {
			return &api.Error{
				Exit:    api.ExitData,
				Message: m.Name + " still has mail or votes",
				Hint: "run `postroad cluster drain " + m.Name + "` first; a dead node is " +
					"replaced: `postroad cluster replace " + m.Name + " NEW`",
			}
		}
		if !wait {
			return nil
		}
		if !clock.Pause(ctx, goneLook) {
			return &api.Error{
				Exit:    api.ExitTemporary,
				Message: m.Name + " does not answer this node, but answers others",
				Hint: "when it has stopped, or cannot be reached by any node for " +
					member.GoneAfter.String() + ", run the command again",
			}
		}
	}
	return nil
}

// Times of the wait for a node that died a moment ago.
const (
	goneTime = member.GoneAfter + 2*member.PingEvery
	goneLook = 250 * time.Millisecond
)

// notDrained refuses to remove a dead node that has places still, and says what is in them.
func (op *Operator) notDrained(ctx context.Context, m control.Member, placed int) error {
	home, _ := op.o.State.HomeOf(m.ID)
	var waiting uint64
	for _, r := range op.reports(ctx) {
		if r == nil {
			continue // it did not answer
		}
		for _, g := range r.Groups {
			if g.Group == home {
				waiting = max(waiting, g.Messages)
			}
		}
	}
	return &api.Error{
		Exit: api.ExitData,
		Message: fmt.Sprintf("%s does not answer and was not drained: it has a place in %d "+
			"groups, and the mail that it took, %d messages of which wait, is with the other nodes",
			m.Name, placed, waiting),
		Hint: "`postroad cluster replace " + m.Name + " NEW` gives its places to a node that " +
			"has joined; `postroad cluster remove " + m.Name + " --force` goes on with the nodes " +
			"that are left",
	}
}

// Replace gives a dead node's places to another.
func (op *Operator) Replace(ctx context.Context, old, heir string) error {
	m, err := op.find(old)
	if err != nil {
		return err
	}
	h, err := op.find(heir)
	if err != nil {
		return err
	}
	changes, silent := op.asNow(ctx, m)
	if err := replaceable(m, h, changes.Reachable); err != nil {
		return err
	}
	return without(changes.Replace(ctx, m.ID, h.ID), silent)
}

// asNow asks every member whether it is there, and returns what edits the state by that: one that
// died a moment ago must not count for a majority. silent are the members beside m that do not
// answer.
func (op *Operator) asNow(
	ctx context.Context,
	m control.Member,
) (changes *control.Editor, silent []string) {
	reports := op.reports(ctx)
	now := *op.o.Changes
	now.Reachable = func(id uint16) bool { return reports[id] != nil }
	for _, other := range op.o.State.Members() {
		if other.ID != m.ID && other.State != control.Joining && !now.Reachable(other.ID) {
			silent = append(silent, other.Name)
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

// Backup writes the rows of the control group, and with withKeys the keys with which its secrets
// are sealed.
func (op *Operator) Backup(_ context.Context, w io.Writer, withKeys bool) error {
	id, _ := op.o.State.Cluster()
	var extra []controlgroup.Row
	if withKeys {
		keys, err := op.o.Keys()
		if err != nil {
			return err
		}
		extra = []controlgroup.Row{{Key: []byte(secret.BackupKey), Value: keys}}
	}
	return controlgroup.WriteBackup(w, id, op.o.State.Version(), op.o.Group.Scan, extra...)
}

// reports asks all members how they are; nil: no answer.
func (op *Operator) reports(ctx context.Context) map[uint16]*peer.Report {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	reports := map[uint16]*peer.Report{}
	for _, m := range op.o.Members() {
		all.Go(func() {
			r := new(peer.Report)
			if m.ID == op.o.Member {
				*r = op.o.Report()
			} else if err := op.o.Ask(ctx, m.ID, http.MethodGet, peer.ReportPath, nil,
				r); err != nil {
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
