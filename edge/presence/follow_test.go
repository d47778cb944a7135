package presence_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
)

func TestFollow(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, ns, nil), newEdge(t, ns, nil)
	before := a.dial(t, "t:x", `{"key":"ann","n":1}`)
	other := b.dial(t, "t:x", `{}`)
	if err := other.until("ann is there", func() bool { return other.now.state["ann"] != nil }); err != nil {
		t.Fatal(err)
	}

	looker, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer looker.Close(context.Background())
	one, all := make(chan string, 64), make(chan string, 64)
	for c, pattern := range map[chan string]string{one: "t:x", all: "*"} {
		stop, err := presence.Follow(t.Context(), looker, pattern, c == one, func(m presence.Move) {
			c <- fmt.Sprintf("%s %s %s %s", m.Topic, m.How, m.Key, m.Meta)
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	heard := func(c chan string, want string) {
		t.Helper()
		select {
		case got := <-c:
			if got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("heard nothing, want %q", want)
		}
	}
	heard(one, `t:x present ann {"n":1}`)

	bob := b.dial(t, "t:x", `{"key":"bob","n":2}`)
	heard(one, `t:x joined bob {"n":2}`)
	heard(all, `t:x joined bob {"n":2}`)
	bob.ask("update", `{"key":"bob","n":3}`)
	heard(one, `t:x changed bob {"n":3}`)
	heard(all, `t:x changed bob {"n":3}`)
	before.ask("update", `{"key":"ann","n":4}`) // whom all has not seen to come
	heard(one, `t:x changed ann {"n":4}`)
	heard(all, `t:x changed ann {"n":4}`)
	bob.ws.CloseNow()
	heard(one, `t:x left bob `)
	heard(all, `t:x left bob `)
	a.dial(t, "t:y", `{"key":"eve","n":5}`)
	heard(all, `t:y joined eve {"n":5}`)

	// Who looks on is no edge, and who says nonsense is not heard.
	if err := looker.Say("d", "t:x", []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if n := a.who.Stats().Edges; n != 1 {
		t.Errorf("an edge knows %d others, want 1", n)
	}
	if len(one)+len(all) > 0 {
		t.Errorf("more is heard than has happened")
	}
}
