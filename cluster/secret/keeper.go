package secret

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/postroad/postroad/cluster/control"
)

// Options are what a Keeper needs. All are required.
type Options struct {
	Member      uint16
	Incarnation uint64 // of the store
	Identity    *Identity
	Ring        *Ring
	State       *control.State
	Changes     *control.Editor
	// Leads reports whether this node leads the control group, with rows that are surely new.
	Leads func() bool
	// Reseal seals what was sealed with other keys with the newest one, a part at each call, and
	// returns whether nothing of the kind is left.
	Reseal func(ctx context.Context) (done bool, err error)
	// Logf takes what operators should hear.
	Logf func(format string, args ...any)
}

// Keeper keeps the cluster's key where it belongs: with all members and nobody else. Its rounds
// follow each other; between them it may be asked from anywhere.
type Keeper struct {
	o       Options
	seen    uint64    // the state's version at the last round with nothing to do
	waiting time.Time // since when a member lacks a box and this node does not lead; zero: none
}

// NewKeeper returns a keeper that has not looked yet.
func NewKeeper(o Options) *Keeper { return &Keeper{o: o} }

// Work is what a round found to do; nil: nothing.
type Work struct {
	What string
	Do   func(ctx context.Context) error
}

// shareAfter is how long a member waits for the leader to give somebody a box before it does so
// itself. The leader may be one that has none.
const shareAfter = 3 * time.Second

// Round learns what the state has for this node, and returns what is to be done next. It does not
// block. now is the time of the round.
func (k *Keeper) Round(now time.Time) *Work {
	s := k.o.State
	if s.MinProtocol() < control.SecretsProtocol {
		return nil
	}
	epochs := s.ClusterKeys()
	if err := k.o.Ring.Learn(epochs, k.o.Member, k.o.Identity); err != nil {
		k.o.Logf("%v", err)
	}
	if self, ok := s.Member(k.o.Member); ok && self.SealKey != k.o.Identity.Public() {
		return &Work{"recording its key for secrets", func(ctx context.Context) error {
			return k.o.Changes.SetSealKey(ctx, k.o.Member, k.o.Incarnation, k.o.Identity.Public())
		}}
	}
	leads := k.o.Leads()
	if w := k.share(epochs, leads, now); w != nil || !leads {
		return w
	}
	// When nobody has the key, as after the only node's own key was lost, what it sealed is lost,
	// too: keys must be made anew, and need a key to be sealed with.
	holders, _ := s.Holders()
	switch {
	case len(epochs) == 0 || s.KeyExposed() || len(holders) == 0:
		return &Work{"making a key of the cluster", k.renew}
	case len(epochs) > 1:
		return &Work{"sealing secrets anew", k.reseal}
	}
	return nil
}

// share gives a key to a member that has none.
func (k *Keeper) share(epochs []control.KeyEpoch, leads bool, now time.Time) *Work {
	for i := range epochs {
		e := &epochs[i]
		key, ok := k.o.Ring.raw(e.Epoch)
		if !ok {
			continue
		}
		for _, m := range k.o.State.Members() {
			if _, has := e.Box(m.ID); has || m.SealKey == "" {
				continue
			}
			if k.waiting.IsZero() {
				k.waiting = now
			}
			if !leads && now.Sub(k.waiting) < shareAfter {
				return nil
			}
			return &Work{"giving " + m.Name + " the cluster's key",
				func(ctx context.Context) error {
					box, err := wrap(m.SealKey, e.Epoch, key)
					if err != nil {
						return err
					}
					return k.o.Changes.ShareClusterKey(ctx, e.Epoch,
						control.KeyBox{Member: m.ID, Sealed: box})
				}}
		}
	}
	k.waiting = time.Time{}
	return nil
}

// renew makes the next key, for all that are members now.
func (k *Keeper) renew(ctx context.Context) error {
	epochs := k.o.State.ClusterKeys()
	next := control.KeyEpoch{Epoch: 1}
	if n := len(epochs); n > 0 {
		next.Epoch = epochs[n-1].Epoch + 1
	}
	key := make([]byte, KeyLen)
	rand.Read(key)
	for _, m := range k.o.State.Members() { // in the order of their numbers
		if m.SealKey == "" {
			continue
		}
		box, err := wrap(m.SealKey, next.Epoch, key)
		if err != nil {
			return err
		}
		next.Boxes = append(next.Boxes, control.KeyBox{Member: m.ID, Sealed: box})
	}
	if _, ok := next.Box(k.o.Member); !ok {
		return errors.New("this node's key for secrets is not recorded yet")
	}
	if err := k.o.Changes.NewClusterKey(ctx, next); err != nil {
		return err
	}
	if next.Epoch > 1 {
		k.o.Logf("a member has left: the cluster has another key for its secrets (%d)", next.Epoch)
	}
	return nil
}

// reseal seals anew what the oldest key still has, and ends that key.
func (k *Keeper) reseal(ctx context.Context) error {
	done, err := k.o.Reseal(ctx)
	if err != nil || !done {
		return err
	}
	epochs := k.o.State.ClusterKeys()
	if len(epochs) < 2 {
		return nil
	}
	return k.o.Changes.DropClusterKey(ctx, epochs[0].Epoch)
}
