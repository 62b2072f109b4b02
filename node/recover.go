package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/node/internal/controlgroup"
	"github.com/postroad/postroad/operate/admin/api"
)

// Recovery, offline: what to do when a majority of disks is gone for good.

// Recover tells which groups have lost their majority and, with acceptLoss, lets them go on
// with what is here: this node becomes their only member, in a cluster with a new identity, so that
// no member of the old one can ever speak with it again.
func Recover(ctx context.Context, file string, cfg *config.Config, acceptLoss bool, tell func(string)) error {
	creds, err := credentialsOf(cfg)
	if err != nil {
		return err
	}
	self, err := creds.Identity()
	if err != nil {
		return err
	}
	store, err := cluster.Open(cluster.Options{Dir: cfg.Node.DataDir, Logf: func(f string, a ...any) { tell(fmt.Sprintf(f, a...)) }})
	if err != nil {
		return err
	}
	r := &recovery{cfg: cfg, file: file, self: self, store: store, state: control.New(), users: directory.New(), tell: tell}
	if r.book, err = member.OpenAddresses(clusterDir(cfg)); err != nil {
		err = damagedFile(err)
	} else {
		r.port, err = wire.New(
			wire.Options{Credentials: creds, Self: self, Address: r.addressOf, Dial: member.DialFrom(cfg.Cluster.Listen)},
		)
	}
	if err == nil {
		err = errors.Join(r.run(ctx, acceptLoss), r.port.Close())
	}
	return errors.Join(err, store.Close())
}

