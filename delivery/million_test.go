package delivery

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// hoard is a Queue with very many messages for one domain that takes no room: message i is made
// when it is read. It counts what is asked of it.
type hoard struct {
	domain string
	first  time.Time
	env    *mail.Envelope

	mu      sync.Mutex
	next    int // messages before it are settled
	end     int // messages that were accepted
	ahead   map[int]bool
	read    int
	settled int
	writes  int // outcomes that are not final
}

func newHoard(domain string, n int) *hoard {
	return &hoard{
		domain: domain, first: time.Now(), end: n, ahead: map[int]bool{},
		env: &mail.Envelope{Recipients: []mail.Recipient{{Address: "r@" + domain, Domain: domain}}},
	}
}

func (h *hoard) item(i int) queue.Item {
	at := h.first.Add(time.Duration(i) * time.Millisecond)
	return queue.Item{
		Message: &queue.Message{ID: mail.FloorID(at), Envelope: h.env, Arrived: at, Size: 100},
		Domain:  h.domain, Due: at, Recipients: []uint32{0},
	}
}

func (h *hoard) number(id mail.ID) int { return int(id.Time().Sub(h.first) / time.Millisecond) }

func (h *hoard) Domains(after string, _ int) (found []queue.DomainDue, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after < h.domain && h.next < h.end {
		found = append(found, queue.DomainDue{Domain: h.domain, Due: h.item(h.next).Due})
	}
	return found, nil
}

func (h *hoard) Due(
	_ string, after queue.Cursor, until time.Time, n int,
) (items []queue.Item, last queue.Cursor, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.next
	if !after.Due.IsZero() {
		i = max(i, h.number(after.ID)+1)
	}
	for last = after; i < h.end && len(items) < n; i++ {
		it := h.item(i)
		if it.Due.After(until) {
			break
		}
		if !h.ahead[i] {
			items = append(items, it)
			last = queue.Cursor{Due: it.Due, ID: it.Message.ID}
		}
	}
	h.read += len(items)
	return items, last, nil
}

func (h *hoard) Settle(outcomes []queue.Outcome, done func(error)) bool {
	h.mu.Lock()
	for i := range outcomes {
		if !outcomes[i].State.Final() {
			h.writes++
			continue
		}
		h.settled++
		h.ahead[h.number(outcomes[i].ID)] = true
		for ; h.ahead[h.next]; h.next++ {
			delete(h.ahead, h.next)
		}
	}
	h.mu.Unlock()
	done(nil)
	return true
}

func (h *hoard) SettleMessage(
	_ *queue.Message, outcomes []queue.Outcome, done func(error),
) bool {
	return h.Settle(outcomes, done)
}
func (h *hoard) SettleRoom(context.Context) error { return nil }
func (h *hoard) Remember([]queue.Outcome)         {}
func (h *hoard) Content(*queue.Message) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(strings.Repeat("x", 100))), nil
}
func (h *hoard) Load(mail.ID) (*queue.Stored, error) { return nil, nil }
func (h *hoard) ScanArrived(mail.ID, time.Time, func(*queue.Stored) bool) error {
	return nil
}
func (h *hoard) PendingReports(queue.ReportID, int) ([]queue.Report, error) { return nil, nil }
func (h *hoard) ReportsDue() <-chan struct{}                                { return nil }
func (h *hoard) AcceptReport(
	queue.ReportID, *mail.Envelope, *mail.Content, func(mail.ID, *smtp.Failure),
) {
}
func (h *hoard) DropReports(context.Context, ...queue.ReportID) error { return nil }

// A million messages for a dead site: over days it sees a few connects, the queue no writes and few
// reads. Then it comes back and they go, each once, in order.
func TestMillionForDeadSite(t *testing.T) {
	const n = 1_000_000
	synctest.Test(t, func(t *testing.T) {
		h := newHoard("a.test", n/2)
		net := &internet{hosts: map[string]*remote{}, mx: map[string][]string{}}
		r := net.at("a.test")
		r.refuse = down
		s, err := New(Options{}, h, net, net.dial)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		time.Sleep(time.Duration(n/2) * time.Millisecond) // until those are due
		// the other half comes while the site is dead
		for h.end < n {
			var items []queue.Item
			for range 100 {
				items = append(items, h.item(h.end))
				h.mu.Lock()
				h.end++
				h.mu.Unlock()
			}
			time.Sleep(100 * time.Millisecond)
			s.Accepted(items)
		}
		time.Sleep(4 * 24 * time.Hour)
		synctest.Wait()
		if c := r.connected(); c >= 100 {
			t.Errorf("%d connects in 4 days", c)
		} else {
			t.Logf("%d connects, %d items read, %d writes in 4 days", c, h.read, h.writes)
		}
		if h.writes+h.settled > 0 || h.read > 1000 {
			t.Errorf("%d outcomes settled, %d items read", h.writes+h.settled, h.read)
		}
		if held := s.Stats().Items; held > probeWindow {
			t.Errorf("%d items in memory", held)
		}
		r.set(func(r *remote) { r.refuse = nil })
		s.Flush("a.test")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		// 20 connections, a millisecond for each message: 200,000 at best.
		got := len(r.received())
		if got < 100_000 {
			t.Errorf("%d messages in 10 s", got)
		}
		if h.settled != got || h.next < got-100 {
			t.Errorf("%d messages arrived, %d settled, all of the first %d", got, h.settled, h.next)
		}
		if h.read > got+got/10+5000 {
			t.Errorf("%d items read for %d messages", h.read, got)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		s.check(t)
	})
}
