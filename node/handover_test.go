package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// TestHandOverEnds: what is put off by a few seconds again and again is handed over once a drain
// has waited for it, and a report that is due never is.
func TestHandOverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scheduler, err := delivery.New(delivery.Options{}, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		of := &tenure{scheduler: scheduler}
		due := func(in time.Duration, reports int) *queue.Stored {
			return &queue.Stored{
				Message: &queue.Message{Envelope: &mail.Envelope{
					Recipients: []mail.Recipient{{Address: "a@b.example", Domain: "b.example"}},
				}},
				Recipients: []queue.RecipientStatus{{State: queue.Deferred,
					Due: time.Now().Add(in)}},
				Reports: reports,
			}
		}
		h := newHanding()
		h.since = time.Now()
		for _, c := range []struct {
			after              time.Duration
			soon, late, report bool
		}{
			{stillLasts, false, true, false},
			{soon - stillLasts, true, true, false},
		} {
			time.Sleep(c.after)
			for _, m := range []struct {
				*queue.Stored
				goes bool
			}{{due(3*time.Second, 0), c.soon}, {due(time.Hour, 0), c.late},
				{due(time.Hour, 1), c.report}} {
				if got := of.goes(m.Stored, time.Now(), h.going()); got != m.goes {
					t.Errorf("after %v, due in %v, %d reports: goes is %t",
						h.going(), time.Until(m.Recipients[0].Due), m.Reports, got)
				}
			}
		}
	})
}