// credentialsOf reads those of the node that is in the data directory.
func credentialsOf(cfg *config.Config) (creds wire.Credentials, err error) {
	creds, err = wire.LoadCredentials(clusterDir(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		err = &api.Error{
			Exit:    api.ExitConfig,
			Message: "there is no node in " + cfg.Node.DataDir,
			Hint:    "name its configuration with --config FILE",
		}
	}
	return creds, damagedFile(err)
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
	tell  func(string)
	ends  map[uint64]uint64 // the last entry of each group's log, before anything is changed
}

func (r *recovery) run(ctx context.Context, acceptLoss bool) error {
	group := r.store.Group(cluster.ControlGroup)
	if err := r.state.Load(group); err != nil {
		return err
	}
	if err := r.state.TooOld(protocol); err != nil {
		return api.Permanent(err)
	}
	r.ends = map[uint64]uint64{}
	for _, id := range r.store.GroupIDs() {
		r.ends[id] = r.store.Group(id).LastIndex()
	}
	if !acceptLoss {
		if more := r.ends[cluster.ControlGroup] - group.AppliedIndex(); more > 0 {
			r.tell(fmt.Sprintf("this is as the node wrote it down last; its log has %d more entries of the cluster's own, which may "+
				"have members that joined or were removed since: --accept-loss reads them first", more))
		}
		r.explain()
		answers := r.askOthers(ctx)
		r.tellSilent(answers)
		if err := r.goesOn(answers); err != nil {
			r.tell(err.Error())
			return nil
		}
		r.tell("nothing was changed; with --accept-loss this node goes on alone with what it has")
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
	editor, err := r.lead(ctx, group)
	if err != nil {
		return err
	}
	r.explain()
	for _, id := range r.store.GroupIDs() {
		if g, ok := r.state.Group(id); ok && g.State != control.GroupRetired && id != cluster.ControlGroup {
			if err := r.seize(id, hosted); err != nil {
				return err
			}
		}
	}
	return r.refound(ctx, editor, hosted)
}

func (r *recovery) seize(id uint64, hosted map[uint64]bool) error {
	last, err := r.store.Group(id).Seize()
	if err != nil {
		return err
	}
	hosted[id] = true
	r.tell(fmt.Sprintf("group %d goes on after entry %d", id, last))
	return nil
}

// explain names what may be lost. Until the control group is led, members and groups are as of the
// last time that this node wrote its rows down.
func (r *recovery) explain() {
	others := len(r.state.Members()) > 1 || r.store.HasPeers()
	for _, m := range r.state.Members() {
		if m.ID != r.self.Member {
			r.tell(fmt.Sprintf("%s (member %d) will be out of the cluster for ever, whatever it still holds", m.Name, m.ID))
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
			r.tell(fmt.Sprintf("group %d (%s): what the others acknowledged after entry %d, with which this node's log ends, is lost", id, r.content(id, g), r.ends[id]))
		} else {
			r.tell(fmt.Sprintf("group %d (%s): all of it up to entry %d, with which this node's log ends, is here", id, r.content(id, g), r.ends[id]))
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
		r.tell(fmt.Sprintf("group %d (%s): nothing of it is here; %s", g.ID, r.content(g.ID, g), lost))
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

// lead starts the control group, of which this node is the only member now.
func (r *recovery) lead(ctx context.Context, group *cluster.Group) (*control.Editor, error) {
	leading := make(chan struct{})
	err := group.Join(controlgroup.Machine{Control: r.state, Users: r.users}, func(term uint64) {
		if term != 0 {
			close(leading)
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-leading:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := errors.Join(r.state.Load(group), r.users.Load(group)); err != nil {
		return nil, err
	}
	return &control.Editor{State: r.state, Proposer: rows.ProposerFunc(group.Forward), Now: time.Now}, nil
}

// refound takes the others out and gives the cluster a new identity. The credentials come last:
// until then the command can be repeated.
func (r *recovery) refound(ctx context.Context, editor *control.Editor, hosted map[uint64]bool) error {
	for _, g := range r.state.Groups() {
		if hosted[g.ID] && g.State != control.GroupNew {
			alone := control.Configuration{Voters: []uint16{r.self.Member}} // without a number, as raft tells none
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
	if err := notesOf(r.file, r.cfg).Write(id, applied); err != nil {
		r.tell(err.Error())
	}
	if err := creds.Save(clusterDir(r.cfg)); err != nil {
		return err
	}
	r.tell("done: start this node; the machines of the others join anew, with empty data directories")
	return nil
}

// Restore makes the empty data directory of cfg the first node of the cluster that backup is
// of: members, users and settings are those of the backup; mail is not in it.
func Restore(ctx context.Context, file string, cfg *config.Config, backup io.Reader) error {
	if used, err := datadir.StoreExists(cfg.Node.DataDir); err != nil || used {
		return cmp.Or(err, api.Permanent(fmt.Errorf("%s is in use already: a backup is restored into an empty data directory", cfg.Node.DataDir)))
	}
	if err := notesOf(file, cfg).MayBegin(); err != nil {
		return err
	}
	head, rows, err := controlgroup.ReadBackup(backup)
	if err != nil {
		return &api.Error{Exit: api.ExitData, Message: err.Error(), Hint: "`postroad cluster backup FILE` makes one"}
	}
	store, err := cluster.Open(cluster.Options{Dir: cfg.Node.DataDir, Member: 1})
	if err != nil {
		return err
	}
	return errors.Join(restoreRows(ctx, cfg, store, head, rows), store.Close())
}

// restoreRows gives a new control group the users of a backup, under a new identity of the cluster.
func restoreRows(ctx context.Context, cfg *config.Config, store *cluster.Node, head controlgroup.Head, backup []controlgroup.Row) error {
	n := &node{cfg: cfg, store: store, control: control.New(), users: directory.New(), fatal: make(chan error, 1)}
	group := store.Group(cluster.ControlGroup)
	creds, err := n.beginCluster()
	if err != nil {
		return err
	}
	if n.self, err = creds.Identity(); err != nil {
		return err
	}
	n.changes = &control.Editor{State: n.control, Proposer: rows.ProposerFunc(group.Forward), Now: time.Now}
	if err := n.startControlGroup(ctx, group); err != nil {
		return err
	}
	if err := errors.Join(n.control.Load(group), n.users.Load(group)); err != nil {
		return err
	}
	if err := n.writeDownCluster(ctx); err != nil {
		return err
	}
	users := 0
	for _, row := range backup {
		if shards := control.ShardsOf(row.Key, row.Value); shards > 0 {
			if err := n.changes.MakeShards(ctx, shards); err != nil {
				return fmt.Errorf("restoring the number of shards: %w", err)
			}
		}
		command, ok := directory.Restore(row.Key, row.Value)
		if !ok {
			continue
		}
		if _, err := group.Propose(ctx, command, nil); err != nil {
			return fmt.Errorf("restoring %q: %w", row.Key, err)
		}
		users++
	}
	fmt.Fprintf(os.Stderr, "restored %d users, domains and aliases of cluster %s, as of change %d, in %s\n", users, head.Cluster, head.Version, filepath.Clean(cfg.Node.DataDir))
	return nil
}
