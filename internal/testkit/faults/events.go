package faults

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// logged is what the event log says of one attempt.
type logged struct {
	queueID  string
	node     int
	at       time.Time
	possible bool
}

// Attempts are what nodes logged of the recipients that were asked for, in the order of time.
type Attempts map[string][]logged

// Again are the recipients for whom the receiving server has more than one copy: what the nodes
// logged of them has to be read.
func Again(deliveries []mailtest.Delivery) Attempts {
	seen, again := map[key]bool{}, Attempts{}
	for i := range deliveries {
		d := &deliveries[i]
		for _, r := range d.Recipients {
			k := key{d.ID, r}
			if seen[k] {
				again[r] = nil
			}
			seen[k] = true
		}
	}
	return again
}

// possible reports whether the attempt that made a copy was logged as possible_duplicate, and
// whether it was logged at all. An outcome is logged after the reply that it tells of. A client
// that got no answer knows no queue ID: then a recipient is enough, for no two messages have the
// same.
func (a Attempts) possible(queueID, recipient string, c Copy) (possible, known bool) {
	for _, l := range a[recipient] {
		if l.node == c.Node && (queueID == "" || l.queueID == queueID) &&
			!l.at.Before(c.Accepted.Add(-clockStep)) {
			return l.possible, true
		}
	}
	return false, false
}

// clockStep is the resolution of event_time, generously.
const clockStep = 5 * time.Millisecond

// Read adds what a node's event log says, its renamed files included. Half a line, which a crash
// leaves, is passed over.
func (a Attempts) Read(n *Node) error {
	base := strings.TrimSuffix(n.Events, filepath.Ext(n.Events))
	files, err := filepath.Glob(base + "*" + filepath.Ext(n.Events))
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := a.readFile(name, n.Number); err != nil {
			return fmt.Errorf("event log: %w", err)
		}
	}
	for k := range a {
		slices.SortFunc(a[k], func(x, y logged) int { return x.at.Compare(y.at) })
	}
	return nil
}

// event is a line of the event log, as far as it is needed here.
type event struct {
	Type      string `json:"type"`
	ID        string `json:"id"`
	Recipient string `json:"recipient"`
	Time      string `json:"event_time"`
	Possible  bool   `json:"possible_duplicate"`
}

// lineLimit is longer than any line of the event log.
const lineLimit = 1 << 20

func (a Attempts) readFile(name string, node int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, lineLimit)
	for lines.Scan() {
		a.line(lines.Bytes(), node)
	}
	return errors.Join(lines.Err())
}

func (a Attempts) line(b []byte, node int) {
	var e event
	if json.Unmarshal(b, &e) != nil || e.Type != "Delivery" && e.Type != "TransientFailure" {
		return
	}
	if _, asked := a[e.Recipient]; !asked {
		return
	}
	if at, err := time.Parse(time.RFC3339Nano, e.Time); err == nil {
		a[e.Recipient] = append(a[e.Recipient], logged{e.ID, node, at, e.Possible})
	}
}
