// Package offline is what operators do to a node's data directory while the node does not run:
// restore a backup into an empty one, go on alone with one whose others are lost, and put in again
// what one has that its cluster went on without.
package offline

import (
	"errors"
	"io/fs"

	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin/api"
)

// credentialsOf reads those of the node that is in the data directory.
func credentialsOf(cfg *config.Config) (wire.Credentials, error) {
	creds, err := wire.LoadCredentials(datadir.Cluster(cfg.Node.DataDir))
	if errors.Is(err, fs.ErrNotExist) {
		err = &api.Error{
			Exit:    api.ExitConfig,
			Message: "there is no node in " + cfg.Node.DataDir,
			Hint:    "name its configuration with --config FILE",
		}
	}
	return creds, datadir.Damaged(err)
}

// NoteMember writes the note for a command that has made a data directory a member's.
func NoteMember(file string, cfg *config.Config) error {
	creds, err := wire.LoadCredentials(datadir.Cluster(cfg.Node.DataDir))
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
	return member.NotesOf(file, cfg).Write(self, 0)
}
