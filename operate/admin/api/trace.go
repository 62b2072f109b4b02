package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/postroad/postroad/internal/config"
)

// TraceRequest says whose journey is wanted; all that is set must hold.
type TraceRequest struct {
	IDs []string `json:"ids,omitempty"`
	// Message-IDs, with or without angle brackets, and IDs of sessions, which are in each event:
	// the messages that any of them means
	MessageIDs []string `json:"message_ids,omitempty"`
	Sessions   []string `json:"session_ids,omitempty"`

	Recipient string `json:"recipient,omitempty"`
	Sender    string `json:"sender,omitempty"`
	// how long ago at most; 0: with IDs the time of the message, else two days
	Since config.Duration `json:"since,omitempty"`
	// Refusals asks a member for those, too. It goes in the request's query, where a member of an
	// older version leaves it out of account.
	Refusals bool `json:"-"`
}

// TraceItem is one step of a message's journey: what was logged, or what waits in the queue now.
type TraceItem struct {
	At    Time            `json:"at"`
	Node  string          `json:"node"`
	ID    string          `json:"id"`               // "" of what was refused
	Event json.RawMessage `json:"event,omitempty"`  // the line of the event log
	Queue *Message        `json:"queued,omitempty"` // the recipients that still wait
}

// MaxTraced is how many messages one trace may name, or find.
const MaxTraced = 1000

// Name adds what an operator calls a message: its ID in the queue, its Message-ID, which has an "@"
// or brackets, or the session's, which has a dash.
func (t *TraceRequest) Name(name string) {
	switch {
	case strings.Contains(name, "@") || strings.HasPrefix(name, "<"):
		t.MessageIDs = append(t.MessageIDs, name)
	case strings.Contains(name, "-"):
		t.Sessions = append(t.Sessions, name)
	default:
		t.IDs = append(t.IDs, name)
	}
}

// Names returns Message-IDs, without brackets, and IDs of sessions.
func (t *TraceRequest) Names() (names []string) {
	for _, id := range t.MessageIDs {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">"))
	}
	return append(names, t.Sessions...)
}

// Check finds what cannot be meant.
func (t *TraceRequest) Check() error {
	names := len(t.IDs) + len(t.MessageIDs) + len(t.Sessions)
	if names == 0 && t.Recipient == "" && t.Sender == "" {
		return Fail(ExitUsage, "neither an ID nor an address is given",
			"`postroad trace ID`, or --recipient ADDRESS")
	}
	if slices.Contains(t.Names(), "") {
		return Fail(ExitData, "that is no Message-ID", "a message without one is named by its ID")
	}
	if names > MaxTraced {
		return Fail(ExitUsage, fmt.Sprintf("%d messages are too many for one trace", names),
			fmt.Sprintf("take %d at a time", MaxTraced))
	}
	f := t.Filter()
	return f.Check()
}

// Filter selects the same messages in the queue.
func (t *TraceRequest) Filter() Filter {
	return Filter{IDs: t.IDs, Recipient: t.Recipient, Sender: t.Sender}
}
