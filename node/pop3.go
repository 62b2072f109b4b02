package node

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/mailbox/pop3"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/smtpd"
)

// startPOP3 serves the mailboxes of the cluster on this node's pop3 and pop3s listeners. It shares
// SMTP's event loops.
func (n *node) startPOP3(context.Context) (err error) {
	n.pop3, err = pop3.New(pop3.Options{
		Engine: n.engine, Hostname: n.cfg().Node.Hostname, Maildrops: n.boxes,
		Authenticator: pop3Logins{auth: n.auth}, TLS: n.cert.Config, Log: n.log,
		Budget: n.budget, Ended: n.pop3Ended, Trusted: n.trusts, Limits: pop3LimitsOf(n.cfg()),
	})
	if err != nil {
		return err
	}
	if err := n.listenFor(isPOP3); err != nil {
		return err
	}
	n.onStop("POP3", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, stopTimeout/6) // what is cut off deletes nothing
		defer cancel()
		return n.pop3.Shutdown(ctx)
	})
	return nil
}

// pop3Ended writes the line of a session.
func (n *node) pop3Ended(e *pop3.Ended) {
	why := e.Why
	if why == "" {
		why = "logged out"
	}
	proto := "POP3"
	if e.TLS {
		proto = "POP3S"
	}
	n.log.Part("pop3", []maillog.Field{{Name: "client", Value: "unknown[" +
		e.Client.Addr().Unmap().String() + "]"}, {Name: "proto", Value: proto},
		{Name: "sasl_username", Value: e.User}},
		fmt.Sprintf("user=<%s> client=%s tls=%v retrieved=%d octets=%d removed=%d left=%d (%s)",
			e.User, e.Client, e.TLS, e.Retrieved, e.Octets, e.Removed, e.Left, why))
}

// pop3Logins checks log-ins as SMTP's are checked: with the same workers, and the same memory of
// who guesses.
type pop3Logins struct {
	auth   *policy.Auth
	domain string // of names without one
}

func (l pop3Logins) Plain(
	client netip.AddrPort, authzid, user, password string, done func(string, *smtp.Failure),
) {
	l.auth.Plain(l.client(client), authzid, user, password,
		func(u *smtpd.User, f *smtp.Failure) { done(nameOf(u), f) })
}

func (l pop3Logins) ScramSHA256(client netip.AddrPort) pop3.ScramExchange {
	return pop3Scram{l.auth.ScramSHA256(l.client(client))}
}

func (l pop3Logins) client(addr netip.AddrPort) *smtpd.Client {
	return &smtpd.Client{Addr: addr, LoginDomain: l.domain}
}

type pop3Scram struct{ smtpd.ScramExchange }

func (x pop3Scram) Step(message []byte) ([]byte, string, bool, *smtp.Failure) {
	server, u, done, f := x.ScramExchange.Step(message)
	return server, nameOf(u), done, f
}

func nameOf(u *smtpd.User) string {
	if u == nil {
		return ""
	}
	return u.Name
}

func (n *node) observePOP3(o telemetry.Observer) {
	s := n.pop3.Stats()
	o.Gauge("connections_open", "POP3 connections open now", float64(s.Open))
	o.Counter("connections_displaced_total", "silent connections ended to make room for others",
		s.GaveWay)
	o.Gauge("maildrops_open", "sessions that have logged in", float64(s.LoggedIn))
	o.Counter("connections_total", "POP3 connections accepted", s.Connections)
	o.CounterBy("logins_total", "log-ins", "result", "succeeded", s.AuthSucceeded)
	o.CounterBy("logins_total", "log-ins", "result", "failed", s.AuthFailed)
	o.Counter("refusals_total", "commands refused", s.Refused)
	o.Counter("messages_retrieved_total", "messages sent whole", s.Retrieved)
	o.Counter("octets_retrieved_total", "octets of those messages", s.Octets)
	o.Counter("messages_removed_total", "messages removed by users", s.Removed)
	o.Counter("locks_lost_total", "sessions ended because the owner of their mailbox had changed",
		s.LocksLost)
	o.Counter("timeouts_total", "sessions ended because the client was too slow", s.Timeouts)
	o.Counter("tls_handshakes_total", "TLS handshakes that succeeded", s.TLS)
	o.Counter("tls_failures_total", "TLS handshakes that failed", s.TLSFailed)
}
