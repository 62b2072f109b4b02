package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/bench/record"
)

// Options of a load. The zero value of a field means its default.
type Options struct {
	Addr string // of the server, host:port
	// local addresses, taken in turn by the connections; default: the system's choice
	Source []netip.Addr

	Connections int // default 1
	// messages on a connection before QUIT and a new one; 1 is a fresh connection a message;
	// default: no end
	PerConnection int
	Loops         int // event loops; default: half of GOMAXPROCS, at least 1

	Messages int64         // how many messages; default: no end but For, Stop or the context
	For      time.Duration // for how long messages are begun; default: no end
	Rate     float64       // messages a second: an open loop; 0: a closed loop

	Pipelining Pipelining
	Chunking   bool // BDAT instead of DATA, where CHUNKING is offered
	Chunk      int  // octets of a BDAT chunk; default: the whole content in one
	// messages under way on a connection, with Chunking and PipelineStream; default 4
	Window int

	TLS       TLSMode
	TLSConfig *tls.Config // default: the server's name is that of Addr, roots are the system's
	Username  string      // AUTH PLAIN, or LOGIN where only that is offered
	Password  string
	Helo      string // the name in EHLO; default "load.example"

	Envelope Envelope
	Content  Content

	Retries    int           // further attempts after a 4xx reply or a loss
	RetryAfter time.Duration // default 1 s
	// connections in a row that come to nothing before one of Connections is given up; default 10,
	// -1: no end
	Reconnects int
	Timeout    time.Duration // for a connection to open and for each reply; default 60 s

	// Hash has the record.Sum of each message computed for OnSent.
	Hash bool
	// OnSent, when set, is told of each message when nothing more is to come of it. It is called on
	// the event loops, several at a time, and must not block; the Sent is valid during the call.
	OnSent func(*Sent)
}

// Pipelining is how far commands go ahead of their replies. The package's comment has what each
// does.
type Pipelining uint8

// Ways of pipelining.
const (
	PipelineOff Pipelining = iota
	PipelineMessage
	PipelineStream
)

func (p Pipelining) String() string { return [...]string{"off", "message", "stream"}[p] }

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
	Seed   uint64
	Sender string // default "sender@load.example"; "<>" is the null reverse-path
	// fixed recipients, taken in turn; default: an address of its own for each, at Domains
	To         []string
	Domains    *Domains // of recipients; default: "sink.example"
	Recipients int      // per message; default 1
	UTF8       bool     // addresses that need SMTPUTF8, which the server has to offer
}

// Content says what messages consist of. Each begins with the field X-Test-ID with a value of its
// own.
type Content struct {
	Run    string  // tells runs apart in the IDs; letters and digits; default: random
	Sizes  Sizes   // of made messages, octets with header and CRLFs; default 4 KiB
	Bodies *Bodies // real messages, taken in turn, instead of made ones
	Varied bool    // messages of many shapes (internal/testkit/mail) instead; slower
}

// Sent is what became of one message.
type Sent struct {
	Number     int64 // from 0
	ID         string
	Sender     string
	Recipients []Recipient
	Sum        record.Sum // of the content from the field X-Test-ID on; zero without Options.Hash
	Size       int        // octets of the content, before dot-stuffing
	Outcome    Outcome    // Accepted when it is for at least one recipient
	QueueID    string     // as the server has called it
	Attempts   int
	Connection int // number of the connection that the last attempt was on, from 1
	// when it was to be sent: with a rate by the schedule, else Begun of the first attempt
	Due   time.Time
	Begun time.Time // when the last attempt's MAIL was sent
	Ended time.Time // when the last reply was read or the connection had ended
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

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	setDefault(&o.Connections, 1)
	setDefault(&o.Loops, max(1, runtime.GOMAXPROCS(0)/2))
	setDefault(&o.Window, 4)
	setDefault(&o.Helo, "load.example")
	setDefault(&o.RetryAfter, time.Second)
	setDefault(&o.Timeout, time.Minute)
	setDefault(&o.Reconnects, 10)
	setDefault(&o.Envelope.Sender, "sender@load.example")
	setDefault(&o.Envelope.Recipients, 1)
	setDefault(&o.Content.Run, strconv.FormatUint(uint64(rand.Uint32()), 36))
	if o.Envelope.Sender == "<>" {
		o.Envelope.Sender = ""
	}
	if o.Envelope.Domains == nil {
		o.Envelope.Domains = NewDomains("sink.example")
	}
	if len(o.Content.Sizes.sizes) == 0 {
		o.Content.Sizes = Sizes{sizes: []int{4 << 10}}
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return fmt.Errorf("the server's address %q: host:port it should be", o.Addr)
	}
	if o.TLSConfig == nil {
		o.TLSConfig = &tls.Config{ServerName: host}
	}
	return o.check()
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Bounds of options.
const (
	maxConnections = 1 << 20
	maxRecipients  = 10_000
	minChunk       = 1 << 10
)

func (o *Options) check() error {
	for _, wrong := range []struct {
		it   bool
		text string
	}{
		{o.Connections < 1 || o.Connections > maxConnections, "connections: 1 to 1,048,576"},
		{o.Messages < 0 || o.For < 0 || o.PerConnection < 0 || o.Retries < 0 || o.Rate < 0,
			"a number under 0"},
		{o.Messages >= 1e10, "messages: fewer than 10,000,000,000"},
		{o.Rate > 1e7, "rate: at most 10,000,000 messages a second"},
		{o.Window < 1 || o.Window > 1000, "window: 1 to 1,000 messages"},
		{o.Chunk != 0 && o.Chunk < minChunk, "chunk: at least 1 KiB"},
		{o.Envelope.Recipients < 1 || o.Envelope.Recipients > maxRecipients,
			"recipients: 1 to 10,000"},
		{o.Content.Varied && o.Content.Bodies != nil,
			"messages are either varied or read from files"},
		{len(headerText(o, time.Now(), ".")) > MinSize,
			"the names in the message's header (sender, helo, run) are too long"},
		{strings.ContainsAny(o.Envelope.Sender+strings.Join(o.Envelope.To, "")+o.Helo, "<>\r\n "),
			"an address or a name has a character that would break the command"},
		{!isWord(o.Content.Run), "run: letters and digits, at most 32"},
	} {
		if wrong.it {
			return errors.New(wrong.text)
		}
	}
	return nil
}

func isWord(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
