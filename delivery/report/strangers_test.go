package report

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/machine"
)

// shelf is a queue with reports that are due.
type shelf struct {
	due     []queue.Report
	made    []string // contents
	dropped int
	wake    chan struct{}
}

func (s *shelf) PendingReports(after queue.ReportID, max int) ([]queue.Report, error) {
	n := min(max, len(s.due))
	some := s.due[:n]
	s.due = s.due[n:]
	return some, nil
}
func (s *shelf) ReportsDue() <-chan struct{} { return s.wake }
func (s *shelf) AcceptReport(_ queue.ReportID, _ *mail.Envelope, c *mail.Content,
	done func(mail.ID, *smtp.Failure)) {
	s.made = append(s.made, string(bytes.Join(c.Chunks, nil)))
	done(mail.ID{1}, nil)
}
func (s *shelf) DropReports(_ context.Context, ids ...queue.ReportID) error {
	s.dropped += len(ids)
	return nil
}
func (s *shelf) Content(*queue.Message) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("Subject: x\r\n\r\nthe body\r\n")), nil
}

// add adds reports on messages that asked for all there is.
func (s *shelf) add(n int, kind machine.ReportKind, user, sender string) {
	for i := range n {
		s.due = append(s.due, queue.Report{
			ID: queue.ReportID{ID: mail.ID{byte(i), byte(i >> 8)}, Kind: kind},
			Message: &queue.Message{Size: 24, Envelope: &mail.Envelope{Sender: sender,
				Ret: mail.RetFull, Origin: mail.Origin{User: user},
				Recipients: []mail.Recipient{{Address: "b@y.example", Domain: "y.example"}}}},
			Recipients: []queue.ReportRecipient{{State: map[machine.ReportKind]queue.State{
				machine.ReportFailure: queue.Failed, machine.ReportSuccess: queue.Relayed}[kind],
				Attempt: mail.Attempt{Code: 550, Enhanced: "5.1.1", Text: "no"}}},
		})
	}
}

// TestStrangersGetLess: a stranger's failure is reported with the header only, and of success there
// are so many reports to a domain in an hour; who is known gets what they asked for.
func TestStrangersGetLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{wake: make(chan struct{})}
		r := New(Options{Hostname: "mx.test", Log: maillog.Discard, Now: time.Now,
			Logf:  func(string, ...any) {},
			Known: func(o *mail.Origin) bool { return o.User != "" }}, s)
		r.Start()
		defer r.Stop()
		for i, c := range []struct {
			n             int
			kind          machine.ReportKind
			user, sender  string
			made, dropped int
			whole         bool
			later         time.Duration
		}{
			{n: 3, kind: machine.ReportFailure, user: "a", sender: "a@x.example", made: 3,
				whole: true},
			{n: 3, kind: machine.ReportFailure, sender: "a@x.example", made: 3},
			{n: 150, kind: machine.ReportFailure, sender: "a@x.example", made: 150},
			{n: 150, kind: machine.ReportSuccess, user: "a", sender: "a@x.example", made: 150},
			{n: 150, kind: machine.ReportSuccess, sender: "a@x.example", made: maxFavours,
				dropped: 50},
			{n: 9, kind: machine.ReportSuccess, sender: "c@X.example", dropped: 9},
			{n: 9, kind: machine.ReportSuccess, sender: "a@other.example", made: 9},
			{n: 9, kind: machine.ReportSuccess, sender: "a@x.example", made: 9, later: time.Hour},
		} {
			time.Sleep(c.later)
			s.made, s.dropped = nil, 0
			s.add(c.n, c.kind, c.user, c.sender)
			s.wake <- struct{}{}
			synctest.Wait()
			if len(s.made) != c.made || s.dropped != c.dropped {
				t.Errorf("%d: %d made, %d dropped, want %d and %d", i, len(s.made), s.dropped,
					c.made,
					c.dropped)
			}
			for _, text := range s.made {
				if strings.Contains(text, "the body") != c.whole {
					t.Error(fmt.Sprint(i, ": ", text))
					break
				}
			}
		}
	})
}
