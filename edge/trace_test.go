package edge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/aristochat/aristochat/edge"
)

// newTracer records every span.
func newTracer(t *testing.T, sampler sdktrace.Sampler) (trace.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec), sdktrace.WithSampler(sampler))
	t.Cleanup(func() { _ = tp.Shutdown(context.Background()) })
	return tp.Tracer("edge"), rec
}

// ended waits for the span of that name, and the attributes that it has.
func ended(t *testing.T, rec *tracetest.SpanRecorder, name string) (span sdktrace.ReadOnlySpan, attrs map[string]any) {
	t.Helper()
	eventually(t, "a span "+name, func() bool {
		for _, s := range rec.Ended() {
			if s.Name() == name {
				span = s
				return true
			}
		}
		return false
	})
	attrs = map[string]any{}
	for _, a := range span.Attributes() {
		attrs[string(a.Key)] = a.Value.AsInterface()
	}
	return span, attrs
}

// What a client says can be followed from its edge over NATS to the edge that
// delivers it, whether or not it is stored.
func TestTrace(t *testing.T) {
	for _, event := range []string{"say", "typing"} {
		t.Run(event, func(t *testing.T) {
			ns := newNATS(t)
			here, hereSpans := newTracer(t, sdktrace.AlwaysSample())
			// The other edge records what somebody else chose, and nothing else.
			there, thereSpans := newTracer(t, sdktrace.ParentBased(sdktrace.NeverSample()))
			a := newEdge(t, newStore(t, ns, nil), &edge.Options{Tracer: here}, tellers, edge.Stored("say"))
			b := newEdge(t, newStore(t, ns, nil), &edge.Options{Tracer: there}, tellers, edge.Stored("say"))
			bob := b.v2(t)
			bob.join("1", "t:x")
			ann := a.v2(t)
			ann.join("1", "t:x")
			ann.send(`["1","2","t:x",%q,{"n":1}]`, event)

			ended(t, hereSpans, "connect")
			if _, attrs := ended(t, hereSpans, "join"); attrs["phx.topic"] != "t:x" {
				t.Errorf("join has %v", attrs)
			}
			push, attrs := ended(t, hereSpans, "push")
			if attrs["phx.topic"] != "t:x" || attrs["phx.event"] != event {
				t.Errorf("push has %v", attrs)
			}
			publish, published := ended(t, hereSpans, "publish")
			deliver, delivered := ended(t, thereSpans, "deliver")
			if got, want := publish.Parent().SpanID(), push.SpanContext().SpanID(); got != want {
				t.Errorf("publish is part of %v, want push, %v", got, want)
			}
			if got, want := deliver.Parent(), publish.SpanContext(); got.SpanID() != want.SpanID() || got.TraceID() != want.TraceID() {
				t.Errorf("deliver is part of %v, want publish, %v", got, want)
			}
			if delivered["phx.topic"] != "t:x" || delivered["phx.event"] != event || delivered["phx.seq"] != published["phx.seq"] {
				t.Errorf("deliver has %v, publish %v", delivered, published)
			}
			for _, s := range thereSpans.Ended() {
				if s.Name() != "deliver" {
					t.Errorf("%s is recorded without being sampled", s.Name())
				}
			}
		})
	}
}

// What fails says so, a panic too.
func TestTraceFailure(t *testing.T) {
	tracer, spans := newTracer(t, sdktrace.AlwaysSample())
	e := single(t, &edge.Options{Tracer: tracer, Connect: func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
		if h.Params.Get("who") == "stranger" {
			return edge.Session{}, errors.New("who?")
		}
		return edge.Session{}, nil
	}}, probes)
	resp, err := http.Get(e.http.URL + "/socket/websocket?vsn=2.0.0&who=stranger")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if s, attrs := ended(t, spans, "connect"); s.Status().Code != codes.Unset || attrs["phx.reason"] != "who?" {
		t.Errorf("connect ended with %v, %v", s.Status(), attrs)
	}
	c := e.v2(t)
	c.join("1", "t:a")
	c.send(`["1","2","t:a","nosuch",{}]`)
	if s, _ := ended(t, spans, "push"); len(s.Events()) != 1 || s.Events()[0].Name != "exception" {
		t.Errorf("push ended with %v", s.Events())
	}
}

