package presence_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/embedded"
	"github.com/coder/websocket"
)

// patience bounds what should happen soon. It is generous: the machine may be
// busy, and a test that passes never waits for it.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newNATS(t testing.TB) *embedded.Server {
	t.Helper()
	ns, err := embedded.Start(&embedded.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Shutdown)
	return ns
}

// A door stands between a link and its server. Shutting it cuts the
// connections.
type door struct {
	*embedded.Server

	mu     sync.Mutex // guards what follows
	isShut bool
	conns  []net.Conn
}

func (d *door) InProcessConn() (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isShut {
		return nil, errors.New("door is shut")
	}
	c, err := d.Server.InProcessConn()
	if err == nil {
		d.conns = append(d.conns, c)
	}
	return c, err
}

func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isShut = false
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isShut = true
	for _, c := range d.conns {
		c.Close()
	}
	d.conns = nil
}

// A lossy link loses some of what presence hears, or of the answers alone, if
// loses or losesAnswer says so, and counts the bytes that presence says.
type lossy struct {
	*backbone.Link
	loses, losesAnswer func() bool
	said               atomic.Int64
}

func (l *lossy) lost() bool { return l.loses != nil && l.loses() }

func (l *lossy) Say(word, topic string, data []byte) error {
	l.said.Add(int64(len("chat.p.") + len(word) + len(topic) + len(data)))
	return l.Link.Say(word, topic, data)
}

func (l *lossy) Listen(word, topic string, hear func([]byte, func([]byte) error)) (func(), error) {
	return l.Link.Listen(word, topic, func(data []byte, answer func([]byte) error) {
		if !l.lost() {
			hear(data, answer)
		}
	})
}

func (l *lossy) Ask(word, topic string, data []byte, hear func([]byte, bool)) (func(), error) {
	return l.Link.Ask(word, topic, data, func(data []byte, ok bool) {
		if !l.lost() && (l.losesAnswer == nil || !l.losesAnswer()) {
			hear(data, ok)
		}
	})
}

// An edgeServer is an edge whose topics t:* have presence.
type edgeServer struct {
	*edge.Server
	who  *presence.Tracker
	link *lossy
	door *door
	http *httptest.Server
}

func newEdge(t testing.TB, ns *embedded.Server, o *presence.Options) *edgeServer {
	t.Helper()
	return lossyEdge(t, ns, o, nil)
}

