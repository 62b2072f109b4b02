package secret

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/postroad/postroad/cluster/control"
)

// BackupKey is the key of the row of a backup that has the keys of the cluster, if it was asked to.
const BackupKey = "postroad secrets"

// exported is the value of that row.
type exported struct {
	Newest uint64            `json:"newest"`
	Keys   map[uint64][]byte `json:"keys"`
}

// Export returns the keys of the cluster as they are, for a backup that is to have them.
func (r *Ring) Export() ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, ok := r.keys[r.newest]; !ok {
		return nil, ErrNoKey
	}
	e := exported{r.newest, map[uint64][]byte{}}
	for epoch, k := range r.keys {
		e.Keys[epoch] = k.raw
	}
	return json.Marshal(e)
}

// Import returns the ring that was exported.
func Import(b []byte) (*Ring, error) {
	var e exported
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("the keys in the backup cannot be read: %w", err)
	}
	r := &Ring{keys: map[uint64]ringKey{}, newest: e.Newest}
	for epoch, raw := range e.Keys {
		if len(raw) != KeyLen {
			return nil, fmt.Errorf("key %d in the backup has %d octets instead of %d", epoch,
				len(raw), KeyLen)
		}
		r.keys[epoch] = newRingKey(raw)
	}
	return r, nil
}

// Begin makes the first key of a cluster whose only member is this one, and returns its ring. path
// is the file of the node's own key.
func Begin(
	ctx context.Context, path string, changes *control.Editor, member uint16, incarnation uint64,
) (*Ring, error) {
	self, err := OpenIdentity(path)
	if err != nil {
		return nil, err
	}
	ring := new(Ring)
	k := NewKeeper(Options{Member: member, Incarnation: incarnation, Identity: self, Ring: ring,
		State: changes.State, Changes: changes, Leads: func() bool { return true },
		Reseal: func(context.Context) (bool, error) { return true, nil },
		Logf:   func(string, ...any) {}})
	for w := k.Round(time.Now()); w != nil; w = k.Round(time.Now()) {
		if err := w.Do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", w.What, err)
		}
	}
	return ring, nil
}
