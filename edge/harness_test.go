package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
	"github.com/coder/websocket"
)

// patience bounds what should happen at once. It is generous: the machine may
// be busy, and a test that passes never waits for it.
const patience = 30 * time.Second

// newNATS starts a server in this process.
func newNATS(t testing.TB) *embedded.Server {
	t.Helper()
	ns, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Shutdown)
	return ns
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newLink links to a server in this process.
func newLink(t testing.TB, ns *embedded.Server) *backbone.Link {
	t.Helper()
	l, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// An edgeServer is an edge with its HTTP server.
type edgeServer struct {
	*edge.Server
	http *httptest.Server
}

// newEdge starts an edge whose topics t:* are served by what make returns.
func newEdge(t testing.TB, b edge.Backbone, o *edge.Options, make func() edge.Channel, opts ...edge.ChannelOption) *edgeServer {
	t.Helper()
	if o == nil {
		o = &edge.Options{}
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = time.Hour // the clients have no heartbeat
	}
	srv, err := edge.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Channel("t:*", make, opts...)
	hs := httptest.NewUnstartedServer(srv)
	hs.Config.MaxHeaderBytes = 2 << 20 // more than Phoenix takes
	hs.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		hs.Close()
	})
	return &edgeServer{srv, hs}
}

// single starts an edge on a NATS of its own.
func single(t testing.TB, o *edge.Options, make func() edge.Channel, opts ...edge.ChannelOption) *edgeServer {
	t.Helper()
	return newEdge(t, newLink(t, newNATS(t)), o, make, opts...)
}

func (e *edgeServer) url(path string) string {
	return "ws" + strings.TrimPrefix(e.http.URL, "http") + path
}

// A client is one websocket, with what tests say to it in a few words.
type client struct {
	t  testing.TB
	ws *websocket.Conn
}

func (e *edgeServer) dial(t testing.TB, query string) *client {
	t.Helper()
	return e.dialPath(t, "/socket/websocket?"+query)
}

func (e *edgeServer) dialPath(t testing.TB, path string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, e.url(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(64 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &client{t, ws}
}

// v2 connects with version 2.
func (e *edgeServer) v2(t testing.TB) *client { t.Helper(); return e.dial(t, "vsn=2.0.0") }

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	c.write(websocket.MessageText, []byte(fmt.Sprintf(format, args...)))
}

func (c *client) write(kind websocket.MessageType, frame []byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, kind, frame); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	frame, err := c.tryRead()
	if err != nil {
		c.t.Fatal(err)
	}
	return frame
}

func (c *client) tryRead() (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, frame, err := c.ws.Read(ctx)
	return string(frame), err
}

// want reads the next frames, which must be these JSON values in this order.
func (c *client) want(frames ...string) {
	c.t.Helper()
	for _, w := range frames {
		if got := c.read(); !sameJSON(c.t, got, w) {
			c.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// wantClose reads the close frame; frames before it are an error.
func (c *client) wantClose(code websocket.StatusCode) {
	c.t.Helper()
	frame, err := c.tryRead()
	if err == nil {
		c.t.Fatalf("got %s, want close %d", frame, code)
	}
	if got := websocket.CloseStatus(err); got != code {
		c.t.Fatalf("got %v, want close %d", err, code)
	}
}

// silent asserts that nothing is on its way but the answer to a heartbeat.
func (c *client) silent() {
	c.t.Helper()
	c.send(`[null,"hb","phoenix","heartbeat",{}]`)
	c.want(`[null,"hb","phoenix","phx_reply",{"status":"ok","response":{}}]`)
}

// join joins a topic with the join_ref and waits for the reply.
func (c *client) join(ref, topic string) {
	c.t.Helper()
	c.send(`[%q,%q,%s,"phx_join",{}]`, ref, ref, quote(topic))
	c.want(fmt.Sprintf(`[%q,%q,%s,"phx_reply",{"status":"ok","response":{}}]`, ref, ref, quote(topic)))
}

func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%q: %v", a, err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
