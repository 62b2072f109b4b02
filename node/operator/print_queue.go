package operator

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// Done is what has happened to recipients after a verb.
var Done = map[string]string{"flush": "made due now", "hold": "held", "release": "released",
	"fail": "failed", "remove": "removed"}

// PrintMessage prints one message of a listing: a line of its own, and one for each recipient.
func PrintMessage(c *cli.Console, m *api.Message) error {
	_, err := fmt.Fprintf(c.Out, "%s  %-8s %6s %9s  from <%s>\n", m.QueueID, m.State,
		cli.Age(m.ArrivalTime), config.Size(m.MessageSize), cli.Clean(m.Sender))
	for i := range m.Recipients {
		if err == nil {
			err = printRecipient(c, &m.Recipients[i])
		}
	}
	return err
}

func printRecipient(c *cli.Console, r *api.Recipient) error {
	var about []string
	if r.Attempts > 0 {
		about = append(about, cli.Number(int64(r.Attempts), "attempt"))
	}
	if due := time.Until(time.Unix(r.NextAttempt, 0)); r.NextAttempt > 0 && due > 0 {
		about = append(about, "next in "+cli.Short(due))
	}
	if r.Waits != "" {
		about = append(about, "waits: "+cli.Clean(r.Waits))
	}
	_, said, _ := strings.Cut(r.DelayReason, " said: ")
	if r.DelayReason != "" && (said == "" || !strings.HasSuffix(r.Waits, said)) &&
		!strings.HasSuffix(r.Waits, r.DelayReason) {
		about = append(about, cli.Clean(r.DelayReason))
	}
	line := strings.TrimRight(fmt.Sprintf("    %-8s to <%s>  %s", r.State, cli.Clean(r.Address),
		strings.Join(about, ", ")), " ")
	_, err := fmt.Fprintln(c.Out, line)
	return err
}

// PrintDetail prints all that is known of one message.
func PrintDetail(c *cli.Console, d *api.Detail) error {
	kind := "message"
	if d.Report {
		kind = "delivery report of this server"
	}
	if err := c.Rows([][2]string{
		{"ID", d.QueueID}, {"what", kind}, {"state", d.State},
		{"arrived", time.Unix(d.ArrivalTime, 0).Format(time.RFC3339) + " (" +
			cli.Age(d.ArrivalTime) + " ago)"},
		{"size", strconv.FormatInt(d.MessageSize, 10) + " octets"}, {"from", "<" + d.Sender + ">"},
		{"client", d.Client}, {"helo", d.Helo},
		{"protocol", d.Protocol}, {"user", d.User}, {"listener", d.Listener}, {"tenant", d.Tenant},
		{"campaign", d.Campaign},
		{"envelope ID", d.EnvelopeID}, {"node", d.Node},
	}); err != nil {
		return err
	}
	for i := range d.Recipients {
		if err := printRecipient(c, &d.Recipients[i]); err != nil {
			return err
		}
	}
	return nil
}

// Summary is a total in words.
func Summary(t *api.Total) string {
	if unknown(t) {
		return "how much there is, is not known: no queue answered"
	}
	var states []string
	for _, s := range []string{"ready", "inflight", "deferred", "held"} {
		if n := t.States[s]; n > 0 {
			states = append(states, strconv.FormatInt(n, 10)+" "+s)
		}
	}
	text := cli.Number(t.Messages, "message") + ", " + cli.Number(t.Recipients, "recipient")
	if len(states) > 0 {
		text += " (" + strings.Join(states, ", ") + ")"
	}
	return text + " at " + indexes(t) + answered(t)
}

// unknown reports whether a total says nothing: its zeros are of nobody's.
func unknown(t *api.Total) bool { return len(t.Missing) > 0 && len(t.Groups) == 0 }

// answered says whose figures a total has when others are missing.
func answered(t *api.Total) string {
	if len(t.Missing) == 0 {
		return ""
	}
	return ", in the " + cli.Number(int64(len(t.Groups)), "queue group") + " that answered"
}

// Moved says what a verb did.
func Moved(t *api.Total, verb string, f api.Filter) string {
	if unknown(t) {
		return "nothing is known to be " + Done[verb] + ": no queue answered"
	}
	if t.Messages == 0 && len(f.IDs) > 0 && len(t.Missing) == 0 {
		return "nothing of these messages waits in the queue: nothing was " + Done[verb] +
			"; `postroad trace ID` says what became of one"
	}
	return cli.Number(t.Recipients, "recipient") + " of " + cli.Number(t.Messages, "message") +
		" " +
		Done[verb] + answered(t)
}

// shownGroups bounds how many groups a line names.
const shownGroups = 8

// indexes says of which moment a total is: each group's log has its own.
func indexes(t *api.Total) string {
	var at []string
	for _, g := range t.Groups {
		at = append(at, strconv.FormatUint(g.Group, 10)+":"+strconv.FormatUint(g.Index, 10))
	}
	switch {
	case len(at) == 1:
		return "index " + strconv.FormatUint(t.Index, 10)
	case len(at) > shownGroups:
		return cli.Number(int64(len(at)), "group") + "' indexes (--json has them)"
	}
	return "indexes " + strings.Join(at, " ")
}
