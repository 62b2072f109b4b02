package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/operate/admin/api"
)

// This file is about the configuration that was pushed to all nodes. The control state has the
// version that is to be in force. This node merges it with its own file and reloads, as at SIGHUP,
// all in the goroutine of serve. What it could take last it keeps in its data directory, and starts
// with that: before the control state is known, without which no other node is either. A version
// that it cannot take is looked at again when its file is reloaded, or when another version comes;
// until then it goes on with what it has, and says that it is not ready.

// pushed is what this node has of the pushed configuration.
type pushed struct {
	inForce atomic.Pointer[config.Shared] // nil: none
	refused atomic.Pointer[refusal]       // nil: the newest is in force, or not looked at yet
	lost    atomic.Bool                   // this node had one, and has none since its start
}

// refusal is a version that this node cannot take, and why.
type refusal struct {
	control.Pushed
	why   error
	again time.Time // when it may be tried again; zero: when the file was mended
}

func (r *refusal) Error() string {
	return fmt.Sprintf("version %d of the pushed configuration cannot be taken: %s", r.Version,
		strings.ReplaceAll(r.why.Error(), "\n", "; "))
}

// followEvery is how long it takes at most until it is looked whether another version was pushed.
// The look has no wake-up of its own (clock.Together).
const followEvery = 2*clock.Step + 20*time.Millisecond

// retryRefused is how long a version is left alone that the disk, not the file, was to blame for.
const retryRefused = 30 * time.Second

// startPushed takes up what this node kept. Its configuration was loaded with that.
func (n *node) startPushed(context.Context) error {
	s, err := config.Kept(n.cfg().Node.DataDir)
	if err != nil {
		return damagedFile(err)
	}
	n.pushed.inForce.Store(s)
	if s != nil {
		return noteTaken(n.cfg().Node.DataDir) // a program before may not have done so
	}
	_, err = os.Stat(takenPath(n.cfg().Node.DataDir))
	n.pushed.lost.Store(err == nil)
	return nil
}

// takenPath is a file that says that this node once had a pushed configuration in force, also when
// its copy is removed, as after damage. Until it has one again it takes no mail: whom it would
// relay for by its own file alone the cluster may have refused.
func takenPath(dataDir string) string { return config.KeptPath(dataDir) + ".taken" }

func noteTaken(dataDir string) error {
	if _, err := os.Stat(takenPath(dataDir)); err == nil {
		return nil
	}
	return files.Replace(takenPath(dataDir), []byte("this node has taken a pushed configuration\n"))
}

var errLostPushed = errors.New("this node has lost its copy of the pushed configuration, and " +
	"waits for that of its cluster")

// lostPushed returns why no mail is taken before this node has a pushed configuration again.
func (n *node) lostPushed() error {
	if !n.pushed.lost.Load() || n.pushed.inForce.Load() != nil {
		return nil
	}
	return errLostPushed
}

// load reads this node's file, with the pushed configuration that is in force.
func (n *node) load() (*config.Config, error) {
	return config.LoadWith(n.file, n.pushed.inForce.Load())
}

// merged is a node's file with a pushed configuration, or why the node could not take that.
func merged(file string, s *config.Shared) (*config.Config, error) {
	c, err := config.LoadWith(file, s)
	if err == nil {
		err = c.CheckFiles(file)
	}
	return c, err
}

// wouldChange returns what a pushed configuration would change here, or why it cannot be taken.
func (n *node) wouldChange(s *config.Shared) ([]config.Change, error) {
	c, err := merged(n.file, s)
	if err != nil {
		return nil, err
	}
	before := n.cfg()
	return config.Diff(before, config.Reloaded(before, c)), nil
}

// followPushed has serve take each version that is pushed.
func (n *node) followPushed(ctx context.Context) {
	for clock.Pause(ctx, clock.Together(followEvery)) {
		p, ok := n.unknown()
		if !ok {
			continue
		}
		r := n.pushed.refused.Load()
		if r == nil || r.Version != p.Version || r.Text != p.Text ||
			!r.again.IsZero() && time.Now().After(r.again) {
			n.askReload() // what comes of it is logged
		}
	}
}

// unknown returns the version that is to be in force, if it is another one than this node has. What
// this node has may be newer than its rows, as after a start: an older version counts only when the
// rows are known to be new.
func (n *node) unknown() (control.Pushed, bool) {
	p, ok := n.control.LastPushed()
	if s := n.pushed.inForce.Load(); ok && s != nil {
		ok = p.Version > s.Version || (p.Version != s.Version || p.Text != s.Text) &&
			n.store.Group(cluster.ControlGroup).Fresh()
	}
	return p, ok
}

// lacksPushed reports whether this node has still to take, or to refuse, the version that is to be
// in force. Until then it does not know who may send what.
func (n *node) lacksPushed() bool {
	p, ok := n.control.LastPushed()
	s, r := n.pushed.inForce.Load(), n.pushed.refused.Load()
	return ok && (s == nil || s.Version != p.Version) && (r == nil || r.Version != p.Version)
}

