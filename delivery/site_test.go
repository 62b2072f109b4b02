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
	"github.com/postroad/postroad/queue"
)

// flood submits n messages of one tenant and campaign to a domain.
func (w *world) flood(n int, tenant, campaign, domain string) {
	for i := range n {
		env := envelopeOf(tenant+"@x.test", fmt.Sprintf("%s%s%d@%s", tenant, campaign, i, domain))
		env.Origin.Tenant, env.Origin.Campaign = tenant, campaign
		w.submit(env)
	}
}

// A site that comes back gets one connection, then more as it copes.
func TestRampAfterRecovery(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.refuse = down
		w.flood(500, "t", "", "a.test")
		w.after(20 * time.Hour)
		dead := r.connected()
		if dead > 25 {
			t.Errorf("%d connects in 20 hours", dead)
		}
		if put := w.sched.Stats().Deferred; put != 0 {
			t.Errorf("%d recipients were put off one by one", put)
		}
		why, _, ok := w.sched.Reason("a.test")
		if !ok || why.Text != "connection refused" {
			t.Errorf("reason %+v, %v", why, ok)
		}
		r.set(func(r *remote) { r.refuse, r.most, r.latency = nil, 0, 100*time.Millisecond })
		w.sched.Flush("a.test")
		// the probe has connected and sends its message, until 200 ms
		w.after(150 * time.Millisecond)
		if r.mostOpen() != 1 {
			t.Errorf("%d connections at the probe, want 1", r.mostOpen())
		}
		w.after(250 * time.Millisecond)
		if r.mostOpen() < 2 || r.mostOpen() > 4 {
			t.Errorf("%d connections soon after, want 2 to 4", r.mostOpen())
		}
		w.after(time.Minute)
		if r.mostOpen() != 20 {
			t.Errorf("at most %d connections, want 20", r.mostOpen())
		}
		if n := len(r.received()); n != 500 {
			t.Errorf("%d messages arrived, want 500", n)
		}
		if _, _, ok := w.sched.Reason("a.test"); ok {
			t.Error("the site still has a reason to wait")
		}
	})
}

// Without a flush the site is found alive by its own probe.
func TestRecoveryByProbe(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.refuse = down
		w.flood(100, "t", "", "a.test")
		w.after(time.Hour)
		r.set(func(r *remote) { r.refuse = nil })
		w.after(3 * time.Hour)
		if n := len(r.received()); n != 100 {
			t.Errorf("%d messages arrived, want 100", n)
		}
	})
}

func TestLimits(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Shaping = map[string]Shaping{
			"default":    {Connections: 7, MessagesPerConnection: 10},
			"rated.test": {Rate: Rate{Count: 50, Per: time.Second}, Connections: 3},
			"slow.test":  {Rate: Rate{Count: 1000, Per: time.Hour}},
			"big.test":   {Connections: 2}, // an MX suffix
		}
		w.net.mx["customer.test"] = []string{"mx1.big.test"}
	}, func(w *world) {
		for _, d := range []string{"a.test", "rated.test", "slow.test", "customer.test"} {
			w.flood(1000, "t", "", d)
		}
		w.after(2 * time.Hour)
		for _, c := range []struct {
			host  string
			most  int
			count int
			per   time.Duration
		}{
			{"mx.a.test", 7, 0, 0},
			{"mx.rated.test", 3, 50, time.Second},
			{"mx.slow.test", 7, 1000, time.Hour},
			{"mx1.big.test", 2, 0, 0},
		} {
			r := w.net.host(c.host)
			if got := r.received(); len(got) != 1000 {
				t.Errorf("%s got %d messages of 1000", c.host, len(got))
			}
			if r.mostOpen() > c.most {
				t.Errorf("%s saw %d connections at once, allowed %d", c.host, r.mostOpen(), c.most)
			}
			if r.connected() < 1000/10 {
				t.Errorf("%s saw %d connects for 1000 messages, 10 at most on one", c.host,
					r.connected())
			}
			if c.count > 0 {
				checkRate(t, c.host, r.transactions(), Rate{Count: c.count, Per: c.per})
			}
		}
	})
}

// checkRate fails when in any stretch of time there were more transactions than the rate allows,
// but for its slack.
func checkRate(t *testing.T, name string, times []time.Time, r Rate) {
	interval := r.Per / time.Duration(r.Count)
	// the remote's latency varies with what it sends
	slack := max(0, 100*time.Millisecond-interval) + 5*time.Millisecond
	for i := range times {
		for _, n := range []int{1, 2, 10, 100, 500} {
			if i+n >= len(times) {
				continue
			}
			if took, least := times[i+n].Sub(times[i]),
				time.Duration(n)*interval-slack; took < least {
				t.Errorf("%s: %d transactions in %v, least %v", name, n+1, took, least)
				return
			}
		}
	}
	if took, most := times[len(times)-1].Sub(times[0]),
		time.Duration(len(times))*interval*11/10+time.Second; took > most {
		t.Errorf("%s: all in %v, the rate allows %v", name, took, most)
	}
}

