package config

// Relay says whose mail is taken for anywhere. Everybody else may only write to local and relay
// domains.
type Relay struct {
	// Networks are the clients that may relay without AUTH. An address alone is a network of one.
	Networks Networks `toml:"networks" reload:"yes"`
	// Domains are the domains that anybody may send to and whose mail is relayed on.
	// "*.example.net" is every domain below example.net.
	Domains []string `toml:"domains" reload:"yes"`
}

// Local is what is delivered here.
type Local struct {
	// Domains are the domains whose mailboxes are here. Their postmaster always accepts mail (RFC
	// 5321 4.5.1).
	Domains []string `toml:"domains" reload:"yes" default:"the host name"`
	// Postmaster is the address that gets the mail for postmaster of the local domains and for a
	// postmaster without a domain. Empty: that mail goes where a route for its domain sends it;
	// without one it waits in the queue, with this reason, until it expires.
	Postmaster string `toml:"postmaster" reload:"yes"`
}

// Policy is what applies to each message and each user.
type Policy struct {
	// CampaignHeader is the header field whose value names a message's campaign. The field is
	// removed on the way out. Empty: no campaigns.
	CampaignHeader string `toml:"campaign_header" reload:"yes"`
	// UserMessages is how many messages one user may submit; what is more gets a 4xx reply and an
	// event. "": any number.
	UserMessages Rate `toml:"user_messages" reload:"yes"`
	// UserRecipients is how many recipients one user may send to. "": any number.
	UserRecipients Rate `toml:"user_recipients" reload:"yes"`
	// AliasLogin lets a user log in by an alias, too, whose only target is the user: an address, or
	// one of a domain that stands for another. Lists, and what a catch-all gets, log nobody in.
	AliasLogin bool `toml:"alias_login" reload:"yes"`
	// UnknownRecipients is how many recipients that do not exist one client network (an IPv4 /24,
	// an IPv6 /56) may name, but for users and [relay]. When half of it is used the replies come
	// later and later, up to 20 s; beyond it: 421 4.7.1. Recipients that exist are taken as ever.
	// "": any number.
	UnknownRecipients Rate `toml:"unknown_recipients" reload:"yes"`
}

// LDAP is a list of users that is kept elsewhere. They are copied into the directory, where they
// have mailboxes as others do; whoever leaves the list cannot log in any more, and the mailbox
// stays. Passwords are checked by binding as the user. All nodes should have the same section: the
// one that leads the control group asks for the list, each asks for passwords.
type LDAP struct {
	// URL is the server: "ldaps://ldap.example.net", "ldap://127.0.0.1:389". Empty: there is none.
	URL string `toml:"url" reload:"yes"`
	// StartTLS begins TLS on an ldap:// connection, and does not go on without.
	StartTLS bool `toml:"start_tls" reload:"yes"`
	// CAFile has the certificates, in PEM, that sign the server's. Empty: those of the system.
	CAFile string `toml:"ca_file" path:"yes" reload:"yes"`
	// BindDN is the entry as which the list is read. Empty: anonymously.
	BindDN string `toml:"bind_dn" reload:"yes"`
	// PasswordFile is a file with the password of bind_dn on its first line.
	PasswordFile string `toml:"password_file" path:"yes" reload:"yes"`
	// Base is the entry below which the users are.
	Base string `toml:"base" reload:"yes"`
	// Filter selects users (RFC 4515).
	Filter string `toml:"filter" reload:"yes"`
	// ID is the attribute by which an entry is known again when its addresses change: entryUUID
	// (RFC 4530), or objectGUID of Active Directory. An entry without it is known by its DN.
	ID string `toml:"id" reload:"yes"`
	// Address is the attribute with the addresses that a user logs in with and gets mail at. One of
	// its values, for a new user the first, names the mailbox, and goes on to for as long as there
	// is the entry.
	Address string `toml:"address" reload:"yes"`
	// Senders is the attribute with further addresses that a user may send as. Empty: none has any.
	Senders string `toml:"senders" reload:"yes"`
	// Forward is the attribute with addresses that get a user's mail, besides the mailbox. Empty:
	// nobody's is forwarded.
	Forward string `toml:"forward" reload:"yes"`
	// Quota is the attribute with the hard quota of the mailbox, in octets. Empty: there is none.
	Quota string `toml:"quota" reload:"yes"`
	// Hash is the attribute with a hash of the password, such as userPassword, which is used where
	// it is of a kind that this program knows: then users log in while the server is away. Empty:
	// passwords are checked by binding.
	Hash string `toml:"hash" reload:"yes"`
	// Interval is the time between two looks at the list.
	Interval Duration `toml:"interval" reload:"yes"`
}

