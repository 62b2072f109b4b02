package smtpd

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// records is a sink that keeps what it gets.
type records struct {
	maillog.Sink
	got chan maillog.Record
}

func (r records) Log(rec *maillog.Record) { r.got <- *rec }

// TestRefusedRecipient: the log names the recipient that was refused, not another of the
// transaction.
func TestRefusedRecipient(t *testing.T) {
	log := records{maillog.Discard, make(chan maillog.Record, 16)}
	r, _ := newSlowRig(t, func(o *Options) { o.Log = log })
	c := r.hello()
	c.Say("MAIL FROM:<a@b.example>", "250")
	c.Say("RCPT TO:<u@local.example>", "250")
	c.Say("RCPT TO:<u@elsewhere.example>", "550")
	if rec := <-log.got; rec.Type != maillog.Rejection || rec.Sender != "a@b.example" ||
		rec.Recipient != "u@elsewhere.example" {
		t.Errorf("rejection %+v", rec)
	}
}

// TestFailedScram: the log names the user of a SCRAM exchange.
func TestFailedScram(t *testing.T) {
	log := records{maillog.Discard, make(chan maillog.Record, 16)}
	r := newRig(t, ListenerOptions{AllowPlainAuth: true}, func(o *Options) { o.Log = log })
	c := r.hello()
	c.Say("AUTH SCRAM-SHA-256 biwsbj1hPTJDYixyPXg=", "535") // n,,n=a=2Cb,r=x
	if rec := <-log.got; rec.Mechanism != "SCRAM-SHA-256" || rec.User != "a,b" {
		t.Errorf("%+v", rec)
	}
}

// noData takes no mail data by BDAT or DATA.
type noData struct{ strictPolicy }

func (noData) Data(*Client, int) *smtp.Failure { return smtp.Temp(450, "4.7.1", "Too many today") }

// TestRefusedEnvelope: the log names the envelope of what is refused, though the refusal ends the
// transaction; and a refusal of the next command names none.
func TestRefusedEnvelope(t *testing.T) {
	const mailFrom, to = "MAIL FROM:<a@b.example>", "RCPT TO:<u@local.example>"
	sizes := map[string]int64{"MAIL, too big": 999999999999,
		"DATA, too many hops": int64(200*len("Received: x\r\n") + len("\r\n")),
		"DATA, by the policy": 0}
	for what, say := range map[string]func(*client, *slowQueue){
		"MAIL, too big": func(c *client, _ *slowQueue) {
			c.Say(mailFrom+" SIZE=999999999999", "552")
		},
		"DATA, too many hops": func(c *client, _ *slowQueue) {
			c.Say(mailFrom, "250")
			c.Say(to, "250")
			c.Say("DATA", "354")
			c.Say(strings.Repeat("Received: x\r\n", 200)+"\r\n.", "554")
		},
		"DATA, by the queue": func(c *client, q *slowQueue) {
			c.Say(mailFrom, "250")
			c.Say(to, "250")
			c.Say("DATA", "354")
			c.Send("x\r\n.\r\n")
			(<-q.submitted)(mail.ID{}, smtp.Temp(451, "4.3.0", "not now").With(
				errors.New("the disk is slow")))
			c.Expect("451")
		},
		"DATA, by the policy": func(c *client, _ *slowQueue) {
			c.Say(mailFrom, "250")
			c.Say(to, "250")
			c.Say("DATA", "450")
			c.Say("RSET", "250")
		},
		"BDAT, by the policy": func(c *client, _ *slowQueue) {
			c.Say(mailFrom, "250")
			c.Say(to, "250")
			c.Send("BDAT 1 LAST\r\nx")
			c.Expect("450")
		},
	} {
		t.Run(what, func(t *testing.T) {
			log := records{maillog.Discard, make(chan maillog.Record, 16)}
			r, q := newSlowRig(t, func(o *Options) {
				if o.Log = log; strings.HasSuffix(what, "policy") {
					o.Policy = noData{}
				}
			})
			c := r.hello()
			say(c, q)
			rec, recipient := <-log.got, "u@local.example"
			if strings.HasPrefix(what, "MAIL") {
				recipient = ""
			}
			if rec.Sender != "a@b.example" || rec.Recipient != recipient {
				t.Errorf("%s: from=<%s> to=<%s>", rec.Command, rec.Sender, rec.Recipient)
			}
			if size, known := sizes[what]; known && rec.Size != size || rec.Protocol != "ESMTP" {
				t.Errorf("%s: %d octets by %s, want %d", rec.Command, rec.Size, rec.Protocol, size)
			}
			if !strings.HasPrefix(what, "MAIL") && !slices.Equal(rec.Refused, []string{recipient}) {
				t.Errorf("%s: refused %q", rec.Command, rec.Refused)
			}
			if what == "DATA, by the queue" && rec.Text != "not now: the disk is slow" {
				t.Errorf("the cause is not told: %q", rec.Text)
			}
			c.Say("DATA", "503")
			if rec := <-log.got; rec.Sender+rec.Recipient != "" {
				t.Errorf("the next one: from=<%s> to=<%s>", rec.Sender, rec.Recipient)
			}
			c.Say(mailFrom, "250")
		})
	}
}

