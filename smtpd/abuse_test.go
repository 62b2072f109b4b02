package smtpd

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// This file has cases that broke other servers, over a real socket. testdata/abuse holds them with
// their sources.

// TestAbuseCases has one test for each case of cases.json, by name.
func TestAbuseCases(t *testing.T) { sessiontest.AbuseCases(t, abuseTests) }

var abuseTests = map[string]func(*testing.T){
	"STARTTLS plaintext injection":        testInjection,
	"STARTTLS session fixation":           testFixation,
	"Local part as shell/program text":    testShell,
	"Empty quoted local part":             testEmptyLocalPart,
	"Malformed NOOP":                      testMalformedNoop,
	"Truncated UTF-8 in parameters":       testTruncatedUTF8,
	"CR inside command":                   testCRInCommand,
	"BDAT dot confusion":                  testBdatDots,
	"DATA after BDAT / BINARYMIME+DATA":   testBinaryData,
	"AUTH mechanism switch after failure": testMechanismSwitch,
	"AUTH base64 odd lengths":             testBase64,
	"Huge EHLO argument":                  testHugeEhlo,
	"Header over 50 MB":                   testHugeHeader,
	"SIZE lies":                           testSizeLies,
	"Oversize then smuggled commands":     testOversizeSmuggling,
	"Mail loop":                           testMailLoop,
	"RCPT flood":                          testRcptFlood,
	"Junk commands":                       testJunk,
	"Slowloris":                           testSlowloris,
	"Early talker / bad pipelining":       testEarlyTalker,
	"NUL and 8-bit":                       testNulAnd8Bit,
	"HTTP on SMTP port (cross-protocol)":  testHTTP,
	"Half-open TLS handshakes":            testHalfOpenHandshakes,
	"fd exhaustion":                       testConnectionLimit,
}

func testInjection(t *testing.T) {
	r := newRig(t, ListenerOptions{}, withTLS)
	c := r.hello()
	c.Send("STARTTLS\r\nEHLO x\r\n")
	c.Expect("554 5.5.0")
	c.ExpectCut()
	// In a segment of its own, but before the handshake: the engine finds octets that are no
	// handshake.
	c = r.hello()
	c.Say("STARTTLS", "220")
	c.Flood("EHLO x\r\n")
	if rest, err := c.In.ReadString('\n'); strings.Contains(rest, "250") ||
		sessiontest.IsTimeout(err) {
		t.Fatalf("got %q, %v after plain text in place of a handshake", rest, err)
	}
}

func testFixation(t *testing.T) {
	r := newRig(t, ListenerOptions{AllowPlainAuth: true}, withTLS)
	c := r.hello()
	c.Say("AUTH PLAIN AHVAbG9jYWwuZXhhbXBsZQBzZWNyZXQ=", "235")
	c.Say("MAIL FROM:<u@local.example>", "250")
	c.Say("RCPT TO:<x@foreign.example>", "250")
	c.Say("STARTTLS", "220")
	c = c.startTLS()
	c.Say("DATA", "503")
	c.Say("RCPT TO:<x@foreign.example>", "503")
	c.Say("EHLO again.example", "250")
	c.Say("DATA", "503")
	c.Say("MAIL FROM:<a@b.example>", "250")
	c.Say("RCPT TO:<x@foreign.example>", "550 5.7.1") // AUTH is forgotten
}

func testShell(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.hello()
	c.Say("MAIL FROM:<;sleep 66;>", "501")
	c.Say("MAIL FROM:<a@b.example>", "250")
	c.Say(`RCPT TO:<"|/bin/sh"@local.example>`, "550 5.1.1")
	c.Say("RCPT TO:<${run{/bin/true}}@local.example>", "550 5.1.1")
	c.Say("DATA", "554")
}

func testEmptyLocalPart(t *testing.T) {
	c := newRig(t, ListenerOptions{}, nil).hello()
	c.Say("MAIL FROM:<a@b.example>", "250")
	c.Say(`RCPT TO:<""@local.example>`, "501")
	c.Say("NOOP", "250")
}

func testMalformedNoop(t *testing.T) {
	c := newRig(t, ListenerOptions{}, nil).hello()
	c.Say("NOOP \x01\x02", "501")
	c.Say(`NOOP "`, "250")
	c.Say("NOOP", "250")
}

func testTruncatedUTF8(t *testing.T) {
	c := newRig(t, ListenerOptions{}, nil).hello()
	c.Say("MAIL FROM:<f\xc3\xb6\xc3\xa4@\xc3\xb6\xc3>", "501")
	c.Say("FROP \xf1\x80", "501")
	c.Say("MAIL FROM:<a@b.example> SMTPUTF8=\xc3", "501")
	c.Say("NOOP", "250")
}