// Limits bound what the node takes on. Each has a reply of its own when it is reached. After a
// reload an SMTP session takes them at its next EHLO or MAIL, so that a transaction has one set of
// them from end to end; a POP3 session has those of its beginning.
type Limits struct {
	// MessageSize is the largest message, as offered with SIZE. A larger one: 552 5.3.4.
	MessageSize Size `toml:"message_size" reload:"yes"`
	// Recipients is the most recipients of one mail transaction, at least 100 (RFC 5321
	// 4.5.3.1.10) and at most 50,000. One more: 452 4.5.3.
	Recipients int `toml:"recipients" reload:"yes"`
	// Connections is the most connections at a time, of SMTP and as many of POP3, unless the limit
	// of open files allows fewer. One listener of several has three quarters of them at most. One
	// more: 421 4.3.2, -ERR [SYS/TEMP]. When seven eighths are taken, those that have been silent
	// for longest are ended, but for users' and those of [relay].
	Connections int `toml:"connections" reload:"yes" shared:"no"`
	// ConnectionsPerNetwork is the most connections at a time from one client network (an IPv4 /24,
	// an IPv6 /56); the networks of [relay] are not counted. SMTP and POP3 count by themselves. One
	// more: 421 4.7.0, -ERR [SYS/TEMP]; without a word where TLS would come first.
	ConnectionsPerNetwork int `toml:"connections_per_network" reload:"yes"`
	// MessagesPerConnection is the most mail transactions of one connection. One more: 421 4.7.0.
	MessagesPerConnection int `toml:"messages_per_connection" reload:"yes"`
	// Errors is the number of refused commands since the last message, or since POP3's last good
	// command, after which a connection is closed: 421 4.7.0, -ERR.
	Errors int `toml:"errors" reload:"yes"`
	// AuthFailures is the number of failed log-ins after which a connection is closed: 421 4.7.0,
	// -ERR [AUTH].
	AuthFailures int `toml:"auth_failures" reload:"yes"`
	// Hops is the most Received fields of a message (RFC 5321 6.3). One more: 554 5.4.6.
	Hops int `toml:"hops" reload:"yes"`
	// IdleTimeout is how long a client may say nothing. RFC 5321 4.5.3.2.7 asks for five minutes.
	// After it: 421 4.4.2. A POP3 client that has logged in has ten minutes at least (RFC 1939 3).
	IdleTimeout Duration `toml:"idle_timeout" reload:"yes"`
	// MinimumDataRate is how many octets of mail data a second a client must send on the whole,
	// once the first idle_timeout is over. Less: 421 4.4.2.
	MinimumDataRate Size `toml:"minimum_data_rate" reload:"yes"`
	// Memory is the most mail and caches held in memory, the scheduler's window included. Beyond it
	// new mail waits or gets 452 4.3.1. What the process needs beside it is in docs/limits.md.
	// Takes a restart: caches are made for it.
	Memory Size `toml:"memory" shared:"no"`
	// FreeDisk is the share of the data directory's file system that stays free. Below it: 452
	// 4.3.1. A message takes its part of the rest before it is stored, and one above 1 MiB before
	// its data when it says its SIZE: all of these have three quarters of the rest at most, and
	// those of one client network a quarter, but for users and [relay]. Beyond it: 452 4.3.1.
	FreeDisk Percent `toml:"free_disk" reload:"yes" shared:"no"`
}

// Delivery is how mail leaves.
type Delivery struct {
	// Port is the port of other servers, where no route says otherwise.
	Port int `toml:"port" reload:"yes"`
	// Helo is the name in EHLO.
	Helo string `toml:"helo" reload:"yes" default:"the value of node.hostname"`
	// Bind are the source addresses; an IPv4 and an IPv6 address each serve their own kind, several
	// are used in turn. Empty: the system's choice.
	Bind []string `toml:"bind" reload:"yes"`
	// Connections is the most outgoing connections at a time, to all sites together.
	Connections int `toml:"connections" reload:"yes"`
	// MXAddresses is the most addresses of one destination that are tried for a connection, the
	// first preferences first. Those behind are reached only when it is larger.
	MXAddresses int `toml:"mx_addresses" reload:"yes"`
	// MXSessions is the most hosts of one destination that one attempt goes to: after a host that
	// puts a recipient off, or goes away before the content, the next one is asked (RFC 5321 5.1).
	MXSessions int `toml:"mx_sessions" reload:"yes"`
	// AllowPrivateDestinations lets MX records point to loopback, private and own addresses. Only
	// for tests and demonstrations: in the open it lets strangers reach your network.
	AllowPrivateDestinations bool `toml:"allow_private_destinations" reload:"yes"`
}

