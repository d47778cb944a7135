package rooms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

func decode(t testing.TB, data []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
}

func numbered(from, to int) []string {
	out := []string{}
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

// fill puts numbered messages into a room.
func fill(t testing.TB, h edge.History, topic string, from, to int) (last edge.Stamp) {
	t.Helper()
	for _, body := range numbered(from, to) {
		e := edge.Event{Name: "chat_msg", Payload: []byte(`{"body":` + quote(body) + `,"username":"bot"}`)}
		var err error
		if last, err = h.Append(t.Context(), topic, e, ""); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// Topics that are easily taken for each other share nothing: not a live
// message, not a past, not a key.
func TestRoomsNeverMeet(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newStore(t, ns, nil), nil), newEdge(t, newStore(t, ns, nil), nil)
	topics := []string{
		"rooms:", "rooms::", "rooms:a", "rooms:A", "rooms:aa", "rooms:ab", "rooms:a:b", "rooms:a.b", "rooms:a.*", "rooms:a.>",
		"rooms:*", "rooms:>", "rooms:.", "rooms:..", "rooms:a b", "rooms:a+b", "rooms:a%20b", "rooms:a%2520b", "rooms:%", "rooms:%25",
		"rooms:=", "rooms:==", "rooms:%3D", "rooms:$SYS", "rooms:\x00", "rooms:\t", "rooms:\r\n", "rooms: ",
		"rooms:\u00e9", "rooms:e\u0301", "rooms:\u00c9", "rooms:\ufb01", "rooms:fi", "rooms:FI", "rooms:\u212b", "rooms:\u00c5",
		"rooms:日本", "rooms:\U0001f600", "rooms:\U0010ffff", "rooms:\u200b", "rooms:\ufeff", "rooms:" + strings.Repeat("x", 249),
		"rooms:" + strings.Repeat("x", 248), "rooms:" + strings.Repeat("\u00e9", 124),
	}
	here, there := map[string]*client{}, map[string]*client{}
	seen := map[uint64]bool{}
	for _, topic := range topics {
		here[topic], there[topic] = a.enter(t, "ann", topic), b.enter(t, "bob", topic)
	}
	for _, topic := range topics {
		if s := here[topic].say(chat("in "+topic, "key")); seen[s.Seq] {
			t.Errorf("%q: sequence %d again", topic, s.Seq)
		} else {
			seen[s.Seq] = true
		}
	}
	for _, topic := range topics {
		for _, c := range []*client{here[topic], there[topic]} {
			if got := c.hear(); got.Body != "in "+topic {
				t.Errorf("%q heard %q", topic, got.Body)
			}
			c.silent()
		}
	}
	// On an edge that never had a member there, and by all three ways to a past.
	c := newEdge(t, newStore(t, ns, nil), nil)
	for _, topic := range topics {
		p := c.past(t, topic)
		sameBodies(t, topic+" has", p.bodies(), []string{"in " + topic})
		late := c.connect(t, v2("late"))
		since := late.join(topic, fmt.Sprintf(`{"since":0,"epoch":%q}`, p.Epoch))
		sameBodies(t, topic+" since 0", since.bodies(), []string{"in " + topic})
		var back page
		decode(t, late.ask("history", `{"before":9007199254740991}`).Response, &back)
		sameBodies(t, topic+" scrolled back", back.bodies(), []string{"in " + topic})
	}
}

// Who wants no past but a place to resume from gets just that.
func TestCursorWithoutPast(t *testing.T) {
	ns := newNATS(t)
	st := newStore(t, ns, nil)
	e := newEdge(t, st, nil)
	last := fill(t, st, "rooms:x", 0, 5)
	c := e.connect(t, v2("ann"))
	p := c.join("rooms:x", `{"history":0}`)
	if len(p.Messages) != 0 || !p.Recovered || p.LastSeq != last.Seq {
		t.Errorf("joined with %+v, want no messages and last_seq %d", p, last.Seq)
	}
	_ = c.ws.CloseNow()
	fill(t, st, "rooms:x", 5, 7)
	c = e.connect(t, v2("ann"))
	p = c.join("rooms:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, p.LastSeq, p.Epoch))
	sameBodies(t, "missed", p.bodies(), numbered(5, 7))
}

// A client can have seen what the store has lost, or made it up. It is told so,
// gets what is there, and a place from which it can resume.
func TestSinceTheFuture(t *testing.T) {
	ns := newNATS(t)
	st := newStore(t, ns, nil)
	e := newEdge(t, st, nil)
	last := fill(t, st, "rooms:x", 0, 5)
	fill(t, st, "rooms:y", 0, 5)
	c := e.connect(t, v2("ann"))
	p := c.join("rooms:x", fmt.Sprintf(`{"since":%d,"epoch":%q,"history":3}`, last.Seq+1000, st.Epoch()))
	if p.Recovered || p.Reason == "" || p.LastSeq != last.Seq {
		t.Errorf("joined with %+v, want last_seq %d", p, last.Seq)
	}
	sameBodies(t, "is still there", p.bodies(), numbered(2, 5))
	_ = c.ws.CloseNow()
	fill(t, st, "rooms:x", 5, 7)
	p = e.connect(t, v2("ann")).join("rooms:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, p.LastSeq, p.Epoch))
	if !p.Recovered {
		t.Errorf("joined with %+v", p)
	}
	sameBodies(t, "missed", p.bodies(), numbered(5, 7))
}

// A hook runs before a store is read.
type hooked struct {
	*backbone.Store
	before func()
}

func (h *hooked) Read(ctx context.Context, topic string, q edge.Query) (edge.Page, error) {
	h.before()
	return h.Store.Read(ctx, topic, q)
}

// While a client catches up, page after page, the room loses what it has not
// got yet. It is told: the channel ends with phx_error, and the join that
// follows says that not all is there. A silent hole there is never.
func TestTrimmedWhileCatchingUp(t *testing.T) {
	ns := newNATS(t)
	o := &backbone.StoreOptions{Apply: true, Stream: &backbone.StreamOptions{MaxPerTopic: 500}}
	st := newStore(t, ns, o)
	epoch := st.Epoch()
	first := fill(t, st, "rooms:x", 0, 1)
	fill(t, st, "rooms:x", 1, 500)
	var reads atomic.Int32
	h := &hooked{newStore(t, ns, o), func() {}}
	h.before = func() {
		if reads.Add(1) == 2 {
			fill(t, st, "rooms:x", 500, 900) // 400 and what follows is kept
		}
	}
	e := newEdge(t, h, nil)
	c := e.connect(t, v2("ann"))
	got, cursor := []string{}, first.Seq
	take := func(p page) { got, cursor = append(got, p.bodies()...), p.LastSeq }
	p := c.join("rooms:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, cursor, epoch))
	if !p.Recovered || !p.More {
		t.Fatalf("joined with %+v", p)
	}
	take(p)
	for {
		f := c.next()
		if f.Event == "phx_error" {
			break
		}
		if f.Event != "history" {
			t.Fatalf("got %v", f)
		}
		decode(t, f.Payload, &p)
		take(p)
		if !slices.Equal(got, numbered(1, 1+len(got))) {
			t.Fatalf("a silent hole: after 200 messages came %q", p.bodies()[0])
		}
	}
	p = c.join("rooms:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, cursor, epoch))
	if p.Recovered || p.Reason != "no longer kept" || len(p.Messages) == 0 || p.Messages[0].Body != "400" {
		t.Errorf("joined again with %v %q, %q…", p.Recovered, p.Reason, p.bodies()[:min(1, len(p.Messages))])
	}
}

// A laggard gets stored events when it is told to.
type laggard struct {
	*backbone.Store
	mu      sync.Mutex // guards what follows
	lagging bool
	held    []func()
	deliver map[string]func(edge.Delivery) // by topic
}

func (l *laggard) Subscribe(ctx context.Context, topic string, stored bool, deliver func(edge.Delivery)) (func(), error) {
	l.mu.Lock()
	if l.deliver == nil {
		l.deliver = make(map[string]func(edge.Delivery))
	}
	l.deliver[topic] = deliver
	l.mu.Unlock()
	return l.Store.Subscribe(ctx, topic, stored, func(d edge.Delivery) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.lagging {
			d.Payload = bytes.Clone(d.Payload)
			l.held = append(l.held, func() { deliver(d) })
			return
		}
		deliver(d)
	})
}

func (l *laggard) lag() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lagging = true
}

func (l *laggard) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

// lose says what a Store does if what it missed is gone.
func (l *laggard) lose(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliver[topic](edge.Delivery{Lost: true})
}

func (l *laggard) catchUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, deliver := range l.held {
		deliver()
	}
	l.lagging, l.held = false, nil
}

// A client comes to an edge that is behind the one it comes from. What the edge
// hears late the client has already.
func TestResumeOnALaggingEdge(t *testing.T) {
	ns := newNATS(t)
	st := newStore(t, ns, nil)
	behind := &laggard{Store: newStore(t, ns, nil)}
	e := newEdge(t, behind, nil)
	watcher := e.enter(t, "watcher", "rooms:x")
	behind.lag()
	last := fill(t, st, "rooms:x", 0, 5)
	eventually(t, "the edge has something to catch up with", func() bool { return behind.waiting() == 5 })
	since, newest := e.connect(t, v2("ann")), e.connect(t, v2("bob"))
	if p := since.join("rooms:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, last.Seq, st.Epoch())); len(p.Messages) != 0 || p.LastSeq != last.Seq || !p.Recovered {
		t.Errorf("joined with %+v", p)
	}
	sameBodies(t, "bob joined with", newest.join("rooms:x", `{"history":2}`).bodies(), numbered(3, 5))
	behind.catchUp()
	fill(t, st, "rooms:x", 5, 7)
	for _, want := range numbered(0, 7) {
		if got := watcher.hear(); got.Body != want {
			t.Errorf("the watcher heard %q, want %q", got.Body, want)
		}
	}
	for _, want := range numbered(5, 7) {
		for _, c := range []*client{since, newest} {
			if got := c.hear(); got.Body != want {
				t.Fatalf("heard %q, want %q", got.Body, want)
			}
		}
	}
}

// An edge finds that what it missed is no longer kept: its members join again,
// and learn it.
func TestLostToTheEdge(t *testing.T) {
	ns := newNATS(t)
	holed := &laggard{Store: newStore(t, ns, nil)}
	e := newEdge(t, holed, nil)
	ann, bob := e.enter(t, "ann", "rooms:x"), e.enter(t, "bob", "rooms:y")
	holed.lose("rooms:x")
	if f := ann.next(); f.Event != "phx_error" {
		t.Errorf("got %v, want phx_error", f)
	}
	ann.join("rooms:x", `{"history":1}`)
	bob.silent()
}

// A stream that takes no more messages is an answer, not an end.
func TestFullStore(t *testing.T) {
	t.Run("discard new", func(t *testing.T) {
		ns := newNATS(t)
		js, err := jetstream.New(plain(t, ns))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "ROOMS", Subjects: []string{"chat.in.>"}, AllowDirect: true, Discard: jetstream.DiscardNew, MaxBytes: 64 << 10,
			RePublish: &jetstream.RePublish{Source: "chat.in.>", Destination: "chat.live.>"},
		})
		if err != nil {
			t.Fatal(err)
		}
		e := newEdge(t, newStore(t, ns, &backbone.StoreOptions{}), nil)
		fillUp(t, e)
		// There is room again.
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann := e.enter(t, "ann", "rooms:x")
		ann.say(`{"body":"room again"}`)
		if got := ann.hear(); got.Body != "room again" {
			t.Errorf("heard %q", got.Body)
		}
	})
	t.Run("too many messages", func(t *testing.T) {
		ns := newNATS(t)
		js, err := jetstream.New(plain(t, ns))
		if err != nil {
			t.Fatal(err)
		}
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "ROOMS", Subjects: []string{"chat.in.>"}, AllowDirect: true, Discard: jetstream.DiscardNew, MaxMsgs: 5,
			RePublish: &jetstream.RePublish{Source: "chat.in.>", Destination: "chat.live.>"},
		})
		if err != nil {
			t.Fatal(err)
		}
		fillUp(t, newEdge(t, newStore(t, ns, &backbone.StoreOptions{}), nil))
	})
	// Our own stream makes room: what is full there is the disk.
	t.Run("no space", func(t *testing.T) {
		ns, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), MaxStore: 256 << 10, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ns.Shutdown)
		js, err := jetstream.New(plain(t, ns))
		if err != nil {
			t.Fatal(err)
		}
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: "ROOMS", Subjects: []string{"chat.in.>"}, AllowDirect: true,
			RePublish: &jetstream.RePublish{Source: "chat.in.>", Destination: "chat.live.>"},
		})
		if err != nil {
			t.Fatal(err)
		}
		fillUp(t, newEdge(t, newStore(t, ns, &backbone.StoreOptions{}), nil))
	})
}

// fillUp says things until the store is full. The room is then as it was.
func fillUp(t *testing.T, e *server) {
	t.Helper()
	ann, bob := e.enter(t, "ann", "rooms:x"), e.enter(t, "bob", "rooms:x")
	body, said := strings.Repeat("x", 15<<10), 0
	for ; said < 1000; said++ {
		if r := ann.ask("chat_msg", chat(body, "")); r.Status != "ok" {
			if got := ann.reason(r); got != "the store is full" {
				t.Fatalf("refused with %q", got)
			}
			break
		}
	}
	if said == 0 || said == 1000 {
		t.Fatalf("full after %d messages", said)
	}
	for range said {
		bob.hear()
	}
	bob.silent()
	if got := ann.refuses("chat_msg", chat(body, "")); got != "the store is full" {
		t.Errorf("refused with %q", got)
	}
	if r := bob.ask("typing", `{"typing":true}`); r.Status != "ok" {
		t.Errorf("typing: %s %s", r.Status, r.Response)
	}
	if got := e.past(t, "rooms:x").Messages; len(got) != said {
		t.Errorf("%d messages are stored, %d were accepted", len(got), said)
	}
}
