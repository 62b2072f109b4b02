package telemetry

import (
	"context"
	"net"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	logpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// collector is an OTLP receiver in this process.
type collector struct {
	tracepb.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[string]string // name -> trace-id
	names map[string]bool   // of metrics
	on    *collectorMetrics
	logs  *collectorLogs
}

// collectorLogs takes events.
type collectorLogs struct {
	logpb.UnimplementedLogsServiceServer
	mu     sync.Mutex
	events []string
}

func (l *collectorLogs) Export(
	_ context.Context, req *logpb.ExportLogsServiceRequest,
) (*logpb.ExportLogsServiceResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, rl := range req.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			for _, r := range sl.LogRecords {
				line := r.EventName + " " + r.SeverityText + " " + r.Body.GetStringValue()
				for _, a := range r.Attributes {
					line += " " + a.Key + "=" + a.Value.GetStringValue()
				}
				l.events = append(l.events, line)
			}
		}
	}
	return &logpb.ExportLogsServiceResponse{}, nil
}

type collectorMetrics struct {
	metricpb.UnimplementedMetricsServiceServer
	c *collector
}

func (c *collector) Export(
	_ context.Context, req *tracepb.ExportTraceServiceRequest,
) (*tracepb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans[s.Name] = string(s.TraceId)
			}
		}
	}
	return &tracepb.ExportTraceServiceResponse{}, nil
}

func (m *collectorMetrics) Export(
	_ context.Context, req *metricpb.ExportMetricsServiceRequest,
) (*metricpb.ExportMetricsServiceResponse, error) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	for _, rm := range req.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, x := range sm.Metrics {
				m.c.names[x.Name] = true
			}
		}
	}
	return &metricpb.ExportMetricsServiceResponse{}, nil
}

