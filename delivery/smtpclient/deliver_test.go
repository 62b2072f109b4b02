package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

const (
	greet = "S: 220 mx.example ESMTP\nC: EHLO client.example\n"
	// piped, plain and old are servers with PIPELINING and without, and one that knows only HELO.
	piped = greet +
		"S: 250-mx.example\nS: 250-PIPELINING\nS: 250-8BITMIME\nS: 250 ENHANCEDSTATUSCODES\n"
	plain = greet + "S: 250-mx.example\nS: 250 8BITMIME\n"
	old   = greet + "S: 502 what?\nC: HELO client.example\nS: 250 mx.example\n"

	cMail = "C: MAIL FROM:<s@example.net>\n"
	cOne  = "C: RCPT TO:<a@example.org>\n"
	cTwo  = "C: RCPT TO:<b@example.org>\n"
	cRset = "C: RSET\n"
	cQuit = "C: QUIT\nS: 221 bye\n"

	content = "Subject: x\r\n\r\nhello\r\n"
)

func newTx(recipients ...string) *Transaction {
	tx := &Transaction{Sender: "s@example.net", Content: []byte(content)}
	for _, r := range recipients {
		tx.Recipients = append(tx.Recipients, mail.Recipient{Address: r})
	}
	return tx
}

func two() *Transaction { return newTx("a@example.org", "b@example.org") }

// verdict writes a result so that it can be compared: code, enhanced code and step of each
// recipient, then the flags.
func verdict(r Result) string {
	var l []string
	for _, s := range r.Recipients {
		w := fmt.Sprintf("%d %s %s", s.Code, s.Enhanced, s.Command)
		if s.Local {
			w += " local"
		}
		if s.Unknown {
			w += " unknown"
		}
		l = append(l, w)
	}
	for _, flag := range []struct {
		name string
		on   bool
	}{{"dead", r.Err != nil}, {"retry", r.Retry}, {"aborted", r.Aborted}} {
		if flag.on {
			l = append(l, flag.name)
		}
	}
	return strings.Join(l, "; ")
}

