package delivery

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// attempt makes the transaction that the core gave to cn, and gets the next one. It returns the
// state in which the core left cn.
func (s *Scheduler) attempt(cn *conn) connState {
	t := cn.tx
	span := s.span(t)
	result := cn.shell.client.Deliver(s.prepare(cn, t))
	cn.shell.ending.Store(false)
	v := &cn.shell.verdict
	*v = verdict{again: v.again[:0], usable: cn.shell.client.Usable()}
	if !s.tryNextHosts(cn, t, &result, v) {
		s.judge(cn, t, &result, session{}, v, s.o.Now())
	}
	now := s.o.Now()
	s.logOutcomes(cn, t, now)
	endSpan(span, cn, t)
	recorded := t.recorded
	if recorded == nil {
		recorded = func(err error) { s.recorded(t, err) }
		t.recorded = recorded
	}
	outcomes, message := t.outcomes, t.message
	s.mu.Lock()
	s.mu.core.finished(cn, t, v, now)
	state := cn.state
	s.unlock(now)
	if len(outcomes) > 0 { // else t may be in use again already
		s.settle(message, outcomes, recorded)
	}
	return state
}

// settle hands outcomes of one message to the queue. While it has no room for more, no attempt is
// started.
func (s *Scheduler) settle(m *queue.Message, outcomes []queue.Outcome, recorded func(error)) {
	if s.abandoned.Load() {
		// they are the next owner's, who knows that they may have been attempted
		s.queue.Remember(outcomes)
		return
	}
	if s.queue.SettleMessage(m, outcomes, recorded) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.core.jammed || s.mu.ended {
		return
	}
	s.mu.core.jammed = true
	s.goings.Go(func() {
		s.queue.SettleRoom(s.ctx)
		now := s.lock()
		s.mu.core.jammed = false
		s.unlock(now)
	})
}

// recorded is called by the queue when a transaction's outcomes are on stable storage.
func (s *Scheduler) recorded(t *transaction, err error) {
	if err != nil {
		s.o.Logf("%v: outcome of %d recipients not recorded: %v", t.message.ID, len(t.outcomes),
			err)
	} else if t.local {
		s.tellStore(t)
	}
	now := s.lock()
	s.mu.core.settled(t, now)
	s.unlock(now)
}

// tellStore tells our own store which recipients of a transaction will not come again.
func (s *Scheduler) tellStore(t *transaction) {
	final := make([]uint32, 0, len(t.outcomes))
	for i := range t.outcomes {
		if o := &t.outcomes[i]; o.State.Final() {
			final = append(final, o.Recipient)
		}
	}
	if len(final) > 0 {
		s.o.Store.Settled(t.message, final)
	}
}

// session says of which of a transaction's recipients a result is. The zero value: of all, and all
// count.
type session struct {
	places []int // the place of each in transaction.recipients; nil: as they are
	not    []int // places that do not count: another host is asked
}

func (x *session) place(i int) int {
	if x.places != nil {
		return x.places[i]
	}
	return i
}

// judge turns the client's result into outcomes, one per recipient that was attempted, and into
// what the core has to know.
func (s *Scheduler) judge(
	cn *conn, t *transaction, r *smtpclient.Result, of session, v *verdict, now time.Time,
) {
	if r.Retry || r.Aborted {
		v.none, v.usable = true, v.usable && !r.Retry
		return
	}
	a := mail.Attempt{
		At: t.started, Remote: cn.shell.host, RemoteIP: cn.shell.client.Remote(),
		LocalIP: cn.shell.client.Local().Addr(), TLS: cn.shell.client.TLS(),
	}
	if t.local {
		t.possible = false // the key keeps the second copy out
	}
	taken, heard, ourStore, late := 0, false, false, false
	for i := range r.Recipients {
		st := &r.Recipients[i]
		if st.OK() {
			taken++
		}
		heard = heard || !st.Local && st.Code != 421
		v.throttled = v.throttled || !st.Local && st.Temporary() && throttles(st)
		late = late || st.Local && st.Command > smtpclient.StepMail
		ourStore = ourStore || st.Local && st.Command == smtpclient.StepContent &&
			st.Enhanced == "4.3.0"
		// logged with this attempt: the next one may make the second copy
		t.possible = t.possible || st.Unknown
	}
	hopDSN := cn.shell.client.Offers().DSN
	for k := range r.Recipients {
		st, i := &r.Recipients[k], of.place(k)
		a.Code, a.Enhanced, a.Text = st.Reply, st.Enhanced, st.Text
		switch {
		case slices.Contains(of.not, i):
		case taken > 0 && tooMany(st):
			v.again = append(v.again, i)
			v.tooMany = taken
		default:
			t.outcomes = append(t.outcomes, s.outcome(t, i, st, &a, now))
			t.outcomes[len(t.outcomes)-1].HopDSN = hopDSN
		}
	}
	trouble := r.Err != nil && taken == 0 && !ourStore
	if of.places == nil {
		v.trouble = trouble
	} else {
		v.trouble = v.trouble && trouble // one of the hosts did behave
	}
	if v.trouble {
		v.reason, v.late = a, late
	}
	v.through = v.through || heard && (r.Err == nil || taken > 0)
	v.usable = v.usable && r.Err == nil
}

