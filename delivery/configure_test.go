package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/report"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// configure puts changed settings in force.
func (w *world) configure(change func(o *Settings)) {
	w.t.Helper()
	o := w.o.Settings
	change(&o)
	if err := w.sched.Configure(o); err != nil {
		w.t.Fatal(err)
	}
	w.reporter.Configure(report.Settings{Expire: o.Retry.Expire})
	w.o.Settings = o
}

// shape puts other limits in force.
func (w *world) shape(shaping map[string]Shaping) {
	w.t.Helper()
	w.configure(func(o *Settings) { o.Shaping = shaping })
}

// empty checks that nothing is left in the queue.
func (w *world) empty() {
	w.t.Helper()
	if n := w.count(queue.Filter{}).Messages; n != 0 {
		w.t.Errorf("%d messages are left", n)
	}
}

// openNow is how many connections are open.
func (r *remote) openNow() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// took checks that a host has got these and no other recipients, each once.
func (w *world) took(host string, want int) {
	w.t.Helper()
	seen := map[string]int{}
	for _, d := range w.net.host(host).received() {
		if seen[d.to]++; seen[d.to] > 1 {
			w.t.Errorf("%s got %s %d times", host, d.to, seen[d.to])
		}
	}
	if len(seen) != want {
		w.t.Errorf("%s got %d recipients, want %d", host, len(seen), want)
	}
}

// A new route takes what waits, for a dead site or for its turn, at once. What is being attempted
// ends where it began; what is put off there comes back by the new route. When the route is gone,
// all is as before.
func TestConfigureRoutes(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("dead.test").refuse = down
		slow := w.net.at("slow.test")
		slow.latency = 10 * time.Second
		w.flood(50, "t", "", "dead.test")
		w.flood(5, "t", "", "slow.test")
		w.after(15 * time.Second) // two are connected and have begun
		slow.set(func(r *remote) {
			r.answer = func(tx *smtpclient.Transaction, _ int) smtpclient.Status {
				if tx.Recipients[0].Address == "t0@slow.test" {
					return reply(450, "4.2.1", "busy")
				}
				return smtpclient.Status{Code: 250, Command: smtpclient.StepEnd}
			}
		})
		w.configure(func(o *Settings) {
			o.Routes = []Route{{Domain: "*.test", SmartHost: "hub.test"}}
		})
		w.after(time.Second)
		w.took("hub.test", 53)
		w.after(10 * time.Second)
		w.took("mx.slow.test", 1)
		w.took("hub.test", 53)
		w.after(2 * time.Minute)
		w.took("hub.test", 54)
		w.empty()

		w.net.host("hub.test").set(func(r *remote) { r.refuse = down })
		w.net.at("dead.test").set(func(r *remote) { r.refuse = nil })
		w.flood(20, "u", "", "dead.test")
		w.after(time.Minute)
		w.configure(func(o *Settings) { o.Routes = nil })
		w.after(time.Second)
		w.took("mx.dead.test", 20)
		w.empty()
		w.after(2 * time.Minute)
		w.sched.mu.Lock()
		defer w.sched.mu.Unlock()
		if c := w.sched.mu.core; len(c.rerouted.gone) > 0 || len(c.rerouted.strays) > 0 {
			t.Errorf("%d destinations and %d strays are left", len(c.rerouted.gone),
				len(c.rerouted.strays))
		}
	})
}

// A new password or port is another way; an order that changes nothing for a message leaves it in
// memory.
func TestConfigureRouteItself(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Routes = []Route{{Domain: "a.test", SmartHost: "hub.test", Username: "u"}}
	}, func(w *world) {
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(time.Second)
		w.configure(func(o *Settings) {
			o.Routes = []Route{{Domain: "a.test", SmartHost: "hub.test:26", Username: "u",
				Password: "new"}}
		})
		w.submit(envelopeOf("s@x.test", "2@a.test"))
		w.after(time.Second)
		got := w.net.host("hub.test").received()
		if len(got) != 2 || got[1].options.Password != "new" || got[1].options.Addr.Port() != 26 {
			t.Errorf("got %+v", got)
		}
	})
}

