package sink

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

const patience = 20 * time.Second

// testClock is moved by the test.
type testClock struct{ ahead atomic.Int64 }

func (c *testClock) now() time.Time       { return time.Unix(1_780_000_000, c.ahead.Load()) }
func (c *testClock) pass(d time.Duration) { c.ahead.Add(int64(d)) }

// startServer starts a sink with a configuration in TOML. Its [[listen]]s have port 0, which it
// gets here.
func startServer(t *testing.T, toml string, o Options) *Server {
	t.Helper()
	c, err := Parse("test.toml", []byte(toml))
	if err != nil {
		t.Fatal(err)
	}
	o.Config = c
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// play talks to the sink from one of the loopback addresses.
func play(t *testing.T, from, to, script string) *mailtest.Talk {
	t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from),
		0)), Timeout: patience}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	talk := &mailtest.Talk{Conn: c, In: bufio.NewReader(c)}
	again(t, talk, script)
	return talk
}

func again(t *testing.T, talk *mailtest.Talk, script string) {
	t.Helper()
	if err := talk.Play(script); err != nil {
		t.Fatalf("%v\nin %s", err, script)
	}
}

const (
	hello   = "< 220\n> EHLO x\n< 250\n"
	mail    = "> MAIL FROM:<s@x.example>\n< 250\n"
	rcpt    = "> RCPT TO:<r@a.example>\n< 250\n"
	content = "> DATA\n< 354\n> X-Test-ID: one\\r\\n\\r\\nbody\\r\\n.\n"
	message = mail + rcpt + content + "< 250\n"
)

// TestBehaviour: each thing that a rule can say is what a client meets.
func TestBehaviour(t *testing.T) {
	for name, c := range map[string]struct{ config, script string }{
		"nothing said": {"", hello + message + message + "> QUIT\n< 221\n."},
		"refusal at connect": {`[[rule]]
			do = [{at = "connect", reply = "554 5.7.1 no {client}"}]`, "< 554 5.7.1 no 127.0.0.1"},
		"421 closes": {`[[rule]]
			do = [{at = "helo", reply = "421 4.3.2 later"}]`, "< 220\n> EHLO x\n< 421 4.3.2\n."},
		"refusal of a domain only": {`[[rule]]
			domain = ["b.example"]
			do = [{at = "rcpt", reply = "550 5.1.1 <{recipient}> unknown"}]`,
			hello + mail + rcpt + "> RCPT TO:<r@B.example>\n< 550 5.1.1 <r@B.example> unknown\n" +
				content + "< 250"},
		"subdomains": {`[[rule]]
			domain = ["*.b.example"]
			do = [{at = "rcpt", reply = "450 4.2.0 later"}]`,
			hello + mail + "> RCPT TO:<r@b.example>\n< 250\n> RCPT TO:<r@c.b.example>\n< 450"},
		"the first rule decides": {`[[rule]]
			domain = ["a.example"]
			[[rule]]
			do = [{at = "rcpt", reply = "550 5.1.1 no"}]`,
			hello + mail + rcpt + "> RCPT TO:<r@b.example>\n< 550"},
		"by client": {`[[rule]]
			client = ["127.0.0.9"]
			do = [{at = "connect", reply = "421 no"}]`, hello + message},
		"at the end of the data": {`[[rule]]
			domain = ["a.example"]
			do = [{at = "end", reply = "452 4.3.1 full"}]`, hello + mail + rcpt + content + "< 452 4.3.1 full\n" + mail},
		"several lines": {`[[rule]]
			do = [{at = "mail", reply = "451-4.7.0 one\n451 4.7.0 two"}]`, hello + "> MAIL FROM:<>\n< 451 4.7.0 two"},
		"cut at rcpt": {`[[rule]]
			do = [{at = "rcpt", cut = true}]`, hello + mail + "> RCPT TO:<r@a.example>\n."},
		"close after the reply": {`[[rule]]
			do = [{at = "data", close = true, reply = "451 4.3.0 no"}]`, hello + mail + rcpt + "> DATA\n< 451\n."},
		"cut in the content": {`[[rule]]
			do = [{at = "data", cut_in = "100B"}]`, hello + mail + rcpt + "> DATA\n< 354\n> " + string(make([]byte, 200)) + "\n."},
		"slow": {`[[rule]]
			do = [{at = "end", delay = "20ms"}, {at = "rcpt", drip = "1ms"}]`, hello + message},
		"messages per connection": {`[[rule]]
			messages_per_connection = 2`, hello + message + message + "> MAIL FROM:<>\n< 421 4.7.0 Too many messages\n."},
		"rate": {`[[rule]]
			rate = "3/m"
			rate_reply = "421 4.7.28 slower"`, hello + message + message + message + "> MAIL FROM:<>\n< 421 4.7.28\n."},
		"rate of a domain": {`[[rule]]
			domain = ["a.example"]
			rate = "1/m"
			rate_reply = "451 4.7.650 slower {client}"`, hello + message + mail + "> RCPT TO:<r@b.example>\n< 250\n> RCPT TO:<r@a.example>\n< 451 4.7.650 slower 127.0.0.1\n" + content + "< 250"},
		"profile": {`[[rule]]
			profile = "gmail"
			rate = "1/h"`, hello + message + "> MAIL FROM:<>\n< 421 4.7.28 https\n."},
		"EHLO keywords": {`[[listen]]
			address = "127.0.0.1:0"
			without = ["SIZE"]`, hello + message},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, c.config, Options{Now: new(testClock).now})
			play(t, "127.0.0.1", s.Addr(), c.script)
		})
	}
}

