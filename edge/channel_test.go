package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/coder/websocket"
)

// A probe is a channel that does what its messages say.
type probe struct {
	ended chan<- error
	gate  <-chan struct{}
}

func (p *probe) Join(ctx context.Context, s *edge.Socket, params edge.Payload) (any, error) {
	var opts struct {
		Refuse any
		Slow   bool
		After  bool
		Panic  bool
		Fail   bool
	}
	if err := params.Decode(&opts); err != nil {
		return nil, err
	}
	switch {
	case opts.Refuse != nil:
		return nil, &edge.Error{Response: opts.Refuse}
	case opts.Panic:
		panic("in join")
	case opts.Fail:
		return nil, errors.New("secret")
	case opts.Slow:
		<-p.gate
	case opts.After:
		if err := s.Push("early", nil); err == nil {
			return nil, errors.New("pushed before the reply")
		}
		s.Do(func(ctx context.Context) error {
			if err := s.Broadcast(ctx, "entered", nil); err != nil {
				return err
			}
			return s.Push("joined", map[string]any{"status": "connected"})
		})
	}
	return nil, nil
}

func (p *probe) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	switch m.Event {
	case "echo":
		return edge.OK(m.Payload), nil
	case "refuse":
		return nil, edge.Refuse("no")
	case "fail":
		return nil, errors.New("secret")
	case "okbut":
		return edge.OK(nil), edge.Refuse("after all not")
	case "custom":
		return &edge.Reply{Status: "maybe"}, nil
	case "none":
		return nil, nil
	case "push":
		return nil, s.Push("pushed", m.Payload)
	case "bc":
		return edge.OK(nil), s.Broadcast(ctx, "bc", m.Payload)
	case "bcf":
		return edge.OK(nil), s.BroadcastFrom(ctx, "bcf", m.Payload)
	case "icpt":
		return edge.OK(nil), s.Broadcast(ctx, "icpt", m.Payload)
	case "stop":
		return edge.OK(map[string]int{"bye": 1}), edge.Stop(nil)
	case "crash":
		return nil, edge.Crash(errors.New("boom"))
	case "wait":
		<-p.gate
		return edge.OK(nil), nil
	case "later":
		d, err := m.Defer()
		if err != nil {
			return nil, err
		}
		go func() { // the test waits for its reply
			<-p.gate
			_ = d.Reply(edge.OK("late"))
		}()
		return nil, nil
	case "badreply":
		return edge.OK(func() {}), nil
	}
	panic("no clause for " + m.Event)
}

func (p *probe) Intercepts(event string) bool { return event == "icpt" }

func (p *probe) HandleOut(_ context.Context, s *edge.Socket, event string, payload edge.Payload) error {
	var m map[string]any
	if err := payload.Decode(&m); err != nil {
		return err
	}
	m["via"] = "out"
	return s.Push(event, m)
}

func (p *probe) Terminate(s *edge.Socket, reason error) {
	_ = s.Push("left", nil)
	if p.ended != nil {
		p.ended <- reason
	}
}

func probes() edge.Channel { return &probe{} }

// exchange is what a client sends (→) and gets (←).
func exchange(c *client, script string) {
	c.t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		dir, frame, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch dir {
		case "→":
			c.send("%s", frame)
		case "←":
			c.want(frame)
		default:
			c.t.Fatalf("line %q", line)
		}
	}
}

