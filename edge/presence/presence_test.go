package presence_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/presence"
)

func TestTwoEdges(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, ns, nil), newEdge(t, ns, nil)
	ann := a.dial(t, "t:x", `{"key":"ann","n":1}`)
	ann.shows("ann:1")
	bob := b.dial(t, "t:x", `{"key":"bob","n":1}`)
	bob.shows("ann:1 bob:1")
	ann.shows("ann:1 bob:1")
	again := b.dial(t, "t:x", `{"key":"ann","n":2}`)
	for _, c := range []*client{ann, bob, again} {
		c.shows("ann:2 bob:1")
	}
	elsewhere := b.dial(t, "t:y", `{"key":"cid"}`)
	elsewhere.shows("cid:1")

	bob.ask("update", `{"key":"bob","n":7}`)
	ann.await("bob's new meta", func() bool {
		m := ann.now.state["bob"].Metas
		return len(m) == 1 && m[0].N == 7 && m[0].RefPrev != ""
	})
	if ann.now.vanished["bob"] > 0 {
		t.Error("bob vanished while he was updated")
	}
	bob.ask("untrack", `{"key":"bob"}`)
	ann.shows("ann:2")
	bob.ask("track", `{"key":"bob"}`)
	ann.shows("ann:2 bob:1")
	again.leave()
	for _, c := range []*client{ann, bob} {
		c.shows("ann:1 bob:1")
	}
	bob.ask("phx_leave", `{}`)
	ann.shows("ann:1")

	ann.mu.Lock()
	want := ann.now.state.String()
	ann.mu.Unlock()
	for _, e := range []*edgeServer{a, b} {
		eventually(t, "the edges know what the client shows", func() bool { return known(t, e, "t:x") == want })
	}
}

// known is what an edge knows.
func known(t testing.TB, e *edgeServer, topic string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := e.who.List(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var p people
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return p.String()
}

// An edge that has no member in a room knows nothing of it, and asks.
func TestListOfARoomElsewhere(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, ns, nil), newEdge(t, ns, nil)
	if got := known(t, b, "t:x"); got != "" {
		t.Errorf("got %s, want nobody", got)
	}
	a.dial(t, "t:x", `{"key":"ann"}`).shows("ann:1")
	eventually(t, "b knows ann", func() bool { return strings.HasPrefix(known(t, b, "t:x"), "ann: ") })
	a.dial(t, "t:y", `{"key":"bob"}`).shows("bob:1")
	if got := known(t, b, "t:y"); !strings.HasPrefix(got, "bob: ") {
		t.Errorf("got %q, want bob", got)
	}
}

func TestStateAfterEachJoin(t *testing.T) {
	e := newEdge(t, newNATS(t), nil)
	ann := e.dial(t, "t:x", `{"key":"ann","n":1}`)
	ann.shows("ann:1")
	bob := e.dial(t, "t:x", `{}`)
	bob.shows("ann:1")
	for n := 2; n < 5; n++ {
		if err := ann.tryJoin(fmt.Sprintf(`{"key":"ann","n":%d}`, n)); err != nil {
			t.Fatal(err)
		}
		ann.shows("ann:1")
		bob.await("ann's new meta", func() bool { return bob.now.state["ann"].Metas[0].N == n })
	}
	if n := bob.now.vanished["ann"]; n > 0 {
		t.Errorf("ann vanished %d times while she joined again", n)
	}
}

// What a member is told of its own leave is nothing: it is gone.
func TestNoDiffOfTheOwnLeave(t *testing.T) {
	e := newEdge(t, newNATS(t), nil)
	ann, bob := e.dial(t, "t:x", `{"key":"ann"}`), e.dial(t, "t:x", `{"key":"bob"}`)
	ann.shows("ann:1 bob:1")
	bob.shows("ann:1 bob:1")
	bob.drain()
	bob.ask("phx_leave", `{}`)
	ann.shows("ann:1")
	for _, f := range bob.drain() {
		if strings.Contains(f, "presence_diff") {
			t.Errorf("bob got %s", f)
		}
	}
}

func TestRefs(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, ns, nil), newEdge(t, ns, nil)
	a.dial(t, "t:x", `{"key":"ann","n":1}`).shows("ann:1")
	bob := b.dial(t, "t:x", `{"key":"bob","n":1}`)
	bob.shows("ann:1 bob:1")
	bob.ask("update", `{"key":"bob","n":2}`)
	bob.ask("update", `{"key":"bob","n":3}`)
	eventually(t, "both know the same", func() bool { return known(t, a, "t:x") == known(t, b, "t:x") })
	for key, p := range bob.now.state {
		for _, m := range p.Metas {
			if len(m.Ref) != 16 || strings.ContainsAny(m.Ref, "+/=") {
				t.Errorf("%s has the ref %q, want 16 characters of URL-safe base64", key, m.Ref)
			}
		}
	}
}

func TestUserMetaHasNoRefs(t *testing.T) {
	e := newEdge(t, newNATS(t), nil)
	for i, raw := range []string{
		`{"n":5,"phx_ref":"mine","phx_ref_prev":"mine too"}`, `{"n":5,"\u0070hx_ref":"mine"}`,
		"{ \"n\" :\n5 }", `{"n":5,"x":"<&>\u2028é"}`,
	} {
		topic := fmt.Sprintf("t:%d", i)
		c := e.dial(t, topic, `{"key":"k","raw":`+raw+`}`)
		c.shows("k:1")
		m := c.now.state["k"].Metas[0]
		if m.N != 5 || len(m.Ref) != 16 || m.RefPrev != "" {
			t.Errorf("%s: the client got %+v", raw, m)
		}
	}
}

