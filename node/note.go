package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/files"
)

// A node that comes back with an empty data directory has forgotten that it was a member: it would
// begin a cluster of its own under its old name and answer 250. So would one that comes back with a
// data directory from before the others joined. One with a list of nodes asks those (joining.go).
// For any other, and for one whose list was changed, a note outside of its data directory tells:
// beside its configuration, where the operator's commands can write, or beside the data directory.
// It holds no secret.

// memberNote says what a node was.
type memberNote struct {
	Cluster string    `json:"cluster"`
	Member  uint16    `json:"member"`
	Name    string    `json:"name"`
	Written time.Time `json:"written"`
	// Log is an entry that the node's log of the control group had when a group of the node had got
	// other members last: a log that ends before it is an older one. 0: not known.
	Log uint64 `json:"log,omitempty"`
}

// noteFiles are where a note may be, the first choice first. <data_dir>.member may be a directory
// that is the node's own, which systemd can make.
func noteFiles(file string, cfg *config.Config) (all []string) {
	if file != "" {
		all = append(all, file+".member")
	}
	beside := filepath.Clean(cfg.Node.DataDir) + ".member"
	if info, err := os.Stat(beside); err == nil && info.IsDir() {
		beside = filepath.Join(beside, "note")
	}
	return append(all, beside)
}

// readNote returns the note and where it is; nil: there is none. Of several, as when the operator's
// commands may write where the node may not, the newest counts, and all places are named. One that
// cannot be read counts where there is no other: somebody wrote it.
func readNote(file string, cfg *config.Config) (note *memberNote, path string) {
	var paths []string
	for _, path := range noteFiles(file, cfg) {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		m := new(memberNote)
		if err != nil || json.Unmarshal(b, m) != nil {
			m = &memberNote{Name: cfg.Node.Name}
		}
		if paths = append(paths, path); note == nil || m.newer(note) {
			note = m
		}
	}
	return note, strings.Join(paths, " and ")
}

func (m *memberNote) newer(than *memberNote) bool {
	return cmp.Or(m.Written.Compare(than.Written), cmp.Compare(m.Log, than.Log)) > 0
}

