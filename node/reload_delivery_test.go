package node

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// outlet is a node whose mail flows all the time, the DNS that it may ask, and two hosts: the MX of
// all domains, and another.
type outlet struct {
	*boxNodes
	n       *node
	text    string
	dns     *mailtest.DNS
	mx, hub *mailtest.Sink
	helo    atomic.Pointer[string] // the latest at the MX
	busy    atomic.Int64           // recipients that the other host put off
	sent    atomic.Int64
}

func newOutlet(t *testing.T) *outlet {
	o := &outlet{boxNodes: startBoxNodes(t, 1)}
	o.n = o.all[0]
	text, err := os.ReadFile(o.n.file)
	o.ok(err)
	o.text = string(text)
	o.helo.Store(new(string))
	o.mx = o.host(func(s *mailtest.Step) (a mailtest.Action) {
		if s.At == mailtest.AtHelo {
			o.helo.Store(new(s.Helo))
		}
		return a
	})
	o.hub = o.host(func(s *mailtest.Step) (a mailtest.Action) {
		if s.At == mailtest.AtRcpt && strings.HasPrefix(s.Recipient, "busy") {
			o.busy.Add(1)
			a.Reply = "450 4.2.1 busy"
		}
		return a
	})
	o.dns, err = mailtest.StartDNS("127.0.0.1:0")
	o.ok(err)
	t.Cleanup(func() { o.dns.Close() })
	o.ok(o.dns.AddMX("flow.test", "mx.flow.test", "127.0.0.1"))
	return o
}

func (o *outlet) host(hook func(*mailtest.Step) mailtest.Action) *mailtest.Sink {
	s, err := mailtest.StartSink(mailtest.SinkOptions{Hook: hook})
	o.ok(err)
	o.t.Cleanup(func() { s.Close() })
	return s
}

// submit sends a message to one recipient.
func (o *outlet) submit(to string) {
	env := &mail.Envelope{Sender: "s@example.net",
		Recipients: []mail.Recipient{{Address: to, Domain: mail.DomainOf(to)}}}
	body := []byte("Subject: x\r\n\r\nhello\r\n")
	done := make(chan *smtp.Failure, 1)
	front{o.n}.Submit(env, &mail.Content{Chunks: [][]byte{body}, Size: int64(len(body))},
		func(_ mail.ID, f *smtp.Failure) { done <- f })
	if f := <-done; f != nil {
		o.t.Errorf("%s was not taken: %v", to, f)
	}
}

// flow sends mail until over is closed.
func (o *outlet) flow(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		o.submit(fmt.Sprintf("%d@flow.test", o.sent.Add(1)))
		clock.Pause(o.ctx, 5*time.Millisecond)
	}
}

// reload has the node read a file with other sections in the place of [dns].
func (o *outlet) reload(sections string) {
	o.t.Helper()
	all := strings.Replace(o.text, "[dns]\nservers = [\"127.0.0.1:1\"]\n", sections, 1)
	o.ok(os.WriteFile(o.n.file, []byte(all), 0o600))
	if r := o.n.reload(); r.err != nil || len(r.restart) > 0 {
		o.t.Fatalf("reload: %+v", r)
	}
}

// soon awaits what is to be so within a second of a reload, with some time more for a slow machine.
func (o *outlet) soon(what string, so func() bool) {
	o.t.Helper()
	began := time.Now()
	o.await(what, so)
	if took := time.Since(began); took > 3*time.Second {
		o.t.Errorf("%s: after %v", what, took)
	}
}

// TestReloadDelivery changes every section of delivery while mail flows. Each counts within a
// second, and each message arrives once.
func TestReloadDelivery(t *testing.T) {
	o := newOutlet(t)
	secret := filepath.Join(t.TempDir(), "secret")
	o.ok(os.WriteFile(secret, []byte("first\n"), 0o600))
	_, port, err := net.SplitHostPort(o.mx.Addr())
	o.ok(err)
	dns := fmt.Sprintf("[dns]\nservers = [%q]\n", o.dns.Addr())
	delivery := "[delivery]\nallow_private_destinations = true\nport = " + port + "\n"
	routes := fmt.Sprintf("[[route]]\ndomain = \"flow.test\"\nsmart_host = %q\n"+
		"[[route]]\ndomain = \"other.test\"\nsmart_host = \"localhost:1\"\nusername = \"u\"\n"+
		"password_file = %q\ntls = \"require\"\n", o.hub.Addr(), secret)

	over := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() { o.flow(over) })
	stop := sync.OnceFunc(func() { close(over); sender.Wait() })
	defer stop()
	o.await("mail that waits for the DNS", func() bool {
		_, _, ok := o.n.queues.List()[0].tenure.Load().scheduler.Reason("flow.test")
		return ok && o.sent.Load() > 50
	})
	o.reload(dns + delivery)
	o.soon("mail at the MX", func() bool { return o.mx.Accepted() > 50 })

	o.reload(dns + delivery + "helo = \"other.example.net\"\nconnections = 3\n")
	o.soon("mail by another name", func() bool { return *o.helo.Load() == "other.example.net" })
	o.soon("few connections", func() bool { return o.mx.Open() <= 3 })

	o.reload(dns + delivery + routes)
	o.soon("mail by the route", func() bool { return o.hub.Accepted() > 20 })
	if p := o.n.outgoing.settings.Routes[1].Password; p != "first" {
		t.Errorf("the password is %q", p)
	}
	o.ok(os.WriteFile(secret, []byte("second\n"), 0o600))

	o.reload(dns + delivery + routes + "[shaping.default]\nrate = \"1/h\"\n")
	if p := o.n.outgoing.settings.Routes[1].Password; p != "second" {
		t.Errorf("after another reload the password is %q", p)
	}
	accepted, sent := o.hub.Accepted(), o.sent.Load()
	o.await("mail that waits for its rate", func() bool { return o.sent.Load() > sent+50 })
	if n := o.hub.Accepted() - accepted; n > 25 { // the connections' last ones
		t.Errorf("%d messages were sent at 1/h", n)
	}
	o.reload(dns + delivery + routes + "[shaping.\"flow.test\"]\nconnections = 2\n")
	o.soon("what waited for its rate", func() bool {
		return int64(o.hub.Accepted()+o.mx.Accepted()) > sent+50
	})

	o.reload(dns + delivery + routes + "[retry]\nschedule = [\"1s\"]\n")
	o.submit("busy@flow.test")
	o.soon("a second attempt", func() bool { return o.busy.Load() >= 2 })

	before := o.n.cfg()
	o.ok(os.WriteFile(o.n.file, []byte(o.text+"[[route]]\nsmart_host = \"a:b:c\"\n"), 0o600))
	if r := o.n.reload(); r.err == nil || o.n.cfg() != before {
		t.Error("a bad file was taken")
	}
	o.reload(dns + delivery)
	stop()
	o.await("all mail", func() bool { return o.arrived() == int(o.sent.Load()) })
}

// arrived is how many recipients have their message, which none may have twice.
func (o *outlet) arrived() int {
	seen := map[string]int{}
	for _, sink := range []*mailtest.Sink{o.mx, o.hub} {
		for _, d := range sink.Deliveries() {
			for _, to := range d.Recipients {
				if seen[to]++; seen[to] > 1 {
					o.t.Errorf("%s has %d copies", to, seen[to])
				}
			}
		}
	}
	delete(seen, "busy@flow.test")
	return len(seen)
}
