package smtpclient

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Each wait ends when RFC 5321 4.5.3.2 lets it, under virtual time: not before, and at most a
// quarter later.
func TestDeadlines(t *testing.T) {
	d := Timeouts{}.withDefaults()
	mailed, rcpted := cMail+"S: 250 ok\n", cOne+"S: 250 ok\n"
	dataed := mailed + rcpted + "C: DATA\nS: 354 go\n"
	for _, c := range []struct {
		name, script string
		want         string
		after        time.Duration
	}{
		{"greeting", "hang", "4.4.2 greeting local", d.Greeting},
		{"greeting, dripping", "drip 20s 220-x\r\n", "4.4.2 greeting local", d.Greeting},
		{"EHLO", "S: 220 x\nhang", "4.4.2 EHLO local", d.Hello},
		{"EHLO, dripping", greet + "drip 20s 250-x\r\n", "4.4.2 EHLO local", d.Hello},
		{"HELO", greet + "S: 500 no\nhang", "4.4.2 HELO local", d.Hello},
		{"STARTTLS", offersTLS + "hang", "4.4.2 STARTTLS local tls", d.Hello},
		{"handshake", startTLS + "hang", "4.7.5 TLS handshake local tls", d.TLS},
		{"handshake, dripping", startTLS + "drip 1s \x16", "4.7.5 TLS handshake local tls", d.TLS},
		{"AUTH", greet + "S: 250-x\nS: 250 AUTH LOGIN\nhang", "4.4.2 AUTH local", d.Auth},
		{"MAIL", plain + "hang", "451 4.4.2 MAIL FROM local; dead", d.Mail},
		{"MAIL, not even read", plain + "stall", "451 4.4.2 MAIL FROM local; dead", d.Mail},
		{"RCPT", plain + mailed + "hang", "451 4.4.2 RCPT TO local; dead", d.Rcpt},
		{"RCPT, dripping", plain + mailed + "drip 20s 250-x\r\n", "451 4.4.2 RCPT TO local; dead",
			d.Rcpt},
		{"DATA", plain + mailed + rcpted + "hang", "451 4.4.2 DATA local; dead", d.DataStart},
		{"pipelined", piped + "hang", "451 4.4.2 MAIL FROM local; dead", d.Mail},
		{"content not read", plain + dataed + "stall", "451 4.4.2 mail data local; dead",
			d.DataBlock},
		{"short content not read", plain + dataed + "stall", "451 4.4.2 mail data local; dead",
			d.DataBlock},
		{"content not read to its end", plain + dataed + "bdat 900000\nstall",
			"451 4.4.2 mail data local; dead", d.DataBlock},
		{"end of data", plain + dataed + "data\nhang",
			"451 4.4.2 end of mail data local unknown; dead", d.DataEnd},
		{"end of data, dripping", plain + dataed + "data\ndrip 20s 250-x\r\n",
			"451 4.4.2 end of mail data local unknown; dead", d.DataEnd},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, end := servePipe(t, c.script)
				o.TLS = Opportunistic
				if c.name == "AUTH" {
					o.Username, o.Password, o.AuthInClear = "u", "p", true
				}
				begin := time.Now()
				conn, err := Dial(t.Context(), o)
				got := verdictOf(conn, err)
				if err == nil {
					tx := newTx("a@example.org")
					tx.Content = bytes.Repeat([]byte("0123456789\r\n"), 100_000)
					if strings.HasPrefix(c.name, "short") {
						tx.Content = tx.Content[:12*5000]
					}
					got = verdict(conn.Deliver(tx))
					conn.Quit()
				}
				took := time.Since(begin)
				if got != c.want || took < c.after || took > c.after+c.after/4+time.Second {
					t.Errorf("%s after %v, want %s after %v", got, took, c.want, c.after)
				}
				end()
			})
		})
	}
}

// QUIT hangs on nothing for long.
func TestQuitDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, end := servePipe(t, piped+"C: QUIT\nhang")
		conn := dial(t, o)
		begin := time.Now()
		conn.Quit()
		if took := time.Since(begin); took > 7*time.Second {
			t.Fatal(took)
		}
		end()
	})
}

// A connection that lay idle for long has a deadline in the past; the next transaction sets its
// own. One that is slow, but within each wait, goes through.
func TestSlowButWithinEachDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		msg := cMail + "wait 290s\nS: 250 ok\n" + cOne +
			"wait 290s\nS: 250 ok\nC: DATA\nwait 110s\nS: 354 go\ndata\nwait 590s\nS: 250 ok\n"
		o, end := servePipe(t, "wait 290s\n"+greet+"wait 290s\nS: 250 mx.example\n"+msg+msg+
			"C: QUIT\nS: 221 bye\n")
		conn := dial(t, o)
		for range 2 {
			tx := newTx("a@example.org")
			if got := verdict(conn.Deliver(tx)); got != "250 2.0.0 end of mail data" {
				t.Fatal(got)
			}
			<-time.After(time.Hour)
		}
		conn.Quit()
		end()
	})
}
