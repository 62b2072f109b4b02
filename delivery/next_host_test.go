package delivery

import (
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/maillog"
)

// TestNextHostTakes: a host that puts recipients off, or goes away before the content, has the next
// one asked in the same attempt; one that has had the content, or has enough of us, has not.
func TestNextHostTakes(t *testing.T) {
	refuse := func(code int, enhanced string, step smtpclient.Step) func(*remote) {
		return func(r *remote) {
			r.answer = func(tx *smtpclient.Transaction, i int) smtpclient.Status {
				st := reply(code, enhanced, "no")
				st.Command = step
				return st
			}
		}
	}
	gone := func(step smtpclient.Step, unknown bool) func(*remote) {
		return func(r *remote) {
			r.cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
				res := lost(tx, 451, "4.4.2", unknown)
				for i := range res.Recipients {
					res.Recipients[i].Command = step
				}
				return res
			}
		}
	}
	for name, c := range map[string]struct {
		first    func(*remote)
		sessions int
		asked    bool
	}{
		"450 to RCPT":              {refuse(450, "4.2.0", smtpclient.StepRcpt), 2, true},
		"451 to MAIL":              {refuse(451, "4.3.0", smtpclient.StepMail), 2, true},
		"closed at RCPT":           {gone(smtpclient.StepRcpt, false), 2, true},
		"one session":              {refuse(450, "4.2.0", smtpclient.StepRcpt), 1, false},
		"451 to the content":       {refuse(451, "4.3.0", smtpclient.StepEnd), 2, false},
		"closed after the content": {gone(smtpclient.StepEnd, true), 2, false},
		"closed in the content":    {gone(smtpclient.StepContent, false), 2, false},
		"421":                      {refuse(421, "4.3.2", smtpclient.StepRcpt), 2, false},
		"rate limit":               {refuse(450, "4.7.1", smtpclient.StepRcpt), 2, false},
		"refused for good":         {refuse(550, "5.1.1", smtpclient.StepRcpt), 2, false},
	} {
		inWorld(t, func(w *world) {
			w.o.Sessions = c.sessions
			w.net.mx["a.test"] = []string{"one.test", "two.test"}
			c.first(w.net.host("one.test"))
		}, func(w *world) {
			w.submit(envelopeOf("s@x.test", "1@a.test", "2@a.test"))
			w.after(5 * time.Second)
			want := 0
			if c.asked {
				want = 2
			}
			if n := len(w.net.host("two.test").received()); n != want {
				t.Errorf("%s: the next host got %d recipients, want %d", name, n, want)
			}
			if n := len(w.log.of(maillog.TransientFailure)); c.asked && n > 0 {
				t.Errorf("%s: %d recipients were logged as put off", name, n)
			}
			for _, r := range w.log.of(maillog.Delivery) {
				if r.Recipient != "s@x.test" && r.Relay != "two.test" { // it gets a report
					t.Errorf("%s: logged as taken by %s", name, r.Relay)
				}
			}
		})
	}
}

// TestNextHostForSome: those that the first host takes are not sent to the next one.
func TestNextHostForSome(t *testing.T) {
	inWorld(t, func(w *world) {
		w.net.mx["a.test"] = []string{"one.test", "two.test"}
		w.net.host("one.test").answer = func(tx *smtpclient.Transaction, i int) smtpclient.Status {
			if i%2 == 0 {
				st := reply(450, "4.2.1", "later")
				st.Command = smtpclient.StepRcpt
				return st
			}
			return reply(250, "2.0.0", "Ok")
		}
	}, func(w *world) {
		w.submit(envelopeOf("s@x.test", "0@a.test", "1@a.test", "2@a.test", "3@a.test"))
		w.after(5 * time.Second)
		w.took("one.test", 2)
		w.took("two.test", 2)
		for _, d := range w.net.host("two.test").received() {
			if d.to != "0@a.test" && d.to != "2@a.test" {
				t.Errorf("the next host got %s", d.to)
			}
		}
		w.empty()
	})
}

// TestNextHostsInTurn: of three hosts the last one takes what two have put off, where so many are
// asked; nobody is asked twice.
func TestNextHostsInTurn(t *testing.T) {
	for sessions, want := range map[int]int{2: 0, 3: 1, 9: 1} {
		inWorld(t, func(w *world) {
			w.o.Sessions = sessions
			w.net.mx["a.test"] = []string{"one.test", "two.test", "three.test"}
			for _, host := range []string{"one.test", "two.test"} {
				w.net.host(host).answer = func(*smtpclient.Transaction, int) smtpclient.Status {
					st := reply(450, "4.2.0", "later")
					st.Command = smtpclient.StepRcpt
					return st
				}
			}
		}, func(w *world) {
			w.submit(envelopeOf("s@x.test", "1@a.test"))
			w.after(5 * time.Second)
			w.took("three.test", want)
			for _, host := range []string{"one.test", "two.test"} {
				if n := len(w.net.host(host).transactions()); n != 1 {
					t.Errorf("%d sessions: %s was asked %d times", sessions, host, n)
				}
			}
		})
	}
}

// TestAnotherHostAfterThrottling: the attempt after a host had enough of us begins at another one.
func TestAnotherHostAfterThrottling(t *testing.T) {
	inWorld(t, func(w *world) {
		w.net.mx["a.test"] = []string{"one.test", "two.test"}
		w.net.host("one.test").answer = func(*smtpclient.Transaction, int) smtpclient.Status {
			return reply(450, "4.7.1", "slow down")
		}
	}, func(w *world) {
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(30 * time.Second)
		w.took("two.test", 0)
		w.after(5 * time.Minute)
		w.took("two.test", 1)
	})
}
