package smtpd

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

var update = flag.Bool("update", false, "write what the sessions say into testdata/*.txt")

// TestScripts replays testdata/*.txt against the pure session: once with the octets as the script sends them, and once octet by
// octet. Lines of a script:
//
//	set KEY VALUE      before open: kind, tls (offered), proxy (from 192.0.2.0/24), a limit
//	open ADDRESS       a connection from there
//	> TEXT             a line from the client
//	>> "QUOTED" [N]    octets from the client, N times
//	wait DURATION      time passes, and Timeout is called when it is due
//	tls                the handshake succeeded
//	auth               the authenticator answers
//	commit [FAILURE]   the queue answers
//	shutdown           the server stops
//	< TEXT, = TEXT     expected: a reply line, an action or the present state; | TEXT is the content
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(raw), false)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			compare(t, "as sent", string(raw), got)
			if !strings.Contains(string(raw), "set segments") {
				compare(t, "octet by octet", string(raw), play(t, string(raw), true))
			}
		})
	}
}

func compare(t *testing.T, how, want, got string) {
	t.Helper()
	if want == got || *update {
		return
	}
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("%s: line %d differs\nwant:\n%s\ngot:\n%s", how, i+1, strings.Join(w[max(0, i-3):min(len(w), i+4)], "\n"),
				strings.Join(g[max(0, i-3):min(len(g), i+4)], "\n"))
		}
	}
}

// player drives one session.
type player struct {
	t       testing.TB
	options Options
	listen  ListenerOptions
	s       *Session
	now     time.Time
	waiting []byte // input that the session did not take yet
	octets  bool
	login   Login
	out     strings.Builder
}

func play(t *testing.T, script string, octets bool) string {
	p := &player{t: t, octets: octets, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	p.listen.Name = "test"
	for _, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if line != "" && strings.ContainsRune("<=|", rune(line[0])) {
			continue
		}
		p.out.WriteString(line + "\n")
		if line != "" && line[0] != '#' {
			p.do(line)
		}
	}
	return p.out.String()
}

func (p *player) do(line string) {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "set":
		p.set(arg)
	case "open":
		p.open(arg)
	case ">":
		p.send(arg + "\r\n")
	case ">>":
		p.send(unquote(p.t, arg))
	case "wait":
		p.wait(arg)
	case "tls":
		p.call(func(o *Output) {
			p.s.TLSDone(p.now, &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}, o)
		})
	case "auth":
		fakeAuth{}.Plain(nil, p.login.Authzid, p.login.User, p.login.Password, func(u *User, f *smtp.Failure) {
			p.call(func(o *Output) { p.s.Authenticated(p.now, u, f, o) })
		})
	case "commit":
		var f *smtp.Failure
		if arg != "" {
			f = smtp.Temp(451, "4.3.0", arg)
		}
		p.call(func(o *Output) { p.s.Committed(p.now, mail.ID{9: 1}, f, o) })
	case "shutdown":
		p.call(func(o *Output) { p.s.Shutdown(p.now, o) })
	default:
		p.t.Fatalf("what is %q?", line)
	}
}

func (p *player) set(arg string) {
	key, value, _ := strings.Cut(arg, " ")
	number, _ := strconv.Atoi(value)
	l := &p.options.Limits
	switch key {
	case "segments": // the script depends on what comes in one piece
	case "kind":
		p.listen.Kind = map[string]Kind{"relay": Relay, "submission": Submission, "submissions": Submissions, "lmtp": LMTP}[value]
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
		p.t.Fatalf("what is %q?", arg)
	}
}

