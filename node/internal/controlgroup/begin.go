package controlgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/internal/files"
	"github.com/postroad/postroad/internal/version"
)

// WriteDown makes the control group of the cluster that the node of a data directory has begun
// (wire.Begin) know that cluster, and the node under its name.
func WriteDown(ctx context.Context, dataDir, name string, changes *control.Editor) error {
	dir := datadir.Cluster(dataDir)
	secret := filepath.Join(dir, wire.AuthorityFile)
	key, err := os.ReadFile(secret)
	if err == nil && len(key) == 0 {
		err = errors.New("it is empty")
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("it is missing") // no trouble of the disk's
	}
	if err != nil {
		return datadir.Damaged(
			fmt.Errorf("the cluster of this node was never written down, and the key of "+
				"its authority (%s) is gone: %w; nothing was taken until now, so empty %s and "+
				"start again",
				secret, err, dataDir))
	}
	creds, err := wire.LoadCredentials(dir)
	if err != nil {
		return err
	}
	self, err := creds.Identity()
	if err != nil {
		return err
	}
	return changes.Init(ctx, self.Cluster, creds.CA, key, control.Node{
		Name: name, Incarnation: self.Incarnation, Version: version.Version,
		Protocol: control.Protocol,
	})
}

// WrittenDown removes what the data directory of a node has only until its cluster is written down.
func WrittenDown(dataDir string) error {
	dir := datadir.Cluster(dataDir)
	return errors.Join(
		files.Remove(filepath.Join(dir, wire.AuthorityFile)),
		files.Remove(filepath.Join(dir, datadir.JoinedFile)),
	)
}
