package delivery

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// reportsTo returns the reports that a sender got, with long lines in one piece.
func (w *world) reportsTo(sender string) (all []string) {
	for _, d := range w.net.at(mail.DomainOf(sender)).received() {
		if d.to == sender && d.sender == "" {
			all = append(all, regexp.MustCompile(`\r\n[ \t]+`).ReplaceAllString(d.content, " "))
		}
	}
	return all
}

// fields returns the lines of a report that begin with one of the names, in their order.
func fields(report string, names ...string) (found []string) {
	for line := range strings.Lines(report) {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains(names, name) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// What a peer said is reported as it said it, with its code; what we found out ourselves is said to
// be ours, and of no remote host (RFC 3464 2.3.5, 2.3.6).
func TestReportsSayWhoSpoke(t *testing.T) {
	local := smtp.Temp(452, "4.2.2", "Mailbox full")
	later := func(st smtpclient.Status) func(*remote) {
		return func(r *remote) {
			r.answer = func(*smtpclient.Transaction, int) smtpclient.Status { return st }
		}
	}
	taken := smtpclient.Status{Code: 454, Reply: 530, Enhanced: "4.7.0",
		Text: "Must issue a STARTTLS command first", Command: smtpclient.StepMail}
	for _, c := range []struct {
		name, to string
		set      func(w *world)
		want     []string // of its last report
		text     string   // in the part for people
	}{
		{"refused", "u@a.test", func(w *world) {
			w.net.at("a.test").set(later(reply(550, "5.1.1", "No such user")))
		}, []string{"Action: failed", "Status: 5.1.1", "Remote-MTA: dns; mx.a.test",
			"Diagnostic-Code: smtp; 550 5.1.1 No such user"},
			"mx.a.test said: 550 5.1.1 No such user"},
		{"refused without an enhanced code", "u@a.test", func(w *world) {
			w.net.at("a.test").set(later(reply(550, "5.0.0", "No such user")))
		}, []string{"Action: failed", "Status: 5.0.0", "Remote-MTA: dns; mx.a.test",
			"Diagnostic-Code: smtp; 550 No such user"}, "mx.a.test said: 550 No such user"},
		{"no such domain", "u@a.test", func(w *world) {
			w.net.fail = func(domain string) *smtp.Failure {
				if domain == "a.test" {
					return smtp.Perm(550, "5.1.2", "a.test does not exist")
				}
				return nil
			}
		}, []string{"Action: failed", "Status: 5.1.2",
			"Diagnostic-Code: x-postroad; a.test does not exist"}, "a.test does not exist"},
		{"put off until the end", "u@a.test", func(w *world) {
			w.net.at("a.test").set(later(reply(451, "4.7.1", "greylisted")))
		}, []string{"Action: failed", "Status: 4.4.7", "Remote-MTA: dns; mx.a.test",
			"Diagnostic-Code: smtp; 451 4.7.1 greylisted"}, "It was given up after TIME."},
		{"a refusal that a rule of ours put off", "u@a.test", func(w *world) {
			w.net.at("a.test").set(later(taken))
		}, []string{"Action: failed", "Status: 4.4.7", "Remote-MTA: dns; mx.a.test",
			"Diagnostic-Code: smtp; 530 Must issue a STARTTLS command first"},
			"mx.a.test said: 530 Must issue a STARTTLS command first"},
		{"lost in the middle, until the end", "u@a.test", func(w *world) {
			w.net.at("a.test").cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
				return lost(tx, 451, "4.4.2", false)
			}
		}, []string{"Action: failed", "Status: 4.4.7", "Diagnostic-Code: x-postroad; given up " +
			"after TIME: mx.a.test: lost connection"}, "mx.a.test: lost connection"},
		{"never reached", "u@a.test", func(w *world) { w.net.at("a.test").refuse = down },
			[]string{"Action: failed", "Status: 4.4.7", "Diagnostic-Code: x-postroad; given up " +
				"after TIME: mx.a.test: connection refused"}, "given up after TIME"},
		{"never looked up", "u@a.test", func(w *world) {
			w.net.fail = func(domain string) *smtp.Failure {
				if domain == "a.test" {
					return smtp.Temp(451, "4.4.3", "no answer from the DNS for a.test")
				}
				return nil
			}
		}, []string{"Action: failed", "Status: 4.4.7", "Diagnostic-Code: x-postroad; given up " +
			"after TIME: no answer from the DNS for a.test"}, "no answer from the DNS"},
		{"suspended", "u@a.test", func(w *world) {
			w.suspend(1, queue.Suspension{Kind: queue.SuspendDomain, Name: "a.test"})
		}, []string{"Action: failed", "Status: 4.4.7", "Diagnostic-Code: x-postroad; given up " +
			"after TIME: " + suspendedText}, suspendedText},
		{"smart host", "u@a.test", func(w *world) {
			w.routed(Route{Domain: "a.test", SmartHost: "hub.test"})
			w.net.host("hub.test").set(later(reply(554, "5.7.1", "not from you")))
		}, []string{"Action: failed", "Status: 5.7.1", "Remote-MTA: dns; hub.test",
			"Diagnostic-Code: smtp; 554 5.7.1 not from you"}, "hub.test said: 554 5.7.1"},
		{"socket", "u@a.test", func(w *world) {
			w.routed(Route{Domain: "a.test", SmartHost: "/run/lmtp", LMTP: true})
			w.net.host("/run/lmtp").set(later(reply(550, "5.1.1", "no such user")))
		}, []string{"Action: failed", "Status: 5.1.1",
			"Diagnostic-Code: smtp; 550 5.1.1 no such user"},
			"The recipient's mail system said: 550 5.1.1 no such user"},
		{"mailbox here that stays full", "full@home.test", nil, []string{"Action: failed",
			"Status: 5.2.2",
			"Diagnostic-Code: x-postroad; given up after TIME: Mailbox full"},
			"the mailbox is full"},
		{"mailbox here", "u@home.test", nil, []string{"Action: delivered", "Status: 2.0.0",
			"Diagnostic-Code: x-postroad; delivered to mailbox"}, "delivered to mailbox"},
		{"relayed", "u@a.test", nil, []string{"Action: relayed", "Status: 2.0.0",
			"Remote-MTA: dns; mx.a.test", "Diagnostic-Code: smtp; 250 2.0.0 Ok"},
			"mx.a.test said: 250 2.0.0 Ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := newFakeStore(t)
			store.answer = func(_ *LocalMessage, to *LocalRecipient) *smtp.Failure {
				if to.Address == "full@home.test" {
					return local
				}
				return nil
			}
			schedule := func(w *world) {
				w.o.Retry = Retry{Schedule: []time.Duration{30 * time.Second},
					Expire: 100 * time.Second}
			}
			inWorld(t, withStore(store, schedule), func(w *world) {
				if c.set != nil {
					c.set(w)
				}
				env := envelopeOf("s@x.test", c.to)
				env.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyFailure
				w.submit(env)
				w.after(10 * time.Minute)
				all := w.reportsTo("s@x.test")
				if len(all) != 1 {
					t.Fatalf("%d reports, want one", len(all))
				}
				// the last attempt is made before the end, the look for what is old comes after it
				all[0] = regexp.MustCompile("after (98|99|100) seconds|after 2 minutes").
					ReplaceAllString(all[0], "after TIME")
				if got := fields(all[0], "Action", "Status", "Remote-MTA",
					"Diagnostic-Code"); !slices.Equal(got, c.want) {
					t.Errorf("the report has\n%s\nwant\n%s", strings.Join(got, "\n"),
						strings.Join(c.want, "\n"))
				}
				if !strings.Contains(all[0], c.text) || strings.Contains(all[0], "for days") ||
					strings.Contains(all[0], "local said") {
					t.Errorf("the report does not say %q, or more:\n%s", c.text, all[0])
				}
				for _, r := range w.log.records {
					if r.Relay == LocalSite && r.Code != 0 {
						t.Errorf("a reply of the local site was logged: %+v", r)
					}
					if r.Recipient == c.to && (r.Text == "" || r.Enhanced == "") {
						t.Errorf("logged without a reason: %+v", r)
					}
				}
			})
		})
	}
}

