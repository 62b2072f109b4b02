package smtpclient

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

const (
	offersTLS = greet + "S: 250-mx.example\nS: 250-STARTTLS\nS: 250 DSN\n"
	startTLS  = offersTLS + "C: STARTTLS\nS: 220 go\n"
	underTLS  = "tls\nC: EHLO client.example\nS: 250-mx.example\nS: 250-PIPELINING\nS: 250 AUTH " +
		"PLAIN LOGIN\n"
)

// verdictOf writes what Dial came to.
func verdictOf(c *Conn, err *Error) string {
	if err == nil {
		if c.TLS() != "" {
			return "TLS"
		}
		return "clear"
	}
	s := strings.TrimSpace(err.Enhanced + " " + err.Command.String())
	if err.Local {
		s += " local"
	}
	if err.TLS {
		s += " tls"
	}
	return s
}

func TestDial(t *testing.T) {
	plainToken := base64.StdEncoding.EncodeToString([]byte("\x00user\x00secret"))
	long := strings.Repeat("p", 500)
	longToken := base64.StdEncoding.EncodeToString([]byte("\x00user\x00" + long))
	login := "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dXNlcg==\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\n"
	auth := func(o *Options) { o.Username, o.Password, o.AuthInClear = "user", "secret", true }
	opportunistic := func(o *Options) { o.TLS = Opportunistic }
	require := func(o *Options) { o.TLS = Require }
	for _, c := range []struct {
		name, script string
		change       func(*Options)
		want         string
	}{
		{"clear", piped + cQuit, nil, "clear"},
		{"HELO", old + cQuit, nil, "clear"},
		{"long greeting", "S: 220-a\nS: 220-b\n" + piped + cQuit, nil, "clear"},
		{"refused by the greeting", "S: 554 5.7.1 no\nC: QUIT\n", nil, "5.7.1 greeting"},
		{"421 greeting", "S: 421 4.3.2 busy\nclose", nil, "4.3.2 greeting"},
		{"odd greeting", "S: 354 go\nhang", nil, "4.5.0 greeting local"},
		{"not SMTP", "S: SSH-2.0-OpenSSH_9\nhang", nil, "4.5.0 greeting local"},
		{"closed before the greeting", "close", nil, "4.4.2 greeting local"},
		{"closed at EHLO", "S: 220 x\nC: EHLO client.example\nclose", nil, "4.4.2 EHLO local"},
		{"EHLO refused for now", "S: 220 x\nC: EHLO client.example\nS: 450 4.7.1 later\nC: QUIT\n",
			nil, "4.7.1 EHLO"},
		{"421 at EHLO", "S: 220 x\nC: EHLO client.example\nS: 421 bye\nclose", nil, "4.0.0 EHLO"},
		{"HELO refused, too",
			"S: 220 x\nC: EHLO client.example\nS: 550 no\nC: HELO client.example\nS: 550 5.7.1 " +
				"no\nC: QUIT\n", nil, "5.7.1 HELO"},
		{"a hundred megabytes of greeting", "flood 220-" + strings.Repeat("x", 500), nil,
			"4.5.0 greeting local"},
		{"a hundred megabytes of EHLO", greet + "flood 250-X" + strings.Repeat("x", 500), nil,
			"4.5.0 EHLO local"},
		{"speaks out of turn", "S: 220 x\nS: 250 hello\nhang", nil, "4.5.0 EHLO local"},

		{"TLS", startTLS + underTLS + cQuit, opportunistic, "TLS"},
		{"TLS off", offersTLS + cQuit, nil, "clear"},
		{"TLS not offered", piped + cQuit, opportunistic, "clear"},
		{"TLS not offered but required", piped + "C: QUIT\n", require, "4.7.4 STARTTLS local tls"},
		{"TLS not now", offersTLS + "C: STARTTLS\nS: 454 4.7.0 no\n" + cQuit, opportunistic,
			"clear"},
		{"TLS not now but required", offersTLS + "C: STARTTLS\nS: 454 4.7.0 no\nC: QUIT\n", require,
			"4.7.0 STARTTLS tls"},
		{"TLS refused but required", offersTLS + "C: STARTTLS\nS: 502 no\nC: QUIT\n", require,
			"4.7.4 STARTTLS tls"},
		{"421 at STARTTLS", offersTLS + "C: STARTTLS\nS: 421 no\nclose", opportunistic,
			"4.0.0 STARTTLS"},
		{"closed at STARTTLS", offersTLS + "C: STARTTLS\nclose", opportunistic,
			"4.4.2 STARTTLS local tls"},
		{"no TLS after 220", startTLS + "bdat 20\nS: nonsense\nhang", opportunistic,
			"4.7.5 TLS handshake local tls"},
		{"closed in the handshake", startTLS + "close", opportunistic,
			"4.7.5 TLS handshake local tls"},
		{"any certificate will do", startTLS + underTLS + cQuit,
			func(o *Options) { o.TLS, o.ServerName = Opportunistic, "other.example" }, "TLS"},
		{"unknown authority", startTLS + "tls\n", require, "4.7.5 TLS handshake local tls"},
		{"good certificate", startTLS + underTLS + cQuit,
			func(o *Options) { o.TLS, o.TLSConfig = Require, trusting(t) }, "TLS"},
		{"certificate of another", startTLS + "tls\n", func(o *Options) {
			o.TLS, o.TLSConfig, o.ServerName = Require, trusting(t), "other.example"
		},
			"4.7.5 TLS handshake local tls"},
		{"EHLO fails under TLS", startTLS + "tls\nC: EHLO client.example\nS: 421 bye\nclose",
			opportunistic, "4.0.0 EHLO"},

		{"closed at EHLO under TLS", startTLS + "tls\nC: EHLO client.example\nclose",
			opportunistic, "4.4.2 EHLO local tls"},

		{"AUTH PLAIN", greet + "S: 250-x\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN " + plainToken +
			"\nS: 235 ok\n" + cQuit, auth, "clear"},
		{"long password", greet + "S: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 334 \nC: " +
			longToken + "\nS: 235 ok\n" + cQuit,
			func(o *Options) { auth(o); o.Password = long }, "clear"},
		{"AUTH LOGIN", greet + "S: 250-x\nS: 250 AUTH=LOGIN\n" + login + "S: 235 ok\n" + cQuit,
			auth, "clear"},
		{"AUTH PLAIN is not known", greet + "S: 250-x\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN " +
			plainToken + "\nS: 504 5.5.4 what\n" + login + "S: 235 ok\n" + cQuit, auth, "clear"},
		{"wrong password", greet + "S: 250-x\nS: 250 AUTH LOGIN\n" + login +
			"S: 535 5.7.8 wrong\nC: QUIT\n", auth, "4.7.8 AUTH"},
		{"AUTH later",
			greet + "S: 250-x\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 454 4.7.0 later\nC: QUIT\n",
			auth, "4.7.0 AUTH"},
		{"odd AUTH", greet + "S: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN*\nS: 334 more\nhang", auth,
			"4.5.0 AUTH local"},
		{"no AUTH", piped + "C: QUIT\n", auth, "4.7.0 AUTH local"},
		{"AUTH in clear", greet + "S: 250-x\nS: 250 AUTH PLAIN\nC: QUIT\n",
			func(o *Options) { auth(o); o.AuthInClear = false }, "4.7.0 AUTH local"},
		{"AUTH under TLS", startTLS + underTLS + "C: AUTH PLAIN " + plainToken + "\nS: 235 ok\n" +
			cQuit,
			func(o *Options) { auth(o); o.AuthInClear, o.TLS = false, Opportunistic }, "TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, kept := serve(t, c.script)
			if c.change != nil {
				c.change(o)
			}
			conn, err := Dial(t.Context(), o)
			if got := verdictOf(conn, err); got != c.want {
				t.Errorf("%s, want %s (%v)", got, c.want, err)
			}
			if err == nil {
				conn.Quit()
			}
			kept()
		})
	}
}

