package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/postroad/postroad/internal/admin"
	"github.com/postroad/postroad/internal/config"
)

// line prints one JSON object as it came.
func (c *console) line(raw json.RawMessage) error {
	_, err := fmt.Fprintf(c.out, "%s\n", raw)
	return err
}

// each reads the items of a listing and calls fn with them.
func each[T any](fn func(*T) error) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		one := new(T)
		if err := json.Unmarshal(raw, one); err != nil {
			return err
		}
		return fn(one)
	}
}

// lines prints what came, one item or those of a listing: as they are with asJSON, else as line
// does it.
func lines[T any](c *console, asJSON bool, line func(*T) error) func(json.RawMessage) error {
	if asJSON {
		return c.line
	}
	return each(line)
}

// message prints one message of a listing: a line of its own, and one for each recipient.
func (c *console) message(m *admin.Message) error {
	_, err := fmt.Fprintf(c.out, "%s  %-8s %6s %9s  from <%s>\n", m.QueueID, m.State, age(m.ArrivalTime), config.Size(m.MessageSize), clean(m.Sender))
	for i := range m.Recipients {
		if err == nil {
			err = c.recipient(&m.Recipients[i])
		}
	}
	return err
}

func (c *console) recipient(r *admin.Recipient) error {
	var about []string
	if r.Attempts > 0 {
		about = append(about, number(int64(r.Attempts), "attempt"))
	}
	if due := time.Until(time.Unix(r.NextAttempt, 0)); r.NextAttempt > 0 && due > 0 {
		about = append(about, "next in "+short(due))
	}
	if r.DelayReason != "" {
		about = append(about, clean(r.DelayReason))
	}
	line := strings.TrimRight(fmt.Sprintf("    %-8s to <%s>  %s", r.State, clean(r.Address), strings.Join(about, ", ")), " ")
	_, err := fmt.Fprintln(c.out, line)
	return err
}

// detail prints all that is known of one message.
func (c *console) detail(d *admin.Detail) error {
	kind := "message"
	if d.Report {
		kind = "delivery report of this server"
	}
	for _, row := range [][2]string{
		{"ID", d.QueueID}, {"what", kind}, {"state", d.State}, {"arrived", time.Unix(d.ArrivalTime, 0).Format(time.RFC3339) + " (" + age(d.ArrivalTime) + " ago)"},
		{"size", strconv.FormatInt(d.MessageSize, 10) + " octets"}, {"from", "<" + d.Sender + ">"}, {"client", d.Client}, {"helo", d.Helo},
		{"protocol", d.Protocol}, {"user", d.User}, {"listener", d.Listener}, {"tenant", d.Tenant}, {"campaign", d.Campaign},
		{"envelope ID", d.EnvelopeID}, {"node", d.Node},
	} {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(c.out, "%-12s %s\n", row[0], clean(row[1])); err != nil {
			return err
		}
	}
	for i := range d.Recipients {
		if err := c.recipient(&d.Recipients[i]); err != nil {
			return err
		}
	}
	return nil
}

// summary is a total in words.
func summary(t *admin.Total) string {
	if unknown(t) {
		return "how much there is, is not known: no queue answered"
	}
	var states []string
	for _, s := range []string{"ready", "inflight", "deferred", "held"} {
		if n := t.States[s]; n > 0 {
			states = append(states, strconv.FormatInt(n, 10)+" "+s)
		}
	}
	text := number(t.Messages, "message") + ", " + number(t.Recipients, "recipient")
	if len(states) > 0 {
		text += " (" + strings.Join(states, ", ") + ")"
	}
	return text + " at " + indexes(t) + answered(t)
}

// unknown reports whether a total says nothing: its zeros are of nobody's.
func unknown(t *admin.Total) bool { return len(t.Missing) > 0 && len(t.Groups) == 0 }

// answered says whose figures a total has when others are missing.
func answered(t *admin.Total) string {
	if len(t.Missing) == 0 {
		return ""
	}
	return ", in the " + number(int64(len(t.Groups)), "queue group") + " that answered"
}

// moved says what a verb did.
func moved(t *admin.Total, verb string) string {
	if unknown(t) {
		return "nothing is known to be " + done[verb] + ": no queue answered"
	}
	return number(t.Recipients, "recipient") + " of " + number(t.Messages, "message") + " " +
		done[verb] + answered(t)
}

// shownGroups bounds how many groups a line names.
const shownGroups = 8

// indexes says of which moment a total is: each group's log has its own.
func indexes(t *admin.Total) string {
	var at []string
	for _, g := range t.Groups {
		at = append(at, strconv.FormatUint(g.Group, 10)+":"+strconv.FormatUint(g.Index, 10))
	}
	switch {
	case len(at) == 1:
		return "index " + strconv.FormatUint(t.Index, 10)
	case len(at) > shownGroups:
		return number(int64(len(at)), "group") + "' indexes (--json has them)"
	}
	return "indexes " + strings.Join(at, " ")
}

func number(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatInt(n, 10) + " " + noun
}

// age is the time since a second of 1970.
func age(at int64) string { return short(time.Since(time.Unix(at, 0))) }

// short is a duration with its largest unit only.
func short(d time.Duration) string {
	for _, u := range []struct {
		name string
		d    time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if d >= 2*u.d {
			return strconv.Itoa(int(d/u.d)) + u.name
		}
	}
	return strconv.Itoa(int(max(d, 0)/time.Second)) + "s"
}

// clean keeps what strangers wrote from steering the terminal. Several errors in one come on lines.
func clean(s string) string {
	s = strings.ReplaceAll(s, "\n", "; ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// progress shows on a terminal how far long work is; in a pipe it is quiet.
type progress struct {
	c     *console
	what  string
	shown bool
}

func (c *console) progress(what string) *progress { return &progress{c: c, what: what} }

// at says how many recipients are done.
func (p *progress) at(n int64) { p.say(number(n, "recipient") + " " + p.what) }

// messages says how many messages are done, not of each.
func (p *progress) messages(n int64) {
	if n%100 == 0 {
		p.say(number(n, "message") + " " + p.what)
	}
}

func (p *progress) say(line string) {
	if f, ok := p.c.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(p.c.err, "\r\x1b[K%s ...", line)
		p.shown = true
	}
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.c.err, "\r\x1b[K")
	}
}