// TestHosts: a rule is for the address that a connection came to.
func TestHosts(t *testing.T) {
	s := startServer(t, `
		[[listen]]
		address = "127.0.0.1:0"
		host = "mx1.a.example"
		[[listen]]
		address = "127.0.0.2:0"
		host = "mx2.a.example"
		[[rule]]
		host = ["mx2.a.example"]
		do = [{at = "mail", reply = "450 4.3.2 not here"}]`, Options{Listen: []string{"127.0.0.1:0"}})
	addrs := s.Addrs()
	play(t, "127.0.0.1", addrs[0], "< 220 sink.example\n"+hello[6:]+message)
	play(t, "127.0.0.1", addrs[1], "< 220 mx1.a.example\n"+hello[6:]+message)
	play(t, "127.0.0.1", addrs[2],
		"< 220 mx2.a.example\n> EHLO x\n< 250\n> MAIL FROM:<>\n< 450 4.3.2")
}

// TestGreylist: a new envelope is put off until its time has passed; it does not matter how often
// it is tried meanwhile.
func TestGreylist(t *testing.T) {
	clock := new(testClock)
	s := startServer(t, `
		[[rule]]
		domain = ["a.example"]
		greylist = "5m"`, Options{Now: clock.now})
	later := "> RCPT TO:<r@a.example>\n< 450 4.2.0 <r@a.example>\n"
	talk := play(t, "127.0.0.1", s.Addr(), hello+mail+later+"> RCPT TO:<r@b.example>\n< 250\n"+
		later)
	clock.pass(5*time.Minute - 1)
	again(t, talk, later)
	clock.pass(1)
	again(t, talk, rcpt)
	play(t, "127.0.0.2", s.Addr(), hello+mail+later)
	s.Reset()
	again(t, talk, later)
}

// TestRateWindow: the limit is of each client, and is over when its time is.
func TestRateWindow(t *testing.T) {
	clock := new(testClock)
	s := startServer(t, "[[rule]]\nrate = \"2/m\"\nrate_reply = \"450 slower\"",
		Options{Now: clock.now})
	over := "> MAIL FROM:<>\n< 450 slower\n"
	talk := play(t, "127.0.0.1", s.Addr(), hello+mail+mail+over+over)
	play(t, "127.0.0.2", s.Addr(), hello+mail)
	clock.pass(time.Minute)
	again(t, talk, mail+mail+over)
}

