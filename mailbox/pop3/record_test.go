package pop3

import (
	"encoding/base64"
	"testing"

	"github.com/postroad/postroad/internal/maillog"
)

// records is a sink that keeps what it gets.
type records struct {
	maillog.Sink
	got chan maillog.Record
}

func (r records) Log(rec *maillog.Record) { r.got <- *rec }

// TestFailedLogins: each has a record with the name as it was given, and how.
func TestFailedLogins(t *testing.T) {
	log := records{maillog.Discard, make(chan maillog.Record, 16)}
	r := newRig(t, newMemory(), func(o *Options) {
		quick(o)
		o.Log = log
	})
	c := r.connect()
	expect := func(command, mechanism, user string, code int) {
		t.Helper()
		rec := <-log.got
		if rec.Type != maillog.Rejection || rec.Command != command || rec.Code != code ||
			rec.Mechanism != mechanism || rec.User != user || rec.Protocol != "POP3" ||
			!rec.Peer.IsValid() {
			t.Errorf("%+v", rec)
		}
	}
	c.Say("USER someone", "+OK")
	c.Say("PASS guess", "-ERR [AUTH]")
	expect("PASS", "USER", "someone", 535)
	c.Say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00other\x00guess")),
		"-ERR [AUTH]")
	expect("AUTH", "PLAIN", "other", 535)
	c.Say("AUTH SCRAM-SHA-256 "+base64.StdEncoding.EncodeToString([]byte("n,,n=a=2Cb,r=x")),
		"-ERR [AUTH]")
	expect("AUTH", "SCRAM-SHA-256", "a,b", 535)
	c.Say("USER someone", "+OK")
	c.Say("PASS busy", "-ERR [SYS/TEMP]")
	expect("PASS", "USER", "someone", 454)
}
