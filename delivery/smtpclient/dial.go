package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/postroad/postroad/internal/smtp"
)

// Dial connects and gets ready for mail. The error says at which step it failed; then there is no
// connection any more. ctx bounds the whole of it; o must not change while the connection lives.
func Dial(ctx context.Context, o *Options) (*Conn, *Error) {
	c := &Conn{o: o, t: o.Timeouts.withDefaults()}
	dialCtx, cancel := context.WithTimeout(ctx, c.t.Connect)
	defer cancel()
	dial := o.Dial
	if dial == nil {
		dial = o.connect
	}
	nc, err := dial(dialCtx, o.Addr)
	if err != nil {
		return nil, &Error{Status: ours(StepConnect, 451, "4.4.1", o.connectText(err)), Cause: err}
	}
	c.raw, c.nc = nc, nc
	stop := context.AfterFunc(ctx, c.Abort)
	defer stop()
	c.borrow()
	failed := c.open(ctx)
	if failed != nil {
		c.sayGoodbye()
	}
	c.giveBack()
	if failed == nil {
		failed = c.dead // it spoke out of turn, or said 421
	}
	if failed != nil {
		c.close()
		return nil, failed
	}
	return c, nil
}

func (o *Options) connect(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	// No keep-alives: each wait has a deadline of its own.
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	if o.Socket != "" {
		return d.DialContext(ctx, "unix", o.Socket)
	}
	var from netip.AddrPort
	if o.Source.IsValid() {
		from, d.Control = netip.AddrPortFrom(o.Source, 0), portAtConnect
	}
	nc, err := d.DialTCP(ctx, "tcp", from, addr)
	if err != nil {
		return nil, err // not a nil *net.TCPConn in a net.Conn
	}
	return nc, nil
}

// portAtConnect lets Linux choose the port when the destination is known, so that one source
// address has 28,000 ports for each destination and not for all together. Where that is not known
// the port is chosen at bind, which is as good for a few.
func portAtConnect(network, _ string, rc syscall.RawConn) error {
	const ipBindAddressNoPort = 24
	if runtime.GOOS != "linux" {
		return nil
	}
	return rc.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
	})
}

// connectText says to whom there is no connection, and why, in the words that log parsers know.
func (o *Options) connectText(err error) string {
	to := o.Socket
	if to == "" {
		literal := "[" + o.Addr.Addr().Unmap().String() + "]"
		to = literal + ":" + strconv.Itoa(int(o.Addr.Port()))
		if o.ServerName != literal {
			to = o.ServerName + to
		}
	}
	var no syscall.Errno
	var ne net.Error
	why := err.Error()
	switch {
	case errors.As(err, &ne) && ne.Timeout():
		why = "Connection timed out"
	case errors.As(err, &no):
		why = no.Error()
		why = strings.ToUpper(why[:1]) + why[1:]
	}
	return "connect to " + to + ": " + why
}

// open goes from the greeting to readiness.
func (c *Conn) open(ctx context.Context) *Error {
	rep, err := c.reply(StepGreeting, c.t.Greeting)
	if err != nil {
		return err
	}
	if rep.Class() != 2 { // 554 or 421 (RFC 5321 3.1)
		return c.refused(StepGreeting, rep)
	}
	if err := c.hello(); err != nil {
		return err
	}
	if c.o.TLS != Off {
		if err := c.startTLS(ctx); err != nil {
			return err
		}
	}
	if c.o.Username != "" {
		return c.auth()
	}
	return nil
}

func (c *Conn) refused(step Step, rep smtp.Reply) *Error {
	if rep.Class() < 4 {
		return c.unexpected(step, rep)
	}
	return &Error{Status: theirs(step, rep)}
}

// hello says EHLO, and HELO to a peer that does not know it (RFC 5321 3.2). LMTP has LHLO alone
// (RFC 2033 4.1).
func (c *Conn) hello() *Error {
	verb := "EHLO "
	if c.o.LMTP {
		verb = "LHLO "
	}
	rep, err := c.command(StepEhlo, c.t.Hello, verb+c.o.Hello)
	if err != nil {
		return err
	}
	if rep.Class() == 2 {
		c.offers = readOffers(rep.Text)
		return nil
	}
	if rep.Class() != 5 || c.dead != nil || c.o.LMTP {
		return c.refused(StepEhlo, rep)
	}
	c.offers = Offers{}
	rep, err = c.command(StepHelo, c.t.Hello, "HELO "+c.o.Hello)
	if err == nil && rep.Class() != 2 {
		err = c.refused(StepHelo, rep)
	}
	return err
}

// startTLS turns TLS on if it is offered (RFC 3207). When it cannot be had and is not required, the
// dialogue goes on in clear as long as the handshake has not begun.
func (c *Conn) startTLS(ctx context.Context) *Error {
	if !c.offers.StartTLS {
		return c.noTLS(ours(StepStartTLS, 451, "4.7.4",
			"TLS is required here, but the remote does not offer it"))
	}
	rep, err := c.command(StepStartTLS, c.t.Hello, "STARTTLS")
	if err != nil {
		err.TLS = true
		return err
	}
	if rep.Code != smtp.ServiceReady {
		if c.dead != nil {
			return c.dead
		}
		return c.noTLS(theirs(StepStartTLS, rep))
	}
	// Octets after the reply in clear may be anybody's words; they must not be taken for the
	// peer's (CVE-2011-0411, the response side). The parser's state goes too.
	c.r, c.w, c.parser = 0, 0, smtp.ReplyParser{}
	if err := c.handshake(ctx); err != nil {
		return err
	}
	err = c.hello() // RFC 3207 4.2: what was offered in clear is forgotten
	if err != nil && err.Local {
		err.TLS = true // the handshake went well, and nothing comes through
	}
	return err
}

func (c *Conn) noTLS(s Status) *Error {
	if c.o.TLS != Require {
		return nil
	}
	// our rule, not the recipient's fault: another attempt may find it put right
	if s.Code/100 == 5 {
		s.taken(454, "4.7.4")
	}
	return &Error{Status: s, TLS: true}
}

func (c *Conn) handshake(ctx context.Context) *Error {
	cfg := &tls.Config{}
	if c.o.TLSConfig != nil {
		cfg = c.o.TLSConfig.Clone()
	}
	cfg.ServerName = c.o.ServerName
	if c.o.TLS == Opportunistic {
		// Anybody who could show a wrong certificate could as well take STARTTLS out of the offers
		// (RFC 7435).
		cfg.InsecureSkipVerify = true
	}
	// small records are for latency in browsers; each is a system call
	cfg.DynamicRecordSizingDisabled = true
	tc := tls.Client(c.raw, cfg)
	c.arm(c.t.TLS, true)
	if err := tc.HandshakeContext(ctx); err != nil {
		e := c.lost(StepHandshake, err)
		e.Code, e.Enhanced, e.TLS = 454, "4.7.5", true
		e.Text = "TLS handshake failed: " + err.Error()
		return e
	}
	c.nc, c.tls = tc, smtp.DescribeTLS(tc.ConnectionState())
	return nil
}

// sayGoodbye says QUIT to a peer that refused us, without waiting for its answer.
func (c *Conn) sayGoodbye() {
	if c.dead == nil {
		c.arm(c.t.Quit, true)
		c.nc.Write([]byte("QUIT\r\n"))
	}
}
