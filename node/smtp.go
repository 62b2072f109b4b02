package node

import (
	"context"
	"net/netip"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/smtpd"
)

// submitter is where the SMTP server hands its mail: the queue, before it what finds out where
// local recipients get their mail, and around both, when messages are traced, the span of the
// reception, whose context travels with the message to its attempts.
func (n *node) submitter() smtpd.Submitter {
	if !n.telemetry.Tracing() {
		return n.expander()
	}
	return &tracedQueue{next: n.expander(), tracer: n.telemetry.Tracer("postroad/smtpd")}
}

type tracedQueue struct {
	next   smtpd.Submitter
	tracer trace.Tracer
}

func (q *tracedQueue) Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure)) {
	ctx, reception := q.tracer.Start(context.Background(), "receive message", trace.WithSpanKind(trace.SpanKindServer))
	if !reception.IsRecording() {
		q.next.Submit(env, content, done)
		return
	}
	reception.SetAttributes(attribute.String("network.peer.address", env.Origin.Client.Addr().String()),
		attribute.String("postroad.protocol", env.Origin.Protocol), attribute.Int64("postroad.message.size", content.Size),
		attribute.Int("postroad.message.recipients", len(env.Recipients)))
	env.TraceContext = telemetry.Carry(reception)
	_, commit := q.tracer.Start(ctx, "commit message")
	q.next.Submit(env, content, func(id mail.ID, f *smtp.Failure) {
		if f != nil {
			commit.SetStatus(codes.Error, f.Error())
		} else {
			reception.SetAttributes(attribute.String("postroad.message.id", id.String()))
		}
		commit.End()
		reception.End()
		done(id, f)
	})
}

// policyEvents writes what the policy has to say into the log.
func (n *node) policyEvents() policy.Events {
	return policy.Events{
		RateExceeded: func(user, what string, client netip.Addr) {
			n.log.Errorf("user %s exceeds the rate of %s (client %s): is the account compromised?", user, what, client)
		},
		LoginFailed:  func(user string, client netip.Addr) { n.log.Logf("log-in failed: user %q, client %s", user, client) },
		LoginBlocked: func(user string, client netip.Addr) { n.log.Logf("log-in blocked: user %q, client %s", user, client) },
		BadHash: func(user string, err error) {
			n.log.Errorf("user %s has a password hash that cannot be used: %v", user, err)
		},
	}
}
