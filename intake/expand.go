package intake

import (
	"errors"
	"slices"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/internal/smtp"
)

// expander sends a message where the directory says that its recipients' mail goes. Most messages
// pass as they are. A list and a user who forwards get messages of their own (directory.Resolve);
// the client is answered when all are stored. If one of several is not, the client is told to try
// again, and those that were stored go out twice: there is no command about two messages.
type expander struct {
	next  Submitter
	book  directory.Book
	width func() int // recipients of one message
	log   maillog.Sink
}

var (
	failTooFar = smtp.Perm(smtp.TransactionFailed, "5.4.6",
		"The aliases of a recipient go too far; the postmaster must mend them")
	failLooped = smtp.Perm(smtp.TransactionFailed, "5.4.6",
		"This message has been here before: it is being forwarded in a circle")
)

// Submit takes a message; see Submitter.
func (x *expander) Submit(
	env *mail.Envelope,
	content *mail.Content,
	done func(mail.ID, *smtp.Failure),
) {
	if env, ok := x.direct(env); ok {
		x.next.Submit(env, content, done)
		return
	}
	messages, f := x.expand(env, content)
	switch {
	case f != nil:
		content.Release()
		done(mail.ID{}, f)
	case len(messages) == 1: // its Reception is the session's
		content.Prepend(messages[0].prefix)
		x.next.Submit(messages[0].env, content, done)
	default:
		p := &expansion{
			x: x, messages: messages, size: content.Size, content: mail.Share(content), done: done,
			messageID: content.MessageID, first: content.Observer,
			ids: make([]mail.ID, len(messages)), noted: make([]bool, len(messages)),
		}
		p.submit()
	}
}

// direct takes a message whose recipients all are elsewhere or have mailboxes that keep their mail,
// each one of its own.
func (x *expander) direct(env *mail.Envelope) (*mail.Envelope, bool) {
	var changed []mail.Recipient
	var boxes map[string]bool
	if len(env.Recipients) > 1 {
		boxes = make(map[string]bool, len(env.Recipients))
	}
	for i := range env.Recipients {
		r := &env.Recipients[i]
		if !x.book.Local(r.Domain) {
			continue
		}
		name, ok := directory.Direct(x.book, r.Address)
		if !ok || boxes[name] {
			return nil, false
		}
		if boxes != nil {
			boxes[name] = true
		}
		if name == r.Address {
			continue
		}
		if changed == nil {
			changed = slices.Clone(env.Recipients)
		}
		changed[i] = readdressed(env, i, name, r.Domain)
	}
	if changed == nil {
		return env, true
	}
	e := *env
	e.Recipients = changed
	return &e, true
}

// readdressed is a recipient of the envelope under another address. Reports name the one that the
// sender used (RFC 3461 4.2).
func readdressed(env *mail.Envelope, number int, address, domain string) mail.Recipient {
	r := env.Recipients[number]
	if r.ORcpt == "" && r.Address != address {
		r.ORcpt = smtp.Typed(r.Address)
	}
	r.Address, r.Domain = address, domain
	return r
}

// outgoing is one of the messages that become of one.
type outgoing struct {
	env    *mail.Envelope
	prefix []byte
	of     string // the address that the sender used for the first recipient
	// it is as the client sent it, but for the recipients
	original bool
}

// expand makes the messages that a message becomes.
func (x *expander) expand(
	env *mail.Envelope,
	content *mail.Content,
) (all []outgoing, f *smtp.Failure) {
	addresses := make([]string, len(env.Recipients))
	for i := range env.Recipients {
		addresses[i] = env.Recipients[i].Address
	}
	res := directory.Resolve(x.book, addresses)
	if res.TooFar {
		return nil, failTooFar
	}
	copies, looped := withoutLoops(res.Copies, content)
	if nobodyElse(res.Errs, len(addresses)) || looped && len(copies) == 0 {
		return nil, failLooped
	}
	told, width := newReceipts(env, copies), x.width()
	for _, c := range copies {
		for to := range slices.Chunk(c.To, width) {
			all = append(all, outgoing{x.envelope(env, c, to, told), deliveredTo(c.Through),
				addresses[to[0].Of], c.List == nil && len(c.Through) == 0})
		}
	}
	return told.add(env, all, width), nil
}

