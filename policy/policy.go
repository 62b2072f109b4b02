package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/smtpd"
)

// Options are what Policy works with.
type Options struct {
	Rules Rules
	Users Book
	// Room returns mailbox.ErrFull when a mailbox, named by its canonical address, does not take so
	// many octets now. It does not block. nil: all do.
	Room func(address string, size int64) error
	// Current reports whether Users surely is what the cluster knows now. Until it is, as after a
	// start, nobody is refused for good because they are not in it. It does not block. nil: it
	// always is.
	Current func() bool
	Events  Events
	// Now is the clock of the rates; nil: time.Now. Only differences count.
	Now func() time.Time
}

// Policy implements smtpd.Policy, and directory.Book: it knows the local domains of the rules
// besides those of the directory. Safe for use by several goroutines.
type Policy struct {
	Book
	room    func(string, int64) error
	current func() bool
	events  Events
	rules   atomic.Pointer[ruleSet]
	usage   *usage
	// recipients of strangers that do not exist
	unknowns *unknowns
}

var (
	_ smtpd.Policy   = (*Policy)(nil)
	_ directory.Book = (*Policy)(nil)
)

// New returns a policy, or says what is wrong with its rules.
func New(o Options) (*Policy, error) {
	now := clock(o.Now)
	if now == nil {
		now = time.Now
	}
	p := &Policy{Book: o.Users, room: o.Room, current: o.Current, events: o.Events,
		usage: newUsage(maxTracked, now), unknowns: newUnknowns(now)}
	if p.room == nil {
		p.room = func(string, int64) error { return nil }
	}
	if p.current == nil {
		p.current = func() bool { return true }
	}
	return p, p.Configure(o.Rules)
}

// Configure puts other rules in force, for commands that come from now on.
func (p *Policy) Configure(r Rules) error {
	configure, err := p.Prepare(r)
	if err == nil {
		configure()
	}
	return err
}

// Prepare says what is wrong with rules, or returns what puts them in force.
func (p *Policy) Prepare(r Rules) (configure func(), err error) {
	set, err := compile(r)
	if err != nil {
		return nil, fmt.Errorf("relay rules: %w", err)
	}
	return func() { p.rules.Store(set) }, nil
}

var (
	failNeedsAuth = smtp.Perm(smtp.AuthRequired, "5.7.0", "Log in first: AUTH is required here")
	failLMTP      = smtp.Perm(smtp.TransactionFailed, "5.7.1",
		"LMTP is for the networks of this site; use SMTP")
	failDisabled = smtp.Perm(smtp.MailboxUnavailable, "5.7.13",
		"This account is disabled; ask your postmaster")
	failSender = smtp.Perm(smtp.MailboxUnavailable, "5.7.1",
		"You may not use this sender address; use your own, or ask your postmaster to add it")
	failRelay = smtp.Perm(smtp.MailboxUnavailable, "5.7.1",
		"Relay access denied: log in, or send to a domain that is served here")
	failRouted = smtp.Perm(smtp.MailboxUnavailable, "5.7.1",
		"Relay access denied: addresses with routes in them are not relayed")
	failNoMailbox = smtp.Perm(smtp.MailboxUnavailable, "5.1.1",
		"User unknown: there is no such mailbox here; check the address")
	failNotSure = smtp.Temp(smtp.LocalError, "4.3.2",
		"It is not known just now who is here; try again later")
	failLoop = smtp.Perm(smtp.MailboxUnavailable, "5.4.6",
		"This address leads back to itself; the postmaster must mend its aliases or forwards")
	failMailboxFull = smtp.Temp(smtp.InsufficientStorage, "4.2.2",
		"The mailbox is full; try again later")
	failMessageRate = smtp.Temp(smtp.MailboxUnavailableT, "4.7.1",
		"You have sent too many messages; try again later, or ask your postmaster")
	failRcptRate = smtp.Temp(smtp.InsufficientStorage, "4.7.1",
		"You have sent to too many recipients; try again later, or ask your postmaster")
	failTooManyRcpts = smtp.Perm(smtp.MailboxUnavailable, "5.5.3",
		"One message with more recipients than you may send to at all; split it")
)

// Connect is asked once per connection. LMTP is for one's own networks: it has no greylist, no
// limits and no sender checks of a relay (RFC 2033 1).
func (p *Policy) Connect(c *smtpd.Client) *smtp.Failure {
	if c.Kind == smtpd.LMTP && !p.rules.Load().trusts(c.Addr.Addr()) {
		return failLMTP
	}
	return nil
}

// Trusts reports whether a client is one of this site.
func (p *Policy) Trusts(c *smtpd.Client) bool {
	return c.User != nil || p.rules.Load().trusts(c.Addr.Addr())
}

// Mail decides who may use which reverse-path.
func (p *Policy) Mail(c *smtpd.Client, sender string) *smtp.Failure {
	if c.User == nil {
		if c.Kind.Submits() { // RFC 6409 4.3
			return failNeedsAuth
		}
		return nil
	}
	u, f := p.user(c)
	switch {
	case f != nil:
		return f
	case sender == "": // a user's own bounces and read receipts have the null reverse-path
		return nil
	}
	canonical, err := directory.Canonical(sender)
	if err != nil || !directory.MaySend(p, u, canonical) {
		return failSender
	}
	return nil
}

// user looks the user up again: an account that is disabled or removed stops at its next
// transaction, not at its next log-in.
func (p *Policy) user(c *smtpd.Client) (*directory.User, *smtp.Failure) {
	u, ok := p.Get(c.User.Name)
	if !ok || u.Disabled {
		return nil, failDisabled
	}
	return u, nil
}

