// Package datadir says where what makes a node a member lies in its data directory, for the node
// that runs and for the commands that work on a node that does not.
package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postroad/postroad/operate/admin/api"
)

// Cluster is where the credentials are, and what else tells who the node is (package wire has the
// names of its files).
func Cluster(dataDir string) string { return filepath.Join(dataDir, "cluster") }

// JoinedFile is, in the directory Cluster, what the node was told when it joined. It is there from
// then until the node has written down its cluster.
const JoinedFile = "joined.json"

// SealKeyFile is, in the directory Cluster, the key with which the node gets the cluster's key.
const SealKeyFile = "seal.key"

// StoreExists reports whether a store was ever made in the data directory.
func StoreExists(dataDir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dataDir, "segments"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Damaged gives an error about a small file's contents the exit status of what no restart mends. A
// file that could not be read is the disk's trouble, and left alone.
func Damaged(err error) error {
	var unread *fs.PathError
	if err == nil || errors.As(err, &unread) {
		return err
	}
	return api.Permanent(err)
}