func TestChannel(t *testing.T) {
	e := single(t, nil, probes)
	tests := []struct{ name, script string }{
		{"ok", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["1","2","t:a","echo",{"n":12345678901234567890,"s":"<&>"}]
			← ["1","2","t:a","phx_reply",{"status":"ok","response":{"n":12345678901234567890,"s":"<&>"}}]
			→ ["1","3","t:a","custom",{}]
			← ["1","3","t:a","phx_reply",{"status":"maybe","response":{}}]
			→ ["1","4","t:a","none",{}]
			→ ["1","5","t:a","push",{"a":1}]
			← ["1",null,"t:a","pushed",{"a":1}]`},
		{"refused join", `
			→ ["1","1","t:a","phx_join",{"refuse":"plain"}]
			← ["1","1","t:a","phx_reply",{"status":"error","response":"plain"}]
			→ ["1","2","t:a","echo",{}]
			← [null,"2","t:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`},
		{"crashed join", `
			→ ["1","1","t:a","phx_join",{"panic":true}]
			← ["1","1","t:a","phx_reply",{"status":"error","response":{"reason":"join crashed"}}]
			→ ["2","2","t:a","phx_join",{"fail":true}]
			← ["2","2","t:a","phx_reply",{"status":"error","response":{"reason":"join crashed"}}]`},
		{"bad params", `
			→ ["1","1","t:a","phx_join",[]]
			← ["1","1","t:a","phx_reply",{"status":"error","response":{"reason":"payload is not of the expected form: json: cannot unmarshal array into Go value of type struct { Refuse interface {}; Slow bool; After bool; Panic bool; Fail bool }"}}]`},
		{"after join", `
			→ ["1","1","t:after","phx_join",{"after":true}]
			← ["1","1","t:after","phx_reply",{"status":"ok","response":{}}]
			← [null,null,"t:after","entered",{}]
			← ["1",null,"t:after","joined",{"status":"connected"}]`},
		{"errors keep the channel", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["1","2","t:a","refuse",{}]
			← ["1","2","t:a","phx_reply",{"status":"error","response":{"reason":"no"}}]
			→ ["1","3","t:a","fail",{}]
			← ["1","3","t:a","phx_reply",{"status":"error","response":{"reason":"internal error"}}]
			→ ["1","4","t:a","okbut",{}]
			← ["1","4","t:a","phx_reply",{"status":"error","response":{"reason":"after all not"}}]
			→ ["1","5","t:a","echo",{}]
			← ["1","5","t:a","phx_reply",{"status":"ok","response":{}}]`},
		{"panic", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["1","2","t:a","nosuch",{}]
			← ["1","1","t:a","phx_error",{"reason":"channel_crash"}]
			← ["1",null,"t:a","left",{}]
			→ ["1","3","t:a","echo",{}]
			← [null,"3","t:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`},
		{"crash and unencodable reply", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["1","2","t:a","crash",{}]
			← ["1","1","t:a","phx_error",{"reason":"channel_crash"}]
			← ["1",null,"t:a","left",{}]
			→ ["2","3","t:a","phx_join",{}]
			← ["2","3","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["2","4","t:a","badreply",{}]
			← ["2","2","t:a","phx_error",{"reason":"channel_crash"}]
			← ["2",null,"t:a","left",{}]`},
		{"stop with reply", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["1","2","t:a","stop",{}]
			← ["1","2","t:a","phx_reply",{"status":"ok","response":{"bye":1}}]
			← ["1","1","t:a","phx_close",{}]
			← ["1",null,"t:a","left",{}]`},
		{"leave", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["stale","2","t:a","phx_leave",{}]
			→ ["1","3","t:a","phx_leave",{}]
			← ["1","3","t:a","phx_reply",{"status":"ok","response":{}}]
			← ["1","1","t:a","phx_close",{}]
			← ["1",null,"t:a","left",{}]
			→ ["1","4","t:a","phx_leave",{}]
			← ["1","4","t:a","phx_reply",{"status":"ok","response":{}}]`},
		{"duplicate join", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["2","2","t:a","phx_join",{}]
			← ["2","2","t:a","phx_reply",{"status":"ok","response":{}}]
			← ["1","1","t:a","phx_close",{}]
			→ ["1","3","t:a","echo",{}]
			→ ["2","4","t:a","echo",{}]
			← ["2","4","t:a","phx_reply",{"status":"ok","response":{}}]`},
		{"duplicate join that is refused", `
			→ ["1","1","t:a","phx_join",{}]
			← ["1","1","t:a","phx_reply",{"status":"ok","response":{}}]
			→ ["2","2","t:a","phx_join",{"refuse":{"r":1}}]
			← ["2","2","t:a","phx_reply",{"status":"error","response":{"r":1}}]
			← ["1","1","t:a","phx_close",{}]
			→ [null,"3","t:a","echo",{}]
			← [null,"3","t:a","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`},
		{"null refs", `
			→ [null,"11","t:a","phx_join",{}]
			← [null,"11","t:a","phx_reply",{"status":"ok","response":{}}]
			→ [null,"12","t:a","push",{}]
			← ["11",null,"t:a","pushed",{}]
			→ ["11","14","t:a","echo",{}]
			→ [null,"15","t:a","stop",{}]
			← ["11","15","t:a","phx_reply",{"status":"ok","response":{"bye":1}}]
			← [null,null,"t:a","phx_close",{}]
			← ["11",null,"t:a","left",{}]`},
		{"odd topics", `
			→ ["8","8","nope","phx_join",{}]
			← [null,"8","nope","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
			→ ["8","9",5,"phx_join",{}]
			← [null,"9",5,"phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
			→ ["8","10",[1],"phx_leave",{}]
			← ["8","10",[1],"phx_reply",{"status":"ok","response":{}}]
			→ [null,"11","phoenix","phx_join",{}]
			← [null,"11","phoenix","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`},
		{"intercepted", `
			→ ["1","1","t:i","phx_join",{}]
			← ["1","1","t:i","phx_reply",{"status":"ok","response":{}}]
			→ ["1","2","t:i","icpt",{"z":1}]
			← ["1","2","t:i","phx_reply",{"status":"ok","response":{}}]
			← ["1",null,"t:i","icpt",{"z":1,"via":"out"}]`},
		{"broadcast before reply", `
			→ ["1","1","t:b","phx_join",{}]
			← ["1","1","t:b","phx_reply",{"status":"ok","response":{}}]
			→ ["1","2","t:b","bc",{"z":1}]
			← [null,null,"t:b","bc",{"z":1}]
			← ["1","2","t:b","phx_reply",{"status":"ok","response":{}}]
			→ ["1","3","t:b","bcf",{"z":1}]
			← ["1","3","t:b","phx_reply",{"status":"ok","response":{}}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := e.v2(t)
			exchange(c, tt.script)
			c.silent()
		})
	}
}

func TestDeferredReply(t *testing.T) {
	gate := make(chan struct{})
	e := single(t, nil, func() edge.Channel { return &probe{gate: gate} })
	c := e.v2(t)
	c.join("1", "t:a")
	c.send(`["1","2","t:a","later",{}]`)
	c.silent()
	gate <- struct{}{}
	c.want(`["1","2","t:a","phx_reply",{"status":"ok","response":"late"}]`)

	// A message without a ref cannot be answered later.
	c.send(`["1",null,"t:a","later",{}]`)
	c.want(`["1",null,"t:a","phx_reply",{"status":"error","response":{"reason":"internal error"}}]`)
}

// A slow join or handler delays neither heartbeats nor other channels.
func TestSlowHandlers(t *testing.T) {
	gate := make(chan struct{})
	e := single(t, nil, func() edge.Channel { return &probe{gate: gate} })
	c := e.v2(t)
	c.join("1", "t:a")
	c.join("2", "t:b")
	c.send(`["3","3","t:slow","phx_join",{"slow":true}]`)
	c.send(`["3","4","t:slow","echo",{}]`) // waits for its join
	c.silent()
	c.send(`["1","5","t:a","wait",{}]`)
	c.send(`["1","6","t:a","echo",{}]`) // waits for the one before
	c.silent()
	c.send(`["2","7","t:b","echo",{}]`)
	c.want(`["2","7","t:b","phx_reply",{"status":"ok","response":{}}]`)
	c.silent()

	gate <- struct{}{}
	gate <- struct{}{}
	got := map[string][]string{}
	for range 4 {
		var f []json.RawMessage
		if err := json.Unmarshal([]byte(c.read()), &f); err != nil {
			t.Fatal(err)
		}
		got[string(f[2])] = append(got[string(f[2])], string(f[1]))
	}
	if want := map[string][]string{`"t:slow"`: {`"3"`, `"4"`}, `"t:a"`: {`"5"`, `"6"`}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("replies by topic: %v, want %v", got, want)
	}
}

func TestTerminateReasons(t *testing.T) {
	tests := []struct {
		name string
		end  func(e *edgeServer, c *client)
		want error
	}{
		{"leave", func(_ *edgeServer, c *client) { c.send(`["1","2","t:a","phx_leave",{}]`) }, edge.ErrLeft},
		{"stop", func(_ *edgeServer, c *client) { c.send(`["1","2","t:a","stop",{}]`) }, edge.ErrStopped},
		{"panic", func(_ *edgeServer, c *client) { c.send(`["1","2","t:a","nosuch",{}]`) }, edge.ErrCrashed},
		{"rejoin", func(_ *edgeServer, c *client) { c.send(`["2","2","t:a","phx_join",{}]`) }, edge.ErrReplaced},
		{"close", func(_ *edgeServer, c *client) { c.ws.Close(websocket.StatusNormalClosure, "") }, edge.ErrClosed},
		{"drop", func(_ *edgeServer, c *client) { c.ws.CloseNow() }, edge.ErrClosed},
		{"disconnect", func(e *edgeServer, c *client) {
			if err := e.Disconnect(c.t.Context(), "u:1"); err != nil {
				c.t.Error(err)
			}
		}, edge.ErrDisconnected},
		{"shutdown", func(e *edgeServer, c *client) {
			go c.tryRead() // answers the close frame
			if err := e.Shutdown(c.t.Context()); err != nil {
				c.t.Error(err)
			}
		}, edge.ErrDraining},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ended := make(chan error, 2)
			o := &edge.Options{Connect: func(context.Context, *edge.Handshake) (edge.Session, error) {
				return edge.Session{ID: "u:1"}, nil
			}}
			e := single(t, o, func() edge.Channel { return &probe{ended: ended} })
			c := e.v2(t)
			c.join("1", "t:a")
			tt.end(e, c)
			select {
			case got := <-ended:
				if !errors.Is(got, tt.want) {
					t.Errorf("reason %v, want %v", got, tt.want)
				}
			case <-time.After(patience):
				t.Error("Terminate was not called")
			}
		})
	}
}

func TestDisconnect(t *testing.T) {
	ns := newNATS(t)
	o := &edge.Options{Connect: func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
		return edge.Session{ID: h.Params.Get("id")}, nil
	}}
	a, b := newEdge(t, newLink(t, ns), o, probes), newEdge(t, newLink(t, ns), o, probes)
	mine := []*client{a.dial(t, "vsn=2.0.0&id=u:1"), a.dial(t, "id=u:1"), b.dial(t, "vsn=2.0.0&id=u:1")}
	other, nobody := b.dial(t, "vsn=2.0.0&id=u:2"), b.dial(t, "vsn=2.0.0")
	if err := a.Broadcast(t.Context(), "u:1", "other", nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range mine[2:] {
		c.silent()
	}
	if err := a.Broadcast(t.Context(), "u:1", "disconnect", nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range mine {
		c.wantClose(websocket.StatusGoingAway)
	}
	other.silent()
	nobody.silent()
}

// A connection has at most so many channels; to join one of them again is
// still possible.
func TestMaxChannels(t *testing.T) {
	e := single(t, &edge.Options{MaxChannels: 2}, probes)
	exchange(e.v2(t), `
		→ ["1","1","t:1","phx_join",{}]
		→ ["2","2","t:2","phx_join",{}]
		→ ["3","3","t:3","phx_join",{}]
		← ["1","1","t:1","phx_reply",{"status":"ok","response":{}}]
		← ["2","2","t:2","phx_reply",{"status":"ok","response":{}}]
		← ["3","3","t:3","phx_reply",{"status":"error","response":{"reason":"too many channels joined"}}]
		→ ["4","4","t:2","phx_join",{}]
		← ["4","4","t:2","phx_reply",{"status":"ok","response":{}}]
		← ["2","2","t:2","phx_close",{}]
		→ ["1","5","t:1","phx_leave",{}]
		← ["1","5","t:1","phx_reply",{"status":"ok","response":{}}]
		← ["1","1","t:1","phx_close",{}]
		← ["1",null,"t:1","left",{}]
		→ ["6","6","t:3","phx_join",{}]
		← ["6","6","t:3","phx_reply",{"status":"ok","response":{}}]`)
}

// A client that joins one topic after another is held back, and only that.
func TestJoinRate(t *testing.T) {
	e := single(t, &edge.Options{MaxChannels: 2, JoinRate: 5}, probes)
	c := e.v2(t)
	start := time.Now()
	for i := range 6 {
		topic := fmt.Sprintf("t:%d", i)
		c.send(`["1","1",%q,"phx_join",{}]`, topic)
		c.want(fmt.Sprintf(`["1","1",%q,"phx_reply",{"status":"ok","response":{}}]`, topic))
		c.send(`["1","3",%q,"phx_leave",{}]`, topic)
		c.want(fmt.Sprintf(`["1","3",%q,"phx_reply",{"status":"ok","response":{}}]`, topic))
		c.want(fmt.Sprintf(`["1","1",%q,"phx_close",{}]`, topic))
		c.want(fmt.Sprintf(`["1",null,%q,"left",{}]`, topic))
	}
	if d := time.Since(start); d < 4*time.Second/5 {
		t.Errorf("six joins took %v", d)
	}
	if n := e.Stats().Limits["join_rate"]; n == 0 || n > 4 {
		t.Errorf("%d joins were delayed, want 4, or fewer on a slow machine", n)
	}
}

// What a channel would keep of a join, and repeat for ever, is bounded.
func TestLongRef(t *testing.T) {
	c := single(t, nil, probes).v2(t)
	long := quote(strings.Repeat("j", 1023))
	c.send(`[%s,"1","t:a","phx_join",{}]`, long)
	c.want(fmt.Sprintf(`[%s,"1","t:a","phx_reply",{"status":"error","response":{"reason":"ref too long"}}]`, long))
	c.send(`["1",%s,"t:a","phx_join",{}]`, long)
	c.want(fmt.Sprintf(`["1",%s,"t:a","phx_reply",{"status":"error","response":{"reason":"ref too long"}}]`, long))
	c.join("2", "t:a")
}

// Members on two edges get what is broadcast on either, each once, in the
// order of its publisher.
func TestTwoEdges(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newLink(t, ns), nil, probes), newEdge(t, newLink(t, ns), nil, probes)
	ann, bob, v1 := a.v2(t), b.v2(t), b.dial(t, "")
	ann.join("1", "t:x")
	bob.join("1", "t:x")
	v1.send(`{"topic":"t:x","event":"phx_join","payload":{},"ref":"1"}`)
	v1.want(`{"topic":"t:x","event":"phx_reply","ref":"1","payload":{"status":"ok","response":{}}}`)
	const n = 100
	for i := range n {
		ann.send(`["1",null,"t:x","bc",{"n":%d}]`, i)
	}
	for i := range n {
		bob.want(fmt.Sprintf(`[null,null,"t:x","bc",{"n":%d}]`, i))
		v1.want(fmt.Sprintf(`{"topic":"t:x","event":"bc","ref":null,"payload":{"n":%d}}`, i))
		ann.want(fmt.Sprintf(`[null,null,"t:x","bc",{"n":%d}]`, i), `["1",null,"t:x","phx_reply",{"status":"ok","response":{}}]`)
	}
	bob.silent()
	ann.silent()

	bob.send(`["1","7","t:x","bcf",{}]`)
	ann.want(`[null,null,"t:x","bcf",{}]`)
	bob.want(`["1","7","t:x","phx_reply",{"status":"ok","response":{}}]`)
	bob.silent()
}

// Nothing published after the join's reply is missed.
func TestSubscribedBeforeReply(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newLink(t, ns), nil, probes), newEdge(t, newLink(t, ns), nil, probes)
	for i := range 50 {
		topic := fmt.Sprintf("t:%d", i)
		c := a.v2(t)
		c.join("1", topic)
		if err := b.Broadcast(t.Context(), topic, "news", nil); err != nil {
			t.Fatal(err)
		}
		c.want(fmt.Sprintf(`[null,null,%q,"news",{}]`, topic))
	}
}

// Joins and leaves of many sockets on one topic leave no room behind.
func TestRoomsEnd(t *testing.T) {
	e := single(t, nil, probes)
	var wg sync.WaitGroup
	for range 20 {
		c := e.v2(t)
		wg.Go(func() {
			for i := range 20 {
				c.send(`["%d","%d","t:x","phx_join",{}]`, i, i)
				c.send(`["%d","l","t:x","phx_leave",{}]`, i)
			}
			c.ws.CloseNow()
		})
	}
	wg.Wait()
	eventually(t, "all gone", func() bool {
		s := e.Stats()
		return s.Sockets == 0 && s.Channels == 0 && s.Rooms == 0
	})
}