// What the application answers is no failure, but what it cannot do is.
func TestTraceAnswers(t *testing.T) {
	const answer, fault = codes.Unset, codes.Error
	for _, tt := range []struct {
		event string
		code  codes.Code
		said  string // the reason, or the status's description
	}{
		{"nothing", answer, ""},
		{"refuse", answer, "no"},
		{"stop", answer, "enough"},
		{"crash", fault, "crashed: broken"},
		{"fail", fault, "broken"},
		{"unavailable", fault, edge.ErrUnavailable.Error()},
	} {
		t.Run(tt.event, func(t *testing.T) {
			tracer, spans := newTracer(t, sdktrace.AlwaysSample())
			c := single(t, &edge.Options{Tracer: tracer}, func() edge.Channel { return answerer{} }).v2(t)
			c.join("1", "t:a")
			spans.Reset()
			c.send(`["1","2","t:a",%q,{}]`, tt.event)
			c.send(`["3","3","t:b","phx_join",{"do":%q}]`, tt.event)
			for _, name := range []string{"push", "join"} {
				s, attrs := ended(t, spans, name)
				said := s.Status().Description
				if reason, ok := attrs["phx.reason"]; ok {
					said += reason.(string)
				}
				if s.Status().Code != tt.code || said != tt.said {
					t.Errorf("%s ended with %v, %q, want %v, %q", name, s.Status().Code, said, tt.code, tt.said)
				}
			}
		})
	}
}

// An answerer ends a handler as it is told to.
type answerer struct{}

func (answerer) do(what string) error {
	switch what {
	case "refuse":
		return edge.Refuse("no")
	case "stop":
		return edge.Stop(errors.New("enough"))
	case "crash":
		return edge.Crash(errors.New("broken"))
	case "fail":
		return errors.New("broken")
	case "unavailable":
		return edge.ErrUnavailable
	}
	return nil
}

func (a answerer) Join(_ context.Context, _ *edge.Socket, params edge.Payload) (any, error) {
	var in struct {
		Do string `json:"do"`
	}
	if err := params.Decode(&in); err != nil {
		return nil, err
	}
	return nil, a.do(in.Do)
}

func (a answerer) Handle(_ context.Context, _ *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	return nil, a.do(m.Event)
}

// A span keeps no more than a log line of what a client chose.
func TestTraceIsBounded(t *testing.T) {
	tracer, spans := newTracer(t, sdktrace.AlwaysSample())
	e := single(t, &edge.Options{Tracer: tracer}, probes)
	c := e.v2(t)
	long := strings.Repeat("x", 4000)
	c.send(`["1","1","t:%s","phx_join",{}]`, long)
	c.send(`["2","2","t:a","phx_join",{}]`)
	c.send(`["2","3","t:a",%q,{}]`, long)
	for _, name := range []string{"join", "push"} {
		s, attrs := ended(t, spans, name)
		for key, value := range attrs {
			if text, ok := value.(string); ok && len(text) > 250 {
				t.Errorf("%s has %s with %d bytes", name, key, len(text))
			}
		}
		if n := len(s.Status().Description); n > 250 {
			t.Errorf("%s ended with %d bytes", name, n)
		}
	}
}

// Whatever stands where a traceparent should be, the event is delivered.
func TestTraceForeign(t *testing.T) {
	ns := newNATS(t)
	tracer, spans := newTracer(t, sdktrace.AlwaysSample())
	e := newEdge(t, newLink(t, ns), &edge.Options{Tracer: tracer}, probes)
	c := e.v2(t)
	c.join("1", "t:a")
	nc, err := ns.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for i, parent := range []string{
		"", "x", strings.Repeat("0", 55), strings.Repeat("\x00", 55), "00-" + strings.Repeat("z", 52),
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", // not sampled
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		m := nats.NewMsg("chat.eph.t.a")
		m.Header = nats.Header{"Phx-Event": {"news"}, "traceparent": {parent}}
		m.Data = fmt.Appendf(nil, `{"n":%d}`, i)
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		c.want(fmt.Sprintf(`[null,null,"t:a","news",{"n":%d}]`, i))
	}
	s, _ := ended(t, spans, "deliver")
	if got := s.Parent().TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("deliver is part of %s", got)
	}
	n := 0
	for _, s := range spans.Ended() {
		if s.Name() == "deliver" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d deliveries were recorded, want 1", n)
	}
}
