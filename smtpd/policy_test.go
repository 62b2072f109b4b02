package smtpd_test

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/smtpd"
	"github.com/xdg-go/scram"
)

// The server with the policy and the authenticator that it is shipped with.

type oneUser struct{ user *directory.User }

func (u oneUser) Get(name string) (*directory.User, bool) { return u.user, name == u.user.Name }

func (oneUser) Alias(string) (*directory.Alias, bool)   { return nil, false }
func (oneUser) Address(string) (*directory.User, bool)  { return nil, false }
func (oneUser) Domain(string) (*directory.Domain, bool) { return nil, false }

type countingQueue struct{ messages atomic.Int64 }

func (q *countingQueue) Submit(
	_ *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	content.Release()
	done(mail.ID{9: byte(q.messages.Add(1))}, nil)
}

// dialer starts a server whose only user is u@local.example with the password "secret", and returns
// what connects to it. The client's own network may not relay.
func dialer(t *testing.T, q *countingQueue, change ...func(*smtpd.Options)) func() *peer {
	t.Helper()
	cost := directory.Cost{MemoryKiB: 8, Passes: 1, Lanes: 1}
	hash, err := directory.HashPassword("secret", cost)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := directory.NewScram("u@local.example", "secret")
	if err != nil {
		t.Fatal(err)
	}
	users := oneUser{&directory.User{Name: "u@local.example", Tenant: "acme", Hash: hash,
		Scram: keys, Version: 1}}
	start := time.Now()
	auth, err := policy.NewAuth(policy.AuthOptions{Users: users, Cost: cost,
		Now: func() time.Time { return start }}) // a block does not end while a test is slow
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(auth.Close)
	rules, err := policy.New(policy.Options{
		Rules: policy.Rules{LocalDomains: []string{"local.example"},
			RelayDomains: []string{"relayed.example"}, Hostname: "mx.test"},
		Users: users,
	})
	if err != nil {
		t.Fatal(err)
	}
	engine := sessiontest.Engine(t, eventloop.Options{Loops: 1})
	o := smtpd.Options{Engine: engine, Hostname: "mx.test", Policy: rules,
		Authenticator: auth, Submitter: q,
		Settings: smtpd.Settings{Limits: smtpd.Limits{ErrorDelay: time.Millisecond}}}
	for _, f := range change {
		f(&o)
	}
	server, err := smtpd.New(o)
	if err != nil {
		t.Fatal(err)
	}
	address := sessiontest.Listen(t, func(socket net.Listener) error {
		return server.Serve(socket, smtpd.ListenerOptions{AllowPlainAuth: true})
	})
	return func() *peer {
		p := &peer{sessiontest.Dial(t, address)}
		p.expect("220")
		p.say("EHLO client.example", "250")
		return p
	}
}

// peer is a client that wants to see replies without their codes.
type peer struct{ *sessiontest.Client }

func (p *peer) say(line, want string) string {
	p.T.Helper()
	p.Send(line + "\r\n")
	return p.expect(want)
}

// expect reads a reply and returns the text of its last line.
func (p *peer) expect(want string) string {
	p.T.Helper()
	for {
		line, err := p.In.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			p.T.Fatalf("got %q, %v, want %s", line, err, want)
		}
		if line[3] != '-' {
			return strings.TrimSuffix(line[4:], "\r\n")
		}
	}
}

// TestRelayForms tries each way of relay_forms.tsv to reach a foreign domain. L is a local domain,
// D a foreign one, I our address.
func TestRelayForms(t *testing.T) {
	raw, err := os.ReadFile("testdata/abuse/relay_forms.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")[1:]
	if len(lines) < 30 {
		t.Fatalf("%d forms", len(lines))
	}
	q := &countingQueue{}
	dial := dialer(t, q)
	names := strings.NewReplacer("D-IP", "192.0.2.99", "D", "foreign.example", "L", "local.example",
		"I", "127.0.0.1")
	for i, line := range lines {
		f := strings.Split(line, "\t")
		t.Run(fmt.Sprintf("%d_%s", i+1, f[1]), func(t *testing.T) {
			p := dial()
			p.T = t
			fmt.Fprintf(p.Conn, "MAIL FROM:<%s>\r\n", names.Replace(f[0]))
			if line, _ := p.In.ReadString('\n'); line[0] == '5' {
				p.say("MAIL FROM:<s@b.example>", "250") // it is the recipient's form that counts
			}
			p.say("RCPT TO:<"+names.Replace(f[1])+">", "5")
			p.say("DATA", "554")
		})
	}
	if n := q.messages.Load(); n != 0 {
		t.Fatalf("%d messages", n)
	}
	p := dial() // and those that are taken are taken
	p.say("MAIL FROM:<s@b.example>", "250")
	for _, ok := range []string{"u@local.example", "Postmaster", "postmaster@local.example",
		"x@relayed.example"} {
		p.say("RCPT TO:<"+ok+">", "250")
	}
}

