package intake

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/internal/telemetry"
)

// traced begins the span of a reception. Its context is stored with the message and so reaches the
// spans of the attempts.
type traced struct {
	next   Submitter
	tracer trace.Tracer
}

// Submit takes a message; see Submitter.
func (t *traced) Submit(
	env *mail.Envelope,
	content *mail.Content,
	done func(mail.ID, *smtp.Failure),
) {
	ctx, reception := t.tracer.Start(context.Background(), "receive message",
		trace.WithSpanKind(trace.SpanKindServer))
	if !reception.IsRecording() {
		t.next.Submit(env, content, done)
		return
	}
	reception.SetAttributes(
		attribute.String("network.peer.address", env.Origin.Client.Addr().String()),
		attribute.String("postroad.protocol", env.Origin.Protocol),
		attribute.Int64("postroad.message.size", content.Size),
		attribute.Int("postroad.message.recipients", len(env.Recipients)),
	)
	env.TraceContext = telemetry.Carry(reception)
	_, commit := t.tracer.Start(ctx, "commit message")
	t.next.Submit(env, content, func(id mail.ID, f *smtp.Failure) {
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
