package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
	"github.com/coder/websocket"
)

// patience bounds what should happen at once. It is generous: the machine may
// be busy, and a test that passes never waits for it.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

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

// newStore keeps history on a server in this process.
func newStore(t testing.TB, ns *embedded.Server, o *backbone.StoreOptions) *backbone.Store {
	t.Helper()
	return storeAt(t, &backbone.Options{Server: ns}, o)
}

func storeAt(t testing.TB, at *backbone.Options, o *backbone.StoreOptions) *backbone.Store {
	t.Helper()
	at.Logger = quiet()
	l, err := backbone.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	if o == nil {
		o = &backbone.StoreOptions{Apply: true}
	}
	st, err := l.Store(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store is ready", func() bool { return st.Ready() == nil })
	return st
}

// newLink is a backbone without history.
func newLink(t testing.TB, ns *embedded.Server) *backbone.Link {
	t.Helper()
	l, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// plain connects as any other program does.
func plain(t testing.TB, ns *embedded.Server) *nats.Conn {
	t.Helper()
	nc, err := ns.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// A server is an edge with rooms and its HTTP server.
type server struct {
	*edge.Server
	http *httptest.Server
}

func newEdge(t testing.TB, b edge.Backbone, o *rooms.Options) *server {
	t.Helper()
	return newEdgeWith(t, b, &edge.Options{Connect: rooms.Connect, Logger: quiet()}, o)
}

func newEdgeWith(t testing.TB, b edge.Backbone, eo *edge.Options, o *rooms.Options) *server {
	t.Helper()
	eo.IdleTimeout = time.Hour // the clients have no heartbeat
	srv, err := edge.New(b, eo)
	if err != nil {
		t.Fatal(err)
	}
	rooms.Serve(srv, o)
	hs := httptest.NewServer(srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		hs.Close()
	})
	return &server{srv, hs}
}

// single starts an edge with history on a NATS of its own.
func single(t testing.TB) *server {
	t.Helper()
	return newEdge(t, newStore(t, newNATS(t), nil), nil)
}

func (e *server) addr() string { return e.http.Listener.Addr().String() }

// A client is one websocket that is in at most one room.
type client struct {
	ws    *websocket.Conn
	v1    bool
	topic string
	refs  int
	queue []frame    // what came before a reply that was waited for
	who   chan frame // if not nil, where presence goes; most tests are not about it
	t     testing.TB
}

// A frame is what a server sends, of either version.
type frame struct {
	JoinRef *string         `json:"join_ref"`
	Ref     *string         `json:"ref"`
	Topic   string          `json:"topic"`
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
}

func (f frame) String() string { return fmt.Sprintf("%s on %s: %s", f.Event, f.Topic, f.Payload) }

// reply is the payload of phx_reply.
type reply struct {
	Status   string          `json:"status"`
	Response json.RawMessage `json:"response"`
}

// message is a chat_msg as clients get it.
type message struct {
	Body     string    `json:"body"`
	Username string    `json:"username"`
	ClientID string    `json:"client_id"`
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
}

type stamp struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
}

// page is a join's reply, a push of the event history, or the reply to one.
type page struct {
	Messages  []message `json:"messages"`
	FirstSeq  uint64    `json:"first_seq"`
	LastSeq   uint64    `json:"last_seq"`
	Recovered bool      `json:"recovered"`
	Reason    string    `json:"reason"`
	Epoch     string    `json:"epoch"`
	More      bool      `json:"more"`
}

func (p page) bodies() []string {
	out := []string{}
	for _, m := range p.Messages {
		out = append(out, m.Body)
	}
	return out
}

// dial connects; query is "" for version 1 without a name.
func dial(ctx context.Context, addr, query string) (*client, error) {
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+"/socket/websocket?"+query, nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(64 << 20)
	return &client{ws: ws, v1: !strings.Contains(query, "vsn=2")}, nil
}

func v2(user string) string { return "vsn=2.0.0&username=" + url.QueryEscape(user) }

// connect dials and never fails.
func (e *server) connect(t testing.TB, query string) *client {
	t.Helper()
	return connect(t, e.addr(), query)
}

func connect(t testing.TB, addr, query string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := dial(ctx, addr, query)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { _ = c.ws.CloseNow() })
	return c
}

// enter connects with version 2 and joins.
func (e *server) enter(t testing.TB, user, topic string) *client {
	t.Helper()
	c := e.connect(t, v2(user))
	c.join(topic, `{}`)
	return c
}

func (c *client) send(ctx context.Context, event, payload string) (ref string, err error) {
	c.refs++
	ref = strconv.Itoa(c.refs)
	return ref, c.sendRef(ctx, ref, event, payload)
}

func (c *client) sendRef(ctx context.Context, ref, event, payload string) error {
	topic := quote(c.topic)
	text := fmt.Sprintf(`["1",%q,%s,%q,%s]`, ref, topic, event, payload)
	if c.v1 {
		text = fmt.Sprintf(`{"topic":%s,"event":%q,"payload":%s,"ref":%q}`, topic, event, payload, ref)
	}
	return c.ws.Write(ctx, websocket.MessageText, []byte(text))
}

// read returns the next frame that is not about presence.
func (c *client) read(ctx context.Context) (frame, error) {
	for {
		f, err := c.readAny(ctx)
		if err != nil || !strings.HasPrefix(f.Event, "presence_") {
			return f, err
		}
		if c.who != nil {
			c.who <- f
		}
	}
}

