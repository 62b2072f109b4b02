package node

import (
	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/delivery/report"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/intake"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/queue"
)

// This file joins what the directory says of people with their mailboxes and their mail.

// mailboxSettings are what the directory says of the mailbox of a canonical address; false: no user
// has it.
func (n *node) mailboxSettings(address string) (mailbox.Settings, bool) {
	u, ok := n.users.Get(address)
	if !ok || u.NoMailbox || !n.policy.Local(mail.DomainOf(address)) {
		return mailbox.Settings{}, false
	}
	return mailbox.Settings{Soft: u.Soft, Hard: u.Hard, Retention: u.Retention}, true
}

// named returns the name of the user whom an address logs in.
func (n *node) named(address string) (name string, ok bool) {
	return directory.LoginName(n.policy, address, n.cfg().Policy.AliasLogin)
}

// knowsPeople reports whether this node has applied all that it knows the control group to have
// decided, and has the pushed configuration in force. After a start that takes until it has heard
// from a leader: till then nobody is unknown for good.
func (n *node) knowsPeople() bool {
	return n.store.Group(cluster.ControlGroup).Fresh() && !n.lacksPushed()
}

// reportQueue is a queue whose reports go where the directory says that their recipients' mail
// goes.
type reportQueue struct {
	report.Queue
	book directory.Book
}

// known reports whether a message came from somebody who is known here, or from this node itself.
func (n *node) known(o *mail.Origin) bool {
	return o.User != "" || !o.Client.IsValid() || n.trusts(o.Client.Addr())
}

// AcceptReport implements report.Queue.
func (q reportQueue) AcceptReport(
	id queue.ReportID,
	env *mail.Envelope,
	content *mail.Content,
	done func(mail.ID, *smtp.Failure),
) {
	intake.AddressReport(q.book, env, content)
	q.Queue.AcceptReport(id, env, content, done)
}
