package edge_test

import (
	"context"
	"testing"

	"github.com/aristochat/aristochat/edge"
)

// ending tells of its end.
type ending struct {
	ends chan string
	fail bool
}

func (c *ending) Join(_ context.Context, s *edge.Socket, _ edge.Payload) (any, error) {
	s.OnEnd(func(error) { c.ends <- "end" })
	if c.fail {
		return nil, edge.Refuse("no")
	}
	return nil, nil
}

func (c *ending) Handle(_ context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	switch m.Event {
	case "stop":
		return nil, edge.Stop(nil)
	case "crash":
		panic("on demand")
	}
	return edge.OK(nil), nil
}

func (c *ending) Terminate(s *edge.Socket, _ error) {
	c.ends <- "terminate"
	s.OnEnd(func(error) { c.ends <- "late" })
}

func TestOnEnd(t *testing.T) {
	tests := []struct {
		name string
		fail bool
		end  func(c *client)
		want []string
	}{
		{"leave", false, func(c *client) { c.send(`["1","2","t:a","phx_leave",{}]`) }, []string{"end", "terminate", "late"}},
		{"stop", false, func(c *client) { c.send(`["1","2","t:a","stop",{}]`) }, []string{"end", "terminate", "late"}},
		{"crash", false, func(c *client) { c.send(`["1","2","t:a","crash",{}]`) }, []string{"end", "terminate", "late"}},
		{"connection", false, func(c *client) { c.ws.CloseNow() }, []string{"end", "terminate", "late"}},
		{"failed join", true, func(*client) {}, []string{"end"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ch := &ending{ends: make(chan string, 8), fail: tt.fail}
			c := single(t, nil, func() edge.Channel { return ch }).v2(t)
			c.send(`["1","1","t:a","phx_join",{}]`)
			c.read()
			tt.end(c)
			for _, want := range tt.want {
				if got := <-ch.ends; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

func TestOnEndOfAReplacedChannel(t *testing.T) {
	ch := &ending{ends: make(chan string, 8)}
	c := single(t, nil, func() edge.Channel { return ch }).v2(t)
	c.join("1", "t:a")
	c.send(`["2","2","t:a","phx_join",{}]`)
	for _, want := range []string{"end", "terminate", "late"} {
		if got := <-ch.ends; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestBroadcastLocal(t *testing.T) {
	ns := newNATS(t)
	newChannel := func() edge.Channel { return &ending{ends: make(chan string, 8)} }
	here, there := newEdge(t, newLink(t, ns), nil, newChannel), newEdge(t, newLink(t, ns), nil, newChannel)
	a, b := here.v2(t), there.v2(t)
	a.join("1", "t:a")
	b.join("1", "t:a")
	if err := here.BroadcastLocal("t:a", "hello", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	a.want(`[null,null,"t:a","hello",{"n":1}]`)
	// Had it been published, it would be in front of this one.
	if err := here.Broadcast(t.Context(), "t:a", "bye", nil); err != nil {
		t.Fatal(err)
	}
	b.want(`[null,null,"t:a","bye",{}]`)
	if err := here.BroadcastLocal("t:a", "hello", 1); err == nil {
		t.Error("BroadcastLocal of a number succeeded, want an error")
	}
	if err := here.BroadcastLocal("t:nobody", "hello", nil); err != nil {
		t.Errorf("BroadcastLocal to nobody: %v", err)
	}
}

func TestOnShutdownComesBeforeCloses(t *testing.T) {
	e := single(t, nil, func() edge.Channel { return &ending{ends: make(chan string, 8)} })
	c := e.v2(t)
	c.join("1", "t:a")
	e.OnShutdown(func() { e.BroadcastLocal("t:a", "last", nil) })
	done := make(chan error, 1)
	go func() { done <- e.Shutdown(t.Context()) }()
	c.want(`[null,null,"t:a","last",{}]`)
	c.wantClose(1012)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
