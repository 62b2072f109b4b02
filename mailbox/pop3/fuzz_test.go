package pop3

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
	"github.com/postroad/postroad/mailbox"
)

// fuzzMessages are what every maildrop of the fuzz tests has.
var fuzzMessages = []string{
	"Subject: one\r\n\r\n.\r\n..\r\nend\r\n",
	strings.Repeat("0123456789ABCDEF\r\n", 7000),
	"",
	"no end of line",
	"bare\n.\rends\n",
}

var fuzzServer = sync.OnceValue(func() *Server {
	s, err := New(
		Options{
			Hostname:      "pop.test",
			Maildrops:     newMemory(),
			Authenticator: fakeAuth{},
			Limits:        Limits{HardErrors: 50, SoftErrors: 40},
		},
	)
	if err != nil {
		panic(err)
	}
	return s
})

// transcript plays input against a session in pieces that cut chooses, answers every action at
// once, and returns all that came out.
func transcript(t testing.TB, input []byte, cut func(left int) int) string {
	srv := fuzzServer()
	s := &Session{
		l:    srv.listener(ListenerOptions{AllowPlainAuth: true}),
		addr: netip.MustParseAddrPort("203.0.113.7:1"),
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := &player{messages: fuzzMessages}
	var out strings.Builder
	var waiting []byte
	o := &Output{}
	s.Start(now, o)
	for {
		out.Write(o.Reply)
		next := *o
		*o = Output{}
		switch next.Action {
		case Close, Abort:
			fmt.Fprintf(&out, "= %d\n", next.Action)
		case Authenticate:
			fakeAuth{}.Plain(
				netip.AddrPort{},
				next.Login.Authzid,
				next.Login.User,
				next.Login.Password,
				func(u string, f *smtp.Failure) { s.Authenticated(now, u, f, o) },
			)
			continue
		case Open:
			s.Opened(now, now, p.drop(), nil, o)
			continue
		case Fetch:
			if next.Piece.Length > pieceSize {
				t.Fatalf("a piece of %d octets", next.Piece.Length)
			}
			s.Fetched(
				now,
				[]byte(fuzzMessages[next.Piece.UID-101][next.Piece.Offset:][:next.Piece.Length]),
				nil,
				o,
			)
			continue
		case Update:
			fmt.Fprintf(&out, "= remove %v\n", next.Removals)
			s.Updated(nil, o)
			continue
		}
		switch s.state {
		case stateListing, stateSending:
			s.Drained(now, o)
			continue
		case stateSlowed:
			now = now.Add(s.limits.ErrorDelay)
			s.Timeout(now, o)
			now = now.Add(-s.limits.ErrorDelay)
			s.since = now
			continue
		}
		if s.state == stateClosed {
			break
		}
		n := s.Step(now, waiting, o)
		waiting = waiting[n:]
		if n > 0 || len(o.Reply) > 0 || o.Action != None {
			continue
		}
		if len(input) == 0 {
			break
		}
		n = cut(len(input))
		waiting = append(waiting, input[:n]...)
		input = input[n:]
	}
	fmt.Fprintf(&out, "= %v\n", s.state)
	s.End("")
	if used := srv.Budget.Used(); used != 0 {
		t.Fatalf("%d octets of the budget are not given back", used)
	}
	return out.String()
}

// FuzzSession: whatever the input, the session does the same in whatever pieces it comes.
func FuzzSession(f *testing.F) {
	sessiontest.Pieces(
		f,
		20_000,
		"USER u\r\nPASS secret\r\nRETR 2\r\nLIST\r\nTOP 2 3000\r\nDELE 1\r\nTOP 5 1\r\nUIDL "+
			"3\r\nQUIT\r\n",
		transcript,
	)
}

// FuzzMessage: a message of any octets, read in pieces of any size, comes to the client as one
// answer with one end, with its own octets when its line ends are CRLF; its top is the beginning of
// that.
func FuzzMessage(f *testing.F) {
	for i, text := range fuzzMessages {
		f.Add([]byte(text), uint64(i), uint8(i))
	}
	f.Add([]byte("A: b\r\r\n\r\n\n.\n..\r.\r\n"), uint64(7), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, lines uint8) {
		random := rand.New(rand.NewPCG(seed, 3))
		whole := wire(t, text, retrieval{}, random)
		got := unstuff(t, whole)
		want := string(text)
		if !strings.HasSuffix(want, "\r\n") && want != "" {
			want += "\r\n"
		}
		if crlfOnly(text) && got != want {
			t.Fatalf("%q came as %q", text, got)
		}
		top := unstuff(
			t,
			wire(t, text, retrieval{top: true, cut: topReader{left: int64(lines)}}, random),
		)
		if rest := strings.TrimSuffix(top, "\r\n"); !strings.HasPrefix(got, rest) {
			t.Fatalf("top %q of %q", top, got)
		}
		if crlfOnly(text) {
			header, body, found := strings.Cut("\r\n"+got, "\r\n\r\n")
			want = got
			if found && strings.Count(body, "\r\n") > int(lines) {
				want = (header + "\r\n\r\n")[2:] + strings.Join(
					strings.SplitAfter(body, "\r\n")[:lines],
					"",
				)
			}
			if top != want {
				t.Fatalf("the first %d lines of %q are %q, want %q", lines, got, top, want)
			}
		}
	})
}

// wire returns what the client gets of a message, behind +OK.
func wire(t *testing.T, text []byte, r retrieval, random *rand.Rand) string {
	l := fuzzServer().listener(ListenerOptions{})
	s := &Session{l: l, state: stateFetching, maildrop: &maildrop{}}
	s.msg = r
	s.msg.size = uint32(len(text))
	var o Output
	for rest := text; s.state != stateTransaction; {
		n := min(len(rest), random.IntN(20))
		s.send(rest[:n], &o)
		rest = rest[n:]
		if s.state == stateSending {
			s.move(stateFetching)
		}
	}
	_, answer, ok := strings.Cut(string(o.Reply), "\r\n")
	if !ok {
		t.Fatalf("%q", o.Reply)
	}
	return answer
}

// unstuff reads an answer of several lines as a client does (RFC 1939 3), also one that takes LF
// alone as the end of a line.
func unstuff(t *testing.T, answer string) string {
	var b strings.Builder
	for {
		line, rest, ok := strings.Cut(answer, "\n")
		if !ok {
			t.Fatalf("an answer without an end: %q", answer)
		}
		answer = rest
		if strings.TrimSuffix(line, "\r") == "." {
			if answer != "" {
				t.Fatalf("%q behind the end", answer)
			}
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\n")
	}
}

func crlfOnly(text []byte) bool {
	return !strings.ContainsAny(strings.ReplaceAll(string(text), "\r\n", ""), "\r\n")
}

// TestOpenFailures: every failure of the maildrop has an answer.
func TestOpenFailures(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{mailbox.ErrLocked, "-ERR [IN-USE]"}, {fmt.Errorf("lock: %w", mailbox.ErrNoMailbox),
			"-ERR [SYS/PERM]"},
		{mailbox.ErrRefused, "-ERR [SYS/TEMP]"}, {errors.New("disk"), "-ERR [SYS/TEMP]"},
		{mailbox.ErrBusy, "-ERR [SYS/TEMP]"},
	} {
		if got := string(openFailure(c.err).append(nil)); !strings.HasPrefix(got, c.want) ||
			!strings.HasSuffix(got, "\r\n") {
			t.Errorf("%v: %q, want %s", c.err, got, c.want)
		}
	}
}
