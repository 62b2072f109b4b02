package smtpd

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

var fuzzServer = sync.OnceValue(func() *Server {
	s, err := New(Options{
		Hostname: "mx.test", Policy: strictPolicy{}, Authenticator: fakeAuth{},
		Submitter: &fakeQueue{}, EarlyPipelining: true,
		Settings: Settings{CampaignHeader: "X-Campaign",
			Limits: Limits{MessageSize: 40_000, Recipients: 3, RecipientOvershoot: 2,
				InMemory: 10_000}},
	})
	if err != nil {
		panic(err)
	}
	return s
})

// transcript plays input against a session in pieces that cut chooses, answers every action at
// once, and returns all that came out. Anything that the client sends early is allowed here,
// because what is early depends on the pieces.
func transcript(t testing.TB, input []byte, cut func(left int) int) string {
	srv := fuzzServer()
	o := &Output{}
	listen := ListenerOptions{AllowPlainAuth: true, MaxLine: smtp.MaxTextLine}
	if bytes.Contains(input, []byte("LHLO")) {
		listen.Kind = LMTP
	}
	s := &Session{l: srv.listener(listen)}
	s.client.Addr = netip.MustParseAddrPort("203.0.113.7:1")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out strings.Builder
	var waiting []byte
	s.Start(now, o)
	for {
		out.Write(o.Reply)
		next := *o
		*o = Output{}
		switch next.Action {
		case Close:
			out.WriteString("= close\n")
		case Authenticate:
			fakeAuth{}.Plain(nil, next.Login.Authzid, next.Login.User, next.Login.Password,
				func(u *User, f *smtp.Failure) { s.Authenticated(now, u, f, o) })
			continue
		case Submit:
			fmt.Fprintf(&out, "= submit %+v %q\n", *next.Envelope, readContent(next.Content))
			s.Committed(now, mail.ID{9: 7}, nil, o)
			continue
		}
		if s.state == stateClosed {
			break
		}
		if s.state == stateSlowed {
			now = now.Add(s.set.Limits.ErrorDelay)
			s.Timeout(now, o)
			now = now.Add(-s.set.Limits.ErrorDelay)
			s.since = now
			continue
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
	s.End()
	if used := srv.Budget.Used(); used != 0 {
		t.Fatalf("%d octets of the budget are not given back", used)
	}
	return out.String()
}

// FuzzSession: whatever the input, the session does the same in whatever pieces it comes.
func FuzzSession(f *testing.F) {
	sessiontest.Pieces(f, 100_000,
		"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<u@local.example>\r\nDATA\r\n"+
			strings.Repeat(strings.Repeat("a", 70)+"\r\n", 300)+".\r\nQUIT\r\n", transcript)
}

// FuzzBdat: chunks of any sizes make the content that they are the pieces of, or are refused for a
// reason that the content shows.
func FuzzBdat(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\n.\r\ntext\r\n"), uint64(1), false)
	f.Add([]byte("x\ny"), uint64(2), false)
	f.Add([]byte("x\r"), uint64(2), false)
	f.Add([]byte("\x00\r\r\n\n"), uint64(3), true)
	f.Add([]byte(strings.Repeat("a", 999)+"\r\n"), uint64(4), false)
	f.Fuzz(func(t *testing.T, content []byte, seed uint64, binary bool) {
		if len(content) > 30_000 {
			return
		}
		random := rand.New(rand.NewPCG(seed, 2))
		body := ""
		if binary {
			body = " BODY=BINARYMIME"
		}
		var in bytes.Buffer
		in.WriteString("EHLO a\r\nMAIL FROM:<a@b.example>" + body +
			"\r\nRCPT TO:<u@local.example>\r\n")
		for rest := content; ; {
			n := random.IntN(len(rest) + 1)
			if random.IntN(4) == 0 {
				n = len(rest)
			}
			last := ""
			if n == len(rest) {
				last = " LAST"
			}
			fmt.Fprintf(&in, "BDAT %d%s\r\n%s", n, last, rest[:n])
			if rest = rest[n:]; last != "" {
				break
			}
		}
		in.WriteString("NOOP\r\n")
		got := transcript(t, in.Bytes(), func(left int) int { return 1 + random.IntN(left) })
		if !strings.HasSuffix(got, "250 2.0.0 Ok\r\n= ready\n") {
			t.Fatalf("out of step after the chunks: %s", got)
		}
		lone := bytes.ContainsAny(bytes.ReplaceAll(content, []byte("\r\n"), nil), "\r\n")
		long := false
		for line := range bytes.SplitSeq(content, []byte("\r\n")) {
			long = long || len(line) > smtp.MaxTextLine
		}
		accepted := strings.Contains(got, "queued as")
		header, _, _ := bytes.Cut(content, []byte("\r\n\r\n"))
		if campaign := bytes.Contains(bytes.ToLower(header), []byte("x-campaign")); !campaign &&
			bytes.Count(bytes.ToLower(content), []byte("received")) <= 50 {
			if want := binary || !lone && !long; accepted != want {
				t.Fatalf("accepted: %v, want %v: %s", accepted, want, got)
			}
			if quoted := fmt.Sprintf("%q", content); accepted &&
				!strings.Contains(got, quoted[1:]) {
				t.Fatalf("content %s became %s", quoted, got)
			}
		}
	})
}
