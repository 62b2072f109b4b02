package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// TestSubmission goes the whole way of a mail client: STARTTLS, AUTH, mail; and the same with TLS
// from the first octet.
func TestSubmission(t *testing.T) {
	r := newRig(t, ListenerOptions{Kind: Submission}, withTLS)
	c := r.hello()
	c.Say("MAIL FROM:<u@local.example>", "530 5.7.0 Must issue a STARTTLS")
	c.Say("AUTH PLAIN AHVAbG9jYWwuZXhhbXBsZQBzZWNyZXQ=", "538")
	c.Say("STARTTLS", "220")
	c = c.startTLS()
	c.Say("EHLO client.example", "250")
	submit(t, c)

	r.address = r.listen(ListenerOptions{Kind: Submissions})
	c = r.connect().startTLS()
	c.Expect("220")
	c.Say("EHLO client.example", "250")
	submit(t, c)
	for _, m := range r.queue.messages() {
		if m.env.Origin.Protocol != "ESMTPSA" || m.env.Origin.User != "u@local.example" ||
			m.env.Origin.Tenant != "acme" || !strings.Contains(m.data, "\r\n\ttls TLS_") {
			t.Errorf("origin %+v, content %q", m.env.Origin, m.data)
		}
	}
	if s := r.srv.Stats(); s.Messages != 2 || s.TLS != 2 || s.AuthSucceeded != 2 || s.Open != 2 {
		t.Errorf("stats %+v", s)
	}
}

func submit(t *testing.T, c *client) {
	t.Helper()
	c.Say("MAIL FROM:<u@local.example>", "530 5.7.0 Authentication")
	c.Say("AUTH SCRAM-SHA-256 Y2xpZW50LWZpcnN0", "334 c2VydmVyLWZpcnN0")
	c.Say("Y2xpZW50LWZpbmFs", "334 c2VydmVyLWZpbmFs")
	c.Say("", "235")
	c.Say("MAIL FROM:<u@local.example>", "250")
	c.Say("RCPT TO:<x@foreign.example>", "250")
	c.Say("DATA", "354")
	c.Say("Subject: x\r\n\r\nx\r\n.", "250 2.0.0 Ok: queued as ")
}

// TestProxy: behind a balancer the client is who the header says, with TLS from the first octet,
// too.
func TestProxy(t *testing.T) {
	balancer := ListenerOptions{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	r := newRig(t, balancer, withTLS)
	c := r.connect()
	c.Send("PROXY TCP4 198.51.100.9 192.0.2.1 1000 25\r\n")
	c.Expect("220")
	c.Say("EHLO client.example", "250")
	c.mail("")
	c.Say("DATA", "354")
	c.Say(".", "250")

	balancer.Kind = Submissions
	r.address = r.listen(balancer)
	c = r.connect()
	c.Send("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x10\x00\x00\x19")
	c = c.startTLS()
	c.Expect("220")

	c = r.connect()
	c.Send("EHLO client.example\r\n")
	c.Expect("554 5.5.0")
	c.ExpectCut()
	if m := r.queue.messages(); len(m) != 1 ||
		m[0].env.Origin.Client.String() != "198.51.100.9:1000" {
		t.Fatalf("%+v", m)
	}
}

// slowQueue answers when the test says so.
type slowQueue struct {
	submitted chan func(mail.ID, *smtp.Failure)
	observer  atomic.Value // a mail.Observer, of the latest message
}

func (q *slowQueue) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	if content.Observer != nil {
		q.observer.Store(content.Observer)
	}
	content.Release()
	q.submitted <- done
}

func newSlowRig(t *testing.T, change func(*Options)) (*rig, *slowQueue) {
	q := &slowQueue{submitted: make(chan func(mail.ID, *smtp.Failure), 16)}
	r := newRig(t, ListenerOptions{}, func(o *Options) {
		o.Submitter = q
		if change != nil {
			change(o)
		}
	})
	return r, q
}

// TestParked: commands that come while the queue stores a message wait for its answer, and nothing
// is said before it.
func TestParked(t *testing.T) {
	r, q := newSlowRig(t, nil)
	c := r.hello()
	c.data()
	c.Send(".\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<u@local.example>\r\nNOOP\r\n")
	done := <-q.submitted
	c.Conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := c.In.ReadByte(); !sessiontest.IsTimeout(err) {
		t.Fatalf("got %q, %v before the queue has answered", b, err)
	}
	c.Conn.SetReadDeadline(time.Now().Add(sessiontest.Patience))
	done(mail.ID{9: 1}, nil)
	for _, want := range []string{"250 2.0.0 Ok: queued as 0000000000000001", "250 2.1.0",
		"250 2.1.5", "250 2.0.0"} {
		c.Expect(want)
	}
	c.Say("DATA", "354")
	c.Send("x\r\n.\r\n")
	(<-q.submitted)(mail.ID{}, smtp.Temp(451, "4.3.0",
		"The queue cannot say what became of it; try again"))
	c.Expect("451 4.3.0")
	c.Say("NOOP", "250")
}