func lossyEdge(t testing.TB, ns *embedded.Server, o *presence.Options, loses func() bool) *edgeServer {
	t.Helper()
	d := &door{Server: ns}
	l, err := backbone.Connect(t.Context(), &backbone.Options{Server: d, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return serve(t, &edgeServer{link: &lossy{Link: l, loses: loses}, door: d}, o)
}

// serve starts an edge on its link.
func serve(t testing.TB, e *edgeServer, o *presence.Options) *edgeServer {
	t.Helper()
	var err error
	eo := &edge.Options{Logger: quiet(), IdleTimeout: time.Hour} // the clients have no heartbeat
	if e.Server, err = edge.New(e.link, eo); err != nil {
		t.Fatal(err)
	}
	e.who = presence.New(e.Server, o)
	e.Channel("t:*", func() edge.Channel { return &room{who: e.who} })
	e.http = httptest.NewServer(e)
	t.Cleanup(e.http.Close)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return e
}

// trackMany has one client track n keys.
func (e *edgeServer) trackMany(t testing.TB, topic string, n int) *client {
	t.Helper()
	c := e.dial(t, topic, `{}`)
	c.ask("many", `{"key":"user-","n":%d}`, n)
	return c
}

// kill ends an edge without a word to the others.
func (e *edgeServer) kill(t testing.TB) {
	t.Helper()
	e.door.shut()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// room tracks what its join params say, and does what it is told.
type room struct{ who *presence.Tracker }

type words struct {
	Key *string         `json:"key"`
	N   int             `json:"n"`
	Raw json.RawMessage `json:"raw"`
}

func (w *words) meta() any {
	if w.Raw != nil {
		return w.Raw
	}
	return map[string]int{"n": w.N}
}

func (r *room) Join(_ context.Context, s *edge.Socket, params edge.Payload) (any, error) {
	var w words
	if err := params.Decode(&w); err != nil {
		return nil, err
	}
	if w.Key == nil {
		return nil, r.who.Watch(s)
	}
	s.Do(func(context.Context) error { return r.who.Track(s, *w.Key, w.meta()) })
	return nil, nil
}

func (r *room) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	var w words
	if err := m.Payload.Decode(&w); err != nil {
		return nil, err
	}
	key := ""
	if w.Key != nil {
		key = *w.Key
	}
	var err error
	switch m.Event {
	case "track":
		err = r.who.Track(s, key, w.meta())
	case "update":
		err = r.who.Update(s, key, w.meta())
	case "untrack":
		err = r.who.Untrack(s, key)
	case "many": // N keys at once
		for i := range w.N {
			if err := r.who.Track(s, fmt.Sprintf("%s%06d", key, i), map[string]any{"online_at": 1795353650, "status": "here"}); err != nil {
				return nil, err
			}
		}
	case presence.EventList:
		return r.who.Handle(ctx, s, m)
	}
	if err != nil {
		return nil, err
	}
	return edge.OK(nil), nil
}

// A client is one websocket in one topic, and what phoenix.js would show, of
// now and of old.
type client struct {
	t     testing.TB
	ws    *websocket.Conn
	topic string
	joins int

	mu      sync.Mutex // guards what follows
	now     *view
	old     *view
	frames  []string
	replies map[string]json.RawMessage
	more    chan struct{} // closed and made anew with each frame
	closed  bool
	refs    int
}

// dial connects and joins with the params; it returns once the reply is there.
func (e *edgeServer) dial(t testing.TB, topic, params string) *client {
	t.Helper()
	c, err := e.tryDial(t, topic, params)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// idle connects and joins nothing yet.
func (e *edgeServer) idle(t testing.TB) *client {
	t.Helper()
	c, err := e.connect(t, "t:x")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (e *edgeServer) tryDial(t testing.TB, topic, params string) (*client, error) {
	c, err := e.connect(t, topic)
	if err != nil {
		return nil, err
	}
	return c, c.tryJoin(params)
}

func (e *edgeServer) connect(t testing.TB, topic string) (*client, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(e.http.URL, "http")+"/socket/websocket?vsn=2.0.0", nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(64 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	c := &client{t: t, ws: ws, topic: topic, now: newView(false), old: newView(true), replies: map[string]json.RawMessage{}, more: make(chan struct{})}
	go c.read()
	return c, nil
}

func (c *client) read() {
	for {
		_, data, err := c.ws.Read(context.Background())
		c.mu.Lock()
		if err != nil {
			c.closed = true
			close(c.more)
			c.mu.Unlock()
			return
		}
		var joinRef, ref *string
		var topic, event string
		var payload json.RawMessage
		if err := json.Unmarshal(data, &[]any{&joinRef, &ref, &topic, &event, &payload}); err != nil {
			c.t.Errorf("got %s: %v", data, err)
		}
		switch {
		case event == "phx_reply":
			c.replies[*ref] = payload
		case joinRef != nil && *joinRef != strconv.Itoa(c.joins): // of an earlier join
		default:
			c.frames = append(c.frames, string(data))
			for _, v := range []*view{c.now, c.old} {
				if err := v.take(event, payload); err != nil {
					c.t.Errorf("client: %v", err)
				}
			}
		}
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
	}
}

// until waits for a condition of what has come.
func (c *client) until(what string, ok func() bool) error {
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		done, closed, more := ok(), c.closed, c.more
		c.mu.Unlock()
		switch {
		case done:
			return nil
		case closed:
			return fmt.Errorf("closed before: %s", what)
		}
		select {
		case <-more:
		case <-timeout:
			return fmt.Errorf("still not: %s", what)
		}
	}
}

func (c *client) await(what string, ok func() bool) {
	c.t.Helper()
	if err := c.until(what, ok); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.t.Fatalf("%v; the client shows\n%sframes %s", err, c.now.state, strings.Join(c.frames[max(0, len(c.frames)-10):], "\n"))
	}
}

func (c *client) push(event, payload string) (ref string, err error) {
	c.mu.Lock()
	c.refs++
	ref = strconv.Itoa(1000 + c.refs)
	if event == "phx_join" {
		c.joins++
		c.now.rejoin()
		ref = strconv.Itoa(c.joins)
	}
	joins := c.joins
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return ref, c.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `["%d",%q,%q,%q,%s]`, joins, ref, c.topic, event, payload))
}

type reply struct {
	Status   string          `json:"status"`
	Response json.RawMessage `json:"response"`
}

func (c *client) call(event, payload string) (r reply, err error) {
	ref, err := c.push(event, payload)
	if err != nil {
		return r, err
	}
	if err := c.until("reply to "+event, func() bool { return c.replies[ref] != nil }); err != nil {
		return r, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return r, json.Unmarshal(c.replies[ref], &r)
}

func (c *client) tryJoin(params string) error {
	r, err := c.call("phx_join", params)
	if err == nil && r.Status != "ok" {
		err = fmt.Errorf("join: %s", r.Response)
	}
	return err
}

// ask pushes and wants an ok reply.
func (c *client) ask(event, format string, args ...any) json.RawMessage {
	c.t.Helper()
	r, err := c.call(event, fmt.Sprintf(format, args...))
	if err != nil || r.Status != "ok" {
		c.t.Fatalf("%s: %v %s %s", event, err, r.Status, r.Response)
	}
	return r.Response
}

// shows waits until the client shows these keys with so many metas each, such
// as "ann:2 bob:1".
func (c *client) shows(want string) {
	c.t.Helper()
	c.await("shows "+want, func() bool { return c.now.synced && shown(c.now.state) == want && shown(c.old.state) == want })
}

func shown(p people) string {
	var all []string
	for line := range strings.SplitSeq(strings.TrimSpace(p.String()), "\n") {
		if line != "" {
			key, metas, _ := strings.Cut(line, ":")
			all = append(all, fmt.Sprintf("%s:%d", key, len(strings.Fields(metas))))
		}
	}
	return strings.Join(all, " ")
}

func (c *client) leave() {
	c.ws.CloseNow()
}

// drain returns the presence frames that have come, and forgets them.
func (c *client) drain() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	frames := c.frames
	c.frames = nil
	return frames
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}
