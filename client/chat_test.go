package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aristochat/aristochat/client"
	"github.com/aristochat/aristochat/conformance/lobby"
)

// A message is a chat_msg, as our rooms have it.
type message struct {
	Seq            uint64
	Body, Username string
}

type page struct {
	Messages  []message
	LastSeq   uint64 `json:"last_seq"`
	Epoch     string
	Recovered bool
	More      bool
}

func decode[T any](t testing.TB, p client.Payload) (v T) {
	t.Helper()
	if err := p.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func user(name string) *client.Options {
	return &client.Options{Params: url.Values{"username": {name}}}
}

func TestChat(t *testing.T) {
	s := startChat(t)
	// All the ways to write where the socket is.
	bob := dial(t, "http://"+s.addr+"/socket", user("bob")).Channel("rooms:lobby", nil)
	ann := dial(t, "ws://"+s.addr+"/socket/websocket", user("ann")).Channel("rooms:lobby", object{"history": 1})
	heard := hear(bob, "chat_msg")
	join(t, bob)
	join(t, ann)
	r := push(t, ann, "chat_msg", object{"body": "<hi>"})
	got := decode[message](t, await(t, "bob hears ann", heard).Payload)
	if got.Body != "<hi>" || got.Username != "ann" || got.Seq != decode[message](t, r.Payload).Seq {
		t.Errorf("bob heard %+v, ann was answered %s", got, r.Bytes)
	}
	if r.Status != "ok" {
		t.Errorf("got status %q, want ok", r.Status)
	}

	if err := bob.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	push(t, ann, "chat_msg", object{"body": "still there?"})
	if _, err := bob.Push(t.Context(), "chat_msg", object{"body": "no"}); !errors.Is(err, client.ErrNotJoined) {
		t.Errorf("push after Leave: got %v, want ErrNotJoined", err)
	}
	if err := bob.Leave(t.Context()); err != nil {
		t.Errorf("second Leave: %v", err)
	}
	join(t, bob) // again
	push(t, ann, "chat_msg", object{"body": "back"})
	if got := decode[message](t, await(t, "bob hears ann again", heard).Payload); got.Body != "back" {
		t.Errorf("bob heard %+v, want only what was said while he was there", got)
	}
}

func TestRefused(t *testing.T) {
	s := startChat(t)
	c := dial(t, s.url(), user("ann"))

	_, err := c.Channel("rooms:lobby", object{"history": -1}).Join(t.Context())
	refused, ok := errors.AsType[*client.ReplyError](err)
	if !ok || refused.Topic != "rooms:lobby" || refused.Status != "error" || !strings.Contains(refused.Reason(), `"history" must be`) ||
		!strings.Contains(err.Error(), refused.Reason()) {
		t.Errorf("got %v, want a refusal with its reason", err)
	}
	_, err = c.Channel("nowhere", nil).Join(t.Context())
	if refused, ok := errors.AsType[*client.ReplyError](err); !ok || refused.Reason() != "unmatched topic" {
		t.Errorf("got %v, want unmatched topic", err)
	}

	ch := c.Channel("rooms:lobby", nil) // a refusal keeps no topic occupied
	join(t, ch)
	_, err = ch.Push(t.Context(), "chat_msg", object{"body": " "})
	if refused, ok := errors.AsType[*client.ReplyError](err); !ok || refused.Reason() != "body is blank" || refused.Event != "chat_msg" {
		t.Errorf("got %v, want a refusal with its reason", err)
	}
	if errors.Is(err, client.ErrUnknown) {
		t.Errorf("%v: the outcome is known", err)
	}
	if _, err := ch.Join(t.Context()); !errors.Is(err, client.ErrJoined) {
		t.Errorf("second Join: got %v, want ErrJoined", err)
	}
	if _, err := c.Channel("rooms:lobby", nil).Join(t.Context()); !errors.Is(err, client.ErrJoined) {
		t.Errorf("Join of another Channel: got %v, want ErrJoined", err)
	}
	if _, err := ch.Push(t.Context(), "chat_msg", make(chan int)); err == nil || errors.Is(err, client.ErrUnknown) {
		t.Errorf("got %v, want an error of a payload that has no JSON", err)
	}
	if _, err := ch.Push(t.Context(), "\xff", nil); err == nil || errors.Is(err, client.ErrUnknown) {
		t.Errorf("got %v, want an error of an event that is not UTF-8", err)
	}
	if _, err := c.Channel(strings.Repeat("x", 300), nil).Push(t.Context(), "e", client.Binary{1}); err == nil {
		t.Error("a topic of 300 bytes has no binary frame, want an error")
	}
}

// A reader keeps its cursor as the documentation says, and counts.
type reader struct {
	ch *client.Channel

	mu    sync.Mutex // guards what follows
	since uint64
	epoch string
	heard []string
}

func newReader(c *client.Client, topic string) *reader {
	r := &reader{}
	take := func(list ...message) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range list {
			r.since = m.Seq
			r.heard = append(r.heard, m.Body)
		}
	}
	r.ch = c.Channel(topic, func() any {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.epoch == "" {
			return object{"history": 0}
		}
		return object{"since": r.since, "epoch": r.epoch}
	})
	r.ch.OnJoin(func(reply client.Reply) {
		var p page
		_ = reply.Decode(&p) // a page of another form shows in what is heard
		take(p.Messages...)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.since, r.epoch = p.LastSeq, p.Epoch
	})
	r.ch.On("history", func(m client.Message) {
		var p page
		_ = m.Decode(&p)
		take(p.Messages...)
	})
	r.ch.On("chat_msg", func(m client.Message) {
		var one message
		_ = m.Decode(&one)
		take(one)
	})
	return r
}

