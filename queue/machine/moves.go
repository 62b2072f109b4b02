package machine

import "fmt"

// Reason says why a recipient moved. The list is closed; log, metrics and operator share its words.
type Reason uint8

// The reasons. ReasonsNumber is how many there are.
const (
	AttemptSucceeded Reason = iota // the outcome of an attempt
	AttemptPutOff
	AttemptFailed
	AttemptHeld // the scheduler's side decided to hold
	TimeRanOut
	OperatorHold
	OperatorRelease
	OperatorFlush
	OperatorFail
	OperatorRemove
	ReasonsNumber
)

var reasonNames = [ReasonsNumber]string{
	"attempt_succeeded", "attempt_put_off", "attempt_failed", "attempt_held", "time_ran_out",
	"operator_hold", "operator_release", "operator_flush", "operator_fail", "operator_remove",
}

// String returns the name of a reason, as logs, metrics and commands show it.
func (r Reason) String() string { return reasonNames[r] }

// StateNames are the names of the states, as listings show them.
var StateNames = [Removed + 1]string{
	"ready", "inflight", "deferred", "held", "delivered", "relayed", "expanded", "failed",
	"expired", "removed",
}

// String returns the name of a state, as listings show it.
func (s State) String() string { return StateNames[s] }

// Outcome reports whether an outcome may name this state.
func (s State) Outcome() bool { return s == Deferred || s == Held || s.Final() && s <= Removed }

// moves is the table of allowed moves: for each stored state and reason the states it may lead to
// (docs/states.md). A final state has no row: nothing leads out of it.
var moves = [Held + 1][ReasonsNumber][]State{
	Ready: {
		AttemptSucceeded: {Delivered, Relayed, Expanded},
		AttemptPutOff:    {Deferred},
		AttemptFailed:    {Failed},
		AttemptHeld:      {Held},
		TimeRanOut:       {Expired},
		OperatorHold:     {Held},
		OperatorFlush:    {Ready},
		OperatorFail:     {Failed},
		OperatorRemove:   {Removed},
	},
	Deferred: {
		AttemptSucceeded: {Delivered, Relayed, Expanded},
		AttemptPutOff:    {Deferred},
		AttemptFailed:    {Failed},
		AttemptHeld:      {Held},
		TimeRanOut:       {Expired},
		OperatorHold:     {Held},
		OperatorFlush:    {Ready},
		OperatorFail:     {Failed},
		OperatorRemove:   {Removed},
	},
	// Held: an attempt that was under way at the time of the hold still ends, and a final outcome
	// counts.
	Held: {
		AttemptSucceeded: {Delivered, Relayed, Expanded},
		AttemptPutOff:    {Held},
		AttemptFailed:    {Failed},
		AttemptHeld:      {Held},
		TimeRanOut:       {Expired},
		OperatorRelease:  {Ready},
		OperatorFail:     {Failed},
		OperatorRemove:   {Removed},
	},
}

func allowed(from, to State, why Reason) bool {
	if int(from) >= len(moves) {
		return false
	}
	for _, s := range moves[from][why] {
		if s == to {
			return true
		}
	}
	return false
}

// move is the one place where a recipient's state changes.
func (m *Machine) move(r *touched, to State, why Reason) {
	if !allowed(r.row.State, to, why) {
		panic(
			fmt.Sprintf(
				"queue: illegal move of recipient %d of %v: %v to %v, %v",
				r.number,
				m.Msg.ID,
				r.row.State,
				to,
				why,
			),
		)
	}
	m.Meta.Counters[CountState+Counter(r.row.State)]--
	m.Meta.Counters[CountState+Counter(to)]++
	m.Moved[why]++
	if to.Final() {
		m.Msg.counts.Remaining--
	}
	r.row.State = to
}

// outcomeReason derives the reason from the state an outcome names.
func outcomeReason(s State) Reason {
	switch s {
	case Deferred:
		return AttemptPutOff
	case Held:
		return AttemptHeld
	case Failed:
		return AttemptFailed
	case Expired:
		return TimeRanOut
	case Removed:
		return OperatorRemove
	}
	return AttemptSucceeded
}
