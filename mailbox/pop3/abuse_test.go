package pop3

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// TestAbuseCases has one test for each case of testdata/abuse/cases.json, which has its source:
// what has broken other servers, over a real socket.
func TestAbuseCases(t *testing.T) { sessiontest.AbuseCases(t, abuseTests) }

var abuseTests = map[string]func(*testing.T){
	"STLS plaintext injection":                 testInjection,
	"AUTH base64 odd lengths":                  testBase64,
	"Many address headers / oversized headers": testHugeHeaders,
	"Half-open TLS handshakes":                 testHalfOpenHandshakes,
	"POP3 wrong order / huge arguments":        testWrongOrder,
	"POP3 dot-stuffing and deletes on drop":    testDots,
}

func withTLS(o *Options) { o.TLS = sessiontest.TLS }

// quick makes refusals as fast as others.
func quick(o *Options) {
	o.Limits.ErrorDelay, o.Limits.AuthFailures, o.Limits.SoftErrors, o.Limits.HardErrors,
		o.Limits.Junk = time.Nanosecond, 1000, 1000, 1000, 1000
}

func testInjection(t *testing.T) {
	r := newRig(t, newMemory(), withTLS)
	c := r.connect()
	c.Send("STLS\r\nCAPA\r\n")
	c.Expect("-ERR")
	c.ExpectEnd()
	// In a segment of its own, but before the handshake: the engine finds octets that are no
	// handshake.
	c = r.connect()
	c.Say("STLS", "+OK")
	c.Send("CAPA\r\n")
	if rest, _ := c.In.ReadString('\n'); strings.Contains(rest, "+OK") {
		t.Fatalf("got %q after plain text in place of a handshake", rest)
	}
}

func testBase64(t *testing.T) {
	r := newRig(t, newMemory(), quick)
	c := r.connect()
	for _, initial := range []string{"=====", "abc", "AAA", strings.Repeat("A", 4*100+3),
		"AAAA====", "A=AA", strings.Repeat("AAAA", 3000)} {
		c.Say("AUTH PLAIN "+initial, "-ERR")
	}
	c.Say("AUTH PLAIN", "+ ")
	c.Say("AAAA\x00AAAA", "-ERR")
	c.Say("AUTH PLAIN "+strings.Repeat("A", maxLine-13), "-ERR") // the longest line
	c.Say("CAPA", "+OK")
	c = r.connect()
	c.Send("AUTH PLAIN " + strings.Repeat("A", maxLine-12) + "\r\n")
	c.Expect("-ERR Line too long")
}

func testHugeHeaders(t *testing.T) {
	wide := "To: " + strings.Repeat(
		"someone@somewhere.example,\r\n\t",
		100_000,
	) + "end@somewhere.example\r\n\r\ntext\r\n"
	many := strings.Repeat("To: someone@somewhere.example\r\n", 500) + "\r\ntext\r\n"
	long := "Subject: " + strings.Repeat("x", 10<<20) + "\r\n\r\ntext\r\n"
	messages := []string{wide, many, long}
	c := newRig(t, newMemory(messages...), nil).login()
	for i, want := range messages {
		c.Send(fmt.Sprintf("RETR %d\r\n", i+1))
		if got := c.text(); got != want {
			t.Errorf("message %d: %d octets are not its %d", i+1, len(got), len(want))
		}
		c.Send(fmt.Sprintf("TOP %d 0\r\n", i+1))
		if got := c.text(); got != strings.TrimSuffix(want, "text\r\n") {
			t.Errorf("the top of message %d has %d octets of %d", i+1, len(got), len(want))
		}
	}
}

func testHalfOpenHandshakes(t *testing.T) {
	r := newRigOn(
		t,
		newMemory(),
		eventloop.Options{Loops: 1, HandshakeLimit: 300 * time.Millisecond},
		withTLS,
	)
	r.address = r.listen(ListenerOptions{Implicit: true})
	var half []*client
	for range 50 {
		c := r.dial()
		c.Send("\x16\x03\x01\x02\x00")
		half = append(half, c)
	}
	for _, c := range half {
		c.ExpectEnd()
	}
	r.dial().startTLS().Expect("+OK")
}

func testWrongOrder(t *testing.T) {
	r := newRig(
		t,
		newMemory("1\r\n"),
		func(o *Options) {
			quick(o)
			o.Limits.AuthFailures, o.Limits.ErrorDelay = 4,
				time.Millisecond
		},
	)
	c := r.connect()
	c.Say("RETR 1", "-ERR")
	c.Say("PASS secret", "-ERR")
	c.Say("USER "+fakeUser, "+OK")
	c.Say("PASS secret", "+OK")
	for _, line := range []string{"DELE 0", "DELE -1", "DELE 99999999999999999999",
		"DELE 18446744073709551617", "TOP 1 -1", "RETR 2", "USER " + strings.Repeat("x", 5000)} {
		c.Say(line, "-ERR")
	}
	c.Say("STAT", "+OK 1 3")
	c.Say("QUIT", "+OK")
	c.ExpectEnd()
	c = r.connect()
	c.Send(strings.Repeat("USER "+fakeUser+"\r\nPASS guess\r\n", 20))
	for range 3 {
		c.Expect("+OK")
		c.Expect("-ERR [AUTH]")
	}
	c.Expect("+OK")
	c.Expect("-ERR [AUTH] Too many")
	c.ExpectEnd()
	if s := r.srv.Stats(); s.AuthFailed != 4 {
		t.Errorf("%d guesses were tried", s.AuthFailed)
	}
}

func testDots(t *testing.T) {
	want := ".\r\n..\r\n\r\n.\r\n...\r\n.x\r\n"
	r := newRig(t, newMemory(want), nil)
	c := r.login()
	c.Send("RETR 1\r\n")
	if got := c.text(); got != want {
		t.Errorf("%q came as %q", want, got)
	}
	c.Say("DELE 1", "+OK")
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Conn.Close()
	sessiontest.Eventually(
		t,
		"the lock of a connection that was reset is kept",
		func() bool { return !r.drops.locked(fakeUser) },
	)
	if len(r.drops.uids(fakeUser)) != 1 {
		t.Error("a message was removed without QUIT")
	}
}