// tooMany reports whether the peer took as many recipients as it takes in one transaction (RFC 5321
// 4.5.3.1.10): the others go in the next one, at once. 452 says so without an enhanced code, too.
func tooMany(st *smtpclient.Status) bool {
	return st.Command == smtpclient.StepRcpt && (st.Code == 452 || st.Code == 552) &&
		(st.Enhanced == "4.5.3" || st.Enhanced == "5.5.3" ||
			st.Code == 452 && st.Enhanced == "4.0.0")
}

// outcome is what became of one recipient.
func (s *Scheduler) outcome(
	t *transaction, i int, st *smtpclient.Status, a *mail.Attempt, now time.Time,
) queue.Outcome {
	e := t.entryOf(t.recipients[i])
	o := queue.Outcome{
		ID: t.message.ID, Recipient: t.recipients[i], Domain: e.item.Domain, WasDue: e.item.Due,
		Attempt: *a,
	}
	switch {
	case st.OK() && t.message.Envelope.Recipients[o.Recipient].Notify&mail.PassedOn != 0:
		o.State = queue.Expanded
	case st.OK() && t.final:
		o.State = queue.Delivered
	case st.OK():
		o.State = queue.Relayed
	case !st.Temporary():
		o.State = queue.Failed
	default:
		var ok bool
		u := s.jitter.Of(t.message.ID, e.item.Attempts, t.siteKey())
		o.Due, ok = t.set.Retry.next(u, e.item.Attempts, t.message.Arrived, now)
		if ok {
			o.State = queue.Deferred
			if t.local && storeTrouble(st.Enhanced) {
				o.Due = earlier(o.Due, now.Add(quickly(u, e.item.Attempts)))
			}
		} else {
			o.State = queue.Expired
		}
	}
	return o
}

// entryOf returns the entry that a recipient comes from.
func (t *transaction) entryOf(number uint32) *entry {
	for i := range t.pieces {
		if p := &t.pieces[i]; slices.Contains(t.recipients[p.from:p.to], number) {
			return p.e
		}
	}
	panic("delivery: a recipient without an entry")
}

// refuse fails a transaction's recipients without an attempt: their domain takes no mail.
func (s *Scheduler) refuse(t *transaction, now time.Time) {
	st := smtpclient.Status{Code: t.refusal.Code, Enhanced: t.refusal.Enhanced,
		Text: t.refusal.Text, Local: true}
	a := finding(t.refusal, now)
	for i := range t.recipients {
		t.outcomes = append(t.outcomes, s.outcome(t, i, &st, &a, now))
	}
	s.logOutcomes(nil, t, now)
	s.mu.Lock()
	s.mu.core.counters.count(t, nil)
	s.mu.Unlock()
	s.settle(t.message, t.outcomes, func(err error) { s.recorded(t, err) })
}

// span begins a span for the attempt when the message is sampled; else it returns nil.
func (s *Scheduler) span(t *transaction) trace.Span {
	tc := t.message.Envelope.TraceContext
	if s.o.Tracer == nil || len(tc) != 24 {
		return nil
	}
	cfg := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled, Remote: true}
	copy(cfg.TraceID[:], tc)
	copy(cfg.SpanID[:], tc[16:])
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(cfg))
	_, span := s.o.Tracer.Start(ctx, "attempt", trace.WithSpanKind(trace.SpanKindClient))
	return span
}

func endSpan(span trace.Span, cn *conn, t *transaction) {
	if span == nil {
		return
	}
	span.SetAttributes(
		attribute.String("postroad.message.id", t.message.ID.String()),
		attribute.String("postroad.site", cn.site.name),
		attribute.String("server.address", cn.shell.host),
		attribute.Int("postroad.message.recipients", len(t.recipients)),
	)
	for i := range t.outcomes {
		o := &t.outcomes[i]
		if o.State < queue.Delivered || o.State > queue.Expanded {
			span.SetStatus(codes.Error, o.State.String()+": "+o.Attempt.Text)
			break
		}
	}
	span.End()
}
