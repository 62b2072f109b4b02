package offline

import (
	"context"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/secret"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/node/internal/controlgroup"
	"github.com/postroad/postroad/signing"
)

// keyRestorer seals the signing keys of a backup with the key of the cluster that is being made.
type keyRestorer struct {
	old, now *secret.Ring // old is nil when the backup does not have its cluster's key
	left     int          // keys that could not be restored
}

func newKeyRestorer(
	ctx context.Context, path string, changes *control.Editor, incarnation uint64,
	backup []controlgroup.Row,
) (k *keyRestorer, err error) {
	k = &keyRestorer{}
	for _, row := range backup {
		if string(row.Key) != secret.BackupKey {
			continue
		}
		if k.old, err = secret.Import(row.Value); err != nil {
			return nil, err
		}
		if k.now, err = secret.Begin(ctx, path, changes, 1, incarnation); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// seal returns the command with which a row is restored; ok is false for a key that nobody here can
// open.
func (k *keyRestorer) seal(command []byte) (restored []byte, ok bool) {
	reseal := func(name string, sealed []byte) ([]byte, error) {
		if k.old == nil {
			return nil, secret.ErrNoKey
		}
		plain, err := k.old.Open(signing.Purpose(name), sealed)
		if err != nil {
			return nil, err
		}
		return k.now.Seal(signing.Purpose(name), plain)
	}
	restored, isKey, err := directory.Resealed(command, reseal)
	if isKey && err != nil {
		k.left++
		return nil, false
	}
	return restored, true
}
