package intake

import (
	"slices"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
)

// receipts are what the senders who asked for it (NOTIFY=SUCCESS) are told of addresses that become
// several (RFC 3461 5.2.7): 0 for an address that becomes one, whose new address inherits the wish.
type receipts []mail.Notify

// newReceipts says what is told of each recipient of a message. A message to a list is delivered
// with that (5.2.7.1); of an alias for several addresses the report is "expanded" (5.2.7.3 c).
func newReceipts(env *mail.Envelope, copies []*directory.Copy) receipts {
	asks := func(r mail.Recipient) bool { return r.Notify&mail.NotifySuccess != 0 }
	if env.Sender == "" || !slices.ContainsFunc(env.Recipients, asks) {
		return nil
	}
	one, lists := make([]int, len(env.Recipients)), make([]int, len(env.Recipients))
	for _, c := range copies {
		for i, t := range c.To {
			switch {
			case c.List == nil:
				one[t.Of]++
			case i == 0 || c.To[i-1].Of != t.Of:
				lists[t.Of]++
			}
		}
	}
	told := make(receipts, len(env.Recipients))
	for i := range told {
		switch {
		case !asks(env.Recipients[i]):
		case one[i]+lists[i] > 1 && one[i] > 0:
			told[i] = mail.PassedOn
		case lists[i] > 0:
			told[i] = mail.PassedToList
		}
	}
	return told
}

// of reports whether a recipient is told of by itself.
func (t receipts) of(number int) bool { return t != nil && t[number] != 0 }

// withoutSuccess takes SUCCESS out of a NOTIFY. Who asked for nothing else is told nothing.
func withoutSuccess(n mail.Notify) mail.Notify {
	if n == mail.NotifySuccess {
		return mail.NotifyNever
	}
	return n &^ mail.NotifySuccess
}

// add puts the recipients that are told of by themselves into messages of the original sender, of
// at most so many recipients: one that goes on anyway, or one of their own, in front.
func (t receipts) add(env *mail.Envelope, all []outgoing, width int) []outgoing {
	for i, mark := range t {
		if mark == 0 {
			continue
		}
		r := env.Recipients[i]
		r.Notify = mail.NotifySuccess | mark
		at := slices.IndexFunc(all, func(m outgoing) bool {
			return m.original && len(m.env.Recipients) < width
		})
		if at < 0 {
			e := *env
			e.Recipients = nil
			at, all = 0, slices.Insert(all, 0, outgoing{env: &e, of: r.Address, original: true})
		}
		all[at].env.Recipients = append(all[at].env.Recipients, r)
	}
	return all
}
