package share

import "time"

// bucket is a token bucket whose rate may change at any time. It holds one and a twentieth of a
// second's worth, which makes up for coarse timers: that is the burst. In any time the transactions
// are at most the burst and the sum of the rates over that time. Its owner guards it.
type bucket struct {
	rate   float64 // per second
	tokens float64
	at     time.Time // when tokens was right
}

const burstSeconds = 0.05

func depth(rate float64) float64 { return 1 + rate*burstSeconds }

// set changes the rate from now on.
func (b *bucket) set(rate float64, now time.Time) {
	b.fill(now)
	b.rate = rate
	b.tokens = min(b.tokens, depth(rate))
}

func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.tokens = min(depth(b.rate), b.tokens+d*b.rate)
		b.at = now
	}
}

// wait is how long the next transaction has to wait.
func (b *bucket) wait(now time.Time) time.Duration {
	b.fill(now)
	if b.tokens >= 1 {
		return 0
	}
	seconds := (1 - b.tokens) / b.rate // infinite without a rate
	if seconds > longWait.Seconds() {
		return longWait
	}
	// on the safe side of rounding
	return time.Duration(seconds*float64(time.Second)) + time.Microsecond
}

// longWait: nobody waits longer before looking again.
const longWait = time.Hour

// take counts a transaction that starts now.
func (b *bucket) take(now time.Time) {
	b.fill(now)
	b.tokens--
}
