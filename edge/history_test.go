package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
	"github.com/coder/websocket"
)

// newStore links to a server and keeps history there.
func newStore(t testing.TB, ns *embedded.Server, stream *backbone.StreamOptions) *backbone.Store {
	t.Helper()
	st, err := newLink(t, ns).Store(t.Context(), &backbone.StoreOptions{Apply: true, Stream: stream})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Ready(); err != nil {
		t.Fatal(err)
	}
	return st
}

// A teller is a channel that stores what is said.
type teller struct{}

func (teller) Join(context.Context, *edge.Socket, edge.Payload) (any, error) { return nil, nil }

func (teller) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	if m.Event == "typing" {
		return nil, s.Broadcast(ctx, "typing", m.Payload)
	}
	stamp, err := s.Append(ctx, "say", m.Payload, "")
	return edge.OK(map[string]uint64{"seq": stamp.Seq}), err
}

func tellers() edge.Channel { return teller{} }

// said is a stored message as clients get it.
type said struct {
	N   int       `json:"n"`
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
}

type pastReply struct {
	Messages  []said `json:"messages"`
	FirstSeq  uint64 `json:"first_seq"`
	LastSeq   uint64 `json:"last_seq"`
	Recovered bool   `json:"recovered"`
	Reason    string `json:"reason"`
	Epoch     string `json:"epoch"`
	More      bool   `json:"more"`
}

func (r pastReply) String() string {
	return fmt.Sprintf("numbers %v, seq %d–%d, recovered %v %q, epoch %q, more %v", numbers(r.Messages), r.FirstSeq, r.LastSeq, r.Recovered, r.Reason, r.Epoch, r.More)
}

// reply reads the next frame, a reply, into v and returns its status.
func (c *client) reply(v any) string {
	c.t.Helper()
	var payload struct {
		Status   string
		Response json.RawMessage
	}
	event := c.event(&payload)
	if event != "phx_reply" {
		c.t.Fatalf("got %s, want a reply", event)
	}
	if err := json.Unmarshal(payload.Response, v); err != nil {
		c.t.Fatalf("%s: %v", payload.Response, err)
	}
	return payload.Status
}

// event reads the next frame's payload into v and returns its event.
func (c *client) event(v any) string {
	c.t.Helper()
	var f [5]json.RawMessage
	frame := c.read()
	if err := json.Unmarshal([]byte(frame), &f); err != nil {
		c.t.Fatalf("%s: %v", frame, err)
	}
	if err := json.Unmarshal(f[4], v); err != nil {
		c.t.Fatalf("%s: %v", frame, err)
	}
	return strings.Trim(string(f[3]), `"`)
}

// joinPast joins with params and returns the reply.
func (c *client) joinPast(topic, params string) pastReply {
	c.t.Helper()
	c.send(`["1","1",%s,"phx_join",%s]`, quote(topic), params)
	var r pastReply
	if status := c.reply(&r); status != "ok" {
		c.t.Fatalf("join: %s %v", status, r)
	}
	return r
}