func (c *client) readAny(ctx context.Context) (f frame, err error) {
	_, data, err := c.ws.Read(ctx)
	if err != nil {
		return f, err
	}
	if c.v1 {
		err = json.Unmarshal(data, &f)
	} else {
		err = json.Unmarshal(data, &[]any{&f.JoinRef, &f.Ref, &f.Topic, &f.Event, &f.Payload})
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, data)
	}
	return f, err
}

// await returns the reply to ref. What else comes is queued.
func (c *client) await(ctx context.Context, ref string) (r reply, err error) {
	for {
		f, err := c.read(ctx)
		if err != nil {
			return r, err
		}
		if f.Event == "phx_reply" && f.Ref != nil && *f.Ref == ref {
			return r, json.Unmarshal(f.Payload, &r)
		}
		c.queue = append(c.queue, f)
	}
}

// call sends an event and waits for its reply.
func (c *client) call(ctx context.Context, event, payload string) (reply, error) {
	ref, err := c.send(ctx, event, payload)
	if err != nil {
		return reply{}, err
	}
	return c.await(ctx, ref)
}

// tryJoin joins a room.
func (c *client) tryJoin(ctx context.Context, topic, params string) (p page, err error) {
	c.topic = topic
	c.refs++
	if err := c.sendRef(ctx, "1", "phx_join", params); err != nil {
		return p, err
	}
	r, err := c.await(ctx, "1")
	if err != nil {
		return p, err
	}
	if r.Status != "ok" {
		return p, &refused{string(r.Response)}
	}
	return p, json.Unmarshal(r.Response, &p)
}

type refused struct{ response string }

func (r *refused) Error() string { return "refused: " + r.response }

func (c *client) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.t.Context(), patience)
}

func (c *client) join(topic, params string) page {
	c.t.Helper()
	ctx, cancel := c.ctx()
	defer cancel()
	p, err := c.tryJoin(ctx, topic, params)
	if err != nil {
		c.t.Fatalf("joining %q with %s: %v", topic, params, err)
	}
	return p
}

// ask sends an event and returns its reply.
func (c *client) ask(event, payload string) reply {
	c.t.Helper()
	ctx, cancel := c.ctx()
	defer cancel()
	r, err := c.call(ctx, event, payload)
	if err != nil {
		c.t.Fatalf("%s %s: %v", event, payload, err)
	}
	return r
}

// say sends a chat_msg that is accepted, and returns its stamp.
func (c *client) say(payload string) stamp {
	c.t.Helper()
	r := c.ask("chat_msg", payload)
	var s stamp
	if err := json.Unmarshal(r.Response, &s); err != nil || r.Status != "ok" {
		c.t.Fatalf("chat_msg %s: %s %s", payload, r.Status, r.Response)
	}
	return s
}

// refuses sends an event that is refused, and returns why.
func (c *client) refuses(event, payload string) string {
	c.t.Helper()
	r := c.ask(event, payload)
	return c.reason(r)
}

func (c *client) reason(r reply) string {
	c.t.Helper()
	var why struct{ Reason string }
	if err := json.Unmarshal(r.Response, &why); err != nil || r.Status != "error" || why.Reason == "" {
		c.t.Fatalf("got %s %s, want an error with a reason", r.Status, r.Response)
	}
	return why.Reason
}

// next returns the next frame that is no reply.
func (c *client) next() frame {
	c.t.Helper()
	if len(c.queue) > 0 {
		f := c.queue[0]
		c.queue = c.queue[1:]
		return f
	}
	ctx, cancel := c.ctx()
	defer cancel()
	f, err := c.read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// hear returns the next message.
func (c *client) hear() message {
	c.t.Helper()
	f := c.next()
	var m message
	if err := json.Unmarshal(f.Payload, &m); err != nil || f.Event != "chat_msg" || f.Topic != c.topic {
		c.t.Fatalf("got %v, want chat_msg on %s (%v)", f, c.topic, err)
	}
	return m
}

// silent asserts that nothing is on its way from this client's edge.
func (c *client) silent() {
	c.t.Helper()
	ctx, cancel := c.ctx()
	defer cancel()
	text := `[null,"hb","phoenix","heartbeat",{}]`
	if c.v1 {
		text = `{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"hb"}`
	}
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.await(ctx, "hb"); err != nil {
		c.t.Fatal(err)
	}
	if len(c.queue) > 0 {
		c.t.Errorf("got %v, want nothing", c.queue)
	}
}

// past returns what the room has, for a client that joins it now.
func (e *server) past(t testing.TB, topic string) page {
	t.Helper()
	c := e.connect(t, v2("reader"))
	defer func() { _ = c.ws.CloseNow() }()
	return c.join(topic, `{"history":200}`)
}

func quote(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func chat(body, clientID string) string {
	return quote(map[string]string{"body": body, "client_id": clientID})
}

// stored reads all that the stream has on a subject, without any of our code.
func stored(t testing.TB, nc *nats.Conn, subject string) []message {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "ROOMS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []message
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		raw, err := s.GetMsg(t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Subject != subject {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var m message
		if err := json.Unmarshal(raw.Data, &m); err != nil {
			t.Fatalf("message %d: %v", seq, err)
		}
		m.Seq, m.At = raw.Sequence, raw.Time.UTC()
		all = append(all, m)
	}
	return all
}

func bodies(list []message) []string { return page{Messages: list}.bodies() }

func sameBodies(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
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