func receive(t *testing.T) (*collector, string) {
	t.Helper()
	c := &collector{spans: map[string]string{}, names: map[string]bool{}}
	c.on, c.logs = &collectorMetrics{c: c}, &collectorLogs{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	tracepb.RegisterTraceServiceServer(srv, c)
	metricpb.RegisterMetricsServiceServer(srv, c.on)
	logpb.RegisterLogsServiceServer(srv, c.logs)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	return c, l.Addr().String()
}

// TestSpansAndMetricsArrive follows one message: the span of its reception, and one of an attempt
// made from what the envelope carried, are one trace at the receiver after Shutdown.
func TestSpansAndMetricsArrive(t *testing.T) {
	c, addr := receive(t)
	tel, err := Start(t.Context(), Options{Node: "mx1", Version: "test", OTLP: addr, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := tel.Area("smtpd", func(o Observer) {
		o.Counter("messages_accepted_total", "Messages.", 7)
	}); err != nil {
		t.Fatal(err)
	}
	_, reception := tel.Tracer("smtpd").Start(t.Context(), "reception")
	carried := Carry(reception)
	reception.End()
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), Carried(carried))
	_, attempt := tel.Tracer("delivery").Start(ctx, "attempt")
	attempt.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spans["reception"] == "" || c.spans["reception"] != c.spans["attempt"] {
		t.Errorf("spans %q are not one trace", c.spans)
	}
	if !c.names["postroad_smtpd_messages_accepted_total"] {
		t.Errorf("metrics %v", c.names)
	}
}

// TestEventsArrive: an event is at the receiver after Shutdown, with its name, and costs nothing
// without a receiver.
func TestEventsArrive(t *testing.T) {
	c, addr := receive(t)
	for _, o := range []Options{{}, {Node: "mx1", OTLP: addr}} {
		tel, err := Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		tel.Event("postroad.member_missing", Error, "mx3 is gone",
			map[string]string{"postroad.member": "mx3"})
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.logs.mu.Lock()
	defer c.logs.mu.Unlock()
	if want := "postroad.member_missing ERROR mx3 is gone postroad.member=mx3"; len(
		c.logs.events) != 1 || c.logs.events[0] != want {
		t.Errorf("events %q, want %q", c.logs.events, want)
	}
}

func TestNothingIsTracedWithoutOTLPOrSampling(t *testing.T) {
	_, addr := receive(t)
	for _, o := range []Options{{}, {OTLP: addr, Sample: 0}} {
		tel, err := Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		_, span := tel.Tracer("x").Start(t.Context(), "y")
		if span.IsRecording() || Carry(span) != nil || tel.Tracing() != (o.OTLP != "") {
			t.Errorf("%+v records", o)
		}
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if Carried(nil).IsValid() || Carried(make([]byte, 24)).IsValid() {
		t.Error("nothing carried is a parent")
	}
}

// TestConfigure: the share of messages that are traced may change at any time.
func TestConfigure(t *testing.T) {
	_, addr := receive(t)
	tel, err := Start(t.Context(), Options{OTLP: addr, Sample: 0})
	if err != nil {
		t.Fatal(err)
	}
	tracer := tel.Tracer("x")
	for _, sample := range []float64{0, 1, 0} {
		tel.Configure(sample)
		_, span := tracer.Start(t.Context(), "y")
		if span.IsRecording() != (sample == 1) {
			t.Errorf("a share of %v: recording is %v", sample, span.IsRecording())
		}
		span.End()
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestReceiverDown starts and stops without a receiver, in bounded time.
func TestReceiverDown(t *testing.T) {
	addr, err := mailtest.FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	tel, err := Start(t.Context(), Options{OTLP: addr, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer("x").Start(t.Context(), "y")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); err == nil {
		t.Error("a lost span is no failure")
	}
}

func scrape(t *testing.T, tel *Telemetry) string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestArea(t *testing.T) {
	tel, err := Start(t.Context(), Options{Node: "mx1", Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(t.Context())
	messages := uint64(41)
	err = tel.Area("queue", func(o Observer) {
		messages++
		o.Counter("messages_accepted_total", "Messages accepted.", messages)
		o.Gauge("waiting_bytes", "Octets waiting.", 1.5)
		for _, state := range []string{"ready", "held"} {
			o.GaugeBy("recipients", "Recipients by state.", "state", state, 3)
		}
		if messages > 42 { // a site appears after the first call
			o.CounterBy("late_total", "Late.", "site", "a", 1)
		}
		for i := range maxLabels + 50 {
			o.CounterBy("site_messages_total", "Messages by site.", "site", "site"+strconv.Itoa(i),
				2)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := scrape(t, tel)
	for _, want := range []string{
		"# TYPE postroad_queue_messages_accepted_total counter\n",
		"\npostroad_queue_messages_accepted_total 43\n",
		"\npostroad_queue_waiting_bytes 1.5\n", "\npostroad_queue_late_total{site=\"a\"} 1\n",
		"\npostroad_queue_recipients{state=\"held\"} 3\n",
		"\npostroad_queue_site_messages_total{site=\"other\"} 100\n",
		"\npostroad_build_info{node=\"mx1\",version=\"1.2.3\"} 1\n",
		"\nprocess_resident_memory_bytes ", "\ngo_goroutines ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "postroad_queue_site_messages_total{"); n != maxLabels+1 {
		t.Errorf("%d label values, want %d and other", n, maxLabels)
	}
}

func TestAreaNames(t *testing.T) {
	tel, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(t.Context())
	for what, collect := range map[string]func(Observer){
		"a counter without _total": func(o Observer) { o.Counter("messages", "", 1) },
		"a gauge with _total":      func(o Observer) { o.Gauge("messages_total", "", 1) },
		"upper case":               func(o Observer) { o.Gauge("Messages", "", 1) },
		"two labels": func(o Observer) {
			o.GaugeBy("x", "", "a", "1", 1)
			o.GaugeBy("x", "", "b", "1", 1)
		},
	} {
		if tel.Area("x", collect) == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
