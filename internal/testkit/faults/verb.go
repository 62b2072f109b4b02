package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Verb is an operator's command and what it was told.
type Verb struct {
	Verb     string
	ID       string // queue ID of the message that it is about, or
	Domain   string // all at this domain
	Node     int    // that was asked
	From     time.Time
	Until    time.Time
	Exit     int   // exit status
	Done     int64 // recipients that were moved or counted
	InFlight int64 // recipients that were moved and were being attempted, or were counted as such
	Listed   []string
	Words    string // of the last line on standard error
}

func (v *Verb) String() string {
	return fmt.Sprintf(
		"%s-%s n%d %s %s%s: exit %d, %d, %d in flight %s",
		v.From.Format("15:04:05.000"),
		v.Until.Format("05.000"),
		v.Node,
		v.Verb,
		v.ID,
		v.Domain,
		v.Exit,
		v.Done,
		v.InFlight,
		v.Words,
	)
}

// verbPatience is more than a command may take: its node waits for elections and for others'
// answers.
const verbPatience = 40 * time.Second

// ask has a node carry out a verb, over the command line.
func (v *Verb) ask(ctx context.Context, n *Node) {
	ctx, cancel := context.WithTimeout(ctx, verbPatience)
	defer cancel()
	v.Node, v.From = n.Number, time.Now()
	out, err := n.Run(ctx, v.args()...)
	v.Until = time.Now()
	var ce *CommandError
	switch {
	case errors.As(err, &ce):
		v.Exit, v.Words = ce.Status, strings.TrimSpace(ce.Stderr)
	case err != nil:
		v.Exit, v.Words = -1, err.Error()
	}
	v.read(out)
}

func (v *Verb) args() []string {
	switch v.Verb {
	case "suspend":
		return []string{"suspend", "--domain", v.Domain, "--reason", "for a test", "--json"}
	case "resume":
		return []string{"resume", "--domain", v.Domain, "--json"}
	case "trace":
		return []string{"trace", v.ID}
	case "show":
		return []string{"queue", "show", v.ID, "--json"}
	}
	args := []string{"queue", v.Verb, "--json"}
	if v.ID != "" {
		return append(args, "--id", v.ID)
	}
	return append(args, "--domain", v.Domain)
}

// read takes what a command printed.
func (v *Verb) read(out string) {
	if v.Verb == "trace" {
		if strings.Contains(out, v.ID) {
			v.Done = 1
		}
		return
	}
	for line := range strings.Lines(out) {
		var l struct {
			ID         string           `json:"queue_id"`
			Recipients json.RawMessage  `json:"recipients"`
			States     map[string]int64 `json:"states"`
		}
		if json.Unmarshal([]byte(line), &l) != nil {
			continue
		}
		if l.ID != "" {
			v.Listed = append(v.Listed, l.ID)
			continue
		}
		json.Unmarshal(l.Recipients, &v.Done) // a total
		v.InFlight = l.States["inflight"]
	}
}

// sure reports whether the command has ended well; else what it says is no more than a part of the
// truth.
func (v *Verb) sure() bool { return v.Exit == 0 }

// known are the exit statuses that a verb may have: done, no such message, nobody there, and not
// now. -1: it was given up.
func (v *Verb) known() bool {
	switch v.Exit {
	case 0, 69, 75, -1:
		return true
	case 65:
		return v.Verb == "show" || v.Verb == "trace" || v.Verb == "resume"
	}
	return false
}
