// Package session tests the sessions of a line protocol on the server's side: the pure state
// machine by scripts and by input in pieces, and the whole server by a client on a real socket.
package session

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/golden"
)

// Scripts replays testdata/*.txt: once with the octets as the script sends them, and, unless it
// says "set segments", once octet by octet.
func Scripts(t *testing.T, play func(t *testing.T, script string, octets bool) string) {
	golden.Scripts(t, "testdata/*.txt", func(t *testing.T, script string) string {
		got := play(t, script, false)
		if !strings.Contains(script, "set segments") {
			golden.Equal(t, "it is what comes of it octet by octet", got, play(t, script, true))
		}
		return got
	})
}

// Session is a session as a pure state machine, which says in an O what it asks for.
type Session[O any] interface {
	Start(now time.Time, o *O)
	Step(now time.Time, in []byte, o *O) (n int)
	Wait(now time.Time) time.Duration
	Timeout(now time.Time, o *O)
	Shutdown(now time.Time, o *O)
}

// Player plays a script against a session. It knows these lines:
//
//	> TEXT             a line from the client
//	>> "QUOTED" [N]    octets from the client, N times
//	wait DURATION      time passes, and Timeout is called when it is due
//	shutdown           the server stops
//	< TEXT, = TEXT, | TEXT  what is expected
type Player[O any] struct {
	T      testing.TB
	Octets bool // each octet from the client comes alone
	// Do does what another line says; false: it does not know it either.
	Do func(verb, arg string) bool
	// Show prints to Out what the session asks for, and reports whether it does its next step
	// without an answer.
	Show func(*O) (goesOn bool)

	Now time.Time
	Out strings.Builder

	session Session[O]
	waiting []byte // input that the session did not take yet
}

// Play plays the script, and returns it with what came of it in the place of what was expected.
func (p *Player[O]) Play(script string) string {
	p.Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for line := range strings.SplitSeq(strings.TrimSuffix(script, "\n"), "\n") {
		if line != "" && strings.ContainsRune("<=|", rune(line[0])) {
			continue
		}
		p.Out.WriteString(line + "\n")
		if line != "" && line[0] != '#' {
			p.do(line)
		}
	}
	return p.Out.String()
}

func (p *Player[O]) do(line string) {
	switch verb, arg, _ := strings.Cut(line, " "); verb {
	case ">":
		p.send(arg + "\r\n")
	case ">>":
		p.send(Unquote(p.T, arg))
	case "wait":
		p.wait(arg)
	case "shutdown":
		p.Call(func(o *O) { p.session.Shutdown(p.Now, o) })
	default:
		if !p.Do(verb, arg) {
			p.T.Fatalf("what is %q?", line)
		}
	}
}

// Start begins a session, to which the script speaks from now on.
func (p *Player[O]) Start(s Session[O]) {
	p.session, p.waiting = s, nil
	p.Call(func(o *O) { s.Start(p.Now, o) })
}

func (p *Player[O]) send(octets string) {
	if !p.Octets {
		p.input(octets)
		return
	}
	for i := range len(octets) {
		p.input(octets[i : i+1])
	}
}

func (p *Player[O]) input(octets string) {
	p.waiting = append(p.waiting, octets...)
	p.step()
}

// step gives the session what waits, as the event loop does.
func (p *Player[O]) step() {
	for len(p.waiting) > 0 {
		var o O
		n := p.session.Step(p.Now, p.waiting, &o)
		p.waiting = p.waiting[n:]
		if goesOn := p.Show(&o); n == 0 || !goesOn {
			return
		}
	}
}

func (p *Player[O]) wait(arg string) {
	d, err := time.ParseDuration(arg)
	if err != nil {
		p.T.Fatal(err)
	}
	wait := p.session.Wait(p.Now)
	p.Now = p.Now.Add(d)
	if wait == 0 || d < wait {
		p.Out.WriteString("= nothing happens\n")
		return
	}
	p.Call(func(o *O) { p.session.Timeout(p.Now, o) })
}

// Call makes one call of the session, and then goes on with what waits.
func (p *Player[O]) Call(f func(*O)) {
	var o O
	f(&o)
	if p.Show(&o) {
		p.step()
	}
}

// Unquote reads a Go string and an optional count.
func Unquote(t testing.TB, arg string) string {
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
