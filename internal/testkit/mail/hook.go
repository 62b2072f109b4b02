package mail

import (
	"net/netip"
	"time"
)

// At is the step of a session at which a hook is asked.
type At uint8

// The steps of a session.
const (
	AtConnect  At = iota // before the greeting
	AtHelo               // EHLO and HELO
	AtStartTLS           // STARTTLS
	AtMail               // MAIL
	AtRcpt               // RCPT, each
	AtData               // DATA, before the 354; the first BDAT, where a refusal answers all chunks
	AtEnd                // after the final dot or the last chunk, before the 250
	AtOther              // RSET, NOOP, VRFY, what is unknown
	AtQuit               // QUIT
)

func (a At) String() string {
	return [...]string{"connect", "helo", "starttls", "mail", "rcpt", "data", "end", "other",
		"quit"}[a]
}

// Step is what a hook is asked about.
type Step struct {
	At         At
	Session    uint64 // number of the connection, from 1
	Remote     netip.AddrPort
	Listener   int // of SinkOptions.Listeners, where it was accepted
	Helo       string
	TLS        bool
	Sender     string
	Recipient  string   // at AtRcpt
	Recipients []string // accepted so far
	ID         string   // at AtEnd
	Nth        int      // at AtEnd: number of the transaction on its connection, from 1
}

// Action is what a hook wants done. The zero Action is the usual answer.
type Action struct {
	// instead of the usual one: "450 4.2.0 later"; CRLF is added. Several lines and junk after them
	// are sent as given
	Reply string
	Delay time.Duration // answer so late; what follows on the connection waits
	// answer when it is closed; what follows on the connection waits. It has to be closed some time
	Until  chan struct{}
	Drip   time.Duration // send the reply octet by octet, at this interval
	Cut    bool          // reset the connection instead of answering
	Close  bool          // close the connection after the answer
	CutIn  int64         // at AtData: reset the connection after so many octets of content
	Forget bool          // at AtEnd: accept, and do not record: a planted loss
}

// refuses reports whether a reply is a refusal.
func (a Action) refuses() bool { return a.Reply != "" && (a.Reply[0] == '4' || a.Reply[0] == '5') }
