package rooms_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/edge/rooms"
)

type online struct {
	OnlineAt int64  `json:"online_at"`
	Status   string `json:"status"`
	Device   string `json:"device"`
	Ref      string `json:"phx_ref"`
	Prev     string `json:"phx_ref_prev"`
}

type whoIsThere map[string]struct{ Metas []online }

// watch has the client keep what concerns presence; joined with these params.
func (e *server) watch(t *testing.T, user, topic, params string) *client {
	t.Helper()
	c := e.connect(t, v2(user))
	c.who = make(chan frame, 1000)
	c.join(topic, params)
	return c
}

// presence returns the next frame that concerns presence.
func (c *client) presence(event string, v any) {
	c.t.Helper()
	ctx, cancel := c.ctx()
	defer cancel()
	for len(c.who) == 0 {
		f, err := c.readAny(ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		if strings.HasPrefix(f.Event, "presence_") {
			c.who <- f
		} else {
			c.queue = append(c.queue, f)
		}
	}
	f := <-c.who
	if f.Event != event {
		c.t.Fatalf("got %v, want %s", f, event)
	}
	if err := json.Unmarshal(f.Payload, v); err != nil {
		c.t.Fatal(err)
	}
}

func TestPresence(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newStore(t, ns, nil), nil), newEdge(t, newLink(t, ns), &rooms.Options{NoHistory: true})
	var state whoIsThere
	var d struct{ Joins, Leaves whoIsThere }
	ann := a.watch(t, "ann", "rooms:x", `{"status":"here","device":7}`) // nonsense is ignored
	ann.presence("presence_diff", &d)
	ann.presence("presence_state", &state)
	if m := state["ann"].Metas; len(m) != 1 || m[0].Status != "" || m[0].Ref == "" || time.Since(time.Unix(m[0].OnlineAt, 0)).Abs() > time.Minute {
		t.Errorf("got %+v, want ann, online now", state)
	}

	bob := b.watch(t, "bob", "rooms:x", `{"status":"away","device":"phone"}`)
	ann.presence("presence_diff", &d)
	if m := d.Joins["bob"].Metas; len(m) != 1 || m[0].Status != "away" || m[0].Device != "phone" {
		t.Errorf("got %+v, want bob, away, on the phone", d)
	}
	first := d.Joins["bob"].Metas[0].Ref

	if r := bob.ask("presence", `{"status":"back","device":null}`); r.Status != "ok" {
		t.Errorf("got %s %s, want ok", r.Status, r.Response)
	}
	d.Joins, d.Leaves = nil, nil
	ann.presence("presence_diff", &d)
	if m := d.Joins["bob"].Metas; len(m) != 1 || m[0].Status != "back" || m[0].Device != "" || m[0].Prev != first {
		t.Errorf("got %+v, want bob, back, in the place of %s", d, first)
	}
	if m := d.Leaves["bob"].Metas; len(m) != 1 || m[0].Ref != first {
		t.Errorf("got %+v, want %s to leave", d, first)
	}
	_ = bob.ws.CloseNow()
	d.Joins, d.Leaves = nil, nil
	ann.presence("presence_diff", &d)
	if len(d.Joins) != 0 || len(d.Leaves["bob"].Metas) != 1 {
		t.Errorf("got %+v, want bob to leave", d)
	}
}

func TestPresenceRefuses(t *testing.T) {
	c := single(t).enter(t, "ann", "rooms:x")
	for _, payload := range []string{`[]`, `{"status":5}`, `{"device":{}}`, `{"status":"` + strings.Repeat("x", 65) + `"}`} {
		if why := c.refuses("presence", payload); !strings.Contains(why, "must be") {
			t.Errorf("%s: refused as %q", payload, why)
		}
	}
	// Too many at once is an error, and the channel lives on.
	ctx, cancel := c.ctx()
	defer cancel()
	var refs []string
	for i := range 30 {
		ref, err := c.send(ctx, "presence", fmt.Sprintf(`{"status":"%d"}`, i))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	refused := false
	for _, ref := range refs {
		r, err := c.await(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		refused = refused || r.Status == "error" && strings.Contains(string(r.Response), "too many")
	}
	if !refused {
		t.Error("thirty changes at once were accepted")
	}
	c.say(`{"body":"still here"}`)
}

func TestPresenceList(t *testing.T) {
	e := newEdge(t, newStore(t, newNATS(t), nil), &rooms.Options{Presence: &presence.Options{CountAbove: 2}})
	var last *client
	for _, user := range []string{"ann", "bob", "cid", "dan"} {
		last = e.enter(t, user, "rooms:x")
	}
	var page struct {
		Presences whoIsThere
		Count     int
		Next      *string
	}
	eventually(t, "all are there", func() bool {
		r := last.ask("presence_list", `{"limit":3}`)
		if err := json.Unmarshal(r.Response, &page); err != nil || r.Status != "ok" {
			t.Fatalf("got %s %s", r.Status, r.Response)
		}
		return page.Count == 4
	})
	if page.Next == nil || *page.Next != "cid" {
		t.Errorf("got %+v, want three up to cid", page)
	}
}

func TestNoPresence(t *testing.T) {
	e := newEdge(t, newStore(t, newNATS(t), nil), &rooms.Options{NoPresence: true})
	ann := e.watch(t, "ann", "rooms:x", `{}`)
	if why := ann.refuses("presence", `{"status":"away"}`); !strings.Contains(why, "unknown event") {
		t.Errorf("refused as %q", why)
	}
	ann.say(`{"body":"hi"}`)
	ann.hear()
	if len(ann.who) > 0 {
		t.Errorf("got %v", <-ann.who)
	}
}
