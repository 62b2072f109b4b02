package node

import (
	"errors"
	"fmt"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin/api"
)

// damaged gives an error that says that the data directory has lost something the exit status of
// what no restart mends, and words that say how to go on. Other errors it leaves alone.
func (n *node) damaged(err error) error {
	if !errors.Is(err, cluster.ErrLost) {
		return err
	}
	hint := fmt.Sprintf(
		"nothing was changed; if this comes from a file that was put back or moved, undo that. "+
			"With other nodes in the cluster: empty %s, join under "+
			"another name, and run `postroad cluster replace %s NEW`. Alone: `postroad cluster "+
			"recover --config FILE` says what is left",
		n.cfg().Node.DataDir,
		n.cfg().Node.Name,
	)
	return &api.Error{Exit: api.ExitConfig, Message: err.Error(), Hint: hint}
}

func damagedFile(err error) error { return datadir.Damaged(err) }
