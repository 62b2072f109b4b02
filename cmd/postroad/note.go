package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/files"
)

// A node that comes back with an empty data directory has forgotten that it was a member: it would
// begin a cluster of its own under its old name and answer 250. One with a list of nodes asks those
// (joining.go). For any other a note outside of its data directory tells: beside its configuration,
// where the operator's commands can write, or beside the data directory. It holds no secret.

// memberNote says what a node was.
type memberNote struct {
	Cluster string    `json:"cluster"`
	Member  uint16    `json:"member"`
	Name    string    `json:"name"`
	Written time.Time `json:"written"`
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

// readNote returns the note and where it is; nil: there is none. One that cannot be read counts:
// somebody wrote it.
func readNote(file string, cfg *config.Config) (*memberNote, string) {
	for _, path := range noteFiles(file, cfg) {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		m := new(memberNote)
		if err != nil || json.Unmarshal(b, m) != nil {
			m = &memberNote{Name: cfg.Node.Name}
		}
		return m, path
	}
	return nil, ""
}

// writeNote writes the note of a node that is what its credentials say. It returns nil when it is
// there already.
func writeNote(file string, cfg *config.Config) error {
	creds, err := wire.LoadCredentials(clusterDir(cfg))
	if err != nil {
		return err
	}
	self, err := creds.Identity()
	if err != nil {
		return err
	}
	want := memberNote{Cluster: self.Cluster, Member: self.Member, Name: cfg.Node.Name}
	if old, _ := readNote(file, cfg); old != nil {
		want.Written = old.Written
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
	return fmt.Errorf(
		"nothing outside of %s tells that this node is member %d of cluster %s: if its disk is ever lost, it must not be started empty under its name; "+
			"let it write one of the files below, or list the cluster's nodes in [cluster] join, which it asks then: %w",
		cfg.Node.DataDir,
		self.Member,
		self.Cluster,
		all,
	)
}

// keepNote writes the note of a node that has other members, where it has none and needs one.
func (n *node) keepNote() {
	if len(n.cfg.Cluster.Join) > 0 {
		return
	}
	if err := writeNote(n.file, n.cfg); err != nil {
		n.log.Errorf("%v", err)
	}
}

// writeNote does so for a command that has made a data directory a member's.
func (c *console) writeNote(file string, cfg *config.Config) {
	if len(cfg.Cluster.Join) > 0 {
		return
	}
	if err := writeNote(file, cfg); err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(c.err, err)
	}
}

// mayBegin refuses to begin a cluster with an empty data directory where a note says that the node
// was a member of one.
func (n *node) mayBegin() error {
	note, path := readNote(n.file, n.cfg)
	if j, err := readJoined(n.cfg); note == nil || j != nil || err != nil {
		return err // a join that did not end is told of by startStore
	}
	return lasting(
		fmt.Errorf(
			"%s is empty, but this node was %s, member %d of cluster %s, as %s says: it has forgotten its votes and its mail. Give it another name "+
				"(node.name), join with `postroad cluster join`, and run `postroad cluster replace %s NEW`. Only if that cluster is no more: remove the file, and the node begins one of its own",
			n.cfg.Node.DataDir,
			note.Name,
			note.Member,
			note.Cluster,
			path,
			note.Name,
		),
	)
}