// TestConnections: the limit is of each client, and a connection that ends makes room.
func TestConnections(t *testing.T) {
	s := startServer(t, "[[rule]]\nconnections = 2", Options{})
	first := play(t, "127.0.0.1", s.Addr(), hello)
	play(t, "127.0.0.1", s.Addr(), hello)
	play(t, "127.0.0.1", s.Addr(), "< 421 4.7.0 Too many connections from 127.0.0.1\n.")
	play(t, "127.0.0.2", s.Addr(), hello)
	again(t, first, "> QUIT\n< 221\n.")
	first.Close()
	for deadline := time.Now().Add(patience); ; { // the sink sees the end a moment later
		talk := play(t, "127.0.0.1", s.Addr(), "")
		if talk.Play("< 220") == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no room after a connection has ended")
		}
	}
}

// TestShares: shares are kept, each step draws anew, and the same seed draws the same.
func TestShares(t *testing.T) {
	conf := `seed = 7
		[[rule]]
		do = [{at = "rcpt", share = "20%", reply = "450 later"}, {at = "rcpt", share = "10%", reply = "550 no"}, {at = "rcpt", by = "address", share = "5%", reply = "551 never"}]`
	runs := [2]map[string]int{}
	var answers [2][]byte
	for run := range runs {
		c, err := Parse("", []byte(conf))
		if err != nil {
			t.Fatal(err)
		}
		p := compile(c, 0, time.Now)
		runs[run] = map[string]int{}
		for i := range 20000 {
			a := p.decide(&mailtest.Step{At: mailtest.AtRcpt, Recipient: recipient(i % 1000)})
			runs[run][a.Reply]++
			answers[run] = append(answers[run], a.Reply+"2"...)
		}
	}
	if !bytes.Equal(answers[0], answers[1]) {
		t.Error("the same seed gives other answers")
	}
	for reply, want := range map[string]int{"450 later": 4000, "550 no": 2000, "551 never": 1000} {
		if got := runs[0][reply]; got < want*8/10 || got > want*12/10 {
			t.Errorf("%q %d times, want about %d", reply, got, want)
		}
	}
	if half := len(answers[0]) / 2; bytes.Equal(answers[0][:half], answers[0][half:2*half]) {
		t.Error("every recipient gets the same answer each time")
	}
}

func recipient(i int) string {
	return string(rune('a'+i%26)) + string(rune('a'+i/26)) + "@a.example"
}

// TestByAddress: who is unknown stays unknown.
func TestByAddress(t *testing.T) {
	c, err := Parse("",
		[]byte("[[rule]]\ndo = [{at = \"rcpt\", by = \"address\", share = \"10%\", reply = "+
			"\"550 5.1.1 no\"}]"))
	if err != nil {
		t.Fatal(err)
	}
	p := compile(c, 0, time.Now)
	unknown := 0
	for i := range 600 {
		first := p.decide(&mailtest.Step{At: mailtest.AtRcpt, Recipient: recipient(i)})
		if p.decide(&mailtest.Step{At: mailtest.AtRcpt, Recipient: recipient(i)}) != first {
			t.Errorf("%s is known and is not", recipient(i))
		}
		if first.Reply != "" {
			unknown++
		}
	}
	if unknown < 30 || unknown > 90 {
		t.Errorf("%d of 600 are unknown, want about 60", unknown)
	}
}

// TestForgets: what a limit remembers is bounded.
func TestForgets(t *testing.T) {
	var m memory[int, int]
	for i := range 3 * maxRemembered {
		m.put(i, i)
	}
	if n := len(m.young) + len(m.old); n > 2*maxRemembered {
		t.Errorf("%d are kept", n)
	}
	if _, known := m.get(3*maxRemembered - 1); !known {
		t.Error("the newest is forgotten")
	}
	if _, known := m.get(0); known {
		t.Error("the oldest is kept")
	}
}