func TestErrors(t *testing.T) {
	o := &presence.Options{MaxMetas: 2, MaxMeta: 100, MaxKeys: 2, Rate: 0.001, Burst: 3}
	e := newEdge(t, newNATS(t), o)
	refused := func(c *client, event, payload, want string) {
		t.Helper()
		r, err := c.call(event, payload)
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != "error" || !strings.Contains(string(r.Response), want) {
			t.Errorf("%s %s: got %s %s, want an error with %q", event, payload, r.Status, r.Response, want)
		}
	}
	ann := e.dial(t, "t:x", `{"key":"ann"}`)
	ann.shows("ann:1")
	refused(ann, "track", `{"key":"ann"}`, "already tracked")
	refused(ann, "update", `{"key":"bob"}`, "not tracked")
	ann.ask("untrack", `{"key":"bob"}`)
	refused(ann, "track", `{"key":"b","raw":{"x":"`+strings.Repeat("x", 100)+`"}}`, "longer than 100 bytes")
	refused(ann, "track", `{"key":"`+strings.Repeat("k", 257)+`"}`, "key")
	ann.ask("track", `{"key":"two"}`)
	refused(ann, "track", `{"key":"three"}`, "2 presence keys")
	ann.ask("untrack", `{"key":"two"}`)
	refused(ann, "untrack", `{"key":"ann"}`, "too many presence changes")
	refused(ann, "update", `{"key":"ann","n":2}`, "too many presence changes")
	ann.shows("ann:1")

	second := e.dial(t, "t:x", `{"key":"ann"}`)
	second.shows("ann:2")
	third := e.dial(t, "t:x", `{}`)
	refused(third, "track", `{"key":"ann"}`, "2 times already")
	third.shows("ann:2") // it looks on
	if got := ann.now.vanished["ann"]; got > 0 {
		t.Errorf("ann vanished %d times", got)
	}
}

func TestFetch(t *testing.T) {
	o := &presence.Options{Fetch: func(_ context.Context, topic string, list presence.List) error {
		for key, item := range list {
			if key == "panic" {
				panic("on demand")
			}
			item.Extra = map[string]any{"extra": topic + "/" + key}
		}
		return nil
	}}
	e := newEdge(t, newNATS(t), o)
	ann := e.dial(t, "t:x", `{"key":"ann"}`)
	ann.shows("ann:1")
	bob := e.dial(t, "t:x", `{"key":"bob"}`)
	ann.shows("ann:1 bob:1")
	bob.shows("ann:1 bob:1")
	for _, c := range []*client{ann, bob} {
		for key, p := range c.now.state {
			if want := "t:x/" + key; p.Extra != want {
				t.Errorf("extra of %s is %q, want %q", key, p.Extra, want)
			}
		}
	}
	ann.drain()
	bob.leave()
	ann.shows("ann:1")
	if frames := strings.Join(ann.drain(), ""); !strings.Contains(frames, `"extra":"t:x/bob"`) {
		t.Errorf("the leave has no extra: %s", frames)
	}
	// Presence goes on without what cannot be fetched.
	e.dial(t, "t:x", `{"key":"panic"}`).shows("ann:1 panic:1")
	ann.shows("ann:1 panic:1")
}

// A join is seen on another edge within 100 ms, a leave too. The test allows
// for a busy machine, and logs what it was.
func TestSeenSoon(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, ns, nil), newEdge(t, ns, nil)
	ann := a.dial(t, "t:x", `{}`)
	ann.await("state", func() bool { return ann.now.synced })
	const rounds = 5
	var joins, leaves time.Duration
	for range rounds {
		time.Sleep(250 * time.Millisecond) // so that no window is open
		start := time.Now()
		bob := b.dial(t, "t:x", `{"key":"bob"}`)
		ann.shows("bob:1")
		joins += time.Since(start)

		time.Sleep(250 * time.Millisecond)
		start = time.Now()
		bob.leave()
		ann.shows("")
		leaves += time.Since(start)
	}
	t.Logf("seen on the other edge: joins after %v, leaves after %v", joins/rounds, leaves/rounds)
	if joins > rounds*5*time.Second || leaves > rounds*5*time.Second {
		t.Error("that is too long")
	}
}

// Many joins at once cost few frames, and everybody sees everybody.
func TestBurst(t *testing.T) {
	const n = 60
	const window = 100 * time.Millisecond
	e := newEdge(t, newNATS(t), &presence.Options{Window: window})
	start := time.Now()
	first := e.dial(t, "t:x", `{}`)
	clients := make([]*client, n)
	done := make(chan bool)
	for i := range n {
		go func() {
			clients[i] = e.dial(t, "t:x", fmt.Sprintf(`{"key":"k%02d"}`, i))
			done <- true
		}()
	}
	for range n {
		<-done
	}
	for _, c := range slices.Concat(clients, []*client{first}) {
		c.await("everybody", func() bool { return len(c.now.state) == n && len(c.old.state) == n })
	}
	// One at first, one at once, and one after each window.
	if got, most := len(first.drain()), 2+int(time.Since(start)/window); got > most {
		t.Errorf("%d joins cost %d frames, want at most %d", n, got, most)
	}
	want := known(t, e, "t:x")
	for i, c := range clients {
		if got := c.now.state.String(); got != want || c.old.state.String() != want {
			t.Errorf("client %d shows\n%swant\n%s", i, got, want)
		}
	}
}