func dial(t testing.TB, o *Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each case is one transaction with two recipients, against what the peer does.
func TestDeliver(t *testing.T) {
	group := cMail + cOne + cTwo + "C: DATA\n"
	for _, c := range []struct{ name, script, want string }{
		{"pipelined",
			piped + group +
				"S: 250 ok\nS: 250 2.1.5 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 2.0.0 Ok: " +
				"queued as 1\n" + cQuit,
			"250 2.0.0 end of mail data; 250 2.0.0 end of mail data"},
		{"step by step", plain + cMail + "S: 250 ok\n" + cOne + "S: 250 ok\n" + cTwo +
			"S: 251 forwarded\nC: DATA\nS: 354 go\ndata\nS: 250 ok\n" + cQuit,
			"250 2.0.0 end of mail data; 250 2.0.0 end of mail data"},
		{"HELO", old + cMail + "S: 250 ok\n" + cOne + "S: 250 ok\n" + cTwo +
			"S: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 ok\n" + cQuit,
			"250 2.0.0 end of mail data; 250 2.0.0 end of mail data"},
		{"one recipient refused",
			piped + group +
				"S: 250 ok\nS: 550 5.1.1 unknown\nS: 250 ok\nS: 354 go\ndata\nS: 250 ok\n" + cQuit,
			"550 5.1.1 RCPT TO; 250 2.0.0 end of mail data"},
		{"one recipient later",
			piped + group +
				"S: 250 ok\nS: 250 ok\nS: 452 4.5.3 too many\nS: 354 go\ndata\nS: 250 ok\n" + cQuit,
			"250 2.0.0 end of mail data; 452 4.5.3 RCPT TO"},
		{"552 for too many",
			piped + group +
				"S: 250 ok\nS: 250 ok\nS: 552 too many recipients\nS: 354 go\ndata\nS: 250 ok\n" +
				cQuit,
			"250 2.0.0 end of mail data; 452 4.5.3 RCPT TO"},
		{"552 for a full mailbox",
			piped + group +
				"S: 250 ok\nS: 552 5.2.2 full\nS: 250 ok\nS: 354 go\ndata\nS: 250 ok\n" + cQuit,
			"552 5.2.2 RCPT TO; 250 2.0.0 end of mail data"},
		{"all refused, DATA refused",
			piped + group + "S: 250 ok\nS: 550 no\nS: 450 later\nS: 503 no recipients\n" + cQuit,
			"550 5.0.0 RCPT TO; 450 4.0.0 RCPT TO"},
		{"all refused after DATA got 354: lone dot",
			piped + group +
				"S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 554 no recipients\n" + cQuit,
			"550 5.0.0 RCPT TO; 550 5.0.0 RCPT TO"},
		{"all refused, step by step", plain + cMail + "S: 250 ok\n" + cOne + "S: 550 no\n" + cTwo +
			"S: 550 no\n" + cQuit,
			"550 5.0.0 RCPT TO; 550 5.0.0 RCPT TO"},
		{"MAIL refused",
			piped + group +
				"S: 550 5.7.1 not you\nS: 503 MAIL first\nS: 503 MAIL first\nS: 503 MAIL first\n" +
				cQuit,
			"550 5.7.1 MAIL FROM; 550 5.7.1 MAIL FROM"},
		{"MAIL refused, the rest taken",
			piped + group +
				"S: 450 4.7.1 later\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: .\nS: 250 eh\n" + cQuit,
			"450 4.7.1 MAIL FROM; 450 4.7.1 MAIL FROM"},
		{"MAIL refused, step by step", plain + cMail + "S: 451 no\n" + cQuit,
			"451 4.0.0 MAIL FROM; 451 4.0.0 MAIL FROM"},
		{"DATA refused", piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 451 4.3.0 later\n" +
			cQuit,
			"451 4.3.0 DATA; 451 4.3.0 DATA"},
		{"content refused",
			piped + group +
				"S: 250 ok\nS: 250 ok\nS: 550 no\nS: 354 go\ndata\nS: 554 5.7.1 spam\n" + cQuit,
			"554 5.7.1 end of mail data; 550 5.0.0 RCPT TO"},

		{"closed at MAIL", piped + cMail + "close",
			"451 4.4.2 MAIL FROM local; 451 4.4.2 MAIL FROM local; dead"},
		{"closed at RCPT", piped + group + "S: 250 ok\nS: 550 no\nclose",
			"550 5.0.0 RCPT TO; 451 4.4.2 RCPT TO local; dead"},
		{"closed at DATA", piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nclose",
			"451 4.4.2 DATA local; 451 4.4.2 DATA local; dead"},
		{"closed at the content",
			piped + group + "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 354 go\ndata\nclose",
			"451 4.4.2 end of mail data local unknown; 550 5.0.0 RCPT TO; dead"},
		{"reset at the content",
			piped + group + "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 354 go\ndata\nreset",
			"451 4.4.2 end of mail data local unknown; 550 5.0.0 RCPT TO; dead"},
		{"closed within a reply", piped + group + "S: 250 ok\nS> \"250-o\"\nclose",
			"451 4.4.2 RCPT TO local; 451 4.4.2 RCPT TO local; dead"},

		{"421 at MAIL", piped + group + "S: 421 4.3.2 going down\nclose",
			"421 4.3.2 MAIL FROM; 421 4.3.2 MAIL FROM; dead"},
		{"421 at RCPT", piped + group + "S: 250 ok\nS: 550 no\nS: 421 bye\nclose",
			"550 5.0.0 RCPT TO; 421 4.0.0 RCPT TO; dead"},
		{"421 at DATA", piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 421 bye\nclose",
			"421 4.0.0 DATA; 421 4.0.0 DATA; dead"},
		{"421 at the end",
			piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 421 bye\nclose",
			"421 4.0.0 end of mail data; 421 4.0.0 end of mail data; dead"},

		{"354 for MAIL", piped + group + "S: 354 go\nhang",
			"451 4.5.0 MAIL FROM local; 451 4.5.0 MAIL FROM local; dead"},
		{"354 for RCPT", piped + group + "S: 250 ok\nS: 354 go\nhang",
			"451 4.5.0 RCPT TO local; 451 4.5.0 RCPT TO local; dead"},
		{"250 for DATA", piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nhang",
			"451 4.5.0 DATA local; 451 4.5.0 DATA local; dead"},
		{"354 for the content",
			piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 354 more?\nhang",
			"451 4.5.0 end of mail data local unknown; 451 4.5.0 end of mail data local " +
				"unknown; dead"},
		{"a reply too many before the content",
			piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 queued\nhang",
			"451 4.5.0 DATA local; 451 4.5.0 DATA local; dead"},
		{"a reply too many after the content",
			piped + group +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 queued\nS: 250 " +
				"again\nhang",
			"250 2.0.0 end of mail data; 250 2.0.0 end of mail data; dead"},
		{"replies ahead of commands", plain + "S: 250 ok\nhang", "out of turn"},
		{"garbage", piped + group + "S: HTTP/1.1 400 Bad Request\nhang",
			"451 4.5.0 MAIL FROM local; 451 4.5.0 MAIL FROM local; dead"},
		{"codes differ in one reply", piped + group + "S: 250-ok\nS: 550 no\nhang",
			"451 4.5.0 MAIL FROM local; 451 4.5.0 MAIL FROM local; dead"},
		{"endless line", piped + group + "flood " + strings.Repeat("2", 5000),
			"451 4.5.0 MAIL FROM local; 451 4.5.0 MAIL FROM local; dead"},
		{"endless reply", piped + group + "flood 250-x",
			"451 4.5.0 MAIL FROM local; 451 4.5.0 MAIL FROM local; dead"},
		{"endless reply to the content",
			piped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nflood 250-" +
				strings.Repeat("x", 1000),
			"451 4.5.0 end of mail data local unknown; 451 4.5.0 end of mail data local " +
				"unknown; dead"},
	} {
		t.Run(c.name, func(t *testing.T) { tryTwo(t, c.script, c.want, false) })
	}
}

// tryTwo makes one transaction with two recipients and compares what came of it.
func tryTwo(t *testing.T, script, want string, lmtp bool) {
	o, kept := serve(t, script)
	o.LMTP = lmtp
	conn, err := Dial(t.Context(), o)
	if want == "out of turn" {
		if err == nil || !errors.Is(err, errOutOfTurn) {
			t.Fatalf("Dial: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	res := conn.Deliver(two())
	if got := verdict(res); got != want {
		t.Errorf("%s\nwant %s\n%v", got, want, res.Err)
	}
	if conn.Usable() != (res.Err == nil) {
		t.Errorf("usable: %v", conn.Usable())
	}
	conn.Quit()
	for _, k := range kept() {
		if k != content+".\r\n" {
			t.Errorf("received %q", k)
		}
	}
}

// TestPeersOwnCode: where a rule of ours takes a refusal otherwise, what the peer said stays.
func TestPeersOwnCode(t *testing.T) {
	group := cMail + cOne + cTwo + "C: DATA\n"
	for _, c := range []struct{ script, want string }{
		{"S: 250 ok\nS: 250 ok\nS: 552 too many recipients\nS: 354 go\ndata\nS: 250 ok\n",
			"452 4.5.3: 552 too many recipients"},
		{"S: 250 ok\nS: 250 ok\nS: 552 5.5.3 too many\nS: 354 go\ndata\nS: 250 ok\n",
			"452 4.5.3: 552 5.5.3 too many"},
		{"S: 250 ok\nS: 250 ok\nS: 550 no\nS: 354 go\ndata\nS: 250 ok\n", "550 5.0.0: 550 no"},
		{"S: 250 ok\nS: 250 ok\nS: 550 5.0.0 no\nS: 354 go\ndata\nS: 250 ok\n",
			"550 5.0.0: 550 5.0.0 no"},
		{"S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no\nS: 354 go\ndata\nS: 250 ok\n",
			"550 5.1.1: 550 5.1.1 no"},
	} {
		o, _ := serve(t, piped+group+c.script+cQuit)
		conn := dial(t, o)
		res := conn.Deliver(two())
		st := &res.Recipients[1]
		if got := fmt.Sprintf("%d %s: %d %s", st.Code, st.Enhanced, st.Reply,
			smtp.Words(st.Reply, st.Enhanced, st.Text)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		conn.Quit()
	}
}

// TestMustStartTLS: who asks for TLS, which did not work, is asked again later.
func TestMustStartTLS(t *testing.T) {
	script := plain + cMail + "S: 530 5.7.0 Must issue a STARTTLS command first\n" + cQuit
	for fellBack, want := range map[bool]string{
		false: "530 5.7.0 MAIL FROM; 530 5.7.0 MAIL FROM",
		true:  "454 4.7.0 MAIL FROM; 454 4.7.0 MAIL FROM",
	} {
		o, _ := serve(t, script)
		o.FellBack = fellBack
		conn, err := Dial(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := verdict(conn.Deliver(two())); got != want {
			t.Errorf("fell back: %v: %s\nwant %s", fellBack, got, want)
		}
		conn.Quit()
	}
}

func TestNextTransactionOnAConnection(t *testing.T) {
	group := cMail + cOne + cTwo + "C: DATA\n"
	ok := "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 queued\n"
	good := "250 2.0.0 end of mail data; 250 2.0.0 end of mail data"
	for _, c := range []struct{ name, script, want string }{
		{"again", piped + group + ok + group + ok + cQuit, good},
		{"RSET only when a transaction is open",
			piped + group + "S: 250 ok\nS: 550 no\nS: 550 no\nS: 503 no\n" + cRset + group +
				"S: 250 reset\n" + ok + cQuit, good},
		{"no RSET after the lone dot",
			piped + group + "S: 250 ok\nS: 550 no\nS: 550 no\nS: 354 go\nC: .\nS: 554 no\n" +
				group + ok + cQuit, good},
		{"no RSET after MAIL was refused",
			piped + group + "S: 450 no\nS: 503 no\nS: 503 no\nS: 503 no\n" + group + ok + cQuit,
			good},
		{"RSET step by step", plain + cMail + "S: 250 ok\n" + cOne + "S: 550 no\n" + cTwo +
			"S: 550 no\n" + cRset + "S: 250 ok\n" +
			cMail + "S: 250 ok\n" + cOne + "S: 250 ok\n" + cTwo +
			"S: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 ok\n" + cQuit, good},
		{"closed meanwhile", piped + group + ok + "close",
			"451 4.4.2 MAIL FROM local; 451 4.4.2 MAIL FROM local; dead; retry"},
		{"421 for the second", piped + group + ok + group + "S: 421 4.7.0 enough\nclose",
			"421 4.7.0 MAIL FROM; 421 4.7.0 MAIL FROM; dead; retry"},
		{"lost later in the second", piped + group + ok + group + "S: 250 ok\nclose",
			"451 4.4.2 RCPT TO local; 451 4.4.2 RCPT TO local; dead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, kept := serve(t, c.script)
			conn := dial(t, o)
			tx := two()
			conn.Deliver(tx)
			if c.name == "closed meanwhile" {
				kept() // until the server has closed
			}
			if got := verdict(conn.Deliver(tx)); got != c.want &&
				!(c.name == "closed meanwhile" && strings.HasSuffix(got, "dead; retry")) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			conn.Quit()
			kept()
			if got := verdict(conn.Deliver(tx)); !strings.HasSuffix(got, "dead; retry") {
				t.Errorf("after the end: %s", got)
			}
		})
	}
}

func TestAlive(t *testing.T) {
	for name, last := range map[string]string{"closed": "close",
		"421": "S: 421 idle too long\nhang"} {
		t.Run(name, func(t *testing.T) {
			o, _ := serve(t,
				piped+cMail+cOne+
					"C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 queued\nC: QUIT\n",
				piped+"C: NOOP\n"+last)
			conn := dial(t, o)
			if conn.Deliver(newTx("a@example.org")); !conn.Alive() || !conn.Usable() {
				t.Fatal("a silent connection counts as dead")
			}
			conn.Quit()
			if conn.Alive() {
				t.Fatal("alive after QUIT")
			}
			conn = dial(t, o)
			conn.raw.Write([]byte("NOOP\r\n"))
			// wait for the event without taking it: the next read is of the 421, or of the end
			one := make([]byte, 1)
			if name == "421" {
				conn.raw.Read(one)
			} else {
				io.ReadFull(conn.raw, one)
			}
			if conn.Alive() || conn.Usable() {
				t.Fatal("alive")
			}
			conn.Quit()
		})
	}
}

// An early reply (here 552, then the end) is what the recipients get, not the failed write.
func TestReplyBeforeTheEnd(t *testing.T) {
	o, _ := serve(t,
		piped+cMail+cOne+
			"C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: line\nS: 552 5.3.4 too much\nclose")
	tx := newTx("a@example.org")
	tx.Content = bytes.Repeat([]byte("line\r\n"), 20<<20/6)
	got := verdict(dial(t, o).Deliver(tx))
	// The reset that follows may overtake the reply in the kernel; it must never count as unknown.
	if got != "552 5.3.4 mail data; dead" && got != "451 4.4.2 mail data local; dead" {
		t.Fatal(got)
	}
}

// countingConn counts the calls that are system calls on a socket.
type countingConn struct {
	net.Conn
	reads, writes, written, deadlines int
}

func (c *countingConn) Read(p []byte) (int, error) { c.reads++; return c.Conn.Read(p) }

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes++
	n, err := c.Conn.Write(p)
	c.written += n
	return n, err
}

func (c *countingConn) SetDeadline(t time.Time) error {
	c.deadlines++
	return c.Conn.SetDeadline(t)
}

// A small message costs a pipelining peer's connection two reads and two writes (the second of
// them, of the content and its end, is one writev on a socket and two calls here), and at most two
// deadlines.
func TestCallsPerMessage(t *testing.T) {
	msg := cMail + cOne + "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 ok\n"
	o, kept := serve(t, piped+msg+msg+cQuit)
	conn := dial(t, o)
	tx := newTx("a@example.org")
	conn.Deliver(tx)
	counted := &countingConn{Conn: conn.raw}
	conn.raw, conn.nc = counted, counted
	conn.Deliver(tx)
	if counted.reads != 2 || counted.writes != 3 || counted.deadlines > 2 {
		t.Fatalf("%d reads, %d writes, %d deadlines", counted.reads, counted.writes,
			counted.deadlines)
	}
	conn.Quit()
	kept()
}
