package member

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/operate/admin/api"
)

// A node that comes back with an empty data directory has forgotten that it was a member: it would
// begin a cluster of its own under its old name and answer 250. So would one that comes back with a
// data directory from before the others joined. One with a list of nodes asks those. For any other,
// and for one whose list was changed, a note outside of its data directory tells: beside its
// configuration, where the operator's commands can write, or beside the data directory. It holds no
// secret.

// Notes are the places in which the note of a node may be, and what is known of the node from its
// configuration.
type Notes struct {
	Config  string // the configuration's file; "": there is none
	DataDir string
	Name    string
	Listed  bool // it has a list of nodes, which it asks: no note is needed
}

// NotesOf returns the Notes of a node by its configuration, which is in a file.
func NotesOf(file string, cfg *config.Config) Notes {
	return Notes{
		Config: file, DataDir: cfg.Node.DataDir, Name: cfg.Node.Name,
		Listed: len(cfg.Cluster.Join) > 0,
	}
}

// Note says what a node was.
type Note struct {
	Cluster string    `json:"cluster"`
	Member  uint16    `json:"member"`
	Name    string    `json:"name"`
	Written time.Time `json:"written"`
	// Log is an entry that the node's log of the control group had when a group of the node had got
	// other members last: a log that ends before it is an older one. 0: not known.
	Log uint64 `json:"log,omitempty"`
}

// files are where a note may be, the first choice first. <data_dir>.member may be a directory that
// is the node's own, which systemd can make.
func (n Notes) files() (all []string) {
	if n.Config != "" {
		all = append(all, n.Config+".member")
	}
	beside := filepath.Clean(n.DataDir) + ".member"
	if info, err := os.Stat(beside); err == nil && info.IsDir() {
		beside = filepath.Join(beside, "note")
	}
	return append(all, beside)
}

// Read returns the note and where it is; nil: there is none. Of several, as when the operator's
// commands may write where the node may not, the newest counts, and all places are named. One that
// cannot be read counts where there is no other: somebody wrote it.
func (n Notes) Read() (note *Note, path string) {
	var paths []string
	for _, path := range n.files() {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		m := new(Note)
		if err != nil || json.Unmarshal(b, m) != nil {
			m = &Note{Name: n.Name}
		}
		if paths = append(paths, path); note == nil || m.newer(note) {
			note = m
		}
	}
	return note, strings.Join(paths, " and ")
}

func (m *Note) newer(than *Note) bool {
	return cmp.Or(m.Written.Compare(than.Written), cmp.Compare(m.Log, than.Log)) > 0
}

// Write writes the note of a node that is self, and whose log of the control group has the entry
// log. It returns nil when that is there already, and when a list of nodes stands for it.
func (n Notes) Write(self wire.Identity, log uint64) error {
	want := Note{Cluster: self.Cluster, Member: self.Member, Name: n.Name, Log: log}
	old, where := n.Read()
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
	for _, path := range n.files() {
		if err = files.Publish(path, append(b, '\n')); err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	switch {
	case n.Listed:
		return nil
	case known:
		return fmt.Errorf(
			"%s, which tells that this node is a member, cannot be brought up to date, "+
				"so that an old copy of %s that is put back would not be noticed: "+
				"let the node write one of the files below: %w",
			where, n.DataDir, all,
		)
	}
	return fmt.Errorf(
		"nothing outside of %s tells that this node is member %d of cluster %s: "+
			"if its disk is ever lost, it must not be started empty under its name; "+
			"let it write one of the files below, or list the cluster's nodes in [cluster] join, "+
			"which it asks then: %w",
		n.DataDir, self.Member, self.Cluster, all,
	)
}

// Forget removes the note: an operator has said that its cluster is no more.
func (n Notes) Forget() error {
	var all error
	for _, path := range n.files() {
		all = errors.Join(all, files.Remove(path))
	}
	return all
}

// MayBegin refuses to begin a cluster with an empty data directory where a note says that the node
// was a member of one.
func (n Notes) MayBegin() error {
	note, path := n.Read()
	if note == nil {
		return nil
	}
	return api.Permanent(fmt.Errorf(
		"%s is empty, but this node was %s, member %d of cluster %s, as %s says: "+
			"it has forgotten its votes and its mail. If it was removed from that cluster, "+
			"join it again with `postroad cluster join`. If not, give it another name "+
			"(node.name), join with that, and run `postroad cluster replace %s NEW`. "+
			"Only if that cluster is no more: remove the file, and try again",
		n.DataDir, note.Name, note.Member, note.Cluster, path, note.Name,
	))
}

// MayGoOn refuses a data directory that is older than the note, and by which this node is alone in
// a group: it would lead that at once, and lack what was decided since. Where it has others by its
// log, those tell what it has forgotten (cluster/recall.go). No group runs yet.
func (n Notes) MayGoOn(self wire.Identity, store *cluster.Node) error {
	group := store.Group(cluster.ControlGroup)
	return n.mayGoOn(self, max(group.LastIndex(), group.AppliedIndex()), func() (bool, error) {
		for _, id := range store.GroupIDs() {
			if alone, err := store.Group(id).Alone(); alone || err != nil {
				return alone, err
			}
		}
		return false, nil
	})
}

// mayGoOn is MayGoOn of a node whose log of the control group ends at an entry. alone reports
// whether it is, in any of its groups.
func (n Notes) mayGoOn(self wire.Identity, end uint64, alone func() (bool, error)) error {
	note, path := n.Read()
	if note == nil || note.Log == 0 {
		return nil
	}
	what := fmt.Sprintf(
		"its log of the cluster's changes ends at entry %d, and had entry %d", end, note.Log,
	)
	if note.Cluster != self.Cluster {
		what = "it is of cluster " + self.Cluster
	} else if end >= note.Log {
		return nil
	}
	if is, err := alone(); !is || err != nil {
		return err
	}
	return api.Permanent(fmt.Errorf(
		"%s is older than %s says (member %d of cluster %s): %s. "+
			"An old copy or a snapshot was put back, and the cluster has gone on without it. "+
			"Nothing was deleted. Put the newer data back; or take this disk for lost: keep it, "+
			"give the node another name (node.name) and an empty data directory, "+
			"join with `postroad cluster join`, and run `postroad cluster replace %s NEW`. "+
			"Only if that cluster is no more: remove the file, and the node goes on alone with "+
			"what it has",
		n.DataDir, path, note.Member, note.Cluster, what, note.Name,
	))
}
