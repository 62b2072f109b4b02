package load

import (
	"cmp"
	"slices"
	"sync"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// phase is a part of a message's or connection's time.
type phase uint8

const (
	phaseConnect phase = iota
	phaseBanner
	phaseWait
	phaseEnvelope
	phaseData
	phaseWhole
	phases
)

var phaseNames = [phases]string{"connect", "banner", "wait", "envelope", "data", "whole"}

// meter counts for some of the connections. Its methods may be called on any goroutine; there is
// one for each event loop, so that loops seldom wait for each other.
type meter struct {
	mu struct {
		sync.Mutex
		counts   Counts
		phases   [phases]*hdr.Histogram
		recent   *hdr.Histogram // whole messages since the last look
		timeline []int64
		refusals tally
		failures tally
		open     int
		offers   offers // of the last session that became ready
		last     int64  // when the last message ended
	}
}

// maxTimeline bounds the timeline, in seconds.
const maxTimeline = 86400

func newMeter() *meter {
	m := &meter{}
	for i := range m.mu.phases {
		m.mu.phases[i] = newHistogram()
	}
	m.mu.recent = newHistogram()
	m.mu.refusals, m.mu.failures = tally{}, tally{}
	return m
}

// note notes nanoseconds. What is longer than the histogram is counted at its end.
func note(h *hdr.Histogram, d int64) {
	_ = h.RecordValue(min(max(d/1000, 0), longest))
}

// done notes the outcome of a message of so many octets.
func (mt *meter) done(now int64, m *message, outcome Outcome) {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	c := &mt.mu.counts
	mt.mu.last = max(mt.mu.last, now)
	switch outcome {
	case Accepted:
		c.Accepted++
		c.Octets += int64(m.content.size())
		mt.acceptedLocked(now, m)
	case RefusedForNow:
		c.RefusedForNow++
	case RefusedForGood:
		c.RefusedForGood++
	case Lost:
		c.Lost++
	case Unknown:
		c.Unknown++
	}
	for i := range m.rcpts {
		switch m.rcpts[i].outcome {
		case Accepted:
			c.RecipientsAccepted++
		case RefusedForNow, RefusedForGood:
			c.RecipientsRefused++
		}
	}
}

// acceptedLocked notes the latencies of an accepted message.
func (mt *meter) acceptedLocked(now int64, m *message) {
	note(mt.mu.phases[phaseWait], m.first-m.due)
	note(mt.mu.phases[phaseEnvelope], m.enveloped-m.begun)
	note(mt.mu.phases[phaseData], now-m.dataEnd)
	note(mt.mu.phases[phaseWhole], now-m.due)
	note(mt.mu.recent, now-m.due)
	second := min(int(now/1e9), maxTimeline-1)
	for len(mt.mu.timeline) <= second {
		mt.mu.timeline = append(mt.mu.timeline, 0)
	}
	mt.mu.timeline[second]++
}

// update changes what mu guards.
func (mt *meter) update(f func(c *Counts)) {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	f(&mt.mu.counts)
}

// opened notes that a session is ready: how long TCP took, and the rest.
func (mt *meter) opened(connect, banner int64, o offers) {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	mt.mu.counts.Connections++
	mt.mu.open++
	mt.mu.offers = o
	note(mt.mu.phases[phaseConnect], connect)
	note(mt.mu.phases[phaseBanner], banner)
}

// closed notes the end of a session that was ready.
func (mt *meter) closed(cut bool) {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	mt.mu.open--
	if cut {
		mt.mu.counts.ConnectionsCut++
	}
}

func (mt *meter) refused(at string, r reply) {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	mt.mu.refusals.add(at, r.code, r.text)
}

// failed notes why a connection was not opened or ended in disorder; ready says which.
func (mt *meter) failed(at string, err error, ready bool) {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	if !ready {
		mt.mu.counts.ConnectionsFailed++
	}
	mt.mu.failures.add(at, 0, []byte(err.Error()))
}

// tally counts alike replies. It is bounded: what is one too many counts as "other".
type tally map[tallyKey]int64

type tallyKey struct {
	at   string
	code int
	text string
}

const (
	maxTally = 64
	maxWords = 72 // octets of a text that tell it from others
)

func (t tally) add(at string, code int, text []byte) {
	k := tallyKey{at, code, alike(text)}
	if _, known := t[k]; !known && len(t) >= maxTally {
		k = tallyKey{at: "other"}
	}
	t[k]++
}

// alike returns the first words of a text, without what differs between like ones: numbers, and
// control octets at that.
func alike(text []byte) string {
	out := make([]byte, 0, maxWords)
	for i, c := range text[:min(len(text), 2*maxWords)] {
		digit := c >= '0' && c <= '9'
		switch {
		case len(out) == maxWords:
			return string(out)
		case i < 3 && digit: // the code
			out = append(out, c)
		case digit && len(out) > 0 && out[len(out)-1] == '#':
		case digit:
			out = append(out, '#')
		case c < ' ' || c >= 0x7f:
			out = append(out, '?')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func (t tally) merge(from tally) {
	for k, n := range from {
		if _, known := t[k]; !known && len(t) > maxTally {
			k = tallyKey{at: "other"}
		}
		t[k] += n
	}
}

// list returns what was counted, the most frequent first.
func (t tally) list() []Refusal {
	var all []Refusal
	for k, n := range t {
		all = append(all, Refusal{At: k.at, Code: k.code, Text: k.text, Count: n})
	}
	slices.SortFunc(all, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.At, b.At),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
	})
	return all
}
