package survey

import (
	"fmt"
	"testing"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// TestTally: what is counted by name has a bound, and nothing is left out of the sum.
func TestTally(t *testing.T) {
	all := Tally{}
	for i := range names + 100 {
		for range 1 + i%3 {
			all.add(fmt.Sprint("d", i, ".example"))
		}
	}
	if len(all) > names+1 {
		t.Errorf("%d names are kept", len(all))
	}
	all["big.example"] = 1_000_000
	top := all.top(shown)
	sum := func(t Tally) (n uint64) {
		for _, k := range t {
			n += k
		}
		return n
	}
	if len(top) > shown+1 || top["big.example"] != 1_000_000 || sum(top) != sum(all) {
		t.Errorf("%d names, sum %d of %d", len(top), sum(top), sum(all))
	}
}

// TestWhyARecipientWaits: in words from a bounded list.
func TestWhyARecipientWaits(t *testing.T) {
	tried := mail.Attempt{Code: 451, Enhanced: "4.7.1", Text: "come back at 12:03:04"}
	silent := &mail.Attempt{Enhanced: "4.4.1", Text: "connection refused"}
	for want, c := range map[string]struct {
		is     queue.RecipientStatus
		domain *mail.Attempt
	}{
		"not attempted yet": {queue.RecipientStatus{State: queue.Ready}, nil},
		"451 4.7.1":         {queue.RecipientStatus{State: queue.Deferred, Last: tried}, nil},
		"no reply 4.4.1":    {queue.RecipientStatus{State: queue.Deferred, Last: tried}, silent},
		"held":              {queue.RecipientStatus{State: queue.Held, Last: tried}, silent},
	} {
		if got := reason(&c.is, c.domain); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
