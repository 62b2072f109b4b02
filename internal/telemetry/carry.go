package telemetry

import "go.opentelemetry.io/otel/trace"

// Carry returns the trace-id and span-id of a sampled span, 24 octets, as an envelope carries them
// through the queue. It is nil for a span that is not sampled: then the envelope carries nothing
// and no span is made later on.
func Carry(s trace.Span) []byte {
	sc := s.SpanContext()
	if !sc.IsSampled() {
		return nil
	}
	tid, sid := sc.TraceID(), sc.SpanID()
	return append(append(make([]byte, 0, 24), tid[:]...), sid[:]...)
}

// Carried is the reverse of Carry: the parent of later spans.
func Carried(b []byte) trace.SpanContext {
	if len(b) != 24 {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(b[:16]), SpanID: trace.SpanID(b[16:]),
		TraceFlags: trace.FlagsSampled, Remote: true,
	})
}
