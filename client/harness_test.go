package client_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/client"
	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/vacant"
	"github.com/coder/websocket"
)

// patience bounds what should happen at once. It is generous: the machine may
// be busy, and a test that passes never waits for it, but where time is fake.
const patience = 90 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// dial connects and never fails. Options may be nil.
func dial(t testing.TB, url string, o *client.Options) *client.Client {
	t.Helper()
	if o == nil {
		o = &client.Options{}
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	c, err := client.Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// join joins and never fails.
func join(t testing.TB, ch *client.Channel) client.Reply {
	t.Helper()
	r, err := ch.Join(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// push pushes what is accepted.
func push(t testing.TB, ch *client.Channel, event string, payload any) client.Reply {
	t.Helper()
	r, err := ch.Push(t.Context(), event, payload)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// object is a payload.
type object map[string]any

// await returns the next value that is sent on c.
func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("still not: %s", what)
		panic("not reached")
	}
}

// hear returns a channel with what is on an event.
func hear(ch *client.Channel, event string) <-chan client.Message {
	heard := make(chan client.Message, 1000)
	ch.On(event, func(m client.Message) { heard <- m })
	return heard
}

// states returns an OnState, and a channel with what it is told.
func states() (func(client.State), <-chan client.State) {
	told := make(chan client.State, 1000)
	return func(s client.State) { told <- s }, told
}

// until waits for a state.
func until(t testing.TB, told <-chan client.State, want client.Status) client.State {
	t.Helper()
	for {
		if s := await(t, want.String(), told); s.Status == want {
			return s
		}
	}
}

// A chatServer is an edge with rooms, which a test can kill and start again on
// the same address.
type chatServer struct {
	t    testing.TB
	b    edge.Backbone
	addr string
	edge *edge.Server
	http *http.Server

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

// startChat starts an edge with history on a NATS of its own.
func startChat(t testing.TB) *chatServer {
	t.Helper()
	return startEdge(t, startStore(t, startNATS(t)))
}

func startNATS(t testing.TB) *embedded.Server {
	t.Helper()
	ns, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Shutdown)
	return ns
}

func startStore(t testing.TB, ns *embedded.Server) *backbone.Store {
	t.Helper()
	l, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	st, err := l.Store(t.Context(), &backbone.StoreOptions{Apply: true})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); st.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(st.Ready())
		}
	}
	return st
}

func startEdge(t testing.TB, b edge.Backbone) *chatServer {
	t.Helper()
	s := &chatServer{t: t, b: b, addr: vacant.Address(t)}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *chatServer) url() string { return "http://" + s.addr + "/socket" }

// start listens on the server's address, the first time and again.
func (s *chatServer) start() {
	s.t.Helper()
	srv, err := edge.New(s.b, &edge.Options{Connect: rooms.Connect, AuthToken: true, Logger: quiet()})
	if err != nil {
		s.t.Fatal(err)
	}
	rooms.Serve(srv, nil)
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.edge = srv
	s.http = &http.Server{Handler: srv, ReadHeaderTimeout: patience, ConnState: func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.conns = append(s.conns, c)
		}
	}}
	go s.http.Serve(l)
}

// stop shuts the edge down: clients are closed with 1012.
func (s *chatServer) stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.edge.Shutdown(ctx); err != nil {
		s.t.Errorf("Shutdown: %v", err)
	}
	s.http.Close()
}

// cut breaks all connections without a word.
func (s *chatServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// kill ends the edge without a word.
func (s *chatServer) kill() {
	s.t.Helper()
	s.http.Close()
	s.cut()
	s.stop()
}

// A peer is the server's end of a websocket, for servers that misbehave.
type peer struct {
	t  testing.TB
	ws *websocket.Conn
}

// A frame is what a client sends.
type frame struct {
	joinRef, ref, topic, event string
	payload                    json.RawMessage
}

// startPeer starts a server that runs script for each connection. The script
// ends with its client's connection.
func startPeer(t testing.TB, script func(p *peer)) string {
	t.Helper()
	hs := httptest.NewServer(peerHandler(t, script))
	t.Cleanup(hs.Close)
	return hs.URL
}

func peerHandler(t testing.TB, script func(p *peer)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		ws.SetReadLimit(64 << 20)
		defer ws.CloseNow()
		script(&peer{t, ws})
	})
}

// read returns the next frame of text that is no heartbeat. It returns false
// when the connection has ended.
func (p *peer) read() (f frame, ok bool) {
	for {
		_, data, err := p.ws.Read(context.Background())
		if err != nil {
			return f, false
		}
		var joinRef *string
		if err := json.Unmarshal(data, &[]any{&joinRef, &f.ref, &f.topic, &f.event, &f.payload}); err != nil {
			p.t.Errorf("client sent %q: %v", data, err)
			return f, false
		}
		if joinRef != nil {
			f.joinRef = *joinRef
		}
		if f.event != "heartbeat" {
			return f, true
		}
		p.reply(f, "ok", `{}`)
	}
}

func (p *peer) send(text string) {
	_ = p.ws.Write(context.Background(), websocket.MessageText, []byte(text)) // the client may be gone
}

func (p *peer) reply(f frame, status, response string) {
	joinRef := "null"
	if f.joinRef != "" {
		joinRef = quote(f.joinRef)
	}
	p.send(`[` + joinRef + `,` + quote(f.ref) + `,` + quote(f.topic) + `,"phx_reply",{"status":` + quote(status) + `,"response":` + response + `}]`)
}

// event sends an event to the incarnation of the channel that f belongs to.
func (p *peer) event(f frame, event, payload string) {
	p.send(`[` + quote(f.joinRef) + `,null,` + quote(f.topic) + `,` + quote(event) + `,` + payload + `]`)
}

// obey answers joins and leaves, and hands the rest on until it returns false.
func (p *peer) obey(do func(f frame) bool) {
	for {
		f, ok := p.read()
		if !ok {
			return
		}
		if f.event == "phx_join" || f.event == "phx_leave" {
			p.reply(f, "ok", `{}`)
		} else if !do(f) {
			return
		}
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}
