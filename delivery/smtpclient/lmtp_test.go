package smtpclient

import (
	"bufio"
	"net"
	"path/filepath"
	"testing"
)

const (
	lgreet = "S: 220 mx.example LMTP\nC: LHLO client.example\n"
	lpiped = lgreet + "S: 250-mx.example\nS: 250-PIPELINING\nS: 250 ENHANCEDSTATUSCODES\n"
)

// RFC 2033: after the content each recipient that was accepted has a reply of its own.
func TestLMTP(t *testing.T) {
	group := cMail + cOne + cTwo + "C: DATA\n"
	for _, c := range []struct{ name, script, want string }{
		{"both taken",
			lpiped + group +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\n" +
				"S: 250 2.0.0 a\nS: 250 2.0.0 b\n" + cQuit,
			"250 2.0.0 end of mail data; 250 2.0.0 end of mail data"},
		{"step by step", lgreet + "S: 250 mx.example\n" + cMail + "S: 250 ok\n" + cOne +
			"S: 250 ok\n" + cTwo + "S: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 a\nS: 250 b\n" +
			cQuit,
			"250 2.0.0 end of mail data; 250 2.0.0 end of mail data"},
		{"one is full",
			lpiped + group +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 2.0.0 a\nS: 452 4.2.2 " +
				"quota\n" + cQuit,
			"250 2.0.0 end of mail data; 452 4.2.2 end of mail data"},
		{"one refused at RCPT has no reply",
			lpiped + group +
				"S: 250 ok\nS: 550 5.1.1 who\nS: 250 ok\nS: 354 go\ndata\nS: 552 5.2.2 quota\n" +
				cQuit,
			"550 5.1.1 RCPT TO; 552 5.2.2 end of mail data"},
		{"none accepted",
			lpiped + group +
				"S: 250 ok\nS: 550 5.1.1 who\nS: 550 5.1.1 who\nS: 503 5.5.1 no recipients\n" +
				cQuit,
			"550 5.1.1 RCPT TO; 550 5.1.1 RCPT TO"},
		{"none accepted, and 354",
			lpiped + group + "S: 250 ok\nS: 550 5.1.1 who\nS: 550 5.1.1 who\nS: 354 go\nclose",
			"550 5.1.1 RCPT TO; 550 5.1.1 RCPT TO; dead"},
		{"gone between the replies",
			lpiped + group +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 2.0.0 a\nclose",
			"250 2.0.0 end of mail data; 451 4.4.2 end of mail data local unknown; dead"},
		{"gone before the replies",
			lpiped + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nclose",
			"451 4.4.2 end of mail data local unknown; 451 4.4.2 end of mail data local " +
				"unknown; dead"},
		{"421 and gone",
			lpiped + group +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 421 4.3.2 bye\nclose",
			"421 4.3.2 end of mail data; 451 4.4.2 end of mail data local unknown; dead"},
		{"a reply too many",
			lpiped + group +
				"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 a\nS: 250 b\nS: 250 " +
				"c\nhang",
			"250 2.0.0 end of mail data; 250 2.0.0 end of mail data; dead"},
	} {
		t.Run(c.name, func(t *testing.T) { tryTwo(t, c.script, c.want, true) })
	}
}

// A peer that does not know LHLO is not spoken to in SMTP: its replies would be counted wrongly.
func TestLMTPNeedsLHLO(t *testing.T) {
	o, _ := serve(t, lgreet+"S: 500 what?\nhang")
	o.LMTP = true
	if _, err := Dial(t.Context(), o); err == nil || err.Code != 500 || err.Command != StepEhlo {
		t.Errorf("Dial: %v", err)
	}
}

func TestLMTPOverASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []string, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		p := &peer{t: t, nc: nc, r: bufio.NewReader(nc)}
		p.run(lpiped + cMail + cOne + cTwo +
			"C: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\ndata\nS: 250 a\nS: 250 b\n" +
			cQuit)
		done <- p.kept
	}()
	conn := dial(t, &Options{Socket: path, Hello: "client.example", LMTP: true})
	if !conn.Alive() {
		t.Error("the connection seems to be closed")
	}
	if got := verdict(
		conn.Deliver(two())); got != "250 2.0.0 end of mail data; 250 2.0.0 end of mail data" {
		t.Error(got)
	}
	conn.Quit()
	if got := <-done; len(got) != 1 || got[0] != content+".\r\n" {
		t.Errorf("the peer got %q", got)
	}
	l.Close()
}
