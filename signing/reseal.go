package signing

import (
	"context"

	"github.com/postroad/postroad/directory"
)

// Sealer seals and opens with the keys of the cluster (secret.Ring).
type Sealer interface {
	Newest() (epoch uint64, ok bool)
	Seal(purpose string, plain []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// resealStep is how many keys are sealed anew at a time.
const resealStep = 100

// Reseal seals the keys of a directory with the newest key of the cluster, some at each call, and
// returns whether none is left that was sealed with another. epoch returns with which one a secret
// was sealed. Keys that nobody can open stay as they are.
func Reseal(
	ctx context.Context, e *directory.Editor, s Sealer, epoch func([]byte) (uint64, bool),
) (done bool, err error) {
	newest, ok := s.Newest()
	if !ok {
		return false, nil
	}
	changed, after := 0, ""
	for {
		page := e.Directory.SigningKeys(after, resealStep)
		for _, k := range page {
			after = k.Name
			if n, ok := epoch(k.Sealed); !ok || n == newest {
				continue
			}
			plain, err := s.Open(Purpose(k.Name), k.Sealed)
			if err != nil {
				continue
			}
			again := *k
			again.Sealed, err = s.Seal(Purpose(k.Name), plain)
			clear(plain)
			if err == nil {
				err = e.SetKey(ctx, &again)
			}
			if err != nil {
				return false, err
			}
			if changed++; changed == resealStep {
				return false, nil
			}
		}
		if len(page) < resealStep {
			return changed == 0, nil
		}
	}
}
