package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// The secrets of the state, such as DKIM keys, are sealed with the cluster's key (cluster/secret).
// Here the key is only in boxes, one for each member, which that member's own key opens: the rows,
// or a backup of them, give away no secret. A member that leaves knows the key: the next
// one is made then, the secrets are sealed with it, and the one before is dropped.

// SecretsProtocol is the first protocol that knows the cluster's key.
const SecretsProtocol = 8

// Bounds of the cluster's key. One epoch is in use, as a rule; a second while secrets are being
// sealed anew.
const (
	MaxKeyEpochs = 8
	maxSealKey   = 2048 // octets of a public key
	maxKeyBox    = 4096 // octets
)

// KeyEpoch is a version of the cluster's key. A plain value, read-only.
type KeyEpoch struct {
	Epoch uint64   `json:"epoch"` // 1 or more; each key has the next one
	Boxes []KeyBox `json:"boxes"` // in the order of their members
}

// KeyBox is the cluster's key for one member.
type KeyBox struct {
	Member uint16 `json:"member"`
	Sealed []byte `json:"sealed"` // what only that member can open
}

// Box returns what a member can open.
func (k *KeyEpoch) Box(member uint16) (sealed []byte, ok bool) {
	i, ok := slices.BinarySearchFunc(k.Boxes, member, byMember)
	if !ok {
		return nil, false
	}
	return k.Boxes[i].Sealed, true
}

func byMember(b KeyBox, member uint16) int { return int(b.Member) - int(member) }

func (k *KeyEpoch) check() error {
	if k.Epoch == 0 || len(k.Boxes) == 0 || len(k.Boxes) > MaxMembers {
		return fmt.Errorf("a key of the cluster has a number, and from 1 to %d boxes", MaxMembers)
	}
	for i, b := range k.Boxes {
		if b.Member == 0 || len(b.Sealed) == 0 || len(b.Sealed) > maxKeyBox ||
			i > 0 && k.Boxes[i-1].Member >= b.Member {
			return fmt.Errorf("the boxes of a key of the cluster are not in order")
		}
	}
	return nil
}

// ClusterKeys returns the versions of the cluster's key that are in use, the oldest first. Secrets
// are sealed with the last one.
func (s *State) ClusterKeys() []KeyEpoch { return s.view.Load().keys }

// KeyExposed reports whether somebody who is no member any more knows the newest key.
func (s *State) KeyExposed() bool {
	m := s.view.Load()
	if len(m.keys) == 0 {
		return false
	}
	return slices.ContainsFunc(m.keys[len(m.keys)-1].Boxes, func(b KeyBox) bool {
		c := m.member(b.Member)
		return c == nil || c.State == Removed
	})
}

// SetSealKey records the public key for which a member's boxes are made. Another one than before
// ends its boxes: it could not open them.
func (e *Editor) SetSealKey(
	ctx context.Context, member uint16, incarnation uint64, key string,
) error {
	if err := e.State.Needs(SecretsProtocol, "a member's key for secrets"); err != nil {
		return err
	}
	return e.simple(ctx, cmdSetSealKey,
		command{Member: member, Node: &Node{Incarnation: incarnation}, SealKey: key})
}

// NewClusterKey makes k the newest key. Its number is the one after the last; ErrStale: there is
// another one by now.
func (e *Editor) NewClusterKey(ctx context.Context, k KeyEpoch) error {
	if err := k.check(); err != nil {
		return err
	}
	if err := e.State.Needs(SecretsProtocol, "a key of the cluster"); err != nil {
		return err
	}
	return e.simple(ctx, cmdNewClusterKey, command{KeyEpoch: &k})
}

// ShareClusterKey adds the box of a member that has none of that epoch.
func (e *Editor) ShareClusterKey(ctx context.Context, epoch uint64, box KeyBox) error {
	k := KeyEpoch{Epoch: epoch, Boxes: []KeyBox{box}}
	if err := k.check(); err != nil {
		return err
	}
	return e.simple(ctx, cmdShareClusterKey, command{KeyEpoch: &k})
}

// DropClusterKey ends a key with which nothing is sealed any more. The newest stays.
func (e *Editor) DropClusterKey(ctx context.Context, epoch uint64) error {
	return e.simple(ctx, cmdDropClusterKey, command{KeyEpoch: &KeyEpoch{Epoch: epoch}})
}

