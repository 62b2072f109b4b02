package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

// Severity is how much an event calls for somebody.
type Severity = log.Severity

// The severities that are used.
const (
	Info  = log.SeverityInfo
	Error = log.SeverityError
)

// eventQueue bounds the events that wait for the receiver.
const eventQueue = 256

// pushEvents connects events to the OTLP receiver.
func (t *Telemetry) pushEvents(ctx context.Context, o Options, url string) error {
	e, err := otlploggrpc.New(ctx, otlploggrpc.WithEndpointURL(url))
	if err != nil {
		return err
	}
	t.events = sdklog.NewLoggerProvider(sdklog.WithResource(describe(o)),
		sdklog.WithProcessor(sdklog.NewBatchProcessor(e, sdklog.WithMaxQueueSize(eventQueue))))
	return nil
}

// Event sends an event, which OTLP has as a log record with a name. It does not wait; without OTLP
// it does nothing. For what is rare: mail has metrics and traces.
func (t *Telemetry) Event(
	name string, severity Severity, words string, attributes map[string]string,
) {
	if t.events == nil {
		return
	}
	var r log.Record
	r.SetEventName(name)
	r.SetTimestamp(time.Now())
	r.SetSeverity(severity)
	r.SetSeverityText(severity.String())
	r.SetBody(attribute.StringValue(words))
	for k, v := range attributes {
		r.AddAttributes(attribute.String(k, v))
	}
	t.events.Logger("postroad").Emit(context.Background(), r)
}
