package node

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/telemetry"
)

// alarm is something in the cluster's life that an operator's alerting wants to know. It is a line
// of the log with fields of its own, and an event for the OTLP receiver. The events are a closed
// list, which docs/cluster.md has.
type alarm struct {
	event  string // member_missing, member_back, node_shut_out
	member uint16 // whom it is about
	name   string
	since  time.Time // zero: now
	calm   bool      // it calls for no action
	words  string
}

func (n *node) raise(a alarm) {
	fields := []maillog.Field{{Name: "member", Value: a.name}, {Name: "member_id", Value: fmt.Sprint(a.member)}}
	if !a.since.IsZero() {
		fields = append(fields, maillog.Field{Name: "since", Value: a.since.UTC().Format(time.RFC3339)})
	}
	n.announce(a.event, a.calm, fields, a.words)
}

// announce tells an event to the log and to the OTLP receiver. A calm one calls for no action.
func (n *node) announce(event string, calm bool, fields []maillog.Field, words string) {
	level, severity := "error", telemetry.Error
	if calm {
		level, severity = "info", telemetry.Info
	}
	n.log.Notice(level, event, fields, words)
	attributes := map[string]string{}
	for _, f := range fields {
		attributes["postroad."+f.Name] = f.Value
	}
	n.telemetry.Event("postroad."+event, severity, words, attributes)
}
