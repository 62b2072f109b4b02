package member

import (
	"time"
)

// logEvery is how often what goes on for long is logged.
const logEvery = 3 * time.Second

// throttle keeps what is the case all the time from being logged all the time.
type throttle struct{ logged map[string]time.Time }

// due reports whether it is time to log it, and notes that it is logged.
func (t *throttle) due(what string, now time.Time) bool {
	if at, ok := t.logged[what]; ok && now.Sub(at) < logEvery {
		return false
	}
	if t.logged == nil {
		t.logged = map[string]time.Time{}
	}
	t.logged[what] = now
	return true
}

// forget says that it is the case no longer: when it is again, that is news.
func (t *throttle) forget(what string) { delete(t.logged, what) }