// STARTTLS response injection: what came in clear behind the 220 is not taken for the reply to the
// EHLO inside TLS.
func TestSTARTTLSResponseInjection(t *testing.T) {
	// The injected octets sit in our buffer together with the 220. The handshake then works,
	// because they were thrown away.
	o, kept := serve(t,
		offersTLS+"C: STARTTLS\nS: 220 go\nS: 250-injected\nS: 250-SIZE 1\nS: 250 AUTH PLAIN\n"+
			underTLS+cQuit)
	o.TLS = Opportunistic
	conn, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if f := conn.Offers(); f.MaxSize != 0 || !f.Pipelining || f.DSN {
		t.Fatalf("the offers are those in clear or the injected ones: %+v", f)
	}
	conn.Quit()
	kept()
}

func TestOffers(t *testing.T) {
	got := readOffers(
		"mx.example hi\nsize " +
			"1000\n8bitmime\nPIPELINING\nDSN\nSMTPUTF8\nCHUNKING\nBINARYMIME\nSTARTTLS\n" +
			"ENHANCEDSTATUSCODES\nAUTH CRAM-MD5 PLAIN\nAUTH=LOGIN\nLIMITS RCPTMAX=10 MAILMAX=5 " +
			"X=y\nX-OTHER\n")
	want := Offers{ESMTP: true, Pipelining: true, EightBitMIME: true, SMTPUTF8: true, DSN: true,
		Chunking: true, BinaryMIME: true, StartTLS: true,
		EnhancedStatusCodes: true, Size: true, MaxSize: 1000, AuthPlain: true, AuthLogin: true,
		RcptMax: 10, MailMax: 5}
	if got != want {
		t.Fatalf("%+v", got)
	}
	if o := readOffers("PIPELINING"); o.Pipelining {
		t.Fatal("the peer's name was taken for an offer")
	}
	if o := readOffers(
		"x\nSIZE\nSIZE 0\nSIZE -1\nSIZE 99999999999999999999\nLIMITS RCPTMAX=-1"); o.MaxSize != 0 ||
		o.RcptMax != 0 {
		t.Fatalf("%+v", o)
	}
}