func tell(t testing.TB, e *edgeServer, topic string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := e.Broadcast(t.Context(), topic, "say", map[string]int{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(list []said) []int {
	out := []int{}
	for _, m := range list {
		out = append(out, m.N)
	}
	return out
}

func upTo(from, to int) []int {
	out := []int{}
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

func TestStoredEvent(t *testing.T) {
	ns := newNATS(t)
	a := newEdge(t, newStore(t, ns, nil), nil, tellers, edge.Stored("say", "shout"))
	b := newEdge(t, newStore(t, ns, nil), nil, tellers, edge.Stored("say", "shout"))
	ann, bob := a.v2(t), b.v2(t)
	ann.join("1", "t:x")
	bob.join("1", "t:x")
	ann.send(`["1","2","t:x","say",{"n":7,"seq":99,"at":"never","s\u0065q":5}]`)
	var ack, heard said
	for range 2 { // the reply and the message, in either order
		var raw json.RawMessage
		switch event := ann.event(&raw); event {
		case "phx_reply":
			var r struct{ Response said }
			if err := json.Unmarshal(raw, &r); err != nil {
				t.Fatal(err)
			}
			ack = r.Response
		case "say":
			if err := json.Unmarshal(raw, &heard); err != nil {
				t.Fatal(err)
			}
		}
	}
	var far said
	if event := bob.event(&far); event != "say" || far != heard || far.N != 7 || far.Seq != ack.Seq || far.Seq == 0 {
		t.Errorf("%s %+v, want say %+v with seq %d", event, far, heard, ack.Seq)
	}
	if d := time.Since(far.At); d < -time.Minute || d > time.Minute || far.At.Location() != time.UTC {
		t.Errorf("at %v", far.At)
	}

	// Another stored event says which it is.
	if err := a.Broadcast(t.Context(), "t:x", "shout", map[string]int{"n": 8}); err != nil {
		t.Fatal(err)
	}
	var shout struct{ Event string }
	if event := bob.event(&shout); event != "shout" || shout.Event != "shout" {
		t.Errorf("%s %+v", event, shout)
	}
	for _, bad := range []any{edge.Binary("x"), []int{1}, "x"} {
		if err := a.Broadcast(t.Context(), "t:x", "say", bad); err == nil {
			t.Errorf("%v was stored", bad)
		}
	}
}

func TestJoinWithPast(t *testing.T) {
	e := newEdge(t, newStore(t, newNATS(t), &backbone.StreamOptions{MaxPerTopic: 300}), nil, tellers, edge.Stored("say"))
	tell(t, e, "t:x", 0, 250)
	tell(t, e, "t:y", 0, 1)
	first := e.v2(t).joinPast("t:x", `{"history":3}`)
	if !slices.Equal(numbers(first.Messages), upTo(247, 250)) || first.FirstSeq != first.Messages[0].Seq ||
		first.LastSeq != first.Messages[2].Seq || !first.Recovered || first.Epoch == "" {
		t.Fatalf("%v", first)
	}
	epoch := first.Epoch
	at := func(n int) uint64 { return first.LastSeq - uint64(249-n) }

	t.Run("nothing asked", func(t *testing.T) {
		c := e.v2(t)
		c.join("1", "t:x") // the ancestor's reply
	})
	t.Run("clamped", func(t *testing.T) {
		r := e.v2(t).joinPast("t:x", `{"history":1e9}`)
		if !slices.Equal(numbers(r.Messages), upTo(50, 250)) {
			t.Errorf("%v", r)
		}
	})
	t.Run("nothing but a cursor", func(t *testing.T) {
		r := e.v2(t).joinPast("t:x", `{"history":0}`)
		if len(r.Messages) != 0 || !r.Recovered {
			t.Errorf("%v", r)
		}
	})
	t.Run("empty room", func(t *testing.T) {
		r := e.v2(t).joinPast("t:empty", `{"history":10}`)
		if len(r.Messages) != 0 || r.LastSeq != 0 || !r.Recovered || r.Epoch != epoch {
			t.Errorf("%v", r)
		}
	})
	t.Run("since", func(t *testing.T) {
		r := e.v2(t).joinPast("t:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, at(239), epoch))
		if !slices.Equal(numbers(r.Messages), upTo(240, 250)) || !r.Recovered || r.More {
			t.Errorf("%v", r)
		}
	})
	t.Run("since the last", func(t *testing.T) {
		r := e.v2(t).joinPast("t:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, at(249), epoch))
		if len(r.Messages) != 0 || !r.Recovered || r.LastSeq != at(249) {
			t.Errorf("%v", r)
		}
	})
	t.Run("since, more than a page", func(t *testing.T) {
		c := e.v2(t)
		r := c.joinPast("t:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, at(9), epoch))
		if !slices.Equal(numbers(r.Messages), upTo(10, 210)) || !r.Recovered || !r.More {
			t.Fatalf("%v", r)
		}
		var page pastReply
		if event := c.event(&page); event != "history" || !slices.Equal(numbers(page.Messages), upTo(210, 250)) || page.More {
			t.Errorf("%s %v", event, page)
		}
	})
	t.Run("of another room", func(t *testing.T) {
		r := e.v2(t).joinPast("t:y", fmt.Sprintf(`{"since":%d,"epoch":%q}`, at(200), epoch))
		if r.Recovered || r.Reason != "no longer kept" || !slices.Equal(numbers(r.Messages), []int{0}) {
			t.Errorf("%v", r)
		}
	})
	t.Run("in the future", func(t *testing.T) {
		r := e.v2(t).joinPast("t:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, at(249)+1000, epoch))
		if r.Recovered || r.Reason == "" || r.LastSeq > at(249) {
			t.Errorf("%v", r)
		}
	})
	t.Run("other epoch", func(t *testing.T) {
		r := e.v2(t).joinPast("t:x", fmt.Sprintf(`{"since":%d,"epoch":"other","history":5}`, at(200)))
		if r.Recovered || r.Reason != "epoch changed" || r.Epoch != epoch || !slices.Equal(numbers(r.Messages), upTo(245, 250)) {
			t.Errorf("%v", r)
		}
	})
	t.Run("no epoch", func(t *testing.T) {
		r := e.v2(t).joinPast("t:x", fmt.Sprintf(`{"since":%d}`, at(248)))
		if r.Recovered || r.Reason != "epoch missing" || !slices.Equal(numbers(r.Messages), []int{249}) {
			t.Errorf("%v", r)
		}
	})
	for _, params := range []string{
		`{"since":-1}`, `{"since":"7"}`, `{"since":1.5}`, `{"since":9007199254740992}`, `{"since":1e300}`, `{"since":{}}`,
		`{"history":-1}`, `{"history":"many"}`, `{"history":0.5}`, `{"since":1,"epoch":7}`,
	} {
		t.Run(params, func(t *testing.T) {
			c := e.v2(t)
			c.send(`["1","1","t:x","phx_join",%s]`, params)
			var r struct{ Reason string }
			if status := c.reply(&r); status != "error" || !strings.Contains(r.Reason, "must be") {
				t.Errorf("%s %v", status, r)
			}
			c.join("2", "t:x")
		})
	}
	t.Run("no longer kept", func(t *testing.T) {
		tell(t, e, "t:x", 250, 500)
		c := e.v2(t)
		r := c.joinPast("t:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, at(9), epoch))
		if r.Recovered || r.Reason != "no longer kept" || !slices.Equal(numbers(r.Messages), upTo(200, 400)) || !r.More {
			t.Fatalf("%v", r)
		}
		var page pastReply
		if c.event(&page); !slices.Equal(numbers(page.Messages), upTo(400, 500)) {
			t.Errorf("%v", page)
		}
	})
}

func TestScrollBack(t *testing.T) {
	e := newEdge(t, newStore(t, newNATS(t), nil), nil, tellers, edge.Stored("say"))
	tell(t, e, "t:x", 0, 120)
	c := e.v2(t)
	r := c.joinPast("t:x", `{"history":20}`)
	before, seen := r.FirstSeq, numbers(r.Messages)
	for more := true; more; {
		c.send(`["1","2","t:x","history",{"before":%d,"limit":30}]`, before)
		var page pastReply
		if status := c.reply(&page); status != "ok" || len(page.Messages) == 0 {
			t.Fatalf("%s %v", status, page)
		}
		seen, before, more = append(numbers(page.Messages), seen...), page.FirstSeq, page.More
	}
	if !slices.Equal(seen, upTo(0, 120)) {
		t.Errorf("scrolled back to %v", seen)
	}
	for _, bad := range []string{`{"before":0}`, `{"before":-1}`, `{"before":"x"}`, `{"limit":0}`, `{"before":1e30}`, `[]`, `"x"`} {
		c.send(`["1","3","t:x","history",%s]`, bad)
		var why struct{ Reason string }
		if status := c.reply(&why); status != "error" || why.Reason == "" {
			t.Errorf("%s: %s %+v", bad, status, why)
		}
	}
	c.send(`["1","4","t:x","history",{}]`)
	var newest pastReply
	if c.reply(&newest); !slices.Equal(numbers(newest.Messages), upTo(70, 120)) || !newest.More {
		t.Errorf("%v", newest)
	}
}

// follow joins with since and reads until it has message last. It returns the
// numbers in the order in which they came, pages and live messages alike.
func (c *client) follow(topic string, since uint64, epoch string, last int) (got []int, cursor uint64) {
	c.t.Helper()
	r := c.joinPast(topic, fmt.Sprintf(`{"since":%d,"epoch":%q}`, since, epoch))
	if !r.Recovered {
		c.t.Errorf("not recovered: %v", r)
	}
	got, cursor = numbers(r.Messages), max(since, r.LastSeq)
	for len(got) == 0 || got[len(got)-1] < last {
		var raw json.RawMessage
		event := c.event(&raw)
		var page pastReply
		var one said
		switch event {
		case "history":
			if err := json.Unmarshal(raw, &page); err != nil {
				c.t.Fatal(err)
			}
			got, cursor = append(got, numbers(page.Messages)...), page.LastSeq
		case "say":
			if err := json.Unmarshal(raw, &one); err != nil {
				c.t.Fatal(err)
			}
			got, cursor = append(got, one.N), one.Seq
		default:
			c.t.Fatalf("event %s", event)
		}
	}
	return got, cursor
}

// While one edge publishes at full speed, 200 clients join on another, each
// from somewhere in the past: none has a gap, none a repetition.
func TestSeam(t *testing.T) {
	ns, all := newNATS(t), &backbone.StreamOptions{MaxPerTopic: 1e6}
	a := newEdge(t, newStore(t, ns, all), nil, tellers, edge.Stored("say"))
	b := newEdge(t, newStore(t, ns, all), nil, tellers, edge.Stored("say"))
	const before, clients = 500, 200
	tell(t, a, "t:x", 0, before)
	start := a.v2(t).joinPast("t:x", `{"history":200}`)

	var published atomic.Int64
	published.Store(before)
	done := make(chan struct{})
	stopped := make(chan int)
	go func() {
		n := before
		for ; ; n++ {
			select {
			case <-done:
				stopped <- n
				return
			default:
			}
			if err := a.Broadcast(context.Background(), "t:x", "say", map[string]int{"n": n}); err != nil {
				t.Error(err)
			}
			published.Store(int64(n))
		}
	}()
	var wg sync.WaitGroup
	for i := range clients {
		c := b.v2(t)
		wg.Go(func() {
			from := start.Messages[i]
			last := int(published.Load()) + 50
			got, _ := c.follow("t:x", from.Seq, start.Epoch, last)
			if want := upTo(from.N+1, got[len(got)-1]+1); !slices.Equal(got, want) {
				t.Errorf("client %d since %d got %d messages, want %d; first difference at %d", i, from.N, len(got), len(want), firstDifference(got, want))
			}
			c.ws.CloseNow()
		})
		if i%20 == 19 {
			wg.Wait() // the publisher goes on between the waves
		}
	}
	wg.Wait()
	close(done)
	t.Logf("%d messages published meanwhile", <-stopped-before)
}

func firstDifference(a, b []int) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// delayed holds up reads of the history, or their answers, for as long as a
// test likes.
type delayed struct {
	*backbone.Store
	before, after func()
}

func (d *delayed) Read(ctx context.Context, topic string, q edge.Query) (edge.Page, error) {
	d.before()
	page, err := d.Store.Read(ctx, topic, q)
	d.after()
	return page, err
}

// Each half of the seam between history and live messages is delayed on
// purpose: messages come before the read, and after it, both before the reply.
func TestSeamDelayed(t *testing.T) {
	for _, half := range []string{"before the read", "after the read"} {
		t.Run(half, func(t *testing.T) {
			ns := newNATS(t)
			a := newEdge(t, newStore(t, ns, nil), nil, tellers, edge.Stored("say"))
			d := &delayed{newStore(t, ns, nil), func() {}, func() {}}
			b := newEdge(t, d, nil, tellers, edge.Stored("say"))
			tell(t, a, "t:x", 0, 10)
			first := a.v2(t).joinPast("t:x", `{"history":10}`)
			watcher := b.v2(t)
			watcher.join("1", "t:x")

			var once sync.Once
			publish := func() {
				once.Do(func() {
					tell(t, a, "t:x", 10, 20)
					for range 10 { // b's room has them, and holds them for the joiner
						var m said
						watcher.event(&m)
					}
				})
			}
			if half == "before the read" {
				d.before = publish
			} else {
				d.after = publish
			}
			got, _ := b.v2(t).follow("t:x", first.Messages[4].Seq, first.Epoch, 19)
			if !slices.Equal(got, upTo(5, 20)) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// More comes while a client joins than is held for it: the rest is read.
func TestSeamOverflow(t *testing.T) {
	ns := newNATS(t)
	a := newEdge(t, newStore(t, ns, nil), nil, tellers, edge.Stored("say"))
	d := &delayed{newStore(t, ns, nil), func() {}, func() {}}
	b := newEdge(t, d, &edge.Options{OutboxBytes: 64 << 10}, tellers, edge.Stored("say"))
	tell(t, a, "t:x", 0, 1)
	first := a.v2(t).joinPast("t:x", `{"history":1}`)
	watcher := b.v2(t)
	watcher.join("1", "t:x")
	var once sync.Once
	d.after = func() {
		once.Do(func() {
			pad := strings.Repeat("x", 1<<10)
			for n := 1; n < 300; n++ { // more than is held
				if err := a.Broadcast(t.Context(), "t:x", "say", map[string]any{"n": n, "pad": pad}); err != nil {
					t.Fatal(err)
				}
				var m said
				watcher.event(&m)
			}
		})
	}
	got, _ := b.v2(t).follow("t:x", first.LastSeq, first.Epoch, 299)
	if !slices.Equal(got, upTo(1, 300)) {
		t.Errorf("got %d messages, first difference at %d", len(got), firstDifference(got, upTo(1, 300)))
	}
}

// An edge and its NATS start again on the same directory: a client resumes. On
// an empty one it is told so.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	begin := func(dir string) (*edgeServer, func()) {
		ns, err := embedded.Start(&embedded.Options{StoreDir: dir, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		st := newStore(t, ns, nil)
		e := newEdge(t, st, nil, tellers, edge.Stored("say"))
		return e, func() {
			if err := e.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			st.Close(t.Context())
			ns.Shutdown()
		}
	}
	e, stop := begin(dir)
	tell(t, e, "t:x", 0, 10)
	c := e.v2(t)
	r := c.joinPast("t:x", `{"history":1}`)
	tell(t, e, "t:x", 10, 15)
	c.ws.Close(websocket.StatusNormalClosure, "")
	stop()

	e, stop = begin(dir)
	got, cursor := e.v2(t).follow("t:x", r.LastSeq, r.Epoch, 14)
	if !slices.Equal(got, upTo(10, 15)) {
		t.Errorf("got %v", got)
	}
	stop()

	e, stop = begin(t.TempDir())
	defer stop()
	tell(t, e, "t:x", 100, 103)
	lost := e.v2(t).joinPast("t:x", fmt.Sprintf(`{"since":%d,"epoch":%q}`, cursor, r.Epoch))
	if lost.Recovered || lost.Reason != "epoch changed" || lost.Epoch == r.Epoch || !slices.Equal(numbers(lost.Messages), upTo(100, 103)) {
		t.Errorf("%v", lost)
	}
}

// A client that resumes many rooms at once, and does not read for a while, is
// given them as it reads, and is not taken for slow.
func TestResumeManyRooms(t *testing.T) {
	e := newEdge(t, newStore(t, newNATS(t), nil), &edge.Options{OutboxBytes: 256 << 10}, tellers, edge.Stored("say"))
	const rooms, messages = 30, 100
	pad := strings.Repeat("x", 4<<10)
	for room := range rooms { // more than the kernels take
		for n := range messages {
			if err := e.Broadcast(t.Context(), fmt.Sprintf("t:%d", room), "say", map[string]any{"n": n, "pad": pad}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := dialBare(t, e)
	for room := range rooms {
		c.send(t, fmt.Sprintf(`["%d","%d","t:%d","phx_join",{"history":%d}]`, room, room, room, messages))
	}
	for range 50 { // nothing tells that nothing more will happen
		if s := e.Stats(); s.SlowClients > 0 || s.Channels == rooms {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for room := range rooms {
		if got := c.readFrame(t); !strings.HasPrefix(got, fmt.Sprintf(`["%d","%d","t:%d","phx_reply"`, room, room, room)) {
			t.Fatalf("reply %d: %.60s", room, got)
		}
	}
	if n := e.Stats().SlowClients; n != 0 {
		t.Errorf("%d clients were closed as slow", n)
	}
}
