package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/aristochat/aristochat/embedded"

	"github.com/aristochat/aristochat/internal/vacant"
)

// A collector takes spans as an OpenTelemetry collector does.
type collector struct {
	mu    sync.Mutex // guards what follows
	spans map[string][]*tracev1.Span
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req collectorv1.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				c.spans[span.Name] = append(c.spans[span.Name], span)
			}
		}
	}
}

// Two edges send a collector what can be put together again: what a client of
// one said, and that the other delivered it.
func TestTraces(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	c := &collector{spans: map[string][]*tracev1.Span{}}
	hs := httptest.NewServer(c)
	defer hs.Close()
	args := []string{"--listen", "127.0.0.1:0", "--nats", srv.ClientURL(), "--otlp-endpoint", hs.URL, "--trace-ratio", "1"}
	a, b := start(t, args...), start(t, args...)
	for _, p := range []*process{a, b} {
		awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	}
	ann, bob := dial(t, a.host()), dial(t, b.host())
	send(t, bob, `["1","1","rooms:a","phx_join",{}]`)
	expect(t, bob, `"phx_reply",{"status":"ok"`)
	send(t, ann, `["1","1","rooms:a","phx_join",{}]`)
	expect(t, ann, `"phx_reply",{"status":"ok"`)
	send(t, ann, `["1","2","rooms:a","chat_msg",{"body":"hi"}]`)
	for _, c := range []*websocket.Conn{ann, bob} {
		expect(t, c, `"body":"hi"`)
	}
	for _, p := range []*process{a, b} { // what is left is sent at the end
		p.signal(syscall.SIGTERM)
		p.wait()
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	for name, want := range map[string]int{"connect": 2, "join": 2, "push": 1, "publish": 1, "deliver": 2} {
		if got := len(c.spans[name]); got != want {
			t.Fatalf("%d spans %s, want %d", got, name, want)
		}
	}
	push, publish := c.spans["push"][0], c.spans["publish"][0]
	if string(publish.ParentSpanId) != string(push.SpanId) {
		t.Error("publish is not part of push")
	}
	for _, d := range c.spans["deliver"] {
		if string(d.TraceId) != string(push.TraceId) || string(d.ParentSpanId) != string(publish.SpanId) {
			t.Error("deliver is not part of publish")
		}
	}
}

// A collector that is away is a line in the log, and nothing to the clients.
func TestTracesLost(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--history=off", "--otlp-endpoint", "http://"+vacant.Address(t), "--trace-ratio", "1")
	c := dial(t, p.host())
	send(t, c, `["1","1","rooms:a","phx_join",{}]`)
	expect(t, c, `"phx_reply",{"status":"ok"`)
	p.signal(syscall.SIGTERM)
	p.await("traces may be lost|the last traces are lost")
	if st := p.wait(); st.ExitStatus() != 0 {
		t.Errorf("exit code %d, want 0", st.ExitStatus())
	}
}