func (p *player) open(address string) {
	srv := testServer(p.t, func(o *Options) {
		o.TLS, o.Limits, o.Budget, o.Pressure, o.GreetingDelay = p.options.TLS, p.options.Limits, p.options.Budget, p.options.Pressure, p.options.GreetingDelay
	})
	if p.s != nil { // a further connection to the same server
		srv = p.s.l.srv
	}
	p.s = &Session{l: &listener{ListenerOptions: p.listen, srv: srv}}
	p.s.client = Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(address), 1234), Kind: p.listen.Kind, Session: "S", Listener: p.listen.Name}
	p.waiting = nil
	p.call(func(o *Output) { p.s.Start(p.now, o) })
}

func (p *player) send(octets string) {
	if !p.octets {
		p.input(octets)
		return
	}
	for i := range len(octets) {
		p.input(octets[i : i+1])
	}
}

func (p *player) input(octets string) {
	p.waiting = append(p.waiting, octets...)
	p.step()
}

// step gives the session what waits, as the event loop does.
func (p *player) step() {
	for len(p.waiting) > 0 {
		var o Output
		n := p.s.Step(p.now, p.waiting, &o)
		p.waiting = p.waiting[n:]
		p.show(&o)
		if n == 0 || o.Action != None {
			return
		}
	}
}

func (p *player) wait(arg string) {
	d, err := time.ParseDuration(arg)
	if err != nil {
		p.t.Fatal(err)
	}
	wait := p.s.Wait(p.now)
	p.now = p.now.Add(d)
	if wait == 0 || d < wait {
		p.out.WriteString("= nothing happens\n")
		return
	}
	p.call(func(o *Output) { p.s.Timeout(p.now, o) })
}

// call makes one call, and then goes on with what waits.
func (p *player) call(f func(*Output)) {
	var o Output
	f(&o)
	p.show(&o)
	if o.Action == None {
		p.step()
	}
}

func (p *player) show(o *Output) {
	for line := range strings.SplitSeq(strings.TrimSuffix(string(o.Reply), "\r\n"), "\r\n") {
		if len(o.Reply) > 0 {
			p.out.WriteString("< " + line + "\n")
		}
	}
	switch o.Action {
	case StartTLS, AcceptTLS:
		p.out.WriteString("= handshake\n")
	case Authenticate:
		p.login = o.Login
		fmt.Fprintf(&p.out, "= authenticate %q %q %q\n", o.Login.Authzid, o.Login.User, o.Login.Password)
	case Close:
		p.out.WriteString("= close\n")
	case Submit:
		p.showMessage(o)
	}
}

func (p *player) showMessage(o *Output) {
	env := *o.Envelope
	fmt.Fprintf(&p.out, "= submit sender=%q body=%d utf8=%v ret=%d envid=%q protocol=%s user=%q tenant=%q campaign=%q\n", env.Sender, env.Body,
		env.SMTPUTF8, env.Ret, env.EnvelopeID, env.Origin.Protocol, env.Origin.User, env.Origin.Tenant, env.Origin.Campaign)
	for _, r := range env.Recipients {
		fmt.Fprintf(&p.out, "= recipient %q domain=%s notify=%d orcpt=%q\n", r.Address, r.Domain, r.Notify, r.ORcpt)
	}
	data := readContent(o.Content)
	if len(data) > 2000 {
		fmt.Fprintf(&p.out, "= %d octets\n", len(data))
		return
	}
	for line := range strings.SplitAfterSeq(data, "\n") {
		if line != "" {
			q := strconv.QuoteToASCII(strings.TrimSuffix(line, "\r\n"))
			p.out.WriteString("| " + q[1:len(q)-1] + "\n")
		}
	}
}

// unquote reads a Go string and an optional count.
func unquote(t testing.TB, arg string) string {
	quoted, err := strconv.QuotedPrefix(arg)
	if err != nil {
		t.Fatalf("%s: %v", arg, err)
	}
	text, _ := strconv.Unquote(quoted)
	if rest := strings.TrimSpace(arg[len(quoted):]); rest != "" {
		n, err := strconv.Atoi(rest)
		if err != nil {
			t.Fatal(err)
		}
		text = strings.Repeat(text, n)
	}
	return text
}
