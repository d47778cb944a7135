// Package testserver has the servers that the chat's tests talk to: real ones,
// in this process.
package testserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aristochat/aristochat/conformance/lobby"
	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/vacant"
)

// Patience bounds what should happen at once. It is generous: the machine may
// be busy, and a test that passes never waits for it.
const Patience = 90 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Options say what kind of chat is served. A nil *Options is valid.
type Options struct {
	NoHistory bool
	Keep      int64 // messages of each room; if zero, more than a test sends
	// Connect decides who may connect. If nil, everybody.
	Connect func(context.Context, *edge.Handshake) (edge.Session, error)
}

// A Server is an edge that can be killed and started again, and the NATS that
// survives it.
type Server struct {
	Addr string // host:port, the same after a new start

	t     testing.TB
	opts  Options
	store *forgetful
	link  edge.Backbone
	edge  *edge.Server
	http  *http.Server
}

// Start starts a server for the time of a test.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	s := &Server{Addr: vacant.Address(t), t: t}
	if o != nil {
		s.opts = *o
	}
	nats, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	link, err := backbone.Connect(t.Context(), &backbone.Options{Server: nats, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close(context.Background()) })
	s.link = link
	if !s.opts.NoHistory {
		store, err := link.Store(t.Context(), &backbone.StoreOptions{
			Apply:       true,
			Stream:      &backbone.StreamOptions{MaxPerTopic: s.opts.Keep},
			RecentBytes: recentBytes(s.opts.Keep),
		})
		if err != nil {
			t.Fatal(err)
		}
		Await(t, "the store is ready", func() bool { return store.Ready() == nil })
		s.store = &forgetful{Store: store}
		s.link = s.store
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Start starts the edge again after Kill.
func (s *Server) Start() {
	s.t.Helper()
	connect := s.opts.Connect
	if connect == nil {
		connect = rooms.Connect
	}
	srv, err := edge.New(s.link, &edge.Options{Connect: connect, AuthToken: true, Logger: quiet()})
	if err != nil {
		s.t.Fatal(err)
	}
	rooms.Serve(srv, &rooms.Options{NoHistory: s.opts.NoHistory})
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.edge = srv
	s.http = &http.Server{Handler: srv, ReadHeaderTimeout: Patience}
	go func(hs *http.Server) { _ = hs.Serve(l) }(s.http)
}

// recentBytes has an edge remember by itself no more than the store keeps.
func recentBytes(keep int64) int {
	if keep > 0 {
		return 1
	}
	return 0
}

// Kill ends the edge and cuts its connections.
func (s *Server) Kill() {
	if s.edge == nil {
		return
	}
	_ = s.http.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.edge.Shutdown(ctx)
	s.edge = nil
	if s.store != nil {
		s.store.stalled.Store(false)
	}
}

// Meanwhile has bob say something in a room, as if through another edge.
func (s *Server) Meanwhile(room string, bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		payload := fmt.Appendf(nil, `{"body":%q,"username":"bob"}`, body)
		if _, err := s.store.Store.Append(s.t.Context(), "rooms:"+room, edge.Event{Name: "chat_msg", Payload: payload}, ""); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Stall has the server take messages, and neither store nor answer them until
// Kill.
func (s *Server) Stall() { s.store.stalled.Store(true) }

// Stalled counts the messages that Stall holds up.
func (s *Server) Stalled() int32 { return s.store.waiting.Load() }

// Forget has the server store the next n messages and then fail to say so.
func (s *Server) Forget(n int) { s.store.forget.Store(int32(n)) }

// forgetful loses acknowledgements.
type forgetful struct {
	*backbone.Store
	forget  atomic.Int32
	stalled atomic.Bool
	waiting atomic.Int32
}

func (f *forgetful) Append(ctx context.Context, topic string, e edge.Event, key string) (edge.Stamp, error) {
	if f.stalled.Load() {
		f.waiting.Add(1)
		defer f.waiting.Add(-1)
		for f.stalled.Load() {
			time.Sleep(5 * time.Millisecond)
		}
		return edge.Stamp{}, edge.ErrUnknown
	}
	stamp, err := f.Store.Append(ctx, topic, e, key)
	if err == nil && f.forget.Add(-1) >= 0 {
		return edge.Stamp{}, edge.ErrUnknown
	}
	return stamp, err
}

// Ancestor starts a server with nothing but the ancestor's RoomChannel, and
// returns its address.
func Ancestor(t testing.TB) string {
	t.Helper()
	srv, err := lobby.Start(t.Context(), lobby.Config{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return srv.Addr()
}

// Await waits for a condition.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
