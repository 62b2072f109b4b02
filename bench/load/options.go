package load

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Options of a load. The zero value of a field means its default.
type Options struct {
	Addr   string       // of the server, host:port
	Source []netip.Addr // local addresses, taken in turn by the connections; default: the system's choice

	Connections   int // default 1
	PerConnection int // messages on a connection before QUIT and a new one; 1 is a fresh connection a message; default: no end
	Loops         int // event loops; default: half of GOMAXPROCS, at least 1

	Messages int64         // how many messages; default: no end but For, Stop or the context
	For      time.Duration // for how long messages are begun; default: no end
	Rate     float64       // messages a second: an open loop; 0: a closed loop

	Pipelining Pipelining
	Chunking   bool // BDAT instead of DATA, where CHUNKING is offered
	Chunk      int  // octets of a BDAT chunk; default: the whole content in one
	Window     int  // messages under way on a connection, with Chunking and PipelineStream; default 4

	TLS       TLSMode
	TLSConfig *tls.Config // default: the server's name is that of Addr, roots are the system's
	Username  string      // AUTH PLAIN, or LOGIN where only that is offered
	Password  string
	Helo      string // the name in EHLO; default "load.example"

	Envelope Envelope
	Content  Content

	Retries    int           // further attempts after a 4xx reply or a loss
	RetryAfter time.Duration // default 1 s
	Timeout    time.Duration // for a connection to open and for each reply; default 60 s

	// Hash has the SHA-256 of each message computed for OnSent: about 3 us for 4 KiB.
	Hash bool
	// OnSent, when set, is told of each message when nothing more is to come of it. It is called on the event loops, several at a time, and must
	// not block; the Sent is valid during the call.
	OnSent func(*Sent)
}

// Pipelining is how far commands go ahead of their replies. The package's comment has what each does.
type Pipelining uint8

// Ways of pipelining.
const (
	PipelineOff Pipelining = iota
	PipelineMessage
	PipelineStream
)

// TLSMode says whether and how connections are encrypted.
type TLSMode uint8

// Ways of encryption.
const (
	TLSOff      TLSMode = iota
	TLSStart            // STARTTLS, which the server has to offer
	TLSImplicit         // from the first octet
)

// Envelope says who messages are from and for. The addresses of message n follow from Seed and n.
type Envelope struct {
	Seed       uint64
	Sender     string   // default "sender@load.example"; "<>" is the null reverse-path
	To         []string // fixed recipients, taken in turn; default: an address of its own for each, at Domains
	Domains    *Domains // of recipients; default: "sink.example"
	Recipients int      // per message; default 1
	UTF8       bool     // addresses that need SMTPUTF8, which the server has to offer
}

// Content says what messages consist of. Each begins with the field X-Test-ID with a value of its own.
type Content struct {
	Run    string  // tells runs apart in the IDs; letters and digits; default: random
	Sizes  Sizes   // of made messages, octets with header and CRLFs; default 4 KiB
	Bodies *Bodies // real messages, taken in turn, instead of made ones
	Varied bool    // messages of many shapes (internal/mailtest) instead; slower
}

// Sent is what became of one message.
type Sent struct {
	Number     int64 // from 0
	ID         string
	Sender     string
	Recipients []Recipient
	Sum        [32]byte // SHA-256 of the content from the field X-Test-ID on; zero without Options.Hash
	Size       int      // octets of the content, before dot-stuffing
	Outcome    Outcome  // Accepted when it is for at least one recipient
	QueueID    string   // as the server has called it
	Attempts   int
	Connection int       // number of the connection that the last attempt was on, from 1
	Due        time.Time // when it was to be sent: with a rate by the schedule, else Begun of the first attempt
	Begun      time.Time // when the last attempt's MAIL was sent
	Ended      time.Time // when the last reply was read or the connection had ended
}

// Recipient is one recipient of a Sent.
type Recipient struct {
	Address string
	Outcome Outcome
	Code    int // of the reply that decided; 0 when there was none
}

// Outcome is what became of a message or a recipient.
type Outcome uint8

// Outcomes. The package's comment explains them.
const (
	Lost Outcome = iota
	Accepted
	RefusedForNow  // 4xx
	RefusedForGood // 5xx
	Unknown
)

func (o Outcome) String() string {
	return [...]string{"lost", "accepted", "refused for now", "refused for good", "unknown"}[o]
}