// nobodyElse reports whether all addresses lead back to themselves.
func nobodyElse(errs []error, addresses int) bool {
	for _, err := range errs {
		if !errors.Is(err, directory.ErrLoop) {
			return false
		}
	}
	return len(errs) == addresses
}

// envelope is that of a copy for some of its targets.
func (x *expander) envelope(
	env *mail.Envelope,
	c *directory.Copy,
	to []directory.Target,
	told receipts,
) *mail.Envelope {
	e := *env
	e.Recipients = make([]mail.Recipient, len(to))
	for i, t := range to {
		e.Recipients[i] = readdressed(env, t.Of, t.Address, t.Domain)
		if told.of(t.Of) {
			e.Recipients[i].Notify = withoutSuccess(e.Recipients[i].Notify)
		}
		e.SMTPUTF8 = e.SMTPUTF8 || !smtp.IsASCII(t.Address)
	}
	if c.List == nil {
		return &e
	}
	// A list's copies are the list's: failures are reported to its owner, and what the sender
	// asked for does not go on (RFC 5321 3.9.2, RFC 3461 5.2.7.1). A null reverse-path stays: on a
	// report nobody reports.
	if e.Sender != "" {
		e.Sender = c.List.Owner
	}
	e.EnvelopeID, e.Ret = "", mail.RetUnset
	for i := range e.Recipients {
		e.Recipients[i].Notify, e.Recipients[i].ORcpt = 0, ""
	}
	return &e
}

// deliveredTo are the lines of the users who forward a message, the last one first.
func deliveredTo(through []string) (lines []byte) {
	for _, user := range slices.Backward(through) {
		lines = append(lines, "Delivered-To: "+user+"\r\n"...)
	}
	return lines
}

// withoutLoops drops copies that somebody would forward for the second time. Who would is a
// recipient of the original instead, where local delivery refuses and reports it, for the same
// line.
func withoutLoops(
	copies []*directory.Copy,
	content *mail.Content,
) (kept []*directory.Copy, looped bool) {
	forwarded := func(c *directory.Copy) bool { return len(c.Through) > 0 }
	if !slices.ContainsFunc(copies, forwarded) {
		return copies, false
	}
	seen := deliveredBefore(content)
	if len(seen) == 0 {
		return copies, false
	}
	var back []directory.Target
	for _, c := range copies {
		i := slices.IndexFunc(c.Through, func(user string) bool { return seen[user] })
		if i < 0 {
			kept = append(kept, c)
			continue
		}
		user := c.Through[i]
		t := directory.Target{Address: user, Domain: mail.DomainOf(user), Mailbox: true,
			Of: c.To[0].Of}
		same := func(o directory.Target) bool { return o.Address == user }
		if !slices.ContainsFunc(back, same) {
			back = append(back, t)
		}
	}
	if len(kept) == 0 || len(back) == 0 {
		return kept, len(back) > 0
	}
	if first := kept[0]; first.List == nil && len(first.Through) == 0 {
		first.To = append(first.To, back...)
	} else {
		kept = append([]*directory.Copy{{To: back}}, kept...)
	}
	return kept, true
}

// deliveredBefore returns the users in the Delivered-To fields of a content's header.
func deliveredBefore(content *mail.Content) map[string]bool {
	var head []byte
	for _, chunk := range content.Chunks {
		head = append(head, chunk[:min(len(chunk), message.MaxTrailHead-len(head))]...)
	}
	var trail message.Trail
	trail.Read(head)
	seen := map[string]bool{}
	for _, to := range trail.Delivered() {
		if user, err := directory.Canonical(string(to)); err == nil {
			seen[user] = true
		}
	}
	return seen
}
