package delivery

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// TestLocalDomainChanges: a domain is local from the moment on that it is said to be, whatever was
// known of its hosts, and no longer than that.
func TestLocalDomainChanges(t *testing.T) {
	for name, before := range map[string]func(w *world){
		"mailed before":    nil,
		"its host is dead": func(w *world) { w.net.at("b.test").refuse = down },
		"no such domain": func(w *world) {
			w.net.fail = func(domain string) *smtp.Failure {
				if domain != "b.test" {
					return nil
				}
				return smtp.Perm(550, "5.1.2", "no such domain")
			}
		},
		"no answer": func(w *world) {
			w.net.fail = func(domain string) *smtp.Failure {
				if domain != "b.test" {
					return nil
				}
				return smtp.Temp(451, "4.4.3", "no answer")
			}
		},
	} {
		store := newFakeStore(t)
		var here atomic.Value
		here.Store("home.test")
		inWorld(t, withStore(store, func(w *world) {
			w.o.Local = func(d string) bool { return d == here.Load() }
			if before != nil {
				before(w)
			}
		}), func(w *world) {
			send := func(to string) {
				w.submit(envelopeOf("s@x.test", to))
				w.after(2 * time.Second)
			}
			send("first@b.test")
			send("first@home.test")
			here.Store("b.test")
			for _, d := range []string{"b.test", "home.test"} {
				send("second@" + d)
			}
			for box, want := range map[string]int{"first@home.test": 1, "second@b.test": 1,
				"second@home.test": 0} {
				if n := len(store.box(box)); n != want {
					t.Errorf("%s: %s has %d, want %d", name, box, n, want)
				}
			}
			if n := len(w.net.at("home.test").received()); n != 1 {
				t.Errorf("%s: the host of home.test got %d", name, n)
			}
		})
	}
}
