package queue

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/testkit/golden"
	"github.com/postroad/postroad/queue/machine"
)

// TestScripts replays testdata/script/*.txt. A script is blocks of commands, a line of dashes and
// what the queue is like after them. Messages are named by letters in the order of their
// acceptance. Times are since the beginning.
//
//	accept SENDER RECIPIENT[:NOTIFY]...     a sender of <> is null
//	settle MESSAGE RECIPIENT# STATE [due=5m] [untried] [warn] [hopdsn]
//	hold | release | flush | fail | remove  MESSAGE RECIPIENT#...
//	report MESSAGE KIND                     the report is accepted; drop MESSAGE KIND: nobody makes it
//	suspend VERSION KIND:NAME:SERIAL[:LASTS]...  the whole list
//	clock 5m | epoch | rest | again (the last command once more)
func TestScripts(t *testing.T) {
	golden.Scripts(
		t,
		"testdata/script/*.txt",
		func(t *testing.T, text string) string { return newScript(t).run(text) },
	)
}

type script struct {
	*bed
	ids   *mail.IDs
	names map[mail.ID]string
	byID  map[string]mail.ID
	seq   uint64
	last  []byte
	parts [][]byte
}

func newScript(t *testing.T) *script {
	s := &script{
		bed:   newBed(t, Options{}),
		ids:   mail.NewIDs(1, testEpoch.Add(-time.Hour)),
		names: map[mail.ID]string{},
		byID:  map[string]mail.ID{},
	}
	s.q.Open(s.g)
	return s
}

func (s *script) run(text string) string {
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		for _, line := range strings.Split(commands, "\n") {
			if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
				s.command(words[0], words[1:])
			}
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%s\n----\n%s", commands, s.dump())
	}
	return out.String()
}

func (s *script) propose(kind machine.CommandType, body []byte, parts ...[]byte) {
	s.t.Helper()
	s.last, s.parts = append(machine.AppendCommand(nil, kind, s.c.Now().UnixMilli()), body...),
		parts
	s.again()
}

func (s *script) again() {
	s.t.Helper()
	if _, err := s.g.Propose(s.t.Context(), s.last, s.parts); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) command(name string, args []string) {
	s.t.Helper()
	switch name {
	case "accept":
		s.accept(ReportID{}, args[0], args[1:]...)
	case "settle":
		s.settle(args)
	case "hold", "release", "flush", "fail", "remove":
		s.operate(name, args)
	case "report":
		s.accept(s.report(args), "<>", "s@origin.example")
	case "drop":
		s.propose(machine.CmdDrop, machine.AppendDrop(nil, []ReportID{s.report(args)}))
	case "suspend":
		s.suspend(args)
	case "clock":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			s.t.Fatal(err)
		}
		s.c.add(d)
	case "epoch":
		s.propose(machine.CmdEpoch, machine.AppendEpoch(nil, 1, s.q.machine.Meta.Epoch))
	case "rest":
		s.propose(machine.CmdIdle, binary.BigEndian.AppendUint64(nil, s.q.machine.Meta.Epoch))
	case "again":
		s.again()
	default:
		s.t.Fatalf("unknown command %q", name)
	}
}

func (s *script) accept(report ReportID, sender string, recipients ...string) {
	id := s.ids.Next(s.c.Now())
	for i := range recipients {
		recipients[i] = strings.ReplaceAll(recipients[i], ":", " ")
	}
	if sender == "<>" {
		sender = ""
	}
	s.seq++
	var w machine.EnvelopeWriter
	content := []byte("content")
	body := machine.AppendAcceptHead(nil, machine.SlotKey{Session: 1, Slot: 1}, s.seq, 1)
	s.names[id] = string(rune('A' + len(s.names)))
	s.byID[s.names[id]] = id
	s.propose(
		machine.CmdAccept,
		machine.AppendAcceptEntry(
			body,
			id,
			report,
			int64(len(content)),
			0,
			w.Encode(envelope(sender, recipients...)),
		),
		content,
	)
}

