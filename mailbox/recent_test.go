package mailbox

import (
	"math/rand/v2"
	"testing"

	"github.com/postroad/postroad/internal/mail"
)

// Whatever the order of the IDs, no record that was added is ever said to be absent, and fresh ones
// mostly are.
func TestRecent(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		var c recent
		var all []DedupRecord
		at := func(n int) DedupRecord {
			return DedupRecord{
				ID:        mail.ID{0, byte(n >> 16), byte(n >> 8), byte(n)},
				Recipient: uint32(r.IntN(3)),
			}
		}
		c.reset(at(1000).ID)
		missed := 0
		for n := range 20_000 {
			x := at(1001 + n - r.IntN(300)*r.IntN(2))
			known := false
			for i := len(all) - 1; i >= max(0, len(all)-1000); i-- {
				known = known || all[i] == x
			}
			if !c.absent(x) && !known {
				missed++
			}
			c.add(x)
			all = append(all, x)
			if y := all[r.IntN(len(all))]; c.absent(y) {
				t.Fatalf("seed %d: %v was added and is said to be absent", seed, y)
			}
		}
		if missed > 500 { // those below the floor of the beginning
			t.Errorf("seed %d: %d fresh records were not known to be absent", seed, missed)
		}
		if c.absent(at(1000)) {
			t.Error("nothing is known of what was there before")
		}
	}
}
