package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
	"github.com/postroad/postroad/mailbox"
)

// TestScripts replays testdata/*.txt against the pure session. Lines of a script, beside those of
// sessiontest.Player:
//
//	set KEY VALUE      before open: tls (offered), implicit, plain, proxy (from 192.0.2.0/24), a limit
//	message "QUOTED" [N]  before open: one more message in the maildrop
//	open ADDRESS       a connection from there
//	tls                the handshake succeeded
//	auth               the authenticator answers
//	drop [FAILURE]     the maildrop is opened, or not
//	fetch [FAILURE]    the piece is read, or not
//	drained            the client has taken all
//	update [FAILURE]   the messages are removed, or not
//	renewed [FAILURE]  the lock is renewed, or not
//	cut                the server waits no longer
//	< TEXT, = TEXT     expected: a reply line, an action
func TestScripts(t *testing.T) { sessiontest.Scripts(t, play) }

// failures are what a script may name.
var failures = map[string]error{
	"": nil, "locked": mailbox.ErrLocked, "nobody": mailbox.ErrNoMailbox,
	"refused": mailbox.ErrRefused, "stale": mailbox.ErrStaleLock,
	"gone": mailbox.ErrNoMessage, "slow": context.DeadlineExceeded,
	"broken": errors.New("a disk is broken"),
}

// player drives one session.
type player struct {
	sessiontest.Player[Output]
	options  Options
	listen   ListenerOptions
	messages []string
	s        *Session
	last     Output // of the last action
}

func play(t *testing.T, script string, octets bool) string {
	p := &player{}
	p.T, p.Octets, p.Do, p.Show = t, octets, p.do, p.show
	got := p.Play(script)
	if p.s.End(""); p.s.l.srv.Budget.Used() != 0 {
		t.Error("the session has not given back its budget")
	}
	return got
}

func (p *player) do(verb, arg string) bool {
	switch verb {
	case "set":
		p.set(arg)
	case "message":
		p.messages = append(p.messages, sessiontest.Unquote(p.T, arg))
	case "open":
		p.open(arg)
	case "cut":
		p.Call(func(o *Output) { p.s.Cut(p.Now, o) })
	default:
		err, known := failures[arg]
		return known && p.answer(verb, err)
	}
	return true
}

// answer gives the session the answer to its last action.
func (p *player) answer(verb string, err error) bool {
	switch verb {
	case "tls":
		p.Call(func(o *Output) { p.s.TLSDone(p.Now, o) })
	case "auth":
		l := p.last.Login
		fakeAuth{}.Plain(
			netip.AddrPort{},
			l.Authzid,
			l.User,
			l.Password,
			func(user string, f *smtp.Failure) {
				p.Call(func(o *Output) { p.s.Authenticated(p.Now, user, f, o) })
			},
		)
	case "drop":
		p.Call(func(o *Output) { p.s.Opened(p.Now, p.Now, p.drop(), err, o) })
	case "fetch":
		piece := p.last.Piece
		text := p.messages[piece.UID-101][piece.Offset:][:piece.Length]
		p.Call(func(o *Output) { p.s.Fetched(p.Now, []byte(text), err, o) })
	case "drained":
		p.Call(func(o *Output) { p.s.Drained(p.Now, o) })
	case "update":
		p.Call(func(o *Output) { p.s.Updated(err, o) })
	case "renewed":
		p.Call(func(o *Output) { p.s.Renewed(p.Now, p.Now, err, o) })
	default:
		return false
	}
	return true
}

func (p *player) drop() *maildrop {
	var list []mailbox.Message
	for i, m := range p.messages {
		list = append(list, mailbox.Message{UID: mailbox.UID(i + 101), Size: int64(len(m))})
	}
	return newMaildrop(&mailbox.Folder{Number: mailbox.Inbox, Validity: 0x5eed}, 0, list)
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
		p.T.Fatalf("what is %q?", arg)
	}
}

func (p *player) open(address string) {
	srv := testServer(p.T, func(o *Options) { o.TLS, o.Limits = p.options.TLS, p.options.Limits })
	if p.s != nil { // a further connection to the same server
		srv = p.s.l.srv
	}
	p.s = &Session{
		l:    srv.listener(p.listen),
		addr: netip.AddrPortFrom(netip.MustParseAddr(address), 1234),
	}
	p.Start(p.s)
}

// show prints what the session says and asks for; of a long reply, its two ends.
func (p *player) show(o *Output) (goesOn bool) {
	lines := strings.Split(strings.TrimSuffix(string(o.Reply), "\r\n"), "\r\n")
	for i, line := range lines {
		switch {
		case len(o.Reply) == 0:
		case len(lines) > 60 && i == 3:
			fmt.Fprintf(&p.Out, "= %d octets in all\n", len(o.Reply))
		case len(lines) > 60 && i > 3 && i < len(lines)-3:
		default:
			p.Out.WriteString("< " + line + "\n")
		}
	}
	if o.Renew {
		p.Out.WriteString("= renew\n")
	}
	if o.Action != None {
		p.last = *o
	}
	switch o.Action {
	case StartTLS, AcceptTLS:
		p.Out.WriteString("= handshake\n")
	case Authenticate:
		fmt.Fprintf(
			&p.Out,
			"= authenticate %q %q %q\n",
			o.Login.Authzid,
			o.Login.User,
			o.Login.Password,
		)
	case Open:
		fmt.Fprintf(&p.Out, "= open %s\n", o.User)
	case Fetch:
		fmt.Fprintf(
			&p.Out,
			"= fetch %d at %d length %d last %v\n",
			o.Piece.UID,
			o.Piece.Offset,
			o.Piece.Length,
			o.Piece.Last,
		)
		for _, next := range o.Ahead {
			fmt.Fprintf(&p.Out, "= and ahead %d length %d\n", next.UID, next.Length)
		}
	case Update:
		fmt.Fprintf(&p.Out, "= remove %v\n", o.Removals)
	case Close:
		p.Out.WriteString("= close\n")
	case Abort:
		p.Out.WriteString("= abort\n")
	}
	return o.Action == None
}