// A rate that is raised lets waiting mail go on at once, one that is lowered holds at once.
func TestConfigureRate(t *testing.T) {
	rate := func(n int, per time.Duration) map[string]Shaping {
		return map[string]Shaping{"default": {Rate: Rate{Count: n, Per: per}}}
	}
	inWorld(t, func(w *world) { w.o.Shaping = rate(1, time.Hour) }, func(w *world) {
		r := w.net.at("a.test")
		w.flood(1000, "t", "", "a.test")
		w.after(time.Minute)
		w.took(r.name, 1)
		w.shape(rate(100, time.Second))
		w.after(time.Second)
		n := len(r.received())
		if n < 90 || n > 130 {
			t.Errorf("%d arrived within a second of 100/s", n)
		}
		w.shape(rate(1, time.Minute))
		w.after(50 * time.Second)
		if now := len(r.received()); now > n+2 {
			t.Errorf("%d arrived within a minute of 1/m", now-n)
		}
		w.shape(nil)
		w.after(5 * time.Second)
		w.took(r.name, 1000)
	})
}

// Connections beyond a limit that is lowered are closed: the idle ones at once, the others after
// what they are sending. A limit that is raised is used.
func TestConfigureConnections(t *testing.T) {
	limit := func(n int) map[string]Shaping {
		return map[string]Shaping{"default": {Connections: n}}
	}
	inWorld(t, func(w *world) { w.o.IdleTimeout = time.Hour }, func(w *world) {
		r := w.net.at("a.test")
		open := func(when string, least, most int) {
			t.Helper()
			if n := r.openNow(); n < least || n > most {
				t.Errorf("%s: %d connections are open, want %d to %d", when, n, least, most)
			}
		}
		r.latency = 100 * time.Millisecond
		w.flood(4000, "t", "", "a.test")
		w.after(2 * time.Second)
		open("at first", 15, 20)
		w.shape(limit(3))
		w.after(time.Second)
		open("lowered", 2, 3)
		w.shape(limit(10))
		w.after(2 * time.Second)
		open("raised", 9, 10)
		w.configure(func(o *Settings) { o.Connections = 5 })
		w.after(2 * time.Second)
		open("lowered for the node", 3, 5)
		w.configure(func(o *Settings) { o.Connections = 0 })
		w.after(2 * time.Minute)
		w.took(r.name, 4000)
		open("idle", 5, 10)
		w.shape(limit(4))
		w.after(time.Millisecond)
		open("idle and lowered", 4, 4)
		w.configure(func(o *Settings) { o.Connections = 1 })
		w.after(time.Millisecond)
		open("idle and lowered for the node", 1, 1)
	})
}

// The number of messages of a connection and that of recipients follow, as do the limits of a
// domain that has its own and of the mailboxes here.
func TestConfigureShaping(t *testing.T) {
	store := newFakeStore(t)
	store.latency = 100 * time.Millisecond
	inWorld(t, withStore(store, func(w *world) {
		w.o.Shaping = map[string]Shaping{"default": {Connections: 1, MessagesPerConnection: 1},
			LocalSite: {Connections: 1}}
		w.net.mx["b.test"] = []string{"mx.a.test"}
	}), func(w *world) {
		r := w.net.at("a.test")
		r.latency = 50 * time.Millisecond
		w.flood(100, "t", "", "a.test")
		w.flood(100, "t", "", "home.test")
		w.after(time.Second)
		if n := r.connected(); n < 8 || n > 12 {
			t.Errorf("%d connections for a message each", n)
		}
		w.shape(map[string]Shaping{"default": {Connections: 1, MessagesPerConnection: 1000,
			RecipientsPerMessage: 2}, LocalSite: {Connections: 100}, "b.test": {Connections: 7}})
		n := r.connected()
		w.flood(200, "t", "", "b.test")
		w.submit(envelopeOf("s@x.test", "1@c.test", "2@c.test", "3@c.test"))
		w.after(time.Second)
		if m := r.connected() - n; m < 7 || m > 9 {
			t.Errorf("%d connections were opened, want one for a.test and seven for b.test", m)
		}
		if store.most < 20 || len(store.times()) != 100 {
			t.Errorf("%d messages for mailboxes, at most %d at a time", len(store.times()),
				store.most)
		}
		if got := w.net.at("c.test").received(); len(got) != 3 || got[0].size != 2 {
			t.Errorf("c.test got %+v", got)
		}
		w.shape(map[string]Shaping{"default": {}}) // b.test goes back to its hosts' site
		w.after(10 * time.Second)
		w.took(r.name, 300)
		w.empty()
	})
}

