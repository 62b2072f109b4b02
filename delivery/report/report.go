// Package report makes the reports (RFC 3464) that the queue has recorded as due, and submits them.
package report

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/dsn"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// Queue is what a Reporter needs of the queue. Safe for use by several goroutines.
type Queue interface {
	// PendingReports returns up to max reports that are due, from those after one on.
	PendingReports(after queue.ReportID, max int) ([]queue.Report, error)
	// ReportsDue has a value when there may be some.
	ReportsDue() <-chan struct{}
	// AcceptReport submits a report and takes it off those that are due, in one step.
	AcceptReport(id queue.ReportID, env *mail.Envelope, content *mail.Content,
		done func(mail.ID, *smtp.Failure))
	DropReports(ctx context.Context, ids ...queue.ReportID) error
	// Content opens a message's content; the caller closes it.
	Content(m *queue.Message) (io.ReadCloser, error)
}

// Options of a Reporter. All are required, but Known.
type Options struct {
	Settings
	Hostname string // of this node, in the reports
	// Mailboxes is the name of the site of the mailboxes here, as it is in attempts.
	Mailboxes string
	// Known reports whether a message came from somebody known: who has logged in, or is in a
	// network that may relay. What strangers ask for goes to whom they say they are, so they get
	// less. nil: all are known.
	Known func(*mail.Origin) bool
	Log   maillog.Sink     // hears of each report, and which message it is about
	Now   func() time.Time // command time
	Logf  func(format string, args ...any)
}

// Settings may change while a Reporter runs.
type Settings struct {
	// Expire is the age at which a recipient is given up; zero: five days.
	Expire time.Duration
}

// Reporter makes the reports that the queue has recorded as due and submits them. That a report was
// accepted and that it is no longer due is one command, so an event is reported once, however often
// the node stops in between.
type Reporter struct {
	o       Options
	queue   Queue
	ctx     context.Context
	cancel  context.CancelFunc
	ended   chan struct{}
	favours favours      // owned by the reporter's goroutine
	expire  atomic.Int64 // Settings.Expire in force
	made    atomic.Uint64
	lost    atomic.Uint64
}

const (
	// reports read and under way together: each is at most about 1 MiB
	reportsAtOnce = 32
	reportAgain   = 30 * time.Second // after a report could not be made or was not accepted
)