// TestMechanisms logs in by each mechanism, and fails to.
func TestMechanisms(t *testing.T) {
	q := &countingQueue{}
	dial := dialer(t, q)
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, login := range map[string]func(p *peer, password, want string){
		"PLAIN": func(p *peer, password, want string) {
			p.say("AUTH PLAIN "+encode("\x00u@local.example\x00"+password), want)
		},
		"LOGIN": func(p *peer, password, want string) {
			p.say("AUTH LOGIN", "334")
			p.say(encode("u@local.example"), "334")
			p.say(encode(password), want)
		},
		"SCRAM-SHA-256": scramLogin,
	} {
		t.Run(name, func(t *testing.T) {
			p := dial()
			p.T = t
			login(p, "guess", "535 5.7.8")
			p.say("MAIL FROM:<u@local.example>", "250")
			p.say("RCPT TO:<x@foreign.example>", "550 5.7.1")
			p.say("RSET", "250")
			login(p, "secret", "235 2.7.0")
			p.say("MAIL FROM:<boss@local.example>", "550 5.7.1")
			p.say("MAIL FROM:<u@local.example>", "250")
			p.say("RCPT TO:<x@foreign.example>", "250")
			p.say("DATA", "354")
			p.say(".", "250 2.0.0 Ok: queued as ")
		})
	}
	if n := q.messages.Load(); n != 3 {
		t.Fatalf("%d messages", n)
	}
}

func scramLogin(p *peer, password, want string) {
	p.T.Helper()
	client, err := scram.SHA256.NewClient("u@local.example", password, "")
	if err != nil {
		p.T.Fatal(err)
	}
	conv := client.NewConversation()
	first, err := conv.Step("")
	if err != nil {
		p.T.Fatal(err)
	}
	answer := func(challenge string) string {
		raw, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			p.T.Fatal(err)
		}
		next, err := conv.Step(string(raw))
		if err != nil {
			p.T.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString([]byte(next))
	}
	final := answer(p.say("AUTH SCRAM-SHA-256 "+base64.StdEncoding.EncodeToString([]byte(first)),
		"334"))
	if want[0] != '2' {
		p.say(final, want)
		return
	}
	p.say(answer(p.say(final, "334")), want)
	if !conv.Valid() {
		p.T.Fatal("the server's proof is wrong")
	}
}

// TestBlockEndsTheSession: a client that is not heard any more is told so once, and its connection
// ends. The log has no line for each.
func TestBlockEndsTheSession(t *testing.T) {
	logged := &loginRefusals{Sink: maillog.Discard}
	dial := dialer(t, &countingQueue{}, func(o *smtpd.Options) { o.Log = logged })
	guess := func(i int) string {
		return "AUTH PLAIN " + base64.StdEncoding.EncodeToString(
			fmt.Appendf(nil, "\x00u@local.example\x00guess%d", i))
	}
	for i := range 10 {
		p := dial()
		p.say(guess(i), "535")
		p.say("QUIT", "221")
	}
	for i := range 5 {
		p := dial()
		p.Send(guess(100+i) + "\r\n" + guess(200+i) + "\r\n")
		p.expect("454 4.7.0 Too many failed log-ins")
		p.ExpectEnd()
	}
	if got := logged.n.Load(); got != 10 {
		t.Errorf("the session logged %d refusals, want the 10 that were checked", got)
	}
}

// loginRefusals counts what the session logs of refused log-ins.
type loginRefusals struct {
	maillog.Sink
	n atomic.Int64
}

func (l *loginRefusals) Log(r *maillog.Record) {
	if r.Type == maillog.Rejection && r.Command == "AUTH" {
		l.n.Add(1)
	}
}