// One tenant's flood, or one campaign's, does not keep the others waiting.
func TestFairness(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Window = 200
		w.o.Shaping = map[string]Shaping{"default": {Rate: Rate{Count: 20, Per: time.Second}}}
	}, func(w *world) {
		w.flood(3000, "loud", "", "a.test")
		w.after(time.Second)
		w.flood(50, "quiet", "", "a.test")
		w.flood(50, "loud", "small", "a.test")
		begin := time.Now()
		w.after(5 * time.Minute)
		quiet, small, loud := 0, 0, 0
		for _, d := range w.net.at("a.test").received() {
			switch {
			case d.at.Sub(begin) > 12*time.Second:
			case d.to[:5] == "quiet":
				quiet++
			case d.to[:5] == "louds":
				small++
			default:
				loud++
			}
		}
		// 12 s are 240 transactions: half for each tenant until the quiet one's 50 are through.
		if quiet != 50 || small < 40 {
			t.Errorf("in 12 s: %d of quiet, %d of the small campaign, %d of the flood", quiet,
				small, loud)
		}
		if n := len(w.net.at("a.test").received()); n != 3100 {
			t.Errorf("%d messages arrived, want 3100", n)
		}
	})
}

// TestFairnessOfRetries: a quiet tenant's retries do not wait for the end of another's flood.
func TestFairnessOfRetries(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Window = 200
		w.o.Shaping = map[string]Shaping{"default": {Rate: Rate{Count: 20, Per: time.Second}}}
	}, func(w *world) {
		r := w.net.at("a.test")
		begin := time.Now()
		r.answer = func(tx *smtpclient.Transaction, i int) smtpclient.Status { // greylisting
			if tx.Sender == "quiet@x.test" && time.Since(begin) < 50*time.Second {
				return reply(450, "4.7.1", "come back later")
			}
			return reply(250, "2.0.0", "Ok")
		}
		w.flood(20, "quiet", "", "a.test")
		w.flood(8000, "loud", "", "a.test")
		w.after(90 * time.Second) // the flood takes 400 s
		quiet := 0
		for _, d := range r.received() {
			if d.sender == "quiet@x.test" {
				quiet++
			}
		}
		if quiet != 20 {
			t.Errorf("%d of 20 retries went through after 90 s", quiet)
		}
		w.after(400 * time.Second)
		if n := len(r.received()); n != 8020 {
			t.Errorf("%d messages arrived, want 8020", n)
		}
	})
}

// 421 within a transaction: the message is put off, the concurrency goes down, the rest goes on.
func TestServiceNotAvailable(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		n := 0
		r.cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
			r.mu.Lock()
			defer r.mu.Unlock()
			if n++; n < 100 || n%10 != 0 || n > 300 {
				return nil
			}
			return lost(tx, 421, "4.3.2", false)
		}
		w.flood(1000, "t", "", "a.test")
		w.after(2 * time.Hour)
		if got := len(r.received()); got != 1000 {
			t.Errorf("%d messages arrived, want 1000", got)
		}
		if put := w.sched.Stats().Deferred; put < 10 || put > 40 {
			t.Errorf("%d messages were put off", put)
		}
	})
}

// 421 to the first command of every connection: the site is left alone, message by message is not
// tried.
func TestAlwaysBusy(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
			return lost(tx, 421, "4.3.2", false)
		}
		w.flood(1000, "t", "", "a.test")
		w.after(12 * time.Hour)
		if r.connected() > 30 {
			t.Errorf("%d connects", r.connected())
		}
	})
}

// A peer that takes few recipients at a time gets the others at once in further transactions.
func TestTooManyRecipients(t *testing.T) {
	for _, enhanced := range []string{"4.5.3", "4.0.0"} { // 4.0.0: the reply had none
		tooManyRecipients(t, enhanced)
	}
}

func tooManyRecipients(t *testing.T, enhanced string) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.answer = func(tx *smtpclient.Transaction, i int) smtpclient.Status {
			if i >= 10 {
				return reply(452, enhanced, "too many recipients")
			}
			return reply(250, "2.0.0", "Ok")
		}
		env := envelopeOf("s@x.test")
		for i := range 250 {
			env.Recipients = append(env.Recipients,
				mail.Recipient{Address: fmt.Sprintf("r%d@a.test", i), Domain: "a.test"})
		}
		w.submit(env)
		w.after(30 * time.Second)
		seen := map[string]int{}
		for _, d := range r.received() {
			seen[d.to]++
			if d.size > 100 {
				t.Errorf("%d recipients in one transaction", d.size)
			}
		}
		if len(seen) != 250 || len(r.received()) != 250 {
			t.Errorf("%d recipients got it, %d copies", len(seen), len(r.received()))
		}
	})
}

// The next host is tried when the first does not answer.
func TestNextHost(t *testing.T) {
	inWorld(t, func(w *world) { w.net.mx["a.test"] = []string{"one.test", "two.test"} },
		func(w *world) {
			w.net.host("one.test").refuse = down
			w.submit(envelopeOf("s@x.test", "1@a.test"))
			w.after(time.Second)
			if n := len(w.net.host("two.test").received()); n != 1 {
				t.Errorf("the second host got %d messages", n)
			}
		})
}