func testCRInCommand(t *testing.T) {
	c := newRig(t, ListenerOptions{}, nil).hello()
	c.Say("RSET\rQUIT", "501")
	c.Say("NOOP", "250") // neither RSET nor QUIT was answered or done
}

func testBdatDots(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.hello()
	c.mail("")
	c.Send("BDAT 10\r\n.\r\n....\r\n.")
	c.Expect("250")
	c.Send("BDAT 1\r\n\x00")
	c.Expect("250")
	c.Say("BDAT 0 LAST", "250")
	if m := r.queue.messages(); len(m) != 1 ||
		!strings.HasSuffix(m[0].data, "\r\n.\r\n....\r\n.\x00") {
		t.Fatalf("stored: %+v", m)
	}
	c.mail("")
	c.Say("BDAT 99999999999999999999", "501")
	c.Say("RSET", "250")
	c.mail("")
	c.Send("BDAT 4\r\nx\ny\n") // an error: lone LFs
	c.Expect("554")
	c.Send("BDAT 8\r\nQUIT\r\n\r\n") // swallowed
	c.Expect("503")
	c.Send("BDAT 12 LAST\r\nQUIT\r\nQUIT\r\n")
	c.Expect("503")
	c.Say("NOOP", "250")
	if n := len(r.queue.messages()); n != 1 {
		t.Fatalf("%d messages", n)
	}
}

func testBinaryData(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.hello()
	c.mail(" BODY=BINARYMIME")
	c.Say("DATA", "503")
	c.Send("BDAT 2\r\n\x00\n")
	c.Expect("250")
	c.Say("DATA", "503")
	c.Say("BDAT 0 LAST", "250")
	if m := r.queue.messages(); len(m) != 1 || !strings.HasSuffix(m[0].data, "\x00\n") {
		t.Fatalf("stored: %+v", m)
	}
}

func quick(o *Options) { o.Limits.ErrorDelay = time.Millisecond }

func testMechanismSwitch(t *testing.T) {
	c := newRig(t, ListenerOptions{AllowPlainAuth: true}, quick).hello()
	c.Say("AUTH CRAM-MD5", "504")
	c.Say("AUTH LOGIN", "334")
	c.Say("*", "501")
	c.Say("AUTH DIGEST-MD5", "504")
	c.Say("AUTH SCRAM-SHA-256", "334")
	c.Say("*", "501")
	c.Say("AUTH PLAIN AHVAbG9jYWwuZXhhbXBsZQB3cm9uZw==", "535")
	c.Say("AUTH PLAIN AHVAbG9jYWwuZXhhbXBsZQBzZWNyZXQ=", "235")
	c.Say("MAIL FROM:<u@local.example>", "250")
	c.Say("RCPT TO:<x@foreign.example>", "250")
}

func testBase64(t *testing.T) {
	r := newRig(t, ListenerOptions{AllowPlainAuth: true},
		func(o *Options) { quick(o); o.Limits.AuthFailures = 100 })
	c := r.hello()
	for _, initial := range []string{"=====", "abc", "AAA", strings.Repeat("A", 4*100+3),
		"AAAA====", "A=AA", strings.Repeat("AAAA", 3000)} {
		c.Say("AUTH PLAIN "+initial, "501")
	}
	c.Say("AUTH PLAIN", "334")
	c.Say("AAAA\x00AAAA", "501")
	c.Say("AUTH PLAIN "+strings.Repeat("A", 12288-13), "501") // the longest line
	c.Flood("AUTH PLAIN " + strings.Repeat("A", 12288-12) + "\r\n")
	c.Expect("500")
	c.ExpectCut()
}

func testHugeEhlo(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	for _, n := range []int{600, 11000} {
		c := r.connect()
		c.Expect("220")
		c.Say("EHLO "+strings.Repeat("A", n), "500 5.5.2")
		c.Say("EHLO client.example", "250")
	}
	c := r.connect()
	c.Expect("220")
	c.Flood("EHLO " + strings.Repeat("A", 64000) + "\r\n")
	c.Expect("500 5.5.2")
	c.ExpectCut()
}

func testHugeHeader(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) { o.Limits.MessageSize = 4 << 20 })
	c := r.hello()
	c.data()
	c.Send("Subject: ")
	piece := strings.Repeat("A", 1<<20)
	for range 8 {
		c.Send(piece)
		if used := r.srv.Budget.Used(); used > 5<<20 {
			t.Fatalf("%d octets in memory for a message that may have 4 MiB", used)
		}
	}
	if reply := c.Say("\r\n.", "55"); !strings.HasPrefix(reply, "552 5.3.4") &&
		!strings.HasPrefix(reply, "554 5.6.0") {
		t.Fatalf("got %q", reply)
	}
	c.Say("NOOP", "250")
	if used := r.srv.Budget.Used(); used != 0 {
		t.Fatalf("%d octets of the budget are not given back", used)
	}
}