// A connection is given up after as many transactions as the peer wants (RFC 9422).
func TestMailMax(t *testing.T) {
	o, _ := serve(t, greet+"S: 250-x\nS: 250 LIMITS MAILMAX=1\n"+cMail+"S: 250 ok\n"+cOne+
		"S: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 ok\n"+cQuit)
	conn := dial(t, o)
	if !conn.Usable() {
		t.Fatal("not usable")
	}
	conn.Deliver(newTx("a@example.org"))
	if conn.Usable() || conn.Transactions() != 1 {
		t.Fatal("still usable")
	}
	conn.Quit()
}

func TestConnectFailures(t *testing.T) {
	free, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(free)
	if _, e := Dial(t.Context(), &Options{Addr: addr}); e == nil || e.Enhanced != "4.4.1" ||
		e.Text != "connect to ["+addr.Addr().String()+"]:"+strconv.Itoa(int(addr.Port()))+
			": Connection refused" || e.Reply != 0 {
		t.Fatal(e)
	}
	hang := func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, e := Dial(t.Context(),
		&Options{Addr: netip.MustParseAddrPort("192.0.2.1:25"), ServerName: "mx.example.org",
			Dial: hang, Timeouts: Timeouts{Connect: 1}}); e == nil ||
		e.Text != "connect to mx.example.org[192.0.2.1]:25: Connection timed out" ||
		!errors.Is(e, context.DeadlineExceeded) {
		t.Fatal(e)
	}
}

// The caller who loses patience ends the dialogue wherever it is.
func TestDialIsCancelled(t *testing.T) {
	o, _ := serve(t, "S: 220-x\nhang")
	ctx, cancel := context.WithCancel(t.Context())
	inner := o.connect
	o.Dial = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
		nc, err := inner(ctx, a)
		return &onRead{nc, cancel}, err
	}
	if _, e := Dial(ctx, o); e == nil || e.Command != StepGreeting {
		t.Fatal(e)
	}
}

// onRead calls a function before each read.
type onRead struct {
	net.Conn
	f func()
}

func (c *onRead) Read(p []byte) (int, error) { c.f(); return c.Conn.Read(p) }

func TestSourceAddress(t *testing.T) {
	o, kept := serve(t, piped+cQuit)
	o.Source = netip.MustParseAddr("127.0.0.2")
	conn := dial(t, o)
	if conn.Local().Addr() != o.Source || conn.Remote() != o.Addr {
		t.Fatal(conn.Local(), conn.Remote())
	}
	conn.Quit()
	kept()
}
