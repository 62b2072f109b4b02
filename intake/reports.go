package intake

import (
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/mail"
)

// maxReported bounds who gets one report: a reverse-path that leads to more is no person's.
const maxReported = 100

// AddressReport changes the recipients of a report (a DSN) that is for one local address to where
// the directory says that its mail goes. A report's acceptance is one command with the event that
// it reports on, so its copies are recipients of one message.
func AddressReport(book directory.Book, env *mail.Envelope, content *mail.Content) {
	if len(env.Recipients) != 1 || !book.Local(env.Recipients[0].Domain) {
		return
	}
	to := env.Recipients[0]
	// A report on mail of a list goes to the list's owner.
	if name, err := directory.Canonical(to.Address); err == nil {
		if a, ok := book.Alias(name); ok && a.Owner != "" {
			to.Address = a.Owner
		}
	}
	var all []mail.Recipient
	for _, c := range directory.Resolve(book, []string{to.Address}).Copies {
		content.Prepend(deliveredTo(c.Through))
		for _, t := range c.To {
			all = append(all, mail.Recipient{Address: t.Address, Domain: t.Domain,
				Notify: to.Notify})
		}
	}
	if len(all) > 0 && len(all) <= maxReported {
		env.Recipients = all
	}
}
