package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/config"
)

// TraceRequest says whose journey is wanted; all that is set must hold.
type TraceRequest struct {
	IDs       []string `json:"ids,omitempty"`
	Recipient string   `json:"recipient,omitempty"`
	Sender    string   `json:"sender,omitempty"`
	// how long ago at most; 0: with IDs the time of the message, else two days
	Since config.Duration `json:"since,omitempty"`
}

// TraceItem is one step of a message's journey: what was logged, or what waits in the queue now.
type TraceItem struct {
	At    time.Time       `json:"at"`
	Node  string          `json:"node"`
	ID    string          `json:"id"`
	Event json.RawMessage `json:"event,omitempty"`  // the line of the event log
	Queue *Message        `json:"queued,omitempty"` // the recipients that still wait
}

// MaxTraced is how many messages one trace may name, or find.
const MaxTraced = 1000

// Check finds what cannot be meant.
func (t *TraceRequest) Check() error {
	if len(t.IDs) == 0 && t.Recipient == "" && t.Sender == "" {
		return Fail(ExitUsage, "neither an ID nor an address is given",
			"`postroad trace ID`, or --recipient ADDRESS")
	}
	if len(t.IDs) > MaxTraced {
		return Fail(ExitUsage, fmt.Sprintf("%d messages are too many for one trace", len(t.IDs)),
			fmt.Sprintf("take %d at a time", MaxTraced))
	}
	f := t.Filter()
	return f.Check()
}

// Filter selects the same messages in the queue.
func (t *TraceRequest) Filter() Filter {
	return Filter{IDs: t.IDs, Recipient: t.Recipient, Sender: t.Sender}
}
