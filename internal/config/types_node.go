package config

// Node says who this node is and where it keeps its data.
type Node struct {
	// Name is the node's name, unique in the cluster. Once others may join it stays. Takes a
	// restart: the cluster knows the node by it.
	Name string `toml:"name" default:"the host name"`
	// Hostname is the name in the banner, in EHLO and in Received fields. Other servers look it up:
	// it should have an address record, and the address should point back to it. Takes a restart:
	// greeting, Received fields, reports and a self-signed certificate have to agree.
	Hostname string `toml:"hostname" default:"the host name"`
	// DataDir is the directory of the queue, the event log and the administration socket. One node
	// owns it alone. The default counts from the folder of the file, too. Takes a restart: all that
	// the node knows is there.
	DataDir string `toml:"data_dir"`
	// Own lists what of the shared sections this node keeps in its own file, after a configuration
	// was pushed to all nodes: sections, such as "retry" or "route", keys, such as
	// "relay.networks", or one destination, such as "shaping.local". Without a pushed configuration
	// it says nothing.
	Own []string `toml:"own" reload:"yes"`
}

// Kind is what a listener is for.
type Kind string

// The kinds of listener. LMTP is known, but this release does not serve it.
const (
	KindRelay       Kind = "relay"
	KindSubmission  Kind = "submission"
	KindSubmissions Kind = "submissions"
	KindLMTP        Kind = "lmtp"
	KindPOP3        Kind = "pop3"
	KindPOP3S       Kind = "pop3s"
)

// Listener is one address on which the node takes connections. Without any [[listener]] in the file
// the node relays on 127.0.0.1:2525, takes submissions on 127.0.0.1:2587 and serves mailboxes on
// 127.0.0.1:2110. A reload opens new addresses, or changes nothing if one cannot be opened, and
// closes those that are gone; connections live on as they began, whatever changes. An address that
// overlaps one that goes, as ":25" does "192.0.2.1:25", is opened a moment after that is closed.
type Listener struct {
	// Address is the IP address and port to listen on: "192.0.2.1:25", "[2001:db8::1]:25".
	// "0.0.0.0", "[::]" and nothing, as in ":25", are every address of the machine, of both kinds.
	// Of names only localhost is taken: others would depend on what DNS says at the start.
	Address string `toml:"address" reload:"yes" default:"none, it must be given"`
	// Kind is what the listener is for: "relay" takes mail from other servers (port 25),
	// "submission" from users after STARTTLS and AUTH (port 587), "submissions" the same with TLS
	// from the first octet (port 465). "pop3" lets users read their mailboxes after STLS (port
	// 110), "pop3s" with TLS from the first octet (port 995). "lmtp" takes mail for local and relay
	// domains by RFC 2033, from the networks of [relay] only.
	Kind Kind `toml:"kind" reload:"yes" enum:"relay,submission,submissions,lmtp,pop3,pop3s" default:"\"relay\""`
	// ProxyProtocolFrom are the networks of load balancers that begin each connection with a PROXY
	// header (version 1 or 2). From these addresses the header is required, from all others it is
	// refused.
	ProxyProtocolFrom Networks `toml:"proxy_protocol_from" reload:"yes"`
	// Tenant is the tenant of mail that arrives here, unless an authenticated user has one of their
	// own.
	Tenant string `toml:"tenant" reload:"yes"`
	// AuthWithoutTLS lets users authenticate, and submit or read, in the clear. Only for networks
	// that nobody listens in on.
	AuthWithoutTLS bool `toml:"auth_without_tls" reload:"yes"`
	// TLSMin is the oldest version of TLS that clients may have. Below "1.2" only for devices that
	// know no better, on an address of their own: what they say can be read by others (RFC 8996).
	TLSMin string `toml:"tls_min" reload:"yes" enum:"1.0,1.1,1.2,1.3" default:"\"1.2\""`
	// TLSRSA lets clients of TLS 1.2 and older exchange keys by the certificate's own key, which
	// has to be an RSA key: for devices that know nothing else. Whoever gets hold of the key reads
	// what was recorded before.
	TLSRSA bool `toml:"tls_rsa" reload:"yes"`
	// LoginDomain is the domain of users who log in without one: "alice" is alice@LoginDomain.
	// Empty: a log-in name is a whole address.
	LoginDomain string `toml:"login_domain" reload:"yes"`
	// CompleteDomain is the domain of addresses without one in MAIL and RCPT, such as "root" of a
	// printer or a cron job, from users who have logged in and from relay.networks: "root" is
	// root@CompleteDomain. Others are refused (501 5.1.7, 5.1.3). Empty: everybody is. A recipient
	// "postmaster" alone goes where it always does.
	CompleteDomain string `toml:"complete_domain" reload:"yes"`
	// MaxLine is the longest line of a message that is taken, at least 998B. RFC 5322 2.1.1 has
	// senders keep to 998 octets; longer lines are relayed as they came, and the next server may
	// refuse them. "998B" refuses them here with 554 5.6.0.
	MaxLine Size `toml:"max_line" reload:"yes" default:"\"1MiB\""`
}