// routed puts a route in force.
func (w *world) routed(r Route) {
	w.t.Helper()
	set := w.o.Settings
	set.Routes = []Route{r}
	if err := w.sched.Configure(set); err != nil {
		w.t.Fatal(err)
	}
}

// A delay is reported with the last reply, too.
func TestDelayKeepsTheReply(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").answer = func(*smtpclient.Transaction, int) smtpclient.Status {
			return reply(451, "4.7.1", "greylisted")
		}
		w.submit(envelopeOf("s@x.test", "u@a.test"))
		w.after(5 * time.Hour)
		all := w.reportsTo("s@x.test")
		if len(all) != 1 || !strings.Contains(all[0], "Action: delayed\r\nStatus: 4.7.1\r\n"+
			"Remote-MTA: dns; mx.a.test\r\nDiagnostic-Code: smtp; 451 4.7.1 greylisted\r\n") {
			t.Errorf("reports %q", all)
		}
	})
}

// What never had its turn says so: no report is without a reason.
func TestExpiryWithoutAnAttempt(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Retry = Retry{Expire: 100 * time.Second}
		w.o.Shaping = map[string]Shaping{"a.test": {Rate: Rate{Count: 1, Per: time.Hour}}}
	}, func(w *world) {
		w.submit(envelopeOf("s@x.test", "u1@a.test"))
		w.submit(envelopeOf("s@x.test", "u2@a.test"))
		w.after(10 * time.Minute)
		all := w.reportsTo("s@x.test")
		if len(all) != 1 || !strings.Contains(all[0],
			"Diagnostic-Code: x-postroad; given up after 2 minutes: "+turnText) {
			t.Errorf("reports %q", all)
		}
	})
}

// Recipients of one message that fail at different moments are one report; and when the owner goes
// in between, each of them is still reported once (RFC 3464 2.3).
func TestFailuresAreOneReport(t *testing.T) {
	for _, crash := range []bool{false, true} {
		inWorld(t, nil, func(w *world) {
			var to []string
			for i := range 40 {
				domain := fmt.Sprintf("d%d.test", i)
				to = append(to, "u@"+domain)
				w.net.at(domain).set(func(r *remote) {
					r.latency = time.Duration(i) * 500 * time.Millisecond
					r.answer = func(*smtpclient.Transaction, int) smtpclient.Status {
						return reply(550, "5.1.1", "No such user")
					}
				})
			}
			w.submit(envelopeOf("s@x.test", to...))
			if crash {
				w.after(20 * time.Second)
				w.queue.Abandon()
				w.sched.Abandon()
				w.reporter.Stop()
				w.boot()
			}
			w.after(5 * time.Minute)
			all := w.reportsTo("s@x.test")
			if len(all) != 1 {
				t.Errorf("crash: %v: %d reports, want one", crash, len(all))
			}
			got := fields(strings.Join(all, ""), "Final-Recipient")
			slices.Sort(got)
			if n := len(slices.Compact(slices.Clone(got))); n != 40 || len(got) != 40 {
				t.Errorf("crash: %v: %d recipients are reported, %d times, want 40 once", crash, n,
					len(got))
			}
		})
	}
}
