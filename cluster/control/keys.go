package control

import (
	"context"
	"fmt"
	"slices"
)

// The authority's key is in the state of every member, and a node that was removed may have kept
// it: a certificate of the cluster tells only that its holder had it once. So each member's own
// public key is in the state, and a member is admitted by its number and that key. The authority
// counts for those that join, until their key is recorded.

// KeysProtocol is the first protocol in which the keys of members are recorded. Until all members
// speak it, certificates alone count, as before.
const KeysProtocol = 6

// SetKey records the public key of a member that has none yet. It is refused when another is
// recorded, or when the number is another disk's.
func (e *Editor) SetKey(ctx context.Context, member uint16, incarnation uint64, key string) error {
	if err := e.State.Needs(KeysProtocol, "a member's key"); err != nil {
		return err
	}
	return e.simple(ctx, cmdSetKey,
		command{Member: member, Node: &Node{Incarnation: incarnation, Key: key}})
}

func (d *draft) setKey(c *command) Result {
	m, r := d.present(c.Member)
	switch {
	case r.Code != Done:
		return r
	case m.Incarnation != c.Node.Incarnation || m.Key != "" && m.Key != c.Node.Key:
		return refuse(Refused, "%s (member %d) is recorded with another disk, or another key",
			m.Name, m.ID)
	case m.Key == "":
		d.touch(m.ID).Key = c.Node.Key
	}
	return Result{}
}

// addAgain answers a join that is repeated because the answer to the first try was lost. The node
// has made another key meanwhile. One that has run has no reason to join again.
func (d *draft) addAgain(id uint16, n *Node) Result {
	m := d.member(id)
	switch {
	case n.Key == "" || m.Key == "" || m.Key == n.Key:
	case m.State != Joining:
		return refuse(Exists,
			"%s is member %d already, and has another key: put its files back, or join under "+
				"another name and run `postroad cluster replace %s NEW`", m.Name, m.ID, m.Name)
	default:
		m = d.touch(id)
		m.Key = n.Key
	}
	again := *m
	return Result{Member: &again}
}

// endTokens makes the tokens void that were made for a time: whoever was removed may have kept one.
// One without an end is in a file of the nodes (cluster.token_file), with which others join later;
// it is the operator's to change. Older members would keep all.
func (d *draft) endTokens() {
	left := slices.DeleteFunc(slices.Clone(d.model.tokens), func(t Token) bool {
		return !t.Expires.IsZero()
	})
	if d.counts.Protocol >= KeysProtocol && len(left) < len(d.model.tokens) {
		d.model.tokens, d.tokens = left, true
	}
}

// forgetKeys is for a cluster with another authority, whose members get new keys.
func (d *draft) forgetKeys() {
	for i := range d.model.members {
		if d.model.members[i].Key != "" {
			d.touch(d.model.members[i].ID).Key = ""
		}
	}
}

// keyMatches says why a peer with that key is not the member, or returns nil. Nothing can be said
// without a key.
func (c *Member) keyMatches(key string) error {
	if key == "" || c.Key == "" || c.Key == key {
		return nil
	}
	return fmt.Errorf(
		"%s (member %d) is known by another key than this one: somebody has made a certificate "+
			"with the cluster's authority, or the node's files in its cluster folder are not its "+
			"own; put them back, or join under another name and run `postroad cluster replace "+
			"%s NEW`", c.Name, c.ID, c.Name)
}