// reread reloads the configuration, with the newest version that was pushed. If that cannot be
// taken, nothing changes. It is for the goroutine of serve.
func (n *node) reread() reloaded {
	p, ok := n.unknown()
	if !ok {
		n.pushed.refused.Store(nil)
		return n.reload()
	}
	s, err := config.ParseShared(config.PushedName(p.Version), p.Version, p.Text)
	if err == nil {
		_, err = merged(n.file, s)
	}
	if err != nil {
		return n.refuse(&refusal{Pushed: p, why: err})
	}
	if err := n.keepPushed(s); err != nil {
		return n.refuse(&refusal{Pushed: p, why: err, again: time.Now().Add(retryRefused)})
	}
	before := n.pushed.inForce.Swap(s)
	r := n.reload()
	if r.err != nil {
		n.pushed.inForce.Store(before)
		return n.refuse(&refusal{Pushed: p, why: errors.Join(r.err, n.keepPushed(before))})
	}
	n.pushed.refused.Store(nil)
	n.log.Logf("version %d of the pushed configuration is in force", s.Version)
	return r
}

// refuse notes that a version cannot be taken.
func (n *node) refuse(r *refusal) reloaded {
	n.pushed.refused.Store(r)
	if problems := (config.Problems)(nil); n.lostPushed() != nil && errors.As(r.why, &problems) {
		n.fail(lostAndRefused(r.Version, r.why))
	}
	n.log.Errorf("the configuration was not reloaded: %v", r)
	n.logNotifyErr(n.service.Reloading()) // it may have asked for that, and waits for the end
	n.logNotifyErr(n.service.Ready("not ready: " + r.Error()))
	return reloaded{err: r}
}

// standing is what a node that wants to join is told: it begins with the pushed configuration.
func (n *node) standing() wire.Standing {
	s := wire.Standing{Cluster: n.self.Cluster}
	if p, ok := n.control.LastPushed(); ok {
		s.Config = (&config.Shared{Version: p.Version, Text: p.Text}).Encode()
	}
	return s
}

// takeBefore has a node that joins start with the configuration that was pushed to its cluster, or
// says why it cannot: it is no member then, which would take mail by other rules than the others.
// Nothing: none was pushed, or the cluster is of a version before.
func takeBefore(file, dataDir string, encoded []byte) error {
	if len(encoded) == 0 {
		return keepPushed(dataDir, nil)
	}
	s, err := config.DecodeShared(encoded)
	if err == nil {
		_, err = merged(file, s)
	}
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		return api.Permanent(fmt.Errorf("this node cannot take the configuration of the cluster "+
			"as it was pushed: %w", err))
	}
	if err != nil {
		return err
	}
	if err := files.MakeDir(dataDir); err != nil {
		return err
	}
	return keepPushed(dataDir, s)
}

// takeKept puts in force what was kept, before the parts are made that go by it.
func (n *node) takeKept() error {
	s, err := config.Kept(n.cfg().Node.DataDir)
	if err != nil || s == nil {
		return err
	}
	c, err := config.LoadWith(n.file, s)
	if err != nil {
		return err
	}
	n.live.Store(c)
	n.pressure.free.Store(new(float64(c.Limits.FreeDisk)))
	n.pushed.inForce.Store(s)
	return nil
}

// recoverPushed has a node whose kept version is gone, as when its damaged file was removed, start
// with the one that its rows have. Without it, mail would be taken, and sent, by other rules than
// those of the cluster until serve has looked. It is for before the parts are made that go by these
// rules. A version that does not agree with the node's own file ends the start: there is no other
// to go on with.
func (n *node) recoverPushed() error {
	p, ok := n.control.LastPushed()
	if !ok || n.pushed.inForce.Load() != nil {
		return nil
	}
	s, err := config.ParseShared(config.PushedName(p.Version), p.Version, p.Text)
	if err == nil {
		_, err = merged(n.file, s)
	}
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		return lostAndRefused(p.Version, err)
	}
	if err == nil {
		err = n.keepPushed(s)
	}
	if err == nil {
		err = n.takeKept()
	}
	if err == nil {
		n.log.Logf("version %d of the pushed configuration was taken from the cluster's state: "+
			"this node had lost it", s.Version)
	}
	return err
}

func lostAndRefused(version uint64, why error) error {
	return api.Permanent(fmt.Errorf("the pushed configuration that this node had is gone, and "+
		"version %d, which its cluster has, does not agree with its file: %w", version, why))
}

// keepPushed makes s what this node starts with; nil: nothing.
func (n *node) keepPushed(s *config.Shared) error { return keepPushed(n.cfg().Node.DataDir, s) }

func keepPushed(dataDir string, s *config.Shared) error {
	path := config.KeptPath(dataDir)
	if s == nil {
		return errors.Join(files.Remove(path), files.Remove(takenPath(dataDir)))
	}
	if err := noteTaken(dataDir); err != nil {
		return err
	}
	return files.Replace(path, s.Encode())
}