// A domain that does not exist fails its mail; one whose DNS does not answer waits, without a write
// per message.
func TestLookupFailures(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		servfail := smtp.Temp(451, "4.4.3", "no answer from the DNS")
		w.net.fail = func(domain string) *smtp.Failure {
			switch domain {
			case "gone.test":
				return smtp.Perm(550, "5.1.2", "no such domain")
			case "mute.test":
				return servfail
			}
			return nil
		}
		w.flood(20, "t", "", "gone.test")
		w.flood(20, "t", "", "mute.test")
		w.after(10 * time.Minute)
		if n := len(w.log.of(maillog.Bounce)); n != 20 {
			t.Errorf("%d bounces, want 20", n)
		}
		if why, _, ok := w.sched.Reason("mute.test"); !ok || why.Enhanced != "4.4.3" {
			t.Errorf("reason %+v, %v", why, ok)
		}
		if n := w.count(queue.Filter{Domain: "mute.test",
			States: []queue.State{queue.Ready}}).Recipients; n != 20 {
			t.Errorf("%d recipients ready, want 20", n)
		}
		w.net.mu.Lock()
		w.net.fail = nil
		w.net.mu.Unlock()
		w.after(3 * time.Hour)
		if n := len(w.net.at("mute.test").received()); n != 20 {
			t.Errorf("%d messages arrived, want 20", n)
		}
	})
}

// First match wins; recipients of one domain can go different ways.
func TestRoutes(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Routes = []Route{
			{Recipient: "vip@a.test", SmartHost: "vip.hub.test:587", TLS: smtpclient.Require,
				Username: "u", Password: "p"},
			{Sender: "*@sales.test", SmartHost: "sales.hub.test"},
			{Domain: "*.partner.test", SmartHost: "partner.hub.test:26"},
			{Tenant: "t2", SmartHost: "t2.hub.test"},
		}
	}, func(w *world) {
		w.submit(envelopeOf("s@x.test", "vip@a.test", "other@a.test"))
		w.submit(envelopeOf("me@sales.test", "1@b.test"))
		w.submit(envelopeOf("s@x.test", "1@deep.partner.test"))
		env := envelopeOf("s@x.test", "2@b.test")
		env.Origin.Tenant = "t2"
		w.submit(env)
		w.after(time.Minute)
		for host, want := range map[string]string{
			"vip.hub.test": "vip@a.test", "mx.a.test": "other@a.test", "sales.hub.test": "1@b.test",
			"partner.hub.test": "1@deep.partner.test", "t2.hub.test": "2@b.test",
		} {
			got := w.net.host(host).received()
			if len(got) != 1 || got[0].to != want {
				t.Errorf("%s got %v, want %s", host, got, want)
			}
		}
		if o := w.net.host("vip.hub.test").received()[0].options; o.Addr.Port() != 587 ||
			o.TLS != smtpclient.Require || o.Username != "u" {
			t.Errorf("options %+v", o)
		}
		if o := w.net.host("partner.hub.test").received()[0].options; o.Addr.Port() != 26 {
			t.Errorf("port %d, want 26", o.Addr.Port())
		}
	})
}

// TestManyDeadHosts: a live host behind dead ones is reached where so many addresses are tried.
func TestManyDeadHosts(t *testing.T) {
	for addresses, want := range map[int]int{5: 0, 7: 1} {
		inWorld(t, func(w *world) {
			w.o.Addresses = addresses
			var hosts []string
			for i := range 6 {
				hosts = append(hosts, fmt.Sprintf("dead%d.test", i))
				w.net.host(hosts[i]).refuse = down
			}
			w.net.mx["a.test"] = append(hosts, "live.test")
		}, func(w *world) {
			w.flood(1, "t", "", "a.test")
			w.after(time.Minute)
			if n := len(w.net.host("live.test").received()); n != want {
				t.Errorf("%d addresses: %d messages arrived, want %d", addresses, n, want)
			}
		})
	}
}

// TestPoison: messages at which the peer goes away do not hold up the others; when each of several
// in a row is such a one, it is the site.
func TestPoison(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		all := false
		r.cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
			if !all && !strings.HasPrefix(tx.Recipients[0].Address, "bad") {
				return nil
			}
			res := lost(tx, 451, "4.4.2", true)
			for i := range res.Recipients {
				res.Recipients[i].Command = smtpclient.StepEnd
			}
			return res
		}
		for i := range 20 {
			name := "good"
			if i%4 == 0 {
				name = "bad"
			}
			w.submit(envelopeOf("s@x.test", fmt.Sprintf("%s%d@a.test", name, i)))
		}
		w.after(2 * time.Second)
		w.took("mx.a.test", 15)
		r.set(func(*remote) { all = true })
		w.flood(200, "t", "", "a.test")
		w.after(30 * time.Second)
		if n := r.connected(); n > 60 {
			t.Errorf("%d connections to a host that loses each of them", n)
		}
	})
}
