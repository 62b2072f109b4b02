package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/cluster/logstore"
)

// A log whose last block is bad, and was perhaps acknowledged, puts this member in quarantine in
// each group that the block may have had something of. That is noted for all of them in one step,
// before anything else is written: after that the log store finds nothing wrong.

const tailKey = "tail"

// BootID tells one run of the operating system from the next; "" where that cannot be told.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// noteTail puts this member in quarantine if the log store found a bad tail, or did at a start that
// ended before it had been noted.
func (n *Node) noteTail() error {
	own := n.log.Group(nodeGroup)
	tail := n.log.Tail()
	if tail != nil {
		n.opts.Logf("%s", tail)
		v, err := json.Marshal(tail)
		if err == nil {
			err = own.SetAll(map[string][]byte{tailKey: v})
		}
		if err != nil {
			return fmt.Errorf("note the damaged tail of the log: %w", err)
		}
	} else {
		v, err := own.Get([]byte(tailKey))
		if err != nil || len(v) == 0 {
			return err
		}
		if err := json.Unmarshal(v, &tail); err != nil {
			return fmt.Errorf("note of a damaged tail: %w", err)
		}
	}
	for _, id := range n.log.Groups() {
		if id == nodeGroup || tail.Groups != nil && !slices.Contains(tail.Groups, id) {
			continue
		}
		if err := n.doubtTail(id, tail); err != nil {
			return err
		}
	}
	return own.SetAll(map[string][]byte{tailKey: nil})
}

// doubtTail puts this member in quarantine in one group.
func (n *Node) doubtTail(log uint64, tail *logstore.Tail) error {
	l := n.log.Group(log)
	term, err := l.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		return err
	}
	if gone, err := l.Get([]byte(retiredKey)); err != nil || len(gone) > 0 {
		return err
	}
	d := Doubt{Why: DamagedTail, Since: time.Now().UTC(), FloorTerm: term + 1, Hear: true}
	// a vote takes effect when the mark has followed it, and so may have been in the block
	if tail.Proven {
		if err := spendVote(l, term); err != nil {
			return err
		}
	}
	return addDoubt(l, d)
}
