package share

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// HolderOptions configure a Holder. All but Linger, Now and Logf are required.
type HolderOptions struct {
	Group uint64 // the queue group whose owner this is
	Epoch uint64 // greater than that of each holder that the group had before
	Ask   Ask
	// Groups is how many queue groups there are, Grantor who grants (a number that changes with the
	// control group's leader, or its term; 0: nobody), as far as this node knows. Both are cheap.
	Groups  func() int
	Grantor func() uint64
	// Present, if set, knows of the holder from Start until its user has closed all connections.
	Present  *Present
	Linger   time.Duration    // default DefaultLinger
	Patience time.Duration    // default DefaultPatience
	Now      func() time.Time // monotonic; nil: time.Now
	Logf     func(format string, args ...any)
}

// User opens connections to sites. Its methods are called on the holder's goroutine, without a
// lock.
type User interface {
	// Survey calls Want of each of the sites.
	Survey(sites []*Site)
	// Changed tells of sites whose share may be another one.
	Changed(sites []*Site)
}

// Holder is one owner's part in the limits that hold for the whole cluster. Safe for use by several
// goroutines.
type Holder struct {
	o      HolderOptions
	user   User
	kick   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu sync.Mutex
	claims
	giveUp context.CancelFunc // of the request under way
}

// holders counts those of this process, so that one that follows another in the same epoch has the
// greater numbers.
var holders atomic.Uint64

// NewHolder returns a holder. It asks nobody before Start.
func NewHolder(o HolderOptions) *Holder {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Linger <= 0 {
		o.Linger = DefaultLinger
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	h := &Holder{o: o, kick: make(chan struct{}, 1)}
	h.seq = holders.Add(1) << 32
	h.sites, h.groups.window, h.began = map[string]*Site{}, 2*DefaultLease, o.Now()
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.look(o.Groups(), o.Grantor(), h.began)
	return h
}

func (h *Holder) tenure() Tenure { return Tenure{h.o.Group, h.o.Epoch} }

// Site returns the holder's part in the limits of a site. The name is the same on all nodes. When
// the limit is another one than before, that is in force at once.
func (h *Holder) Site(name string, limit Limit, tag any) *Site {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.o.Now()
	s := h.sites[name]
	fresh := s == nil
	if fresh {
		s = &Site{h: h, name: name, bucket: bucket{at: now}}
		if h.ready { // else the owner before us may have used up the burst just now
			s.bucket.tokens = 1
		}
		h.sites[name] = s
	}
	if fresh {
		s.limit = limit
	}
	s.Tag, s.registered = tag, true
	s.setLimit(limit, now)
	h.allot(s, now)
	return s
}

// Start begins to ask.
func (h *Holder) Start(user User) {
	h.user = user
	h.o.Present.add(h)
	h.ended.Go(h.run)
}

// Close ends the asking and gives all back; the user has closed its connections.
func (h *Holder) Close() {
	h.cancel()
	h.ended.Wait()
	h.o.Present.drop(h)
	h.mu.Lock()
	now := h.o.Now()
	h.busy, h.next = false, now
	r, ok := h.request(now)
	h.mu.Unlock()
	if !ok || h.user == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := h.o.Ask(ctx, r); err != nil {
		h.o.Logf("shares not given back, they end by themselves: %v", err)
	}
}

// run is the holder's goroutine.
func (h *Holder) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	answers := make(chan func(now time.Time) []*Site, 1)
	for {
		var changed []*Site
		select {
		case <-h.ctx.Done():
			return
		case answer := <-answers:
			h.mu.Lock()
			changed = answer(h.o.Now())
			h.mu.Unlock()
		case <-h.kick:
		case <-timer.C:
		}
		h.tell(changed)
		h.step(answers)
		timer.Reset(h.pause())
	}
}

// step looks around and sends a request when it is time.
func (h *Holder) step(answers chan<- func(time.Time) []*Site) {
	groups, grantor := h.o.Groups(), h.o.Grantor()
	h.mu.Lock()
	now := h.o.Now()
	if h.busy && grantor != h.grantor {
		h.giveUp() // whom we asked will hardly answer
	}
	changed := h.look(groups, grantor, now)
	due := !h.busy && !h.next.IsZero() && !now.Before(h.next)
	survey := append([]*Site(nil), h.active...)
	h.mu.Unlock()
	h.tell(changed)
	if !due {
		return
	}
	h.user.Survey(survey)
	ctx, cancel := context.WithTimeout(h.ctx, askWait)
	h.mu.Lock()
	r, ok := h.request(h.o.Now())
	if ok {
		h.giveUp = cancel
	}
	h.mu.Unlock()
	if !ok {
		cancel()
		return
	}
	h.ended.Go(func() {
		defer cancel()
		answers <- h.send(ctx, r)
	})
}

// send asks and returns what is to be done with the answer.
func (h *Holder) send(ctx context.Context, r Request) func(now time.Time) []*Site {
	g, err := h.o.Ask(ctx, r)
	if err != nil {
		return func(now time.Time) []*Site { h.unanswered(err, now); return nil }
	}
	return func(now time.Time) []*Site { return h.answered(g, now) }
}

func (h *Holder) tell(changed []*Site) {
	if len(changed) > 0 {
		h.user.Changed(changed)
	}
}

// pause is how long nothing is to be done.
func (h *Holder) pause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, d := h.o.Now(), clock.Together(lookAgain)
	if h.failed > 0 {
		d = askGap // another one may grant any moment
	}
	if !h.next.IsZero() && !h.busy {
		d = min(d, h.next.Sub(now))
	}
	if !h.until.IsZero() {
		d = min(d, h.until.Sub(now))
	}
	return max(0, d)
}

// wake has the goroutine look at its times again.
func (h *Holder) wake() {
	select {
	case h.kick <- struct{}{}:
	default:
	}
}