func (s *script) number(word string) uint32 {
	n, err := strconv.Atoi(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint32(n)
}

func stateOf(name string) State {
	for i, n := range machine.StateNames {
		if n == name {
			return State(i)
		}
	}
	panic("unknown state " + name)
}

func (s *script) settle(args []string) {
	o := Outcome{ID: s.byID[args[0]], Recipient: s.number(args[1]), State: stateOf(args[2]),
		Attempt: mail.Attempt{
			At:       s.c.Now(),
			Code:     250 + 200*int(args[2][0]&1),
			Enhanced: "4.0.0",
			Text:     "as the peer said",
		}}
	for _, word := range args[3:] {
		switch due, isDue := strings.CutPrefix(word, "due="); {
		case isDue:
			d, err := time.ParseDuration(due)
			if err != nil {
				s.t.Fatal(err)
			}
			o.Due = testEpoch.Add(d)
		case word == "untried":
			o.Attempt = mail.Attempt{}
		case word == "warn":
			o.Warn = true
		case word == "hopdsn":
			o.HopDSN = true
		}
	}
	s.propose(machine.CmdSettle,
		machine.AppendOutcome(machine.AppendSettle(nil, s.q.machine.Meta.Epoch, 1), &o))
}

func (s *script) operate(name string, args []string) {
	v := map[string]machine.Verb{"hold": machine.VerbHold, "release": machine.VerbRelease,
		"flush": machine.VerbFlush,
		"fail":  machine.VerbFail, "remove": machine.VerbRemove}[name]
	var refs []machine.RecipientRef
	for _, n := range args[1:] {
		refs = append(refs, machine.RecipientRef{ID: s.byID[args[0]], Number: s.number(n)})
	}
	s.propose(
		machine.CmdOperator,
		machine.AppendOperator(
			nil,
			v,
			&mail.Attempt{At: s.c.Now(), Code: 550, Enhanced: "5.7.1", Text: "the operator"},
			refs,
		),
	)
}

var kindNames = [...]string{
	ReportFailure: "failure",
	ReportDelay:   "delay",
	ReportSuccess: "success",
}

func (s *script) report(args []string) ReportID {
	reports, err := s.q.PendingReports(ReportID{}, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range reports {
		if s.names[r.ID.ID] == args[0] && kindNames[r.ID.Kind] == args[1] {
			return r.ID
		}
	}
	s.t.Fatalf("no report %v is due", args)
	return ReportID{}
}

// since prints a time as the time since the beginning.
func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Sub(testEpoch).Round(time.Second).String()
}

func (s *script) dump() string {
	var b strings.Builder
	err := s.q.scanMessages(
		mail.ID{},
		mail.FloorID(testEpoch.Add(1000*time.Hour)),
		nil,
		func(m *Stored) bool {
			from := m.Message.Envelope.Sender
			if from == "" {
				from = "<>"
			}
			fmt.Fprintf(&b, "%s from %s", s.names[m.Message.ID], from)
			if m.Message.IsReport {
				b.WriteString(", a report")
			}
			b.WriteByte('\n')
			for i, r := range m.Recipients {
				fmt.Fprintf(&b, "  %d %s %s", i, m.Message.Envelope.Recipients[i].Address, r.State)
				if machine.Scheduled(r.State) {
					fmt.Fprintf(&b, ", due %s", since(r.Due))
				}
				if r.Attempts > 0 {
					fmt.Fprintf(&b, ", %d attempts, last %s", r.Attempts, since(r.Last.At))
				}
				if r.Warned {
					b.WriteString(", warned")
				}
				if r.MaybeAttempted {
					b.WriteString(", maybe attempted")
				}
				b.WriteByte('\n')
			}
			return true
		},
	)
	if err != nil {
		s.t.Fatal(err)
	}
	s.dumpSchedule(&b)
	s.dumpReports(&b)
	s.dumpSuspensions(&b)
	if n := s.q.machine.Meta.Counters[machine.CountBounced]; n > 0 {
		fmt.Fprintf(&b, "double bounces: %d\n", n)
	}
	if b.Len() == 0 {
		return "empty\n"
	}
	return b.String()
}

func (s *script) dumpSchedule(b *strings.Builder) {
	domains, err := s.q.Domains("", 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range domains {
		fmt.Fprintf(b, "schedule of %s:", d.Domain)
		items, _, err := s.q.Due(d.Domain, Cursor{}, testEpoch.Add(1000*time.Hour), 100)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, it := range items {
			fmt.Fprintf(b, " %s%v at %s", s.names[it.Message.ID], it.Recipients, since(it.Due))
		}
		b.WriteByte('\n')
	}
}

var suspensionKinds = map[string]SuspensionKind{
	"domain":   SuspendDomain,
	"site":     SuspendSite,
	"tenant":   SuspendTenant,
	"campaign": SuspendCampaign,
}

func (s *script) suspend(args []string) {
	var all []Suspension
	for _, word := range args[1:] {
		part := strings.Split(word, ":")
		one := Suspension{
			Kind:   suspensionKinds[part[0]],
			Name:   part[1],
			Reason: "because",
			Serial: uint64(s.number(part[2])),
		}
		if len(part) > 3 {
			d, err := time.ParseDuration(part[3])
			if err != nil {
				s.t.Fatal(err)
			}
			one.Lasts = d
		}
		all = append(all, one)
	}
	s.propose(machine.CmdSuspend, machine.AppendSuspensions(nil, uint64(s.number(args[0])), all))
}

func (s *script) dumpSuspensions(b *strings.Builder) {
	now, err := s.q.Suspensions()
	if err != nil {
		s.t.Fatal(err)
	}
	if now.Version == 0 {
		return
	}
	fmt.Fprintf(b, "suspended, version %d, by entry %d:", now.Version, now.Index)
	for _, one := range now.All {
		for name, kind := range suspensionKinds {
			if kind == one.Kind {
				fmt.Fprintf(b, " %s %s (%s) until %s", name, one.Name, one.Reason, since(one.Until))
			}
		}
	}
	b.WriteByte('\n')
}

func (s *script) dumpReports(b *strings.Builder) {
	reports, err := s.q.PendingReports(ReportID{}, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range reports {
		fmt.Fprintf(b, "%s report due on %s:", kindNames[r.ID.Kind], s.names[r.ID.ID])
		for _, to := range r.Recipients {
			fmt.Fprintf(b, " %d %s (%s)", to.Number, to.State, to.Attempt.Text)
		}
		b.WriteByte('\n')
	}
}