func (r *reader) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.heard)
}

// Bob's edge is killed again and again while ann speaks on another. He hears
// everything once and in order.
func TestResumeAcrossKills(t *testing.T) {
	ns := startNATS(t)
	anns, bobs := startEdge(t, startStore(t, ns)), startEdge(t, startStore(t, ns))
	tell, told := states()
	o := user("bob")
	o.OnState = tell
	bob := newReader(dial(t, bobs.url(), o), "rooms:lobby")
	join(t, bob.ch)
	ann := dial(t, anns.url(), user("ann")).Channel("rooms:lobby", nil)
	join(t, ann)

	var want []string
	say := func(n int) {
		for range n {
			body := fmt.Sprint(len(want))
			want = append(want, body)
			push(t, ann, "chat_msg", object{"body": body})
		}
	}
	until(t, told, client.Connected)
	for i := range 4 {
		say(20)
		switch i {
		case 0, 1: // without a word
			bobs.kill()
			bobs.start()
		case 2: // a network that breaks
			bobs.cut()
		case 3: // with 1012
			bobs.stop()
			bobs.start()
		}
		say(300) // more than a page
		until(t, told, client.Connected)
	}
	say(1)
	eventually(t, "bob heard all", func() bool { return len(bob.bodies()) >= len(want) })
	if got := bob.bodies(); !slices.Equal(got, want) {
		t.Errorf("bob heard %d messages, want %d, in order and once", len(got), len(want))
	}
}

// What ann says while her edge is away waits, or says that nobody knows. With an
// idempotency key she may say it again: everything is there, once.
func TestPushAcrossKills(t *testing.T) {
	ns := startNATS(t)
	s := startEdge(t, startStore(t, ns))
	o := user("ann")
	c := dial(t, s.url(), o)
	ann := c.Channel("rooms:lobby", nil)
	join(t, ann)
	var unknown atomic.Int32
	say := func(body string) {
		for {
			_, err := ann.Push(t.Context(), "chat_msg", object{"body": body, "client_id": body})
			if err == nil {
				return
			}
			if !errors.Is(err, client.ErrUnknown) {
				t.Errorf("%s: %v", body, err)
				return
			}
			unknown.Add(1)
		}
	}
	var sayers sync.WaitGroup
	for i := range 4 {
		sayers.Go(func() {
			for n := range 100 {
				say(fmt.Sprintf("%d-%d", i, n))
			}
		})
	}
	for range 5 {
		s.cut()
		eventually(t, "ann is back", func() bool { return c.State().Status == client.Connected })
	}
	sayers.Wait()
	all := newReader(dial(t, s.url(), user("bob")), "rooms:lobby")
	all.epoch = decode[page](t, join(t, c.Channel("rooms:elsewhere", object{"history": 0})).Payload).Epoch
	join(t, all.ch)
	eventually(t, "bob read all", func() bool { return len(all.bodies()) >= 400 })
	got := all.bodies()
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != 400 || len(got) != 400 {
		t.Errorf("%d messages are stored, of which %d differ; want 400", len(got), n)
	}
	t.Logf("%d outcomes were unknown", unknown.Load())
}

func TestToken(t *testing.T) {
	s := startChat(t)
	for _, token := range []string{"abc", "???", "a.b-c_d", strings.Repeat("~", 500)} {
		o := user("ann")
		o.Token = token
		join(t, dial(t, s.url(), o).Channel("rooms:lobby", nil))
	}
	o := &client.Options{Logger: quiet(), RefreshToken: func(context.Context) (string, error) { return "", errors.New("no token today") }}
	if _, err := client.Dial(t.Context(), s.url(), o); err == nil || !strings.Contains(err.Error(), "no token today") {
		t.Errorf("got %v, want the error of RefreshToken", err)
	}
}

