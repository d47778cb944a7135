package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/fleet"
	"github.com/aristochat/aristochat/embedded"
	"github.com/coder/websocket"
)

// patience bounds what should happen at once. It is generous: the machine may
// be busy, and a test that passes never waits for it.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newNATS(t testing.TB) *embedded.Server {
	t.Helper()
	ns, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Shutdown)
	return ns
}

func newLink(t testing.TB, ns *embedded.Server) *backbone.Link {
	t.Helper()
	l, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// often makes what takes seconds take less. Who is silent for three times as long
// is forgotten, and a busy machine is silent now and then.
func often() *fleet.Options { return &fleet.Options{Every: 500 * time.Millisecond, Logger: quiet()} }

// A site is an edge with its place in the fleet.
type site struct {
	*edge.Server
	table  *fleet.Table
	member *fleet.Member
	http   *httptest.Server
}

// newEdge starts an edge whose topics t:* let everybody in.
func newEdge(t testing.TB, ns *embedded.Server, o *edge.Options) *site {
	t.Helper()
	link := newLink(t, ns)
	table, err := fleet.Watch(t.Context(), link, often())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	if o.Logger == nil {
		o.Logger = quiet()
	}
	o.IdleTimeout = time.Hour // the clients have no heartbeat
	srv, err := edge.New(link, o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Channel("t:*", func() edge.Channel { return room{} })
	e := &site{Server: srv, table: table, member: table.Join(srv, nil), http: httptest.NewServer(srv)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		e.http.Close()
	})
	return e
}

type room struct{}

func (room) Join(context.Context, *edge.Socket, edge.Payload) (any, error) { return nil, nil }

func (room) Handle(context.Context, *edge.Socket, *edge.Message) (*edge.Reply, error) {
	return edge.OK(nil), nil
}

func (e *site) dial(t testing.TB) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(e.http.URL, "http")+"/socket/websocket?vsn=2.0.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(64 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return ws
}

// join enters t:x.
func join(t testing.TB, ws *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := ws.Write(ctx, websocket.MessageText, []byte(`["1","1","t:x","phx_join",{}]`)); err != nil {
		t.Fatal(err)
	}
	if _, b, err := ws.Read(ctx); err != nil || !strings.Contains(string(b), `"ok"`) {
		t.Fatalf("join: %s %v", b, err)
	}
}

// A listener reads until it is closed.
type listener struct {
	last   atomic.Int64 // the number of the last broadcast that it got
	broken error
	code   websocket.StatusCode
}

func (l *listener) read(ws *websocket.Conn) {
	for {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			l.code = websocket.CloseStatus(err)
			return
		}
		var event string
		var payload struct{ N int64 }
		last := l.last.Load()
		if err := json.Unmarshal(b, &[]any{nil, nil, nil, &event, &payload}); err != nil || event != "n" || payload.N != last+1 && last != 0 {
			l.broken = fmt.Errorf("got %.80s after %d (%w)", b, last, err)
		}
		l.last.Store(payload.N)
	}
}

// dialAll connects n clients that join, and begin to read when told to.
func (e *site) dialAll(t *testing.T, n int) []*websocket.Conn {
	t.Helper()
	all := make([]*websocket.Conn, n)
	var wg sync.WaitGroup
	for first := range 8 {
		wg.Go(func() {
			for i := first; i < n; i += 8 {
				all[i] = e.dial(t)
				join(t, all[i])
			}
		})
	}
	wg.Wait()
	return all
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}
