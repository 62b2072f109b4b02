package delivery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
)

// lines gathers what is said to the operator. It is called under the scheduler's mutex.
type lines struct{ all []string }

func (l *lines) logf(format string, args ...any) {
	l.all = append(l.all, fmt.Sprintf(format, args...))
}

func (l *lines) with(text string) (n int) {
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// A limit that holds mail back says which it is and where it is configured, counts, and is logged
// once a minute.
func TestLimitsSayWhy(t *testing.T) {
	rate := func(name string, count int, per time.Duration) map[string]Shaping {
		return map[string]Shaping{name: {Rate: Rate{Count: count, Per: per}}}
	}
	for _, c := range []struct {
		name    string
		shaping map[string]Shaping
		set     func(w *world)
		after   time.Duration
		waits   string
		limit   Limit
	}{
		{"rate of the domain", rate("a.test", 1, time.Minute), nil, time.Second,
			"rate 1/m of shaping a.test", LimitRate},
		{"rate of the hosts", rate("mx.a.test", 10, time.Hour), nil, time.Second,
			"rate 10/h of shaping mx.a.test", LimitRate},
		{"rate of default", map[string]Shaping{"default": {Rate: Rate{Count: 1, Per: time.Minute}},
			"a.test": {Connections: 3}}, nil, time.Second, "rate 1/m of shaping default",
			LimitRate},
		{"connections", map[string]Shaping{"a.test": {Connections: 2}},
			func(w *world) { w.net.at("a.test").latency = 5 * time.Minute },
			time.Minute, "2 connections of shaping a.test", LimitConnections},
		{"connections of default", nil,
			func(w *world) {
				w.net.at("a.test").cut = func(*smtpclient.Transaction) *smtpclient.Result {
					if len(w.net.at("a.test").times) > 100 {
						time.Sleep(5 * time.Minute)
					}
					return nil
				}
			}, time.Minute, "20 connections of shaping default", LimitConnections},
		{"slow start", nil, func(w *world) { w.net.at("a.test").latency = 5 * time.Minute },
			time.Minute, "2 connections until some have got through", LimitSlowStart},
		{"the node", nil, func(w *world) { w.net.at("a.test").latency = 5 * time.Minute },
			time.Minute, "1 connections of this node", LimitNode},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := &lines{}
			inWorld(t, func(w *world) {
				w.o.Shaping, w.o.Logf = c.shaping, said.logf
				if c.limit == LimitNode {
					w.o.Connections = 1
				}
			}, func(w *world) {
				if c.set != nil {
					c.set(w)
				}
				w.flood(300, "t", "", "a.test")
				w.after(c.after)
				if got := w.sched.Waits("a.test", w.o.Now()); got != c.waits {
					t.Errorf("waits %q, want %q", got, c.waits)
				}
				if got := w.sched.Waits("a.test", w.o.Now().Add(time.Hour)); got != "" {
					t.Errorf("what is not due waits: %q", got)
				}
				if got := w.sched.Waits("b.test", w.o.Now()); got != "" {
					t.Errorf("another domain waits: %q", got)
				}
				w.after(2*time.Minute - c.after)
				if n := said.with("site mx.a.test: "); n < 1 || n > 3 ||
					said.with("messages in memory wait: "+c.waits) != n {
					t.Errorf("logged in two minutes: %q", said.all)
				}
				st := w.sched.Stats()
				if st.Throttled[c.limit] == 0 || st.BySite["mx.a.test"].Throttled == 0 {
					t.Errorf("counted %v, %+v", st.Throttled, st.BySite)
				}
				if n := st.BySite["mx.a.test"].Waiting; n < 1 || n > 300 ||
					st.BySite[OtherSites].Waiting != 0 {
					t.Errorf("%d wait at the site: %+v", n, st.BySite)
				}
				w.net.at("a.test").set(func(r *remote) { r.latency, r.cut = 0, nil })
				w.after(48 * time.Hour)
				if got := w.sched.Waits("a.test", w.o.Now()); got != "" {
					t.Errorf("waits %q when all is done", got)
				}
				if n := w.sched.Stats().BySite["mx.a.test"].Waiting; n != 0 {
					t.Errorf("%d wait when all is done", n)
				}
			})
		})
	}
}

// Whoever backs off after a peer's word says so, up or dead.
func TestBackoffSaysWhy(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.refuse = func() *smtpclient.Error {
			return &smtpclient.Error{Status: smtpclient.Status{Code: 421, Reply: 421,
				Enhanced: "4.7.0", Text: "try later"}}
		}
		w.flood(10, "t", "", "a.test")
		w.after(5 * time.Second)
		const want = "backing off after 421 4.7.0 try later"
		if got := w.sched.Waits("a.test", w.o.Now()); got != want {
			t.Errorf("dead: waits %q", got)
		}
		r.set(func(r *remote) { r.refuse, r.latency = nil, 30*time.Second })
		w.after(time.Minute + 10*time.Second)
		if got := w.sched.Waits("a.test", w.o.Now()); got != want {
			t.Errorf("up again: waits %q", got)
		}
	})
}

// Few sites at a time are spoken of, however many are held up.
func TestLimitsAreSaidSparsely(t *testing.T) {
	said := &lines{}
	inWorld(t, func(w *world) {
		w.o.Shaping = map[string]Shaping{"default": {Rate: Rate{Count: 1, Per: time.Hour}}}
		w.o.Logf = said.logf
	}, func(w *world) {
		for i := range 3 * saidAtOnce {
			for range 2 {
				w.submit(envelopeOf("s@x.test", fmt.Sprintf("u@d%d.test", i)))
			}
		}
		w.after(sayAgain - time.Second)
		if n := said.with("rate 1/h of shaping default"); n == 0 || n > saidAtOnce {
			t.Errorf("%d lines in a minute, want at most %d", n, saidAtOnce)
		}
	})
}

// What waits for a host that cannot be reached has a line and an event of its own, once; then, of
// what is tried with, now and then.
func TestUnreachedIsLogged(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(w *world)
		text string
	}{
		{"host", func(w *world) { w.net.at("a.test").refuse = down }, "connection refused"},
		{"DNS", func(w *world) {
			w.net.fail = func(domain string) *smtp.Failure {
				if domain == "a.test" {
					return smtp.Temp(451, "4.4.3", "no answer from the DNS")
				}
				return nil
			}
		}, "no answer from the DNS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				c.set(w)
				ids := map[mail.ID]int{}
				var newest mail.ID
				for i := range 100 {
					newest = w.submit(envelopeOf("s@x.test", "a@a.test", "b@a.test"))
					ids[newest] = 0
					if i == 50 {
						w.after(25 * time.Minute) // the others come when it has failed already
					}
				}
				w.after(4 * time.Minute)
				for _, r := range w.log.of(maillog.TransientFailure) {
					if r.Text != c.text || r.Code != 0 || r.Attempts != 0 ||
						!r.NextAttempt.After(r.At) || r.Queue != "a.test" {
						t.Fatalf("logged %+v", r)
					}
					ids[r.ID]++
				}
				for id, n := range ids {
					if n != 2 {
						t.Errorf("message %v of two recipients has %d lines", id, n)
					}
				}
				w.after(20 * time.Hour)
				if n := len(w.log.of(maillog.TransientFailure)); n < 202 || n > 200+5*200 {
					t.Errorf("%d lines in 20 hours", n)
				}
			})
		})
	}
}
