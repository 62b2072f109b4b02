package sink

import (
	"cmp"
	"time"

	"github.com/postroad/postroad/internal/config"
)

// profiles imitate large providers: their texts as senders publish them, their limits of the same
// order as what senders observe for an address without a reputation. Unknown users are the same in
// every run.
var profiles = map[string]Rule{
	"gmail": {
		Rate: config.Rate{N: 600, Per: time.Minute},
		RateReply: "421-4.7.28 Gmail has detected an unusual rate of " +
			"unsolicited mail originating\n" +
			"421-4.7.28 from your IP address. To protect our users from spam, mail sent from\n" +
			"421-4.7.28 your IP address has been temporarily rate limited. Please visit\n" +
			"421 4.7.28 https://support.google.com/mail/?p=UnsolicitedRateLimitError - gsmtp",
		MessagesPerConnection: 100,
		MessagesReply:         "421 4.7.0 Try again later, closing connection. - gsmtp",
		Do: []Do{
			{At: "rcpt", By: byAddress, Share: 1,
				Reply: "550-5.1.1 The email account that you tried to reach does not exist. " +
					"Please try\n" +
					"550-5.1.1 double-checking the recipient's email address for typos or\n" +
					"550 5.1.1 unnecessary spaces. https://support.google.com/mail/?p=NoSuchUser " +
					"- gsmtp"},
			{At: "rcpt", By: byAddress, Share: 0.5,
				Reply: "452 4.2.2 The recipient's inbox is out of storage space. - gsmtp"},
		},
	},
	"yahoo": {
		Rate: config.Rate{N: 300, Per: time.Minute},
		RateReply: "421 4.7.0 [TSS04] Messages from {client} temporarily deferred due to " +
			"unexpected volume or user complaints - 4.16.55.1; " +
			"see https://postmaster.yahooinc.com/error-codes",
		Connections: 20,
		ConnectionsReply: "421 4.7.0 [TSS04] Messages from {client} temporarily deferred; " +
			"too many connections",
		MessagesPerConnection: 20,
		MessagesReply:         "421 4.7.0 Too many messages on this connection, closing it",
		Do: []Do{
			{At: "end", By: byChance, Share: 1,
				Reply: "451 4.3.2 Resources temporarily unavailable. Please try again later"},
			{At: "rcpt", By: byAddress, Share: 1,
				Reply: "550 5.1.1 <{recipient}>: this user doesn't have a yahoo.com account"},
		},
	},
	"outlook": {
		Rate: config.Rate{N: 300, Per: time.Minute},
		RateReply: "451 4.7.650 The mail server [{client}] has been temporarily rate limited " +
			"due to IP reputation. For e-mail delivery information, " +
			"see https://postmaster.live.com (S775)",
		Connections: 50,
		ConnectionsReply: "421 4.3.2 The maximum number of concurrent connections has exceeded " +
			"a limit, closing transmission channel",
		Do: []Do{
			{At: "mail", By: byChance, Share: 0.5, Reply: "421 4.3.2 Service not active"},
			{At: "rcpt", By: byAddress, Share: 1,
				Reply: "550 5.1.1 <{recipient}>: Recipient address rejected: User unknown"},
			{At: "end", By: byChance, Share: 100, Delay: config.Duration(100 * time.Millisecond)},
		},
	},
}

const byChance = "chance"

// Replies of a rule that gives none.
const (
	defaultGreylist    = "450 4.2.0 <{recipient}>: Recipient address rejected: Greylisted"
	defaultRate        = "421 4.7.0 Messages from {client} temporarily deferred: too many messages"
	defaultConnections = "421 4.7.0 Too many connections from {client}"
	defaultMessages    = "421 4.7.0 Too many messages on this connection"
)

// profiled is a rule with what its profile and the defaults put where it says nothing.
func profiled(r Rule) Rule {
	p := profiles[r.Profile]
	r.Rate = cmp.Or(r.Rate, p.Rate)
	r.Connections = cmp.Or(r.Connections, p.Connections)
	r.MessagesPerConnection = cmp.Or(r.MessagesPerConnection, p.MessagesPerConnection)
	r.GreylistReply = cmp.Or(r.GreylistReply, defaultGreylist)
	r.RateReply = cmp.Or(r.RateReply, p.RateReply, defaultRate)
	r.ConnectionsReply = cmp.Or(r.ConnectionsReply, p.ConnectionsReply, defaultConnections)
	r.MessagesReply = cmp.Or(r.MessagesReply, p.MessagesReply, defaultMessages)
	if len(r.Do) == 0 {
		r.Do = p.Do
	}
	return r
}