func testSizeLies(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) { o.Limits.MessageSize = 1 << 20 })
	c := r.hello()
	c.Say("MAIL FROM:<a@b.example> SIZE=99999999999999999999", "501")
	c.Say("MAIL FROM:<a@b.example> SIZE=-1", "501")
	c.Say("MAIL FROM:<a@b.example> SIZE=1048577", "552 5.3.4")
	line := strings.Repeat("a", 70) + "\r\n"
	c.mail(" SIZE=10") // more than was declared, within the limit
	c.Say("DATA", "354")
	c.Send(strings.Repeat(line, 1000))
	c.Say(".", "250")
	c.mail(" SIZE=10")
	c.Say("DATA", "354")
	for range 20 {
		c.Send(strings.Repeat(line, 1000))
	}
	c.Say(".", "552 5.3.4")
	c.Say("NOOP", "250")
	if n := len(r.queue.messages()); n != 1 {
		t.Fatalf("%d messages", n)
	}
}

func testOversizeSmuggling(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) { o.Limits.MessageSize = 1000 })
	c := r.hello()
	c.data()
	c.Send(strings.Repeat("0123456789\r\n", 100) + "\n.\nHELP\nHELP\n.\n" + "\r\nHELP\r\n\r\n.\r\n")
	c.Expect("552 5.3.4")
	c.Say("NOOP", "250 2.0.0 Ok") // and nothing in between
	if n := len(r.queue.messages()); n != 0 {
		t.Fatalf("%d messages", n)
	}
}

func testMailLoop(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.hello()
	for n, want := range map[int]string{50: "250", 51: "554 5.4.6", 101: "554 5.4.6"} {
		c.data()
		c.Send(strings.Repeat("Received: from a by b; date\r\n", n))
		c.Say("\r\n.", want)
	}
}

func testRcptFlood(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.hello()
	c.Say("MAIL FROM:<a@b.example>", "250")
	c.Flood(strings.Repeat("RCPT TO:<u@local.example>\r\n", 2001))
	for i := range 2001 {
		switch {
		case i < 1000:
			c.Expect("250 2.1.5")
		case i < 2000:
			c.Expect("452 4.5.3")
		default:
			c.Expect("421 4.7.0")
		}
	}
	c.ExpectCut()
}

func testJunk(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.connect()
	c.Expect("220")
	c.Say("HELO client.example", "250")
	c.Flood(strings.Repeat("NOOP\r\nRSET\r\nVRFY u\r\n", 3300))
	for range 99 {
		c.Expect("25")
	}
	c.Expect("421 4.7.0")
	c.ExpectCut()
}

// drip sends an octet at a time until the server has had enough, and returns what it says.
func drip(c *client, octets string) string {
	c.T.Helper()
	for i := 0; ; i = (i + 1) % len(octets) {
		c.Flood(octets[i : i+1])
		c.Conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // the pace
		line, err := c.In.ReadString('\n')
		if !sessiontest.IsTimeout(err) {
			return line
		}
	}
}

func testSlowloris(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) {
		o.Limits.CommandTimeout, o.Limits.DataTimeout, o.Limits.MinRate = 300*time.Millisecond,
			300*time.Millisecond, 1000
	})
	c := r.connect()
	c.Expect("220")
	if got := drip(c, "N"); !strings.HasPrefix(got, "421 4.4.2") {
		t.Fatalf("command: %q", got)
	}
	c = r.hello()
	c.data()
	if got := drip(c, "x"); !strings.HasPrefix(got, "421 4.4.2") {
		t.Fatalf("data: %q", got)
	}
	c = r.hello()
	c.mail("")
	c.Send("BDAT 100000\r\n")
	if got := drip(c, "x"); !strings.HasPrefix(got, "421 4.4.2") {
		t.Fatalf("chunk: %q", got)
	}
	if s := r.srv.Stats(); s.Timeouts != 3 {
		t.Fatalf("%d time-outs counted", s.Timeouts)
	}
	testNeverReads(t)
}

// testNeverReads: a client that never reads its replies does not fill our memory.
func testNeverReads(t *testing.T) {
	r := newRigOn(t, eventloop.Options{Loops: 1, Linger: 100 * time.Millisecond}, ListenerOptions{},
		func(o *Options) {
			o.Limits.Junk, o.Limits.CommandTimeout = 1<<30, 300*time.Millisecond
		})
	c := r.hello()
	help := strings.Repeat("HELP\r\n", 10000)
	for { // until the server no longer reads and lets go
		if _, err := c.Conn.Write([]byte(help)); err != nil {
			if sessiontest.IsTimeout(err) {
				t.Fatal("the server holds on to a client that never reads")
			}
			return
		}
	}
}

