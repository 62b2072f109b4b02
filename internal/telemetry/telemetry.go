// Package telemetry sets up OpenTelemetry's SDK: metrics for Prometheus at /metrics and, when an
// OTLP endpoint is configured, metrics traces and events pushed to it. It is the only package that
// imports the SDK; others use the OTel API or keep plain counters in a Stats struct, which Area
// turns into instruments.
//
// Invariants: nothing here is on mail's way. Counters are read when somebody collects them, not
// written through OTel when something happens; without an endpoint the tracer is OTel's no-op; with
// one, messages are sampled once, at reception, and spans wait in a bounded queue that drops what
// the receiver does not take. A receiver that is down delays neither start nor mail.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Options of a Telemetry.
type Options struct {
	// Node is the node's name and Version the program's, told to the receiver.
	Node, Version string
	// OTLP is the receiver: host:port or http://host:port in the clear, https://host:port with TLS.
	// "": none.
	OTLP string
	// Sample is the share of messages that are traced, 0 to 1. Without OTLP nothing is.
	Sample float64
	// Interval is how often metrics are pushed to OTLP; default 30 s.
	Interval time.Duration
	// Logf hears of failures to export, at most once a minute; nil: nobody does.
	Logf func(format string, args ...any)
}

// Telemetry is the running set-up. Safe for use by several goroutines.
type Telemetry struct {
	registry *prometheus.Registry
	metrics  *sdkmetric.MeterProvider
	traces   *sdktrace.TracerProvider // nil without OTLP
	sampler  sampler
	events   *sdklog.LoggerProvider // nil without OTLP
	areas    *areas
	logf     func(format string, args ...any)
}

// spanQueue bounds the spans that wait for the receiver.
const spanQueue = 8192

// Start sets everything up. It makes no connection: the exporters do, when they have something to
// send.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{registry: prometheus.NewRegistry(), areas: &areas{start: time.Now()},
		logf: o.Logf}
	if t.logf == nil {
		t.logf = func(string, ...any) {}
	}
	t.Configure(o.Sample)
	otel.SetErrorHandler(t.errorHandler())
	pull, err := exporter.New(exporter.WithRegisterer(t.registry), exporter.WithoutScopeInfo(),
		exporter.WithoutUnits(),
		exporter.WithoutCounterSuffixes(), exporter.WithoutTargetInfo(),
		exporter.WithProducer(t.areas))
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	if err := t.process(o); err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	readers := []sdkmetric.Option{sdkmetric.WithResource(describe(o)), sdkmetric.WithReader(pull)}
	if o.OTLP != "" {
		push, err := t.push(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		readers = append(readers, sdkmetric.WithReader(push))
	}
	t.metrics = sdkmetric.NewMeterProvider(readers...)
	return t, nil
}

// process registers what the Go runtime and the operating system say of the process, and the build.
func (t *Telemetry) process(o Options) error {
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "postroad_build_info",
		Help:        "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": o.Version, "node": o.Node}})
	info.Set(1)
	var errs []error
	for _, c := range []prometheus.Collector{info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		errs = append(errs, t.registry.Register(c))
	}
	return errors.Join(errs...)
}

// describe is what the receiver is told of this process.
func describe(o Options) *resource.Resource {
	return resource.NewSchemaless(attribute.String("service.name", "postroad"),
		attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", o.Node), attribute.String("host.name", o.Node))
}

// push connects metrics, traces and events to the OTLP receiver.
func (t *Telemetry) push(ctx context.Context, o Options) (sdkmetric.Reader, error) {
	url := o.OTLP
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	metrics, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(url))
	if err != nil {
		return nil, err
	}
	spans, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(url))
	if err != nil {
		return nil, err
	}
	t.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(describe(o)),
		sdktrace.WithSampler(sdktrace.ParentBased(&t.sampler)),
		sdktrace.WithBatcher(spans, sdktrace.WithMaxQueueSize(spanQueue)))
	if err := t.pushEvents(ctx, o, url); err != nil {
		return nil, err
	}
	interval := o.Interval
	if interval == 0 {
		interval = 30 * time.Second
	}
	return sdkmetric.NewPeriodicReader(metrics, sdkmetric.WithInterval(interval),
		sdkmetric.WithProducer(t.areas)), nil
}

// Configure has another share of messages traced, 0 to 1, of those that come from now on.
func (t *Telemetry) Configure(sample float64) {
	ratio := sdktrace.TraceIDRatioBased(sample)
	t.sampler.ratio.Store(&ratio)
}

// sampler samples the share of messages that is in force.
type sampler struct {
	ratio atomic.Pointer[sdktrace.Sampler]
}

// ShouldSample decides for one message.
func (s *sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return (*s.ratio.Load()).ShouldSample(p)
}

// Description names the sampler.
func (s *sampler) Description() string { return (*s.ratio.Load()).Description() }

// Handler serves the metrics in the form that Prometheus reads.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4,
		Timeout: 30 * time.Second})
}

// Tracer returns the tracer of a package. Without OTLP it is the no-op tracer.
func (t *Telemetry) Tracer(name string) trace.Tracer {
	if t.traces == nil {
		return noop.NewTracerProvider().Tracer(name)
	}
	return t.traces.Tracer(name)
}

// Tracing reports whether any message is traced, so that callers can leave out the work around it.
func (t *Telemetry) Tracing() bool { return t.traces != nil }

// Shutdown exports what is waiting, until ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	if t.traces != nil {
		errs = append(errs, t.traces.Shutdown(ctx))
	}
	if t.events != nil {
		errs = append(errs, t.events.Shutdown(ctx))
	}
	return errors.Join(append(errs, t.metrics.Shutdown(ctx))...)
}
