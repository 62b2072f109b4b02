package node

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/telemetry"
)

// alert makes an event in the cluster's life a line of the log with fields of its own, and an event
// for the OTLP receiver.
func (n *node) alert(e member.Event) {
	fields := []maillog.Field{
		{Name: "member", Value: e.MemberName}, {Name: "member_id", Value: fmt.Sprint(e.Member)},
	}
	if !e.Since.IsZero() {
		fields = append(fields,
			maillog.Field{Name: "since", Value: e.Since.UTC().Format(time.RFC3339)})
	}
	n.announce(e.Name, e.Informational, fields, e.Words)
}

// announce tells an event to the log and to the OTLP receiver. An informational one calls for no
// action.
func (n *node) announce(event string, informational bool, fields []maillog.Field, words string) {
	level, severity := "error", telemetry.Error
	if informational {
		level, severity = "info", telemetry.Info
	}
	n.log.Notice(level, event, fields, words)
	attributes := map[string]string{}
	for _, f := range fields {
		attributes["postroad."+f.Name] = f.Value
	}
	n.telemetry.Event("postroad."+event, severity, words, attributes)
}