// TestShutdown: what is in flight is finished, the rest gets 421, nobody else gets in.
func TestShutdown(t *testing.T) {
	r, q := newSlowRig(t, nil)
	idle, busy, receiving := r.hello(), r.hello(), r.hello()
	busy.data()
	busy.Send("x\r\n.\r\n")
	done := <-q.submitted
	receiving.data()
	finished := make(chan error)
	go func() { finished <- r.srv.Shutdown(context.Background()) }()
	idle.Expect("421 4.3.2")
	idle.ExpectCut()
	idle.Conn.Close()
	done(mail.ID{9: 1}, nil)
	busy.Expect("250 2.0.0 Ok: queued as 0000000000000001")
	busy.Expect("421 4.3.2")
	busy.ExpectCut()
	busy.Conn.Close()
	receiving.Send("y\r\n.\r\n")
	(<-q.submitted)(mail.ID{9: 2}, nil)
	receiving.Expect("250 2.0.0 Ok: queued as 0000000000000002")
	receiving.Expect("421 4.3.2")
	receiving.ExpectCut()
	receiving.Conn.Close()
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
}

// TestShutdownDeadline: a client that does not finish its message is cut short.
func TestShutdownDeadline(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.hello()
	c.data()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.srv.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Fatal(err)
	}
	c.Expect("421 4.3.2")
	c.ExpectCut()
}

// TestLargeMessage: beyond the in-memory limit mail goes to a spill file, octet for octet, by DATA
// and by BDAT.
func TestLargeMessage(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) {
		o.Limits.InMemory = 100_000
		o.Budget = mail.NewBudget(400_000)
		o.SpillDir = t.TempDir()
	})
	var b bytes.Buffer
	for i := 0; b.Len() < 5<<20; i++ {
		fmt.Fprintf(&b, ".line %d %s\r\n", i, strings.Repeat("x", i%900))
	}
	want := b.String()
	c := r.hello()
	c.data()
	c.Send("\r\n" + stuff(want))
	c.Say(".", "250")
	c.mail("")
	c.Send("BDAT 2\r\n\r\n")
	c.Expect("250")
	for rest := want; rest != ""; {
		n := min(len(rest), 1_000_000)
		c.Send(fmt.Sprintf("BDAT %d\r\n%s", n, rest[:n]))
		c.Expect("250")
		rest = rest[n:]
	}
	c.Say("BDAT 0 LAST", "250")
	for _, m := range r.queue.messages() {
		if _, got, _ := strings.Cut(m.data, "\r\n\r\n"); got != want {
			t.Errorf("%d octets are not the %d sent", len(got), len(want))
		}
	}
	if used := r.srv.Budget.Used(); used != 0 {
		t.Errorf("%d octets of the budget are not given back", used)
	}
}

func stuff(text string) string {
	var s smtp.DotStuffer
	return string(s.Append(nil, []byte(text)))
}

// TestBudget: without memory the answer is 452, and the connection goes on.
func TestBudget(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) {
		o.Budget = mail.NewBudget(smallChunk + largeChunk)
	})
	c := r.hello()
	for range 2 {
		c.data()
		c.Send(strings.Repeat("0123456789\r\n", 10_000))
		c.Say(".", "452 4.3.1")
	}
	c.data()
	c.Send(strings.Repeat("0123456789\r\n", 1000))
	c.Say(".", "250")
}

// TestCertificateRenewed: the configuration is asked for at each handshake; without one TLS is not
// offered.
func TestCertificateRenewed(t *testing.T) {
	var mu sync.Mutex
	var config *tls.Config
	r := newRig(t, ListenerOptions{}, func(o *Options) {
		o.TLS = func() *tls.Config { mu.Lock(); defer mu.Unlock(); return config }
	})
	c := r.connect()
	c.Expect("220")
	if reply := c.Say("EHLO client.example", "250"); strings.Contains(reply, "STARTTLS") {
		t.Errorf("offered without a certificate: %q", reply)
	}
	c.Say("STARTTLS", "454")
	mu.Lock()
	config = sessiontest.TLS()
	mu.Unlock()
	if reply := c.Say("EHLO client.example", "250"); !strings.Contains(reply, "STARTTLS") {
		t.Errorf("not offered with a certificate: %q", reply)
	}
	c.Say("STARTTLS", "220")
	c.startTLS().Say("EHLO client.example", "250")
}

// TestIdleMemory: an idle connection holds its two structs and no buffer. The client's side of it
// is in the figure, too.
func TestIdleMemory(t *testing.T) {
	const connections = 500
	r := newRig(t, ListenerOptions{}, func(o *Options) {
		o.Limits.ConnectionsPerNetwork = connections
	})
	lines := []string{"EHLO client.example\r\n", "MAIL FROM:<a@b.example>\r\n",
		"RCPT TO:<u@local.example>\r\n", "DATA\r\n", "x\r\n.\r\n"}
	each := sessiontest.IdleHeap(t, r.address, connections, func(int) []string { return lines },
		r.queue.forget)
	if each > 4<<10 {
		t.Errorf("an idle connection takes %d octets of heap after a message", each)
	} else {
		t.Logf("%d octets each", each)
	}
}
