package smtpd

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// TestScripts replays testdata/*.txt against the pure session. Lines of a script, beside those of
// sessiontest.Player:
//
//	set KEY VALUE      before open: kind, tls (offered), proxy (from 192.0.2.0/24), a limit
//	open ADDRESS       a connection from there
//	tls                the handshake succeeded
//	auth               the authenticator answers
//	commit [FAILURE]   the queue answers
//	< TEXT, = TEXT     expected: a reply line, an action or the present state; | TEXT is the content
func TestScripts(t *testing.T) { sessiontest.Scripts(t, play) }

// player drives one session.
type player struct {
	sessiontest.Player[Output]
	options Options
	listen  ListenerOptions
	s       *Session
	login   Login
}

func play(t *testing.T, script string, octets bool) string {
	p := &player{}
	p.T, p.Octets, p.Do, p.Show = t, octets, p.do, p.show
	p.listen.Name = "test"
	return p.Play(script)
}

func (p *player) do(verb, arg string) bool {
	switch verb {
	case "set":
		p.set(arg)
	case "open":
		p.open(arg)
	case "tls":
		p.Call(func(o *Output) {
			p.s.TLSDone(p.Now, &tls.ConnectionState{Version: tls.VersionTLS13,
				CipherSuite: tls.TLS_AES_128_GCM_SHA256}, o)
		})
	case "auth":
		fakeAuth{}.Plain(nil, p.login.Authzid, p.login.User, p.login.Password,
			func(u *User, f *smtp.Failure) {
				p.Call(func(o *Output) { p.s.Authenticated(p.Now, u, f, o) })
			})
	case "commit":
		var f *smtp.Failure
		if arg != "" {
			f = smtp.Temp(451, "4.3.0", arg)
		}
		p.Call(func(o *Output) { p.s.Committed(p.Now, mail.ID{9: 1}, f, o) })
	default:
		return false
	}
	return true
}

func (p *player) set(arg string) {
	key, value, _ := strings.Cut(arg, " ")
	number, _ := strconv.Atoi(value)
	l := &p.options.Limits
	switch key {
	case "segments": // the script depends on what comes in one piece
	case "kind":
		p.listen.Kind = map[string]Kind{"relay": Relay, "submission": Submission,
			"submissions": Submissions, "lmtp": LMTP}[value]
	case "complete":
		p.listen.CompleteDomain = value
	case "plain":
		p.listen.AllowPlainAuth = true
	case "tls":
		p.options.TLS = func() *tls.Config { return &tls.Config{} }
	case "proxy":
		p.listen.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	case "pressure":
		p.options.Pressure = func() *smtp.Failure { return errNoMemory }
	case "budget":
		p.options.Budget = mail.NewBudget(int64(number))
	case "banner":
		p.options.GreetingDelay = time.Second
	case "size":
		l.MessageSize = int64(number)
	case "line":
		p.listen.MaxLine = number
	case "recipients":
		l.Recipients, l.RecipientOvershoot = number, number
	case "transactions":
		l.Transactions = number
	case "network":
		l.ConnectionsPerNetwork = number
	case "junk":
		l.Junk = number
	case "received":
		l.Received = number
	default:
		p.T.Fatalf("what is %q?", arg)
	}
}

func (p *player) open(address string) {
	srv := testServer(p.T, func(o *Options) {
		o.TLS, o.Limits, o.Budget, o.Pressure, o.GreetingDelay = p.options.TLS, p.options.Limits,
			p.options.Budget, p.options.Pressure, p.options.GreetingDelay
	})
	if p.s != nil { // a further connection to the same server
		srv = p.s.l.srv
	}
	p.s = &Session{l: srv.listener(p.listen)}
	p.s.client = Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(address), 1234),
		Kind: p.listen.Kind, Session: "S", Listener: p.listen.Name}
	p.Start(p.s)
}

// show prints what the session says and asks for.
func (p *player) show(o *Output) (goesOn bool) {
	for line := range strings.SplitSeq(strings.TrimSuffix(string(o.Reply), "\r\n"), "\r\n") {
		if len(o.Reply) > 0 {
			p.Out.WriteString("< " + line + "\n")
		}
	}
	switch o.Action {
	case StartTLS, AcceptTLS:
		p.Out.WriteString("= handshake\n")
	case Authenticate:
		p.login = o.Login
		fmt.Fprintf(&p.Out, "= authenticate %q %q %q\n", o.Login.Authzid, o.Login.User,
			o.Login.Password)
	case Close:
		p.Out.WriteString("= close\n")
	case Submit:
		p.showMessage(o)
	}
	return o.Action == None
}

func (p *player) showMessage(o *Output) {
	env := *o.Envelope
	fmt.Fprintf(&p.Out,
		"= submit sender=%q body=%d utf8=%v ret=%d envid=%q protocol=%s user=%q tenant=%q "+
			"campaign=%q\n", env.Sender, env.Body,
		env.SMTPUTF8, env.Ret, env.EnvelopeID, env.Origin.Protocol, env.Origin.User,
		env.Origin.Tenant, env.Origin.Campaign)
	for _, r := range env.Recipients {
		fmt.Fprintf(&p.Out, "= recipient %q domain=%s notify=%d orcpt=%q\n", r.Address, r.Domain,
			r.Notify, r.ORcpt)
	}
	data := readContent(o.Content)
	if len(data) > 2000 {
		fmt.Fprintf(&p.Out, "= %d octets\n", len(data))
		return
	}
	for line := range strings.SplitAfterSeq(data, "\n") {
		if line != "" {
			q := strconv.QuoteToASCII(strings.TrimSuffix(line, "\r\n"))
			p.Out.WriteString("| " + q[1:len(q)-1] + "\n")
		}
	}
}
