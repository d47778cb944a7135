package edge

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Names of the spans, and what they say. A topic or an event is of a client's
// choosing: it belongs into an attribute, cut, and not into a name.
const (
	spanConnect = "connect" // the application's Connect
	spanJoin    = "join"    // from phx_join to the reply
	spanPush    = "push"    // from a client's message to the reply
	spanPublish = "publish" // to the other edges, or to the store and back
	spanDeliver = "deliver" // to the members on an edge; its parent is the publication

	attrTopic = attribute.Key("phx.topic")
	attrEvent = attribute.Key("phx.event")
	attrSeq   = attribute.Key("phx.seq")
)

// noSpan records nothing.
var noSpan = trace.SpanFromContext(context.Background())

// span begins a span, if the server has a tracer. Attributes are for a span
// that IsRecording: they cost memory.
func (srv *Server) span(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if srv.opts.Tracer == nil {
		return ctx, noSpan
	}
	return srv.opts.Tracer.Start(ctx, name, trace.WithSpanKind(kind))
}

// endSpan ends a span; err, if not nil, is why it failed.
func endSpan(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, cut(err.Error()))
	}
	span.End()
}

// traceParent writes ctx's span as an Event carries it.
func traceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	h := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, h)
	return h["traceparent"]
}

func (srv *Server) publishSpan(ctx context.Context, topic, event string) (context.Context, trace.Span) {
	ctx, span := srv.span(ctx, spanPublish, trace.SpanKindProducer)
	if span.IsRecording() {
		span.SetAttributes(attrTopic.String(cut(topic)), attrEvent.String(cut(event)))
	}
	return ctx, span
}

// deliverySpan begins the span of a delivery whose publication is traced. What
// is no traceparent is none: any program may publish.
func (srv *Server) deliverySpan(topic string, d *Delivery) trace.Span {
	if d.Trace == "" || srv.opts.Tracer == nil {
		return noSpan
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": d.Trace})
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return noSpan
	}
	_, span := srv.span(ctx, spanDeliver, trace.SpanKindConsumer)
	if span.IsRecording() {
		span.SetAttributes(attrTopic.String(topic), attrEvent.String(d.Name))
		if d.Seq != 0 {
			span.SetAttributes(attrSeq.Int64(int64(d.Seq)))
		}
	}
	return span
}