// New returns a reporter for q.
func New(o Options, q Queue) *Reporter {
	r := &Reporter{o: o, queue: q, ended: make(chan struct{})}
	r.Configure(o.Settings)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Configure puts other settings in force.
func (r *Reporter) Configure(o Settings) {
	r.expire.Store(int64(cmp.Or(o.Expire, 5*24*time.Hour)))
}

// Start begins to report.
func (r *Reporter) Start() { go r.run() }

// Stop ends the reporter. What is due stays so.
func (r *Reporter) Stop() {
	r.cancel()
	<-r.ended
}

// Made counts the reports that were submitted.
func (r *Reporter) Made() uint64 { return r.made.Load() }

// Lost counts the reports that could not be submitted.
func (r *Reporter) Lost() uint64 { return r.lost.Load() }

func (r *Reporter) run() {
	defer close(r.ended)
	for {
		again := r.reportAll()
		var retry <-chan time.Time
		if again {
			timer := time.NewTimer(reportAgain)
			defer timer.Stop()
			retry = timer.C
		}
		select {
		case <-r.ctx.Done():
			return
		case <-r.queue.ReportsDue():
		case <-retry:
		}
	}
}

// reportAll makes all reports that are due. again: some could not be made for now.
func (r *Reporter) reportAll() (again bool) {
	var after queue.ReportID
	for r.ctx.Err() == nil {
		due, err := r.queue.PendingReports(after, reportsAtOnce)
		if err != nil {
			r.o.Logf("reading due reports: %v", err)
			return true
		}
		if len(due) == 0 {
			return again
		}
		again = r.reportSome(due) || again
		after = due[len(due)-1].ID
	}
	return false
}

// reportSome submits some reports and waits for the answers.
func (r *Reporter) reportSome(due []queue.Report) (again bool) {
	type answer struct {
		id queue.ReportID
		f  *smtp.Failure
	}
	answers := make(chan answer, len(due))
	submitted := 0
	for i := range due {
		id := due[i].ID
		if f := r.tooManyFavours(&due[i]); f != nil {
			again = r.drop(id, f) || again
			continue
		}
		submitted++
		r.report(&due[i], func(_ mail.ID, f *smtp.Failure) { answers <- answer{id, f} })
	}
	for range submitted {
		var a answer
		select {
		case a = <-answers:
		case <-r.ctx.Done():
			return false // what is still due is reported by whoever owns the queue then
		}
		switch {
		case a.f == nil:
			r.made.Add(1)
		case a.f.Temporary():
			again = true
		default:
			again = r.drop(a.id, a.f) || again
		}
	}
	return again
}

// drop gives up a report that will never be accepted.
func (r *Reporter) drop(id queue.ReportID, f *smtp.Failure) (again bool) {
	r.lost.Add(1)
	r.o.Logf("the report on %v is given up: %v", id.ID, f)
	if err := r.queue.DropReports(r.ctx, id); err != nil {
		r.o.Logf("the report on %v: %v", id.ID, err)
		return true
	}
	return false
}

// report makes one report and submits it.
func (r *Reporter) report(due *queue.Report, done func(mail.ID, *smtp.Failure)) {
	var buf bytes.Buffer
	needs, err := r.write(&buf, due, true)
	if err != nil {
		r.o.Logf("report on %v: %v; it goes without the original", due.Message.ID, err)
		buf.Reset()
		if needs, err = r.write(&buf, due, false); err != nil {
			done(mail.ID{}, smtp.Temp(451, "4.3.0", "cannot write the report").With(err))
			return
		}
	}
	sender := due.Message.Envelope.Sender
	domain, err := smtp.Domain(mail.DomainOf(sender))
	if err != nil {
		// it was accepted once; the look-up will say what is wrong with it
		domain = mail.DomainOf(sender)
	}
	env := &mail.Envelope{
		Body: needs.Body, SMTPUTF8: needs.SMTPUTF8,
		// A report is never reported on (RFC 3461 5.2.1, 6.1).
		Recipients: []mail.Recipient{{Address: sender, Domain: domain, Notify: mail.NotifyNever}},
		Origin: mail.Origin{Protocol: "internal", Helo: r.o.Hostname,
			Tenant: due.Message.Envelope.Origin.Tenant},
	}
	content := &mail.Content{Chunks: [][]byte{buf.Bytes()}, Size: int64(buf.Len()),
		Observer: &made{r, due.ID, env, int64(buf.Len())}}
	r.queue.AcceptReport(due.ID, env, content, done)
}

// made is a report that is not stored yet.
type made struct {
	r    *Reporter
	of   queue.ReportID
	env  *mail.Envelope
	size int64
}

// called is what Postfix's log calls a report.
var called = map[queue.ReportKind]string{
	queue.ReportFailure: "non-delivery notification",
	queue.ReportDelay:   "delay notification",
	queue.ReportSuccess: "delivery status notification",
}

// Stored logs that the report is made (mail.Observer).
func (m *made) Stored(id mail.ID) {
	to := &m.env.Recipients[0]
	rec := &maillog.Record{
		Type: maillog.Reception, At: id.Time(), Recipient: to.Address, OrigRecipient: to.Original(),
		OrigID: m.of.ID, Report: called[m.of.Kind], Text: called[m.of.Kind], Enhanced: "2.0.0",
		Protocol: m.env.Origin.Protocol, MessageID: dsn.MessageID(reportName(m.of), m.r.o.Hostname),
	}
	rec.Describe(id, m.env, m.size, id.Time())
	m.r.o.Log.Log(rec)
}

// write writes the report's content.
func (r *Reporter) write(w io.Writer, due *queue.Report, withOriginal bool) (dsn.Needs, error) {
	m := due.Message
	report := dsn.Report{
		Host: r.o.Hostname, ID: reportName(due.ID), Date: r.o.Now(), To: m.Envelope.Sender,
		OriginalID: m.ID, EnvelopeID: m.Envelope.EnvelopeID, Ret: r.returns(m.Envelope),
		Body:     m.Envelope.Body,
		SMTPUTF8: m.Envelope.SMTPUTF8, Arrived: m.Arrived, Size: m.Size,
	}
	for i := range due.Recipients {
		report.Recipients = append(report.Recipients, r.recipient(m, &due.Recipients[i]))
	}
	if !withOriginal {
		return dsn.Write(w, &report, nil)
	}
	original, err := r.queue.Content(m)
	if err != nil {
		return dsn.Needs{}, fmt.Errorf("open the original: %w", err)
	}
	defer original.Close()
	return dsn.Write(w, &report, original)
}

// reportName makes the name in the report's Message-ID from the event, so that it is the same
// however often it is made.
func reportName(id queue.ReportID) (name mail.ID) {
	b := binary.BigEndian.AppendUint64(id.ID[:], id.Index)
	sum := sha256.Sum256(append(b, byte(id.Kind)))
	copy(name[:], sum[:])
	return name
}
