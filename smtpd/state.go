package smtpd

import "fmt"

// state is where a session stands. It says which commands may come (commands.go) and what the next
// octets are.
type state uint8

const (
	stateProxy state = iota // a PROXY header must come first
	// the greeting is held back; a client that speaks now is no mail server
	stateBanner
	// Command states: the next octets are a command.
	stateGreeted // neither HELO nor EHLO yet
	stateReady   // no mail transaction
	stateMail    // MAIL accepted, no recipient yet
	stateRcpt    // at least one recipient
	stateChunks  // between two BDAT chunks of one message
	// The next octets are something else.
	stateText  // mail data up to the lone dot (DATA)
	stateChunk // the octets of one BDAT chunk
	stateSASL  // the client's answer to an AUTH challenge
	// Parked: input waits until somebody answers.
	stateHandshaking    // the TLS handshake runs
	stateAuthenticating // the authenticator looks at a password
	stateCommitting     // the queue stores a message
	stateSlowed         // a reply is held back on purpose
	stateClosed
)

var stateNames = [...]string{"proxy", "banner", "greeted", "ready", "mail", "rcpt", "chunks",
	"text", "chunk", "sasl",
	"handshaking", "authenticating", "committing", "slowed", "closed"}

func (s state) String() string { return stateNames[s] }

// states is a set of states.
type states uint16

func in(list ...state) (set states) {
	for _, s := range list {
		set |= 1 << s
	}
	return set
}

func (set states) has(s state) bool { return set&(1<<s) != 0 }

var (
	commandStates = in(stateGreeted, stateReady, stateMail, stateRcpt, stateChunks)
	parkedStates  = in(stateHandshaking, stateAuthenticating, stateCommitting, stateSlowed)
	// idleStates hold nothing that a shutdown must wait for.
	idleStates = in(stateProxy, stateBanner, stateGreeted, stateReady, stateMail, stateRcpt,
		stateSASL, stateSlowed)
)

// moves lists where a session may go from each state. Every state may also go to stateClosed.
var moves = [...]states{
	stateProxy:   in(stateBanner, stateHandshaking),
	stateBanner:  in(stateGreeted),
	stateGreeted: in(stateReady, stateChunk, stateSlowed),
	stateReady: in(stateReady, stateMail, stateChunk, stateSASL, stateHandshaking,
		stateAuthenticating, stateSlowed),
	stateMail:   in(stateReady, stateRcpt, stateChunk, stateHandshaking, stateSlowed),
	stateRcpt:   in(stateReady, stateText, stateChunk, stateHandshaking, stateSlowed),
	stateChunks: in(stateReady, stateChunk, stateSlowed),
	stateText:   in(stateReady, stateCommitting),
	// A refused chunk is swallowed in stateChunk too, and then the session is where it was before.
	stateChunk: in(stateGreeted, stateReady, stateMail, stateRcpt, stateChunks, stateCommitting),
	stateSASL:  in(stateReady, stateAuthenticating, stateSlowed),
	// STARTTLS forgets all (RFC 3207 4.2); with TLS from the first octet the greeting is still to
	// come.
	stateHandshaking:    in(stateGreeted, stateBanner),
	stateAuthenticating: in(stateReady, stateSlowed),
	stateCommitting:     in(stateReady),
	stateSlowed:         commandStates,
	stateClosed:         0,
}

// move is the only place where a session changes its state. A move that the table does not list is
// a bug of ours, and the event loop ends that connection.
func (s *Session) move(to state) {
	if to != stateClosed && !moves[s.state].has(to) {
		panic(fmt.Sprintf("smtpd: session may not move from %v to %v", s.state, to))
	}
	s.state = to
}