// The schedule counts from the next attempt that fails, the ages from the next look at old mail.
func TestConfigureRetry(t *testing.T) {
	inWorld(t, func(w *world) { w.o.Retry.Schedule = []time.Duration{10 * time.Minute} },
		func(w *world) {
			r := w.net.at("a.test")
			r.answer = always(reply(450, "4.2.1", "busy"))
			w.submit(envelopeOf("s@x.test", "1@a.test"))
			w.after(time.Second)
			w.configure(func(o *Settings) { o.Retry.Schedule = []time.Duration{time.Minute} })
			w.after(8 * time.Minute)
			if n := len(r.transactions()); n != 1 {
				t.Errorf("%d attempts, want the one before the change", n)
			}
			w.after(10 * time.Minute)
			if n := len(r.transactions()); n < 6 {
				t.Errorf("%d attempts by the new schedule", n)
			}
			w.configure(func(o *Settings) { o.Retry.DelayWarning = 10 * time.Minute })
			w.after(2 * time.Minute)
			if n := len(w.log.of(maillog.Delayed)); n != 1 {
				t.Errorf("%d delay warnings, want 1", n)
			}
			w.configure(func(o *Settings) { o.Retry.Expire = 15 * time.Minute })
			w.after(2 * time.Minute)
			w.reported("s@x.test", "delayed", "failed")
			w.empty()
		})
}

// TestConfigureExpireRaised: mail that was too old when its turn came is tried when it may be older
// by then, and nobody has recorded its end.
func TestConfigureExpireRaised(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Retry = Retry{Schedule: []time.Duration{time.Hour}, Expire: 2 * time.Hour}
		w.o.Window, w.o.WindowTotal = 4, 4
	}, func(w *world) {
		r := w.net.at("a.test")
		r.refuse = down
		w.flood(10, "t", "", "a.test")
		w.after(90 * time.Minute)
		w.configure(func(o *Settings) { o.Retry.Expire = time.Minute })
		w.sched.Flush() // loads pass over them
		w.after(time.Second)
		r.set(func(r *remote) { r.refuse = nil })
		w.configure(func(o *Settings) { o.Retry.Expire = 5 * time.Hour })
		w.sched.Flush()
		w.after(30 * time.Second)
		w.took(r.name, 10)
	})
}

// Connections that were opened by another name, from another address or to another port are not
// used any more.
func TestConfigureDialing(t *testing.T) {
	inWorld(t, func(w *world) { w.o.Hello, w.o.IdleTimeout = "old.test", time.Hour },
		func(w *world) {
			r := w.net.at("a.test")
			w.submit(envelopeOf("s@x.test", "1@a.test"))
			w.after(time.Second)
			source := netip.MustParseAddr("10.9.9.9")
			w.configure(func(o *Settings) {
				o.Hello, o.Port, o.Sources = "new.test", 2525, []netip.Addr{source}
			})
			w.after(time.Millisecond)
			if n := r.openNow(); n != 0 {
				t.Errorf("%d connections are open", n)
			}
			w.submit(envelopeOf("s@x.test", "2@a.test"))
			w.after(time.Second)
			got := r.received()
			if len(got) != 2 || got[0].options.Hello != "old.test" {
				t.Fatalf("got %+v", got)
			}
			if o := got[1].options; o.Hello != "new.test" || o.Addr.Port() != 2525 ||
				o.Source != source {
				t.Errorf("the second came by %+v", o)
			}
		})
}

// A connection that is being opened in the old way, and does not come about, holds nobody up.
func TestConfigureWhileDialing(t *testing.T) {
	inWorld(t, func(w *world) {
		dial := w.net.dial
		w.dialer = func() Dialer {
			return func(ctx context.Context, o *smtpclient.Options) (Conn, *smtpclient.Error) {
				if o.Addr.Port() == 25 {
					<-ctx.Done()
					return nil, down()
				}
				return dial(ctx, o)
			}
		}
	}, func(w *world) {
		w.flood(10, "t", "", "a.test")
		w.after(time.Minute)
		w.configure(func(o *Settings) { o.Port = 2525 })
		w.after(time.Second)
		w.took("mx.a.test", 10)
		w.empty()
	})
}

// When hosts are looked up again, what the DNS did not say before, or said otherwise, costs no time
// any more.
func TestForgetHosts(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.fail = func(domain string) *smtp.Failure {
			if domain == "mute.test" {
				return smtp.Temp(451, "4.4.3", "no answer")
			}
			return nil
		}
		w.net.at("gone.test").refuse = down
		for _, domain := range []string{"mute.test", "gone.test", "moved.test"} {
			w.flood(10, "t", "", domain)
		}
		w.after(time.Hour)
		w.net.mu.Lock()
		w.net.fail = nil
		w.net.mx["gone.test"] = []string{"new.host.test"}
		w.net.mx["moved.test"] = []string{"new.host.test"}
		w.net.mu.Unlock()
		w.sched.ForgetHosts()
		w.flood(5, "u", "", "moved.test")
		w.after(time.Second)
		w.took("mx.mute.test", 10)
		w.took("new.host.test", 15)
		w.arrived("moved.test", 10)
		w.arrived("gone.test", 0)
		w.empty()
	})
}