// TestClientGone: a message that was accepted is recorded even if its client did not wait to hear
// of it.
func TestClientGone(t *testing.T) {
	log := records{maillog.Discard, make(chan maillog.Record, 16)}
	r, q := newSlowRig(t, func(o *Options) { o.Log = log })
	c := r.hello()
	c.Say("RCPT TO:<u@local.example>", "503")
	if rec := <-log.got; rec.Type != maillog.Rejection || rec.Code != 503 ||
		rec.Command != "RCPT" || rec.Session == "" {
		t.Errorf("rejection %+v", rec)
	}
	c.data()
	c.Send("x\r\n.\r\n")
	done := <-q.submitted
	c.Conn.Close()
	sessiontest.Eventually(t, "the connection is still open",
		func() bool { return r.srv.Stats().Open == 0 })
	done(mail.ID{9: 9}, nil)
	rec := <-log.got
	if rec.Type != maillog.Reception || rec.ID != (mail.ID{9: 9}) || rec.Sender != "a@b.example" ||
		rec.Recipient != "u@local.example" ||
		rec.Recipients != 1 || rec.Size == 0 || rec.Relay != "client.example" {
		t.Errorf("reception %+v", rec)
	}
}

// TestReception: the record says what the message is, is written before anybody else hears of the
// message, and once.
func TestReception(t *testing.T) {
	log := records{maillog.Discard, make(chan maillog.Record, 16)}
	r, q := newSlowRig(t, func(o *Options) {
		withTLS(o)
		o.Log = log
	})
	c := r.hello()
	c.Say("STARTTLS", "220")
	c = c.startTLS()
	c.Say("EHLO client.example", "250")
	c.data()
	c.Send("Message-Id:\r\n <m1@b.example> (x)\r\nMessage-ID: <m2@b.example>\r\n\r\nx\r\n.\r\n")
	done := <-q.submitted
	id := mail.NewIDs(1, time.Time{}).Next(time.UnixMilli(1_700_000_000_123))
	q.observer.Load().(mail.Observer).Stored(id)
	rec := <-log.got
	if rec.Type != maillog.Reception || rec.ID != id || rec.MessageID != "<m1@b.example>" ||
		rec.TLS != "TLSv1.3 TLS_AES_128_GCM_SHA256" || rec.Protocol != "ESMTPS" ||
		!rec.At.Equal(id.Time()) || rec.Text != "Ok: queued as "+id.String() {
		t.Errorf("reception %+v", rec)
	}
	done(id, nil)
	c.Expect("250")
	c.Say("RCPT TO:<x@y.example>", "503")
	if rec := <-log.got; rec.Type != maillog.Rejection {
		t.Errorf("once more: %+v", rec)
	}
}