// writeNote writes the note of a node that is self, and whose log of the control group has the
// entry log. It returns nil when that is there already, and when a list of nodes stands for it.
func writeNote(file string, cfg *config.Config, self wire.Identity, log uint64) error {
	want := memberNote{Cluster: self.Cluster, Member: self.Member, Name: cfg.Node.Name, Log: log}
	old, where := readNote(file, cfg)
	known := old != nil && old.Cluster == want.Cluster && old.Member == want.Member
	if known {
		want.Written, want.Log = old.Written, max(old.Log, log)
		if *old == want {
			return nil
		}
	}
	want.Written = time.Now().UTC().Truncate(time.Second)
	b, err := json.Marshal(want)
	if err != nil {
		return err
	}
	var all error
	for _, path := range noteFiles(file, cfg) {
		if err = files.Publish(path, append(b, '\n')); err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	switch {
	case len(cfg.Cluster.Join) > 0:
		return nil
	case known:
		return fmt.Errorf(
			"%s, which tells that this node is a member, cannot be brought up to date, so that an old copy of %s that is put back would not be noticed: "+
				"let the node write one of the files below: %w",
			where,
			cfg.Node.DataDir,
			all,
		)
	}
	return fmt.Errorf(
		"nothing outside of %s tells that this node is member %d of cluster %s: if its disk is ever lost, it must not be started empty under its name; "+
			"let it write one of the files below, or list the cluster's nodes in [cluster] join, which it asks then: %w",
		cfg.Node.DataDir,
		self.Member,
		self.Cluster,
		all,
	)
}

// noting is what a running node knows of its note.
type noting struct {
	sync.Mutex
	log    uint64          // what it says, or could not be made to say
	shared map[uint64]bool // the groups that were known then to have other voters
}

// keepNote makes the note of a node that has other members tell so, and that its log of the control
// group has the entry log.
func (n *node) keepNote(log uint64) {
	n.noting.Lock()
	defer n.noting.Unlock()
	n.noting.log = max(n.noting.log, log)
	if err := writeNote(n.file, n.cfg, n.self, n.noting.log); err != nil {
		n.log.Errorf("%v", err)
	}
}

// noteMembers brings the note up to date when a group of this node has got other voters. That is
// written in the control group's log, so a log that ends before is from when it was alone.
func (n *node) noteMembers() {
	shared := map[uint64]bool{}
	for _, g := range n.control.Hosts(n.self.Member) {
		if len(g.Observed.Voters) > 1 {
			shared[g.ID] = true
		}
	}
	n.noting.Lock()
	before := n.noting.shared
	n.noting.shared = shared
	n.noting.Unlock()
	for id := range shared {
		if !before[id] {
			n.keepNote(n.store.Group(cluster.ControlGroup).AppliedIndex())
			return
		}
	}
}

// hadOthers reports whether this node has, or ever had, other members.
func (n *node) hadOthers() bool { return n.self.Member != 1 || n.store.HasPeers() }

// NoteMember writes the note for a command that has made a data directory a member's.
func NoteMember(file string, cfg *config.Config) error {
	creds, err := wire.LoadCredentials(clusterDir(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	self, err := creds.Identity()
	if err != nil {
		return err
	}
	return writeNote(file, cfg, self, 0)
}

// forgetNote removes the note: an operator has said that its cluster is no more.
func forgetNote(file string, cfg *config.Config) error {
	var all error
	for _, path := range noteFiles(file, cfg) {
		all = errors.Join(all, files.Remove(path))
	}
	return all
}

// mayBegin refuses to begin a cluster with an empty data directory where a note says that the node
// was a member of one.
func mayBegin(file string, cfg *config.Config) error {
	note, path := readNote(file, cfg)
	if note == nil {
		return nil
	}
	return lasting(
		fmt.Errorf(
			"%s is empty, but this node was %s, member %d of cluster %s, as %s says: it has forgotten its votes and its mail. Give it another name "+
				"(node.name), join with `postroad cluster join`, and run `postroad cluster replace %s NEW`. Only if that cluster is no more: remove the file, and try again",
			cfg.Node.DataDir,
			note.Name,
			note.Member,
			note.Cluster,
			path,
			note.Name,
		),
	)
}

// mayGoOn refuses a data directory that is older than the note, and by which this node is alone in
// a group: it would lead that at once, and lack what was decided since. Where it has others by its
// log, those tell what it has forgotten (cluster/recall.go). No group runs yet.
func mayGoOn(file string, cfg *config.Config, self wire.Identity, store *cluster.Node) error {
	note, path := readNote(file, cfg)
	if note == nil || note.Log == 0 {
		return nil
	}
	group := store.Group(cluster.ControlGroup)
	end := max(group.LastIndex(), group.AppliedIndex())
	what := fmt.Sprintf("its log of the cluster's changes ends at entry %d, and had entry %d", end, note.Log)
	if note.Cluster != self.Cluster {
		what = "it is of cluster " + self.Cluster
	} else if end >= note.Log {
		return nil
	}
	for _, id := range store.GroupIDs() {
		alone, err := store.Group(id).Alone()
		if err != nil {
			return err
		}
		if alone {
			return lasting(fmt.Errorf(
				"%s is older than %s says (member %d of cluster %s): %s. An old copy or a snapshot was put back, and the cluster has gone on without it. Nothing was deleted. "+
					"Put the newer data back; or take this disk for lost: keep it, give the node another name (node.name) and an empty data directory, join with `postroad cluster join`, "+
					"and run `postroad cluster replace %s NEW`. Only if that cluster is no more: remove the file, and the node goes on alone with what it has",
				cfg.Node.DataDir,
				path,
				note.Member,
				note.Cluster,
				what,
				note.Name,
			))
		}
	}
	return nil
}
