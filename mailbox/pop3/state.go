package pop3

import "fmt"

// state is where a session stands. It says which commands may come (commands.go) and what the next
// octets are.
type state uint8

const (
	stateProxy state = iota // a PROXY header must come first
	// Command states: the next octets are a command. The first two are RFC 1939's AUTHORIZATION
	// state.
	stateAuthorization
	statePassword    // USER was said; PASS is to follow (RFC 1939 7)
	stateTransaction // logged in, the maildrop is locked
	// The next octets are something else.
	stateSASL // the client's answer to an AUTH challenge
	// Parked: input waits until somebody answers, or the client has taken what was sent.
	stateHandshaking    // the TLS handshake runs
	stateAuthenticating // the authenticator looks at a password
	stateOpening        // the maildrop is being locked and listed
	stateListing        // lines of LIST or UIDL are going out
	stateFetching       // a worker reads a piece of a message
	stateSending        // a piece of a message is going out
	stateUpdating       // the UPDATE state: messages are being removed
	stateSlowed         // a reply is held back on purpose
	stateClosed
)

var stateNames = [...]string{
	"proxy",
	"authorization",
	"password",
	"transaction",
	"sasl",
	"handshaking",
	"authenticating",
	"opening",
	"listing",
	"fetching",
	"sending",
	"updating",
	"slowed",
	"closed",
}

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
	commandStates = in(stateAuthorization, statePassword, stateTransaction)
	beforeLogin   = in(stateAuthorization, statePassword)
	parkedStates  = in(
		stateHandshaking,
		stateAuthenticating,
		stateOpening,
		stateListing,
		stateFetching,
		stateSending,
		stateUpdating,
		stateSlowed,
	)
	lockedStates = in(stateTransaction, stateListing, stateFetching, stateSending, stateUpdating)
	// idleStates hold nothing that a shutdown must wait for.
	idleStates = in(
		stateProxy,
		stateAuthorization,
		statePassword,
		stateTransaction,
		stateSASL,
		stateSlowed,
	)
	// midStates are within an answer of several lines, where nothing else can be said.
	midStates = in(stateListing, stateFetching, stateSending)
)

// moves lists where a session may go from each state. Every state may also go to stateClosed.
var moves = [...]states{
	stateProxy:         in(stateAuthorization, stateHandshaking),
	stateAuthorization: in(statePassword, stateSASL, stateHandshaking, stateSlowed),
	// PASS is to follow USER at once; whatever else comes ends that.
	statePassword:       in(stateAuthorization, stateAuthenticating),
	stateTransaction:    in(stateListing, stateFetching, stateUpdating, stateSlowed),
	stateSASL:           in(stateAuthorization, stateAuthenticating, stateOpening),
	stateHandshaking:    in(stateAuthorization),
	stateAuthenticating: in(stateAuthorization, stateOpening),
	stateOpening:        in(stateAuthorization, stateTransaction),
	stateListing:        in(stateTransaction),
	stateFetching:       in(stateSending, stateTransaction),
	stateSending:        in(stateFetching),
	stateUpdating:       0,
	stateSlowed:         in(stateAuthorization, stateTransaction),
	stateClosed:         0,
}

// move is the only place where a session changes its state. A move that the table does not list is
// a bug of ours, and the event loop ends that connection.
func (s *Session) move(to state) {
	if to != stateClosed && !moves[s.state].has(to) {
		panic(fmt.Sprintf("pop3: session may not move from %v to %v", s.state, to))
	}
	s.state = to
}
