package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

var update = flag.Bool("update", false, "write what the sessions say into testdata/*.txt")

// TestScripts replays testdata/*.txt against the pure session: once with the octets as the script sends them, and once octet by
// octet. Lines of a script:
//
//	set KEY VALUE      before open: tls (offered), implicit, plain, proxy (from 192.0.2.0/24), a limit
//	message "QUOTED" [N]  before open: one more message in the maildrop
//	open ADDRESS       a connection from there
//	> TEXT             a line from the client
//	>> "QUOTED" [N]    octets from the client, N times
//	wait DURATION      time passes, and Timeout is called when it is due
//	tls                the handshake succeeded
//	auth               the authenticator answers
//	drop [FAILURE]     the maildrop is opened, or not
//	fetch [FAILURE]    the piece is read, or not
//	drained            the client has taken all
//	update [FAILURE]   the messages are removed, or not
//	renewed [FAILURE]  the lock is renewed, or not
//	shutdown, cut      the server stops, the server waits no longer
//	< TEXT, = TEXT     expected: a reply line, an action
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

// failures are what a script may name.
var failures = map[string]error{
	"": nil, "locked": mailbox.ErrLocked, "nobody": mailbox.ErrNoMailbox, "refused": mailbox.ErrRefused, "stale": mailbox.ErrStaleLock,
	"gone": mailbox.ErrNoMessage, "slow": context.DeadlineExceeded, "broken": errors.New("a disk is broken"),
}

// player drives one session.
type player struct {
	t        testing.TB
	options  Options
	listen   ListenerOptions
	messages []string
	s        *Session
	now      time.Time
	waiting  []byte // input that the session did not take yet
	octets   bool
	last     Output // of the last action
	out      strings.Builder
}

func play(t *testing.T, script string, octets bool) string {
	p := &player{t: t, octets: octets, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for _, line := range strings.Split(strings.TrimSuffix(script, "\n"), "\n") {
		if line != "" && strings.ContainsRune("<=", rune(line[0])) {
			continue
		}
		p.out.WriteString(line + "\n")
		if line != "" && line[0] != '#' {
			p.do(line)
		}
	}
	if p.s.End(""); p.s.l.srv.Budget.Used() != 0 {
		t.Error("the session has not given back its budget")
	}
	return p.out.String()
}

func (p *player) do(line string) {
	verb, arg, _ := strings.Cut(line, " ")
	err, known := failures[arg]
	if p.answer(verb, err) {
		if !known {
			p.t.Fatalf("what is %q?", line)
		}
		return
	}
	switch verb {
	case "set":
		p.set(arg)
	case "message":
		p.messages = append(p.messages, unquote(p.t, arg))
	case "open":
		p.open(arg)
	case ">":
		p.send(arg + "\r\n")
	case ">>":
		p.send(unquote(p.t, arg))
	case "wait":
		p.wait(arg)
	case "shutdown":
		p.call(func(o *Output) { p.s.Shutdown(p.now, o) })
	case "cut":
		p.call(func(o *Output) { p.s.Cut(p.now, o) })
	default:
		p.t.Fatalf("what is %q?", line)
	}
}

// answer gives the session the answer to its last action.
func (p *player) answer(verb string, err error) bool {
	switch verb {
	case "tls":
		p.call(func(o *Output) { p.s.TLSDone(p.now, o) })
	case "auth":
		l := p.last.Login
		fakeAuth{}.Plain(netip.AddrPort{}, l.Authzid, l.User, l.Password, func(user string, f *smtp.Failure) {
			p.call(func(o *Output) { p.s.Authenticated(p.now, user, f, o) })
		})
	case "drop":
		p.call(func(o *Output) { p.s.Opened(p.now, p.now, p.drop(), err, o) })
	case "fetch":
		piece := p.last.Piece
		text := p.messages[piece.UID-101][piece.Offset:][:piece.Length]
		p.call(func(o *Output) { p.s.Fetched(p.now, []byte(text), err, o) })
	case "drained":
		p.call(func(o *Output) { p.s.Drained(p.now, o) })
	case "update":
		p.call(func(o *Output) { p.s.Updated(err, o) })
	case "renewed":
		p.call(func(o *Output) { p.s.Renewed(p.now, p.now, err, o) })
	default:
		return false
	}
	return true
}

func (p *player) drop() *drop {
	var list []mailbox.Message
	for i, m := range p.messages {
		list = append(list, mailbox.Message{UID: mailbox.UID(i + 101), Size: int64(len(m))})
	}
	return newDrop(&mailbox.Folder{Number: mailbox.Inbox, Validity: 0x5eed}, 0, list)
}

func (p *player) set(arg string) {
	key, value, _ := strings.Cut(arg, " ")
	number, _ := strconv.Atoi(value)
	switch key {
	case "segments": // the script depends on what comes in one piece
	case "plain":
		p.listen.AllowPlainAuth = true
	case "implicit":
		p.listen.Implicit = true
	case "tls":
		p.options.TLS = func() *tls.Config { return &tls.Config{} }
	case "proxy":
		p.listen.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	case "network":
		p.options.Limits.ConnectionsPerNetwork = number
	case "junk":
		p.options.Limits.Junk = number
	default:
		p.t.Fatalf("what is %q?", arg)
	}
}

func (p *player) open(address string) {
	srv := testServer(p.t, func(o *Options) { o.TLS, o.Limits = p.options.TLS, p.options.Limits })
	if p.s != nil { // a further connection to the same server
		srv = p.s.l.srv
	}
	p.s = &Session{l: &listener{ListenerOptions: p.listen, srv: srv}, addr: netip.AddrPortFrom(netip.MustParseAddr(address), 1234)}
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
	lines := strings.Split(strings.TrimSuffix(string(o.Reply), "\r\n"), "\r\n")
	for i, line := range lines {
		switch {
		case len(o.Reply) == 0:
		case len(lines) > 60 && i == 3:
			fmt.Fprintf(&p.out, "= %d octets in all\n", len(o.Reply))
		case len(lines) > 60 && i > 3 && i < len(lines)-3:
		default:
			p.out.WriteString("< " + line + "\n")
		}
	}
	if o.Renew {
		p.out.WriteString("= renew\n")
	}
	if o.Action != None {
		p.last = *o
	}
	switch o.Action {
	case StartTLS, AcceptTLS:
		p.out.WriteString("= handshake\n")
	case Authenticate:
		fmt.Fprintf(&p.out, "= authenticate %q %q %q\n", o.Login.Authzid, o.Login.User, o.Login.Password)
	case Open:
		fmt.Fprintf(&p.out, "= open %s\n", o.User)
	case Fetch:
		fmt.Fprintf(&p.out, "= fetch %d at %d length %d last %v\n", o.Piece.UID, o.Piece.Offset, o.Piece.Length, o.Piece.Last)
		for _, next := range o.Ahead {
			fmt.Fprintf(&p.out, "= and ahead %d length %d\n", next.UID, next.Length)
		}
	case Update:
		fmt.Fprintf(&p.out, "= remove %v\n", o.Removals)
	case Close:
		p.out.WriteString("= close\n")
	case Abort:
		p.out.WriteString("= abort\n")
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
