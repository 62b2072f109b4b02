package state

import (
	"testing"

	"github.com/postroad/postroad/cluster/logstore"
)

func FuzzKept(f *testing.F) {
	e := keptEntry{place: logstore.Place{Segment: 3, Pos: 64, Payload: 999, Parts: 70},
		octets: 1 << 20, live: []uint64{5, 1}}
	f.Add(e.encode(nil))
	f.Add([]byte{keptVersion})
	f.Fuzz(func(t *testing.T, p []byte) {
		e, err := decodeKept(1, p)
		if err == nil && len(e.live) != int(e.place.Parts+63)/64 {
			t.Errorf("%d words for %d parts", len(e.live), e.place.Parts)
		}
	})
}