func (d *draft) setSealKey(c *command) Result {
	m, r := d.present(c.Member)
	switch {
	case r.Code != Done:
		return r
	case m.Incarnation != c.Node.Incarnation:
		return refuse(Refused, "%s (member %d) is recorded with another disk", m.Name, m.ID)
	case m.SealKey != c.SealKey:
		d.touch(m.ID).SealKey = c.SealKey
		d.withoutBoxes(m.ID)
	}
	return Result{}
}

// withoutBoxes takes a member's boxes away.
func (d *draft) withoutBoxes(member uint16) {
	d.changeKeys()
	for i := range d.model.keys {
		k := &d.model.keys[i]
		if at, ok := slices.BinarySearchFunc(k.Boxes, member, byMember); ok {
			k.Boxes = slices.Delete(slices.Clone(k.Boxes), at, at+1)
		}
	}
}

// changeKeys makes the keys ones to be changed. Their boxes are replaced, never written to.
func (d *draft) changeKeys() { d.model.keys, d.keys = slices.Clone(d.model.keys), true }

func (d *draft) newClusterKey(c *command) Result {
	last := d.lastEpoch()
	if c.KeyEpoch.Epoch != last+1 {
		return refuse(Stale, "the cluster's key has number %d by now", last)
	}
	if len(d.model.keys) >= MaxKeyEpochs {
		return refuse(Full, "the secrets are being sealed with the last key still")
	}
	for _, b := range c.KeyEpoch.Boxes {
		if m, r := d.present(b.Member); r.Code != Done {
			return r
		} else if len(m.SealKey) == 0 {
			return refuse(Refused, "%s (member %d) has no key for secrets", m.Name, m.ID)
		}
	}
	d.changeKeys()
	d.model.keys = append(d.model.keys, *c.KeyEpoch)
	return Result{Index: c.KeyEpoch.Epoch}
}

func (m *model) lastEpoch() uint64 {
	if len(m.keys) == 0 {
		return 0
	}
	return m.keys[len(m.keys)-1].Epoch
}

func (m *model) epoch(epoch uint64) int {
	return slices.IndexFunc(m.keys, func(k KeyEpoch) bool { return k.Epoch == epoch })
}

func (d *draft) shareClusterKey(c *command) Result {
	box := c.KeyEpoch.Boxes[0]
	i := d.epoch(c.KeyEpoch.Epoch)
	if i < 0 {
		return refuse(Unknown, "there is no key %d of the cluster", c.KeyEpoch.Epoch)
	}
	if m, r := d.present(box.Member); r.Code != Done {
		return r
	} else if len(m.SealKey) == 0 {
		return refuse(Refused, "%s (member %d) has no key for secrets", m.Name, m.ID)
	}
	at, has := slices.BinarySearchFunc(d.model.keys[i].Boxes, box.Member, byMember)
	if has {
		return Result{} // somebody else was quicker
	}
	d.changeKeys()
	k := &d.model.keys[i]
	k.Boxes = slices.Insert(slices.Clone(k.Boxes), at, box)
	return Result{}
}

func (d *draft) dropClusterKey(c *command) Result {
	i := d.epoch(c.KeyEpoch.Epoch)
	switch {
	case i < 0:
		return Result{}
	case i == len(d.model.keys)-1:
		return refuse(Refused, "key %d of the cluster is in use", c.KeyEpoch.Epoch)
	}
	d.changeKeys()
	d.model.keys = slices.Delete(d.model.keys, i, i+1)
	return Result{}
}

// loadKeys reads the cluster's keys, which a state of an older version lacks.
func (m *model) loadKeys(get func(key []byte) ([]byte, bool)) error {
	b, ok := get(keySecrets)
	if !ok {
		return nil
	}
	if err := decodeRecord(b, &m.keys); err != nil {
		return fmt.Errorf("row %q: %w", keySecrets, err)
	}
	if len(m.keys) > MaxKeyEpochs {
		return fmt.Errorf("row %q: %d keys are more than there can be", keySecrets, len(m.keys))
	}
	return nil
}

// Holders names the members that can open the newest key and those that cannot yet, for operators.
func (s *State) Holders() (have, lack []string) {
	m := s.view.Load()
	for i := range m.members {
		c := &m.members[i]
		if c.State == Removed || len(m.keys) == 0 {
			continue
		}
		if _, ok := m.keys[len(m.keys)-1].Box(c.ID); ok {
			have = append(have, c.Name)
		} else {
			lack = append(lack, c.Name)
		}
	}
	slices.SortFunc(lack, strings.Compare)
	return have, lack
}