// TLS is the certificate that listeners show, where no [[certificate]] has the name that a client
// says. The files are read again when they change, and at a reload; a pair that does not fit
// refuses the reload.
type TLS struct {
	// Certificate is a PEM file with the certificate and its chain. Empty: the node makes a
	// self-signed certificate when it starts, which other servers accept for opportunistic TLS and
	// mail programs warn of.
	Certificate string `toml:"certificate" path:"yes" reload:"yes"`
	// Key is the PEM file with the private key that belongs to it.
	Key string `toml:"key" path:"yes" reload:"yes"`
}

// Certificate is a certificate more, for clients that say one of its names in the handshake (SNI,
// RFC 6066 3): the name itself, else a pattern that has it, else the client sees that of [tls].
// Mail programs check that the certificate is valid for the name that they were set up with. Two
// may have the same name, one with an RSA key and one with another: a client sees the first that it
// can use.
type Certificate struct {
	// Names are those for which the certificate is shown; "*.example.net" is every name with one
	// label more than example.net. Empty: those that are in the certificate.
	Names []string `toml:"names" reload:"yes"`
	// Certificate is a PEM file with the certificate and its chain.
	Certificate string `toml:"certificate" path:"yes" reload:"yes" default:"none, it must be given"`
	// Key is the PEM file with the private key that belongs to it.
	Key string `toml:"key" path:"yes" reload:"yes" default:"none, it must be given"`
}

// Admin is the HTTP server for health, metrics and administration.
type Admin struct {
	// Address is where /livez, /readyz and /metrics answer without authentication. Everything else
	// needs the token here, or the unix socket "admin.sock" in the data directory. Empty: the unix
	// socket only.
	Address string `toml:"address" reload:"yes"`
	// Hosts are further names under which the address is reached; requests that name another host
	// are refused. IP addresses, localhost, node.name and node.hostname always do.
	Hosts []string `toml:"hosts" reload:"yes"`
	// TokenFile is a file with the token on its first line, at least 16 characters. Empty: no
	// administration over TCP.
	TokenFile string `toml:"token_file" path:"yes" reload:"yes"`
	// SocketGroup is the group of this machine, by name or number, whose members may use the unix
	// socket as the node's own user may: they may do and see all. The node's user must be in it.
	// The socket then has mode 0660, and the group may pass through the data directory to it, whose
	// own directories are shut. Empty: the node's user and root only.
	SocketGroup string `toml:"socket_group" reload:"yes"`
}

// Events is the event log: one JSON object per line for each mail event.
type Events struct {
	// File is the event log, in the data directory when the name is relative. Empty: no event log.
	File string `toml:"file" reload:"yes"`
	// Rotate is the size at which the file is renamed to a name with the time and a new one is
	// begun.
	Rotate Size `toml:"rotate" reload:"yes"`
	// Keep is the number of renamed files that are kept; the oldest go. 0: all of them.
	Keep int `toml:"keep" reload:"yes"`
}

// Telemetry says where logs, metrics and traces go besides /metrics.
type Telemetry struct {
	// OTLP is the host:port of an OTLP/gRPC receiver of metrics, traces and events of the cluster,
	// with "https://" before it for TLS. Empty: none. Takes a restart: what is counted from
	// the start on goes to one receiver.
	OTLP string `toml:"otlp"`
	// TraceSample is the share of messages that are traced. Without otlp nothing is traced.
	TraceSample Percent `toml:"trace_sample" reload:"yes"`
	// LogFormat is the form of the log on standard error: "text" or "json".
	LogFormat string `toml:"log_format" reload:"yes" enum:"text,json"`
}

// Cluster is how nodes find each other. The port is opened when the node joins a cluster, begins
// one by join, or after `postroad cluster init`.
type Cluster struct {
	// Listen is the address and port for other nodes. Takes a restart: all that members say to each
	// other goes over it.
	Listen string `toml:"listen"`
	// Advertise is the address that other nodes dial, by name or IP address. Takes a restart: a
	// node tells the others when it starts.
	Advertise string `toml:"advertise" default:"the value of listen; the host name instead of 0.0.0.0 or [::]"`
	// Replicas is the number of members that keep each message: 3 or 5. Takes a restart: it has
	// copies made or removed, on all nodes, which should not come of a slip.
	Replicas int `toml:"replicas"`
	// MailboxShards is over how many groups the mailboxes are spread, 1 to 256: at least one for
	// each node that the cluster may ever have. It counts once, when the cluster gets its first
	// mailbox, and cannot be changed later. Takes a restart: it has to stay as it is.
	MailboxShards int `toml:"mailbox_shards"`
	// Join lists where members of the cluster are: with an empty data directory the node joins
	// through the first that knows it. A node whose own address (advertise) is the first in the
	// list begins the cluster when all others have answered that they know none, so all nodes may
	// have the same list. Takes a restart: a node joins when it starts.
	Join []string `toml:"join"`
	// TokenFile is the path of a file with a join token, at least 16 characters. All nodes may have
	// the same: the first makes it a token that does not expire. Takes a restart: it is for the
	// join.
	TokenFile string `toml:"token_file" path:"yes"`
}
