package node

import (
	"errors"
	"fmt"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

// damaged gives an error that says that the data directory has lost something the exit status of
// what no restart mends, and words that say how to go on. Other errors it leaves alone.
func (n *node) damaged(err error) error {
	if !errors.Is(err, cluster.ErrLost) {
		return err
	}
	hint := fmt.Sprintf(
		"nothing was changed; if this comes from a file that was put back or moved, undo that. With other nodes in the cluster: empty %s, join under "+
			"another name, and run `postroad cluster replace %s NEW`. Alone: `postroad cluster recover --config FILE` says what is left",
		n.cfg.Node.DataDir,
		n.cfg.Node.Name,
	)
	return &api.Error{Exit: api.ExitConfig, Message: err.Error(), Hint: hint}
}

func damagedFile(err error) error { return datadir.Damaged(err) }

// doubts are the groups in which members are in quarantine, by what they said of themselves.
func (c operatorsCluster) doubts(reports map[uint16]*peer.Report) (lines []string) {
	for _, m := range c.n.control.Members() {
		r := reports[m.ID]
		if r == nil {
			continue
		}
		for _, g := range r.Groups {
			for _, d := range g.Doubts {
				lines = append(
					lines,
					fmt.Sprintf(
						"%s is in quarantine in group %d since %s: %s",
						m.Name,
						g.Group,
						d.Since.UTC().Format("2006-01-02T15:04:05Z"),
						&d,
					),
				)
			}
		}
	}
	return lines
}

// doubted reports whether a member is in quarantine in a group, as far as is known.
func doubted(reports map[uint16]*peer.Report, member uint16, group uint64) bool {
	r := reports[member]
	if r == nil {
		return false
	}
	for _, g := range r.Groups {
		if g.Group == group && len(g.Doubts) > 0 {
			return true
		}
	}
	return false
}