// TestConfigureRefuses: settings that make no sense change nothing.
func TestConfigureRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Routes = []Route{{Domain: "a.test", SmartHost: "hub.test"}}
	}, func(w *world) {
		for _, bad := range []Settings{
			{Routes: []Route{{SmartHost: "hub.test:0"}}},
			{Retry: Retry{Schedule: []time.Duration{-1}}},
			{Shaping: map[string]Shaping{"default": {Scope: "world"}}},
		} {
			if err := w.sched.Configure(bad); err == nil || bad.Check() == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(time.Second)
		w.took("hub.test", 1)
	})
}

// Settings change all the time while mail comes and goes: each message arrives once, and nothing is
// left over.
func TestConfigureUnderLoad(t *testing.T) {
	inWorld(t, func(w *world) { w.o.Window, w.o.WindowTotal = 40, 100 }, func(w *world) {
		var all sync.WaitGroup
		const senders, each = 4, 150
		for i := range senders {
			all.Go(func() {
				for n := range each {
					env := envelopeOf("s@x.test")
					for j := range 1 + n%3 {
						env.Recipients = append(env.Recipients, mail.Recipient{
							Address: fmt.Sprintf("%d.%d@d%d.test", i, n, (n+j)%7)})
					}
					w.submit(env)
					time.Sleep(3 * time.Millisecond)
				}
			})
		}
		for i := range 200 {
			w.configure(func(o *Settings) {
				o.Routes = []Route{{Domain: "d1.test", SmartHost: "hub.test"},
					{Recipient: "1.*", SmartHost: "one.test"}, {Domain: "d*", Sender: "s@*",
						SmartHost: "hub2.test"}}[:i%4]
				o.Shaping = map[string]Shaping{"default": {Connections: 1 + i%5},
					fmt.Sprintf("d%d.test", i%7): {
						Rate: Rate{Count: 100 * (1 + i%2), Per: time.Second}}}
				o.Retry.Expire = time.Duration(1+i%3) * time.Hour
				o.Hello, o.Connections = fmt.Sprint("h", i/10), 3+i%11
			})
			if i%17 == 0 {
				w.sched.ForgetHosts()
			}
			time.Sleep(5 * time.Millisecond)
		}
		all.Wait()
		w.after(time.Minute)
		w.empty()
		seen := map[string]int{}
		for _, r := range w.net.hosts {
			for _, d := range r.received() {
				seen[d.to]++
			}
		}
		if want := senders * each * 2; len(seen) != want {
			t.Errorf("%d recipients have their message, want %d", len(seen), want)
		}
		for to, n := range seen {
			if n != 1 {
				t.Errorf("%s got %d copies", to, n)
			}
		}
	})
}

// Limits of the cluster follow as soon as all nodes have heard of them, and none is exceeded by
// those who hold a part of the old one.
func TestConfigureClusterLimits(t *testing.T) {
	limits := func(connections, rate int, scope string) map[string]Shaping {
		return map[string]Shaping{"default": {}, "a.test": {Connections: connections,
			Rate: Rate{Count: rate, Per: time.Second}, Scope: scope}}
	}
	inCluster(t, limits(6, 50, shaping.Cluster), func(c *cluster, groups []*owned) {
		r := c.net.at("a.test")
		r.latency = 20 * time.Millisecond
		load(groups, 3000)
		time.Sleep(10 * time.Second)
		shape := func(connections, rate int, scope string, least, most float64) {
			t.Helper()
			for _, o := range groups {
				o.shape(limits(connections, rate, scope))
			}
			time.Sleep(200 * time.Millisecond) // what is under way
			r.set(func(r *remote) { r.times, r.most = nil, r.open })
			time.Sleep(10 * time.Second)
			perSecond := float64(len(r.transactions())) / 10
			allowed := connections
			if scope == shaping.Node {
				allowed *= len(groups)
			}
			t.Logf("%d, %d/s, %s: %.1f/s, %d connections", connections, rate, scope, perSecond,
				r.mostOpen())
			if perSecond < least || perSecond > most || r.mostOpen() > allowed {
				t.Errorf("want %v to %v in a second, and at most %d connections", least, most,
					allowed)
			}
		}
		shape(3, 20, shaping.Cluster, 15, 21)
		shape(6, 100, shaping.Cluster, 80, 101)
		shape(2, 10, shaping.Node, 27, 31.5)
		shape(3, 20, shaping.Cluster, 15, 21)
	})
}
