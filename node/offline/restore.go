package offline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
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

// Restore makes the empty data directory of cfg the first node of the cluster that backup is
// of: members, users and settings are those of the backup; mail is not in it.
func Restore(ctx context.Context, file string, cfg *config.Config, backup io.Reader) error {
	if used, err := datadir.StoreExists(cfg.Node.DataDir); err != nil || used {
		return cmp.Or(err, api.Permanent(fmt.Errorf(
			"%s is in use already: a backup is restored into an empty data directory",
			cfg.Node.DataDir,
		)))
	}
	if err := member.NotesOf(file, cfg).MayBegin(); err != nil {
		return err
	}
	head, rows, err := controlgroup.ReadBackup(backup)
	if err != nil {
		return &api.Error{
			Exit:    api.ExitData,
			Message: err.Error(),
			Hint:    "`postroad cluster backup FILE` makes one",
		}
	}
	store, err := cluster.Open(cluster.Options{Dir: cfg.Node.DataDir, Member: 1})
	if err != nil {
		return err
	}
	return errors.Join(restoreRows(ctx, cfg, store, head, rows), store.Close())
}

// restoreRows gives a new control group the users of a backup, under a new identity of the cluster.
func restoreRows(
	ctx context.Context,
	cfg *config.Config,
	store *cluster.Node,
	head controlgroup.Head,
	backup []controlgroup.Row,
) error {
	dir := cfg.Node.DataDir
	if _, err := wire.Begin(datadir.Cluster(dir), store.Incarnation()); err != nil {
		return err
	}
	group := store.Group(cluster.ControlGroup)
	changes, err := lead(ctx, group, group.Start, control.New(), directory.New())
	if err != nil {
		return err
	}
	if err := controlgroup.WriteDown(ctx, dir, cfg.Node.Name, changes); err != nil {
		return err
	}
	if err := controlgroup.WrittenDown(dir); err != nil {
		return err
	}
	path := filepath.Join(datadir.Cluster(dir), datadir.SealKeyFile)
	keys, err := newKeyRestorer(ctx, path, changes, store.Incarnation(), backup)
	if err != nil {
		return err
	}
	users := 0
	for _, row := range backup {
		if shards := control.ShardsOf(row.Key, row.Value); shards > 0 {
			if err := changes.MakeShards(ctx, shards); err != nil {
				return fmt.Errorf("restoring the number of shards: %w", err)
			}
		}
		if pushed, ok := control.PushedOf(row.Key, row.Value); ok {
			if err := changes.Push(ctx, pushed); err != nil {
				return fmt.Errorf("restoring the pushed configuration: %w", err)
			}
		}
		command, ok := directory.Restore(row.Key, row.Value)
		if !ok {
			continue
		}
		if command, ok = keys.seal(command); !ok {
			continue
		}
		if _, err := group.Propose(ctx, command, nil); err != nil {
			return fmt.Errorf("restoring %q: %w", row.Key, err)
		}
		users++
	}
	fmt.Fprintf(
		os.Stderr, "restored %d users, domains and aliases of cluster %s, as of change %d, in %s\n",
		users, head.Cluster, head.Version, filepath.Clean(dir),
	)
	if keys.left > 0 {
		fmt.Fprintf(os.Stderr, "%d signing keys are not restored: the backup does not have the "+
			"cluster's key. Make new ones with `postroad dkim generate`, or restore a backup that "+
			"was made with --with-keys\n", keys.left)
	}
	return nil
}

// lead starts the control group, of which this node is the only member, with start, and waits until
// it leads: then all that is in its log is applied.
func lead(
	ctx context.Context,
	group *cluster.Group,
	start func(cluster.StateMachine, func(term uint64)) error,
	state *control.State,
	users *directory.Directory,
) (*control.Editor, error) {
	leading := make(chan struct{})
	led := sync.OnceFunc(func() { close(leading) })
	err := start(controlgroup.Machine{Control: state, Users: users}, func(term uint64) {
		if term != 0 {
			led()
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
	if err := errors.Join(state.Load(group), users.Load(group)); err != nil {
		return nil, err
	}
	proposer := rows.ProposerFunc(group.Forward)
	return &control.Editor{State: state, Proposer: proposer, Now: time.Now}, nil
}
