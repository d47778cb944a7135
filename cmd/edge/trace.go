package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/aristochat/aristochat/internal/command"
)

// lastTraces bounds how long the end waits for the collector.
const lastTraces = 2 * time.Second

// newTracer records spans for the collector that cfg names. stop sends what is
// left. Without a collector there is no tracer, and stop does nothing.
func newTracer(ctx context.Context, cfg *config, log *slog.Logger) (_ trace.Tracer, stop func(context.Context), err error) {
	if cfg.otlpEndpoint == nil {
		return nil, func(context.Context) {}, nil
	}
	// What is wrong with the collector must not become a matter of the clients.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("traces may be lost", "collector", cfg.otlpEndpoint.Redacted(), "error", err)
	}))
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(cfg.otlpEndpoint.String()))
	if err != nil {
		return nil, nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	host, _ := os.Hostname() // an edge without a name is traced without
	about := resource.NewSchemaless(
		attribute.String("service.name", "aristochat-edge"),
		attribute.String("service.version", command.Version()),
		attribute.String("host.name", host),
	)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(about),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.TraceRatio))),
	)
	return provider.Tracer("github.com/aristochat/aristochat/edge"), func(ctx context.Context) {
		// Clients may have used up the time that there was to leave.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last traces are lost", "error", err)
		}
	}, nil
}

// checkTracing reads where traces go. The rest, such as headers and
// certificates, is for the variables OTEL_EXPORTER_OTLP_… to say.
func (c *config) checkTracing() error {
	if c.TraceRatio < 0 || c.TraceRatio > 1 || math.IsNaN(c.TraceRatio) {
		return fmt.Errorf("--trace-ratio: %v is not from 0 to 1", c.TraceRatio)
	}
	if c.OTLPEndpoint == "" {
		return nil
	}
	u, err := url.Parse(c.OTLPEndpoint)
	if err != nil {
		return fmt.Errorf("--otlp-endpoint: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("--otlp-endpoint: write it as a URL, such as http://localhost:4318")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	c.otlpEndpoint = u
	return nil
}