func testEarlyTalker(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) { o.GreetingDelay = sessiontest.Patience })
	c := r.connect()
	c.Send("EHLO client.example\r\n")
	c.Expect("554 5.5.0")
	c.ExpectCut()

	r = newRig(t, ListenerOptions{}, nil)
	c = r.connect()
	c.Expect("220")
	c.Send("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n")
	c.Expect("554 5.5.0")
	c.ExpectCut()

	c = r.hello()
	c.mail("")
	c.Send("DATA\r\nSubject: early\r\n\r\n.\r\n")
	c.Expect("554 5.5.0")
	c.ExpectCut()
	if n := len(r.queue.messages()); n != 0 {
		t.Fatalf("%d messages", n)
	}
}

func testNulAnd8Bit(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	c := r.hello()
	c.Say("NOOP\x00", "501")
	c.Say("MAIL FROM:<a\x00@b.example>", "501")
	c.data()
	c.Say("Subject: a\x00b\r\n\r\nx\x00y\xff\r\n.", "250")
	m := r.queue.messages()
	if len(m) != 1 || !strings.HasSuffix(m[0].data, "Subject: a\x00b\r\n\r\nx\x00y\xff\r\n") ||
		m[0].env.Body != 1 {
		t.Fatalf("stored: %+v", m)
	}
}

func testHTTP(t *testing.T) {
	r := newRig(t, ListenerOptions{}, nil)
	for _, request := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n",
		"GET / HTTP/1.0\n\n", "CONNECT x:25 HTTP/1.1\r\n\r\n"} {
		c := r.connect()
		c.Expect("220")
		c.Send(request)
		c.Expect("554 5.5.1")
		c.ExpectCut()
	}
}

func testHalfOpenHandshakes(t *testing.T) {
	r := newRigOn(t, eventloop.Options{Loops: 1, HandshakeLimit: 300 * time.Millisecond},
		ListenerOptions{Kind: Submissions}, withTLS)
	var half []*client
	for range 50 {
		c := r.connect()
		c.Send("\x16\x03\x01\x02\x00")
		half = append(half, c)
	}
	for _, c := range half {
		c.ExpectCut()
	}
	c := r.connect().startTLS()
	c.Expect("220")
}

func testConnectionLimit(t *testing.T) {
	r := newRig(t, ListenerOptions{}, func(o *Options) { o.Limits.Connections = 3 })
	var open []*client
	for range 3 {
		open = append(open, r.hello())
	}
	c := r.connect()
	c.Expect("421 4.3.2")
	c.ExpectCut()
	open[0].Say("QUIT", "221")
	open[0].ExpectCut()
	open[1].Say("NOOP", "250")
	r.hello().Say("NOOP", "250")

	r = newRig(t, ListenerOptions{}, func(o *Options) { o.Limits.ConnectionsPerNetwork = 1 })
	r.hello()
	r.connect().Expect("421 4.7.0")
}

// TestSmuggling sends each end-of-data look-alike of smuggling_eod.json inside a message and a
// whole transaction after it.
func TestSmuggling(t *testing.T) {
	cases := sessiontest.Abuse[[]struct {
		Name string
		Hex  string `json:"bytes_hex"`
	}](t, "smuggling_eod.json")
	if len(cases) < 12 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, test := range cases {
		t.Run(test.Name, func(t *testing.T) {
			octets, err := hex.DecodeString(test.Hex)
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, ListenerOptions{}, nil)
			c := r.hello()
			c.data()
			c.Send("Subject: first\r\n\r\ntext" + string(octets) +
				"MAIL FROM:<evil@b.example>\r\nRCPT TO:<u@local.example>\r\nDATA\r\nSubject: " +
				"second\r\n\r\ntext\r\n.\r\n")
			reply := c.Reply()
			c.Say("NOOP", "250 2.0.0 Ok") // nothing of what was smuggled has a reply
			got := r.queue.messages()
			lone := strings.ContainsAny(strings.ReplaceAll(string(octets), "\r\n", ""), "\r\n")
			switch {
			case lone && (!strings.HasPrefix(reply, "554 5.6.0") || len(got) != 0):
				t.Fatalf("%q with %d messages, want a refusal", reply, len(got))
			case !lone && (!strings.HasPrefix(reply, "250") || len(got) != 1 ||
				!strings.Contains(got[0].data, "Subject: second")):
				t.Fatalf("%q with %d messages, want one message with all of it", reply, len(got))
			}
		})
	}
}
