package run

import "time"

// The short form's time, from the beginning of the run.
const (
	shortStart = 46 * time.Second // nothing further is begun after it
	shortEnd   = 55 * time.Second // what is under way is given up
)

// budget deals the time of the short form out to the scenarios. Each gets an equal part of what is
// left, and begins with a further system at a cell only when there is time for one like those
// before. The first is begun when there is any time left. The nil budget is that of the long form,
// which takes as long as it takes.
type budget struct {
	end       time.Time // nothing is begun after it
	scenarios int       // that have not begun

	until   time.Time // the present one's part
	begun   bool      // something of it
	longest time.Duration
}

// next begins a scenario.
func (b *budget) next(now time.Time) {
	if b == nil {
		return
	}
	b.until = now.Add(max(0, b.end.Sub(now)) / time.Duration(max(1, b.scenarios)))
	b.scenarios--
	b.begun, b.longest = false, 0
}

// allows reports whether there is time for one more.
func (b *budget) allows(now time.Time) bool {
	switch {
	case b == nil:
		return true
	case !b.begun:
		b.begun = now.Before(b.end)
		return b.begun
	}
	return !now.Add(b.longest).After(b.until)
}

// took notes what one has taken.
func (b *budget) took(d time.Duration) {
	if b != nil {
		b.longest = max(b.longest, d)
	}
}
