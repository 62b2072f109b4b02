package offline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin/api"
)

// Recovery, offline: what to do when a majority of disks is gone for good.

// Recover tells which groups have lost their majority and, with acceptLoss, lets them go on
// with what is here: this node becomes their only member, in a cluster with a new identity, so that
// no member of the old one can ever speak with it again.
func Recover(
	ctx context.Context, file string, cfg *config.Config, acceptLoss bool, tell func(string),
) error {
	creds, err := credentialsOf(cfg)
	if err != nil {
		return err
	}
	self, err := creds.Identity()
	if err != nil {
		return err
	}
	tellf := func(f string, a ...any) { tell(fmt.Sprintf(f, a...)) }
	store, err := cluster.Open(cluster.Options{Dir: cfg.Node.DataDir, Logf: tellf})
	if err != nil {
		return err
	}
	r := &recovery{
		cfg: cfg, file: file, self: self, store: store,
		state: control.New(), users: directory.New(), tellf: tellf,
	}
	if r.book, err = member.OpenAddresses(datadir.Cluster(cfg.Node.DataDir)); err != nil {
		err = datadir.Damaged(err)
	} else {
		r.port, err = wire.New(wire.Options{
			Credentials: creds, Self: self, Address: r.addressOf,
			Dial: member.DialFrom(cfg.Cluster.Listen),
		})
	}
	if err == nil {
		err = errors.Join(r.run(ctx, acceptLoss), r.port.Close())
	}
	return errors.Join(err, store.Close())
}

type recovery struct {
	cfg   *config.Config
	file  string // the configuration
	self  wire.Identity
	store *cluster.Node
	book  *member.AddressBook
	port  *wire.Port // for questions to the others; it does not listen
	state *control.State
	users *directory.Directory
	tellf func(format string, args ...any)
	ends  map[uint64]uint64 // the last entry of each group's log, before anything is changed
}

func (r *recovery) run(ctx context.Context, acceptLoss bool) error {
	group := r.store.Group(cluster.ControlGroup)
	if err := r.state.Load(group); err != nil {
		return err
	}
	if err := r.state.TooOld(control.Protocol); err != nil {
		return api.Permanent(err)
	}
	r.ends = map[uint64]uint64{}
	for _, id := range r.store.GroupIDs() {
		r.ends[id] = r.store.Group(id).LastIndex()
	}
	if !acceptLoss {
		if more := r.ends[cluster.ControlGroup] - group.AppliedIndex(); more > 0 {
			r.tellf("this is as the node wrote it down last; its log has %d more entries of the "+
				"cluster's own, which may have members that joined or were removed since: "+
				"--accept-loss reads them first", more)
		}
		r.explain()
		answers := r.askOthers(ctx)
		r.tellSilent(answers)
		if err := r.goesOn(answers); err != nil {
			r.tellf("%v", err)
			return nil
		}
		r.tellf("nothing was changed; with --accept-loss this node goes on alone with what it has")
		return nil
	}
	if err := r.mayAccept(ctx); err != nil {
		return err
	}
	// The control group first: after a crash its rows may be in the log only, and they say which
	// other groups there are.
	hosted := map[uint64]bool{} // groups that are this node's alone now
	if err := r.seize(cluster.ControlGroup, hosted); err != nil {
		return err
	}
	editor, err := lead(ctx, group, group.Join, r.state, r.users)
	if err != nil {
		return err
	}
	r.explain()
	for _, id := range r.store.GroupIDs() {
		g, ok := r.state.Group(id)
		if ok && g.State != control.GroupRetired && id != cluster.ControlGroup {
			if err := r.seize(id, hosted); err != nil {
				return err
			}
		}
	}
	return r.refound(ctx, editor, hosted)
}

func (r *recovery) seize(id uint64, hosted map[uint64]bool) error {
	last, err := r.store.Group(id).ForceSingle()
	if err != nil {
		return err
	}
	hosted[id] = true
	r.tellf("group %d goes on after entry %d", id, last)
	return nil
}

// explain names what may be lost. Until the control group is led, members and groups are as of the
// last time that this node wrote its rows down.
func (r *recovery) explain() {
	others := len(r.state.Members()) > 1 || r.store.HasPeers()
	for _, m := range r.state.Members() {
		if m.ID != r.self.Member {
			r.tellf("%s (member %d) will be out of the cluster for ever, whatever it still holds",
				m.Name, m.ID)
		}
	}
	here := map[uint64]bool{}
	for _, id := range slices.Sorted(maps.Keys(r.ends)) {
		here[id] = true
		g, _ := r.state.Group(id)
		if g.State == control.GroupRetired {
			continue // it ended empty; what is left of it here is of no use to anybody
		}
		if others {
			r.tellf("group %d (%s): what the others acknowledged after entry %d, with which this "+
				"node's log ends, is lost", id, r.content(id, g), r.ends[id])
		} else {
			r.tellf("group %d (%s): all of it up to entry %d, with which this node's log ends, "+
				"is here",
				id, r.content(id, g), r.ends[id])
		}
	}
	for _, g := range r.state.Groups() {
		if here[g.ID] {
			continue
		}
		lost := "all of it that was not delivered is lost"
		if g.Kind == control.KindMailbox {
			lost = "these mailboxes begin anew, empty"
		}
		r.tellf("group %d (%s): nothing of it is here; %s", g.ID, r.content(g.ID, g), lost)
	}
}

// content says what is in a group.
func (r *recovery) content(id uint64, g control.Group) string {
	home, known := r.state.Member(g.Home)
	switch {
	case id == cluster.ControlGroup:
		return "users, members and settings"
	case g.Kind == control.KindMailbox:
		return fmt.Sprintf("mailboxes, shard %d of %d", g.Shard, len(r.state.Shards()))
	case g.Kind == control.KindQueue && known:
		return "mail accepted by " + home.Name
	}
	return "mail or mailboxes"
}

// refound takes the others out and gives the cluster a new identity. The credentials come last:
// until then the command can be repeated.
func (r *recovery) refound(
	ctx context.Context, editor *control.Editor, hosted map[uint64]bool,
) error {
	for _, g := range r.state.Groups() {
		if hosted[g.ID] && g.State != control.GroupNew {
			// It has no number, as raft tells none.
			alone := control.Configuration{Voters: []uint16{r.self.Member}}
			if err := editor.Observed(ctx, g.ID, alone); err != nil {
				return err
			}
		}
	}
	for _, m := range r.state.Members() {
		if m.ID != r.self.Member {
			if err := editor.RemoveLost(ctx, m.ID); err != nil {
				return err
			}
		}
	}
	creds, caKey, err := wire.NewCluster(r.self.Member, r.self.Incarnation)
	if err != nil {
		return err
	}
	id, err := creds.Identity()
	if err != nil {
		return err
	}
	if err := editor.Refound(ctx, id.Cluster, creds.CA, caKey); err != nil {
		return err
	}
	applied := r.store.Group(cluster.ControlGroup).AppliedIndex()
	if err := member.NotesOf(r.file, r.cfg).Write(id, applied); err != nil {
		r.tellf("%v", err)
	}
	if err := creds.Save(datadir.Cluster(r.cfg.Node.DataDir)); err != nil {
		return err
	}
	r.tellf("done: start this node; the machines of the others join anew, with empty data " +
		"directories")
	return nil
}