// DNS is whom to ask for MX and address records.
type DNS struct {
	// Servers are the resolvers, with their ports unless that is 53.
	Servers []string `toml:"servers" reload:"yes" default:"those of /etc/resolv.conf"`
}

// Route sends some mail another way than to its MX. The first route whose conditions all hold is
// taken; one without conditions takes everything. No route: MX. Mail for local domains goes to the
// mailboxes here, unless the route that takes it says a domain or a recipient. In domain,
// recipient, sender and tenant "*" stands for any characters.
type Route struct {
	// Domain is the recipient's domain. "*.example.net" is every domain below example.net.
	Domain string `toml:"domain" reload:"yes"`
	// Recipient is the recipient's address.
	Recipient string `toml:"recipient" reload:"yes"`
	// Sender is the sender's address; "*@example.net" is all of a domain, "<>" the null
	// reverse-path.
	Sender string `toml:"sender" reload:"yes"`
	// Tenant is the message's tenant.
	Tenant string `toml:"tenant" reload:"yes"`
	// Network is where the message came from.
	Network Networks `toml:"network" reload:"yes"`
	// SmartHost is the server to hand the mail to, "host", "host:port", "[address]:port" or the
	// path of a unix socket; its MX records are not looked up. Empty: the MX, with this route's
	// TLS.
	SmartHost string `toml:"smart_host" reload:"yes"`
	// Protocol is "smtp", or "lmtp" (RFC 2033) for a server that puts the mail into mailboxes at
	// once, such as Dovecot. LMTP has no default port.
	Protocol string `toml:"protocol" reload:"yes" enum:"smtp,lmtp" default:"\"smtp\""`
	// TLS is "opportunistic" (when the server offers it), "require" (with a certificate that is
	// valid for the host, else the mail waits) or "off".
	TLS string `toml:"tls" reload:"yes" enum:"opportunistic,require,off" default:"\"opportunistic\""`
	// TLSVerify has the password go only to a server with a certificate that is valid for the host:
	// with a username, "opportunistic" is "require". Write false where the server has another one;
	// whoever is in its place gets the password then.
	TLSVerify bool `toml:"tls_verify" reload:"yes" default:"true"`
	// Username is the name for AUTH at the smart host. It needs password_file.
	Username string `toml:"username" reload:"yes"`
	// PasswordFile is a file with the password on its first line.
	PasswordFile string `toml:"password_file" path:"yes" reload:"yes"`
}

// Retry is what happens to mail that cannot be delivered yet.
type Retry struct {
	// Schedule are the pauses before each next attempt; the last one repeats. Some jitter is added.
	Schedule []Duration `toml:"schedule" reload:"yes"`
	// Expire is the age at which a message is given up and returned. It must be above
	// delay_warning.
	Expire Duration `toml:"expire" reload:"yes"`
	// DelayWarning is the age at which the sender is told of the delay, once. It must be below
	// expire. "0s": never.
	DelayWarning Duration `toml:"delay_warning" reload:"yes"`
}

// Shaping is what one destination is to bear. [shaping.default] is for all; [shaping."example.net"]
// is for a domain, or for a site by the suffix of its MX hosts, and takes what it does not say from
// default. [shaping.local] is for the mailboxes here: connections are the messages on their way
// into them at a time, 200 if it does not say so, and nothing is taken from default.
type Shaping struct {
	// Connections is the most connections to one site at a time.
	Connections int `toml:"connections" reload:"yes"`
	// MessagesPerConnection is how many messages go over one connection before a new one is made.
	MessagesPerConnection int `toml:"messages_per_connection" reload:"yes"`
	// RecipientsPerMessage is the most recipients in one transaction.
	RecipientsPerMessage int `toml:"recipients_per_message" reload:"yes"`
	// Rate is how many messages a site gets, evenly. A twentieth of what it is for a second may
	// come at once, and one message of each node more, or a tenth where the limits are the node's
	// alone. "": any number, also where default has a rate.
	Rate Rate `toml:"rate" reload:"yes"`
	// Scope says for whom the limits of connections and rate hold: "cluster" for all nodes
	// together, "node" for each. A node that reaches no leader of the cluster has a twentieth of
	// the rate and a quarter of its part of the connections, which is none of few.
	Scope string `toml:"scope" reload:"yes" enum:"cluster,node"`
}