// startLobby starts the server of the recorded conversations, with the room of
// the chat that ours descends from.
func startLobby(t testing.TB) string {
	t.Helper()
	srv, err := lobby.Start(t.Context(), lobby.Config{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return "ws://" + srv.Addr() + "/socket"
}

// The ancestor's room has no replies, no history, no presence.
func TestAncestor(t *testing.T) {
	ch := dial(t, startLobby(t), user("ann")).Channel("rooms:main", nil)
	heard := hear(ch, "chat_msg")
	who := client.NewPresence(ch, client.PresenceHandlers{})
	if r := join(t, ch); string(r.Bytes) != "{}" {
		t.Errorf("got %s, want {}", r.Bytes)
	}
	if err := ch.Send(t.Context(), "chat_msg", object{"body": "hi"}); err != nil {
		t.Fatal(err)
	}
	if got := decode[message](t, await(t, "ann hears herself", heard).Payload); got.Body != "hi" || got.Username != "ann" {
		t.Errorf("heard %+v", got)
	}
	if n := len(who.List()); n != 0 {
		t.Errorf("%d are here, want nobody", n)
	}
	crashed := make(chan error, 1)
	ch.OnError(func(err error) { crashed <- err })
	if _, err := ch.Push(t.Context(), "unknown", nil); !errors.Is(err, client.ErrUnknown) || !errors.Is(err, client.ErrCrashed) {
		t.Errorf("got %v, want ErrUnknown of a channel that crashed", err)
	}
	if err := await(t, "OnError", crashed); !errors.Is(err, client.ErrCrashed) {
		t.Errorf("OnError got %v, want ErrCrashed", err)
	}
	// The channel comes back by itself, and what is pushed waits for it.
	if err := ch.Send(t.Context(), "chat_msg", object{"body": "again"}); err != nil {
		t.Fatal(err)
	}
	if got := decode[message](t, await(t, "ann hears herself again", heard).Payload); got.Body != "again" {
		t.Errorf("heard %+v", got)
	}
}

func TestBinary(t *testing.T) {
	ch := dial(t, startLobby(t), nil).Channel("lobby:binreply", client.Binary{7})
	heard := hear(ch, "bin")
	if r := join(t, ch); !r.Binary || !slices.Equal(r.Bytes, []byte{1, 2, 3}) {
		t.Errorf("join was answered %v, want bytes", r)
	}
	sent := client.Binary{0, 255, 10}
	r := push(t, ch, "echo", sent)
	if !r.Binary || !slices.Equal(r.Bytes, sent) || r.Status != "ok" {
		t.Errorf("got %v, want %v", r, sent)
	}
	if err := r.Decode(new(any)); err == nil {
		t.Error("bytes were decoded as JSON")
	}
	_, err := ch.Push(t.Context(), "echo_custom", sent)
	if refused, ok := errors.AsType[*client.ReplyError](err); !ok || refused.Status != "custom" || !slices.Equal(refused.Bytes, sent) {
		t.Errorf("got %v, want the status custom", err)
	}
	if err := ch.Send(t.Context(), "push_bin", nil); err != nil {
		t.Fatal(err)
	}
	if m := await(t, "bytes are pushed", heard); !m.Binary || !slices.Equal(m.Bytes, []byte{0, 1, 0xfe, 0xff}) {
		t.Errorf("heard %v", m)
	}
}

func TestChannelEnds(t *testing.T) {
	c := dial(t, startLobby(t), user("ann"))
	ch := c.Channel("lobby:a", nil)
	ended := make(chan error, 1)
	ch.OnClose(func(err error) { ended <- err })
	join(t, ch)
	if r, err := ch.Push(t.Context(), "stop_reply", object{"x": 1}); err != nil || string(r.Bytes) != `{"x":1}` {
		t.Errorf("got %s, %v", r.Bytes, err)
	}
	if err := await(t, "phx_close", ended); !errors.Is(err, client.ErrEnded) {
		t.Errorf("OnClose got %v, want ErrEnded", err)
	}
	join(t, ch)
	if err := ch.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "Leave", ended); !errors.Is(err, client.ErrLeft) {
		t.Errorf("OnClose got %v, want ErrLeft", err)
	}
	join(t, ch)
	c.Close()
	if err := await(t, "Close", ended); !errors.Is(err, client.ErrClosed) {
		t.Errorf("OnClose got %v, want ErrClosed", err)
	}
	for what, err := range map[string]error{
		"Push": func() error { _, err := ch.Push(t.Context(), "x", nil); return err }(),
		"Join": func() error { _, err := ch.Join(t.Context()); return err }(),
	} {
		if !errors.Is(err, client.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", what, err)
		}
	}
	for _, topic := range []string{"lobby:forbidden", "lobby:errstring", "lobby:crash"} {
		want := map[string]string{"lobby:forbidden": "forbidden", "lobby:errstring": "plain", "lobby:crash": "join crashed"}[topic]
		_, err := dial(t, startLobby(t), nil).Channel(topic, nil).Join(t.Context())
		if refused, ok := errors.AsType[*client.ReplyError](err); !ok || refused.Reason() != want {
			t.Errorf("%s: got %v, want %q", topic, err, want)
		}
	}
}