// Rcpt decides who may send to whom. The order is: postmaster, local domains, then those who may
// relay anywhere, then relay domains; what is left is refused.
func (p *Policy) Rcpt(c *smtpd.Client, _ string, r *mail.Recipient, _ int) *smtp.Failure {
	rules := p.rules.Load()
	if r.Domain == "" || p.isLocal(rules, c, r.Domain) {
		return p.local(c, rules, r)
	}
	switch {
	case c.User != nil:
		_, f := p.user(c)
		return f
	case c.Kind == smtpd.Relay && rules.trusts(c.Addr.Addr()):
		return nil
	case !rules.relay.has(r.Domain):
		return p.unless(failRelay)
	case routed(r.Address):
		return failRouted
	}
	return nil
}

func (p *Policy) isLocal(rules *ruleSet, c *smtpd.Client, domain string) bool {
	return p.localDomain(rules, domain) || domain[0] == '[' && isLiteralOf(domain, c.Local.Addr())
}

func (p *Policy) localDomain(rules *ruleSet, domain string) bool {
	if rules.local.has(domain) {
		return true
	}
	_, ok := p.Domain(domain)
	return ok
}

// Local reports whether the mail of a domain, in lower-case A-labels, is kept here: the rules say
// so, or the directory.
func (p *Policy) Local(domain string) bool { return p.localDomain(p.rules.Load(), domain) }

// local takes postmaster (RFC 5321 4.5.1) and whoever the directory knows. A recipient without a
// domain is postmaster: the grammar lets nothing else through.
func (p *Policy) local(c *smtpd.Client, rules *ruleSet, r *mail.Recipient) *smtp.Failure {
	if strings.EqualFold(localPart(r.Address), "postmaster") {
		return p.postmaster(rules, r)
	}
	if r.Domain[0] == '[' {
		return p.unknown(c, rules)
	}
	box, err := directory.Accepts(p, r.Address)
	switch {
	case errors.Is(err, directory.ErrLoop):
		return failLoop
	case err != nil:
		return p.unknown(c, rules)
	case box != "" && errors.Is(p.room(box, max(c.Declared, leastMessage)), mailbox.ErrFull):
		return failMailboxFull
	}
	return nil
}

// unless refuses for good what the directory does not know, unless it may not know it yet.
func (p *Policy) unless(f *smtp.Failure) *smtp.Failure {
	if p.current() {
		return f
	}
	return failNotSure
}

// leastMessage is what a message takes that nobody announced the size of, in octets: a mailbox with
// less room than that is full.
const leastMessage = 1 << 10

// postmaster takes mail for postmaster: who has that name in the directory gets it, else whom the
// rules name.
func (p *Policy) postmaster(rules *ruleSet, r *mail.Recipient) *smtp.Failure {
	if r.Domain == "" {
		r.Address, r.Domain = "postmaster@"+rules.bareDomain, rules.bareDomain
	}
	if !p.named(r.Address) {
		rules.toPostmaster(r)
	}
	return nil
}

// named reports whether the directory has exactly this address.
func (p *Policy) named(address string) bool {
	name, err := directory.Canonical(address)
	if err != nil {
		return false
	}
	u, user := p.Get(name)
	_, alias := p.Alias(name)
	if other, ok := p.Address(name); ok && !user {
		u, user = other, true
	}
	return alias || user && !u.NoMailbox
}

// Data takes one message and its recipients from the user's rates.
func (p *Policy) Data(c *smtpd.Client, recipients int) *smtp.Failure {
	if c.User == nil {
		return nil
	}
	u, f := p.user(c)
	if f != nil {
		return f
	}
	rules := p.rules.Load()
	messages, rcpts := orDefault(u.Messages, rules.messages), orDefault(u.Rcpts, rules.recipients)
	if rcpts.N > 0 && int64(recipients) > rcpts.N {
		return p.exceeded(c, "recipients", failTooManyRcpts)
	}
	switch p.usage.take(u.Name, messages, rcpts, recipients) {
	case tooManyMessages:
		return p.exceeded(c, "messages", failMessageRate)
	case tooManyRecipients:
		return p.exceeded(c, "recipients", failRcptRate)
	}
	return nil
}

func (p *Policy) exceeded(c *smtpd.Client, what string, f *smtp.Failure) *smtp.Failure {
	if p.events.RateExceeded != nil {
		p.events.RateExceeded(c.User.Name, what, c.Addr.Addr())
	}
	return f
}

func orDefault(own, configured Rate) Rate {
	if own.N > 0 {
		return own
	}
	return configured
}

// localPart returns the meaning of an address's local part.
func localPart(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		address = address[:i]
	}
	return smtp.UnquoteLocal(address)
}

// routed reports whether a local part asks the next host to send the message on: user%host,
// host!user, "user@host". A relay domain's host might do it for us, whom it trusts, and then the
// relay was ours.
func routed(address string) bool { return strings.ContainsAny(localPart(address), "%!@") }

// isLiteralOf reports whether an address literal is ip.
func isLiteralOf(literal string, ip netip.Addr) bool {
	if text := strings.Trim(literal, "[]"); ip.IsValid() {
		a, err := netip.ParseAddr(strings.TrimPrefix(text, "IPv6:"))
		return err == nil && a.Unmap() == ip.Unmap().WithZone("")
	}
	return false
}
