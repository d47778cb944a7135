package backbone_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

func small(o *backbone.StoreOptions) *backbone.StoreOptions {
	if o == nil {
		o = new(backbone.StoreOptions)
	}
	if o.Stream == nil {
		o.Stream = new(backbone.StreamOptions)
	}
	if o.Stream.MaxBytes == 0 {
		o.Stream.MaxBytes = 64 << 20
	}
	o.Apply = true
	return o
}

func keep(t testing.TB, srv nats.InProcessConnProvider, o *backbone.StoreOptions, change ...func(*backbone.Options)) *backbone.Store {
	t.Helper()
	st, err := dial(t, srv, change...).Store(t.Context(), small(o))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func say(t testing.TB, h edge.History, topic, s string) edge.Stamp {
	t.Helper()
	stamp, err := h.Append(t.Context(), topic, said(s), "")
	if err != nil {
		t.Fatalf("Append(%q, %q): %v", topic, s, err)
	}
	return stamp
}

func read(t testing.TB, h edge.History, topic string, q edge.Query) edge.Page {
	t.Helper()
	page, err := h.Read(t.Context(), topic, q)
	if err != nil {
		t.Fatalf("Read(%q, %+v): %v", topic, q, err)
	}
	return page
}

func bodies(ds []edge.Delivery) []string {
	out := []string{}
	for _, d := range ds {
		var p struct{ Body string }
		if err := json.Unmarshal(d.Payload, &p); err != nil {
			p.Body = err.Error()
		}
		out = append(out, p.Body)
	}
	return out
}

func numbers(from, to int) []string {
	out := []string{}
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func admin(t testing.TB, srv *embedded.Server) (*nats.Conn, jetstream.Stream) {
	t.Helper()
	nc, err := srv.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "ROOMS")
	if err != nil {
		t.Fatal(err)
	}
	return nc, s
}

func TestAppendReachesEveryEdge(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann, bob := keep(t, srv, nil), keep(t, srv, nil)
	ears := []*ear{listen(t, ann, "rooms:lobby", true), listen(t, bob, "rooms:lobby", true)}
	before := time.Now().Add(-time.Second)
	var stamps []edge.Stamp
	for i := range 3 {
		stamps = append(stamps, say(t, ann, "rooms:lobby", fmt.Sprint(i)))
	}
	for _, e := range ears {
		for i, d := range e.wait(t, 3) {
			if d.Name != "chat_msg" || string(d.Payload) != fmt.Sprintf(`{"body":"%d"}`, i) {
				t.Errorf("message %d is %s %s", i, d.Name, d.Payload)
			}
			if d.Seq != stamps[i].Seq || !d.At.Equal(stamps[i].At) || d.At.Location() != time.UTC {
				t.Errorf("message %d is of %d, %v; its stamp is %+v", i, d.Seq, d.At, stamps[i])
			}
			if d.At.Before(before) || d.At.After(time.Now().Add(time.Second)) {
				t.Errorf("message %d was stored at %v", i, d.At)
			}
		}
	}
	// Who does not subscribe learns the time, too.
	stamp := say(t, ann, "rooms:other", "hi")
	if got := read(t, bob, "rooms:other", edge.Query{Limit: 1}).Messages; len(got) != 1 || got[0].Seq != stamp.Seq || !got[0].At.Equal(stamp.At) {
		t.Errorf("read %+v, the stamp is %+v", got, stamp)
	}
	// A topic may carry both kinds.
	publish(t, ann, "rooms:lobby", edge.Event{Name: "typing", Payload: []byte(`{}`)})
	if got := ears[1].wait(t, 4); got[3].Name != "typing" || got[3].Seq != 0 {
		t.Errorf("got %+v", got[3])
	}
}

func TestStoredEventsNeedAStore(t *testing.T) {
	ann := dial(t, startServer(t, ""))
	if _, err := ann.Subscribe(t.Context(), "rooms:lobby", true, func(edge.Delivery) {}); err == nil {
		t.Error("a Link without a Store takes a subscription to stored events")
	}
	if n := ann.Stats().Topics; n != 0 {
		t.Errorf("%d topics", n)
	}
}

// All edges see one order, and it is the stream's.
func TestOneOrderOnAllEdges(t *testing.T) {
	backbone.WithoutRechecks(t) // on a busy machine they find what is under way
	srv := startServer(t, t.TempDir())
	const edges, publishers, each = 3, 8, 100
	var stores []*backbone.Store
	var ears []*ear
	for range edges {
		st := keep(t, srv, nil)
		stores = append(stores, st)
		ears = append(ears, listen(t, st, "rooms:lobby", true))
	}
	var wg sync.WaitGroup
	acked := make([][]uint64, publishers)
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				stamp, err := stores[p%edges].Append(context.Background(), "rooms:lobby", said(fmt.Sprintf("%d.%d", p, i)), "")
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				acked[p] = append(acked[p], stamp.Seq)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	want := ears[0].wait(t, publishers*each)
	for i := range want[1:] {
		if want[i+1].Seq <= want[i].Seq {
			t.Fatalf("sequence %d comes after %d", want[i+1].Seq, want[i].Seq)
		}
	}
	for p := range publishers { // one publisher's own order
		if !slices.IsSorted(acked[p]) {
			t.Errorf("publisher %d was acknowledged %v", p, acked[p])
		}
	}
	for _, e := range ears[1:] {
		if got := e.wait(t, publishers*each); !slices.Equal(bodies(got), bodies(want)) {
			t.Error("two edges saw different orders")
		}
	}
	stored := read(t, stores[0], "rooms:lobby", edge.Query{Last: true, Limit: 1000}).Messages
	if !slices.Equal(bodies(stored), bodies(want)) {
		t.Error("the stream's order is another one")
	}
	// Filled says nothing here: the look after the opening may find what a busy
	// machine has not shown yet.
	for i, st := range stores {
		if s := st.StoreStats(); s.Gaps != 0 || s.Suspicions != 0 {
			t.Errorf("edge %d had to repair without a reason: %+v", i, s)
		}
	}
}

func TestAppendWithAKey(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann, bob := keep(t, srv, nil), keep(t, srv, nil)
	e := listen(t, ann, "rooms:lobby", true)
	appendKey := func(h edge.History, topic, body, key string) edge.Stamp {
		stamp, err := h.Append(t.Context(), topic, said(body), key)
		if err != nil {
			t.Fatal(err)
		}
		return stamp
	}
	first := appendKey(ann, "rooms:lobby", "first", "ann/1")
	for i := range 300 { // the first is no longer among the recent ones
		say(t, ann, "rooms:lobby", fmt.Sprint(i))
	}
	for _, st := range []*backbone.Store{ann, bob} {
		// With the same body or another one, on this edge or another.
		for _, body := range []string{"first", "other"} {
			if again := appendKey(st, "rooms:lobby", body, "ann/1"); again.Seq != first.Seq || !again.At.Equal(first.At) {
				t.Errorf("again: %+v, want %+v", again, first)
			}
		}
	}
	if other := appendKey(bob, "rooms:other", "first", "ann/1"); other.Seq == first.Seq {
		t.Error("the key of one room swallowed a message of another")
	}
	if other := appendKey(bob, "rooms:lobby", "mine", "ann/2"); other.Seq == first.Seq {
		t.Error("another key got the same stamp")
	}
	got := e.wait(t, 302)
	if i := slices.IndexFunc(got[1:], func(d edge.Delivery) bool { return d.Seq == first.Seq }); i >= 0 {
		t.Error("the first message was delivered twice")
	}
	if n := bob.StoreStats().Duplicates; n != 2 {
		t.Errorf("%d duplicates counted, want 2", n)
	}
}

// The topic is part of the key: nobody can choose a key that is another
// topic's.
func TestKeysOfTopicsNeverMeet(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, nil)
	seen := make(map[uint64]string)
	for _, c := range [][2]string{{"a:b", "c"}, {"a:", "bc"}, {"a:bc", "1"}, {"a:b", "c1"}, {"a:b", "c 1"}, {"a:b c", "1"}, {"a:b", strings.Repeat("k", 5000)}} {
		stamp, err := ann.Append(t.Context(), c[0], said("hi"), c[1])
		if err != nil {
			t.Fatalf("Append(%q): %v", c, err)
		}
		if other, dup := seen[stamp.Seq]; dup {
			t.Errorf("%q got the stamp of %s", c, other)
		}
		seen[stamp.Seq] = fmt.Sprintf("%q", c)
	}
}

func TestReadPages(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, nil)
	followed := keep(t, srv, nil)
	listen(t, followed, "rooms:lobby", true)
	var seqs []uint64 // of message i+1
	for i := range 700 {
		// Another room in between, more and more often: sequences are not dense.
		if i%7 == 0 || i > 650 {
			say(t, ann, "rooms:lobby2", "noise")
		}
		seqs = append(seqs, say(t, ann, "rooms:lobby", fmt.Sprint(i+1)).Seq)
	}
	last := seqs[699]
	tests := []struct {
		name string
		q    edge.Query
		want []string
		more bool
	}{
		{"all", edge.Query{Limit: 1000}, numbers(1, 700), false},
		{"from the beginning", edge.Query{Limit: 10}, numbers(1, 10), true},
		{"after", edge.Query{After: seqs[99], Limit: 10}, numbers(101, 110), true},
		{"after another room's sequence", edge.Query{After: seqs[98] - 1, Limit: 2}, numbers(99, 100), true},
		{"after, many", edge.Query{After: seqs[99], Limit: 600}, numbers(101, 700), false},
		{"after, not among the recent ones", edge.Query{After: seqs[399], Limit: 1000}, numbers(401, 700), false},
		{"after, all but one", edge.Query{After: seqs[99], Limit: 599}, numbers(101, 699), true},
		{"after the last but one", edge.Query{After: seqs[698], Limit: 10}, numbers(700, 700), false},
		{"after the last", edge.Query{After: last, Limit: 10}, nil, false},
		{"at least", edge.Query{After: seqs[689], AtLeast: last, Limit: 100}, numbers(691, 700), false},
		{"newest", edge.Query{Last: true, Limit: 50}, numbers(651, 700), true},
		{"newest, one", edge.Query{Last: true, Limit: 1}, numbers(700, 700), true},
		{"newest, all", edge.Query{Last: true, Limit: 700}, numbers(1, 700), false},
		{"newest, all but one", edge.Query{Last: true, Limit: 699}, numbers(2, 700), true},
		{"newest, too many", edge.Query{Last: true, Limit: 1 << 30}, numbers(1, 700), false},
		{"newest goes first", edge.Query{Last: true, Before: seqs[10], After: 3, Limit: 1}, numbers(700, 700), true},
		{"before", edge.Query{Before: seqs[400], Limit: 50}, numbers(351, 400), true},
		{"before, recent", edge.Query{Before: seqs[690], Limit: 50}, numbers(641, 690), true},
		{"before, not a message of it", edge.Query{Before: seqs[98] - 1, Limit: 3}, numbers(96, 98), true},
		{"before, to the beginning", edge.Query{Before: seqs[10], Limit: 10}, numbers(1, 10), false},
		{"before, beyond the beginning", edge.Query{Before: seqs[10], Limit: 11}, numbers(1, 10), false},
		{"before the first", edge.Query{Before: seqs[0], Limit: 10}, nil, false},
		{"before goes first", edge.Query{Before: seqs[5], After: seqs[600], Limit: 2}, numbers(4, 5), true},
		{"before the future", edge.Query{Before: last + 1000, Limit: 2}, numbers(699, 700), true},
	}
	for _, tt := range tests {
		for name, st := range map[string]*backbone.Store{"unfollowed": ann, "followed": followed} {
			page := read(t, st, "rooms:lobby", tt.q)
			if got := bodies(page.Messages); !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: %d messages %v, want %d %v", tt.name, name, len(got), got, len(tt.want), tt.want)
			}
			if page.More != tt.more || page.Trimmed || page.First != 0 {
				t.Errorf("%s, %s: More %v Trimmed %v First %d, want More %v", tt.name, name, page.More, page.Trimmed, page.First, tt.more)
			}
		}
	}
	if page := read(t, ann, "rooms:none", edge.Query{Limit: 10}); len(page.Messages) != 0 || page.More || page.Trimmed {
		t.Errorf("a room without messages: %+v", page)
	}
	if page := read(t, ann, "rooms:none", edge.Query{Last: true, Limit: 10}); len(page.Messages) != 0 || page.More {
		t.Errorf("a room without messages: %+v", page)
	}
	// A sequence that is not there, or not any more, is not waited for.
	for _, st := range []*backbone.Store{ann, followed} {
		if page := read(t, st, "rooms:lobby", edge.Query{After: seqs[689], AtLeast: last + 1, Limit: 100}); !slices.Equal(bodies(page.Messages), numbers(691, 700)) {
			t.Errorf("at least the future: %v", bodies(page.Messages))
		}
		if page := read(t, st, "rooms:lobby", edge.Query{Last: true, AtLeast: last + 1, Limit: 1}); !slices.Equal(bodies(page.Messages), numbers(700, 700)) {
			t.Errorf("newest, at least the future: %v", bodies(page.Messages))
		}
	}
	for _, limit := range []int{0, -1} {
		if _, err := ann.Read(t.Context(), "rooms:lobby", edge.Query{Limit: limit}); err == nil {
			t.Errorf("Read with limit %d succeeds", limit)
		}
	}
	if n := followed.StoreStats().RingReads; n == 0 {
		t.Error("nothing was answered from recent messages")
	}
}

func TestReadTrimmed(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, &backbone.StoreOptions{Stream: &backbone.StreamOptions{MaxPerTopic: 5}})
	bob := keep(t, srv, &backbone.StoreOptions{Stream: &backbone.StreamOptions{MaxPerTopic: 5}})
	var seqs []uint64
	for i := range 4 {
		seqs = append(seqs, say(t, ann, "rooms:lobby", fmt.Sprint(i+1)).Seq)
	}
	if page := read(t, ann, "rooms:lobby", edge.Query{Limit: 10}); page.Trimmed || len(page.Messages) != 4 {
		t.Errorf("before anything is trimmed: %+v", page)
	}
	for i := 4; i < 8; i++ {
		say(t, ann, "rooms:noise", "")
		seqs = append(seqs, say(t, ann, "rooms:lobby", fmt.Sprint(i+1)).Seq)
	}
	listen(t, bob, "rooms:lobby", true)
	read(t, bob, "rooms:lobby", edge.Query{Last: true, Limit: 10}) // what is recent now is all there is
	tests := []struct {
		name    string
		after   uint64
		want    []string
		trimmed bool
	}{
		{"from the beginning", 0, numbers(4, 8), true},
		{"long gone", seqs[0], numbers(4, 8), true},
		{"gone", seqs[1], numbers(4, 8), true},
		{"gone, but nothing after it", seqs[2], numbers(4, 8), false},
		{"the oldest", seqs[3], numbers(5, 8), false},
		{"another room's", seqs[4] - 1, numbers(5, 8), false},
		{"the newest", seqs[7], nil, false},
		{"the future", seqs[7] + 1000, nil, true},
		{"the far future", 1<<53 - 1, nil, true},
	}
	for _, tt := range tests {
		for name, st := range map[string]*backbone.Store{"unfollowed": ann, "followed": bob} {
			page := read(t, st, "rooms:lobby", edge.Query{After: tt.after, Limit: 10})
			first := uint64(0)
			if tt.trimmed {
				first = seqs[3]
			}
			if !slices.Equal(bodies(page.Messages), tt.want) || page.Trimmed != tt.trimmed || page.First != first || page.More {
				t.Errorf("%s, %s: %v Trimmed %v First %d, want %v %v %d", tt.name, name, bodies(page.Messages), page.Trimmed, page.First, tt.want, tt.trimmed, first)
			}
		}
	}
	// One message deleted by a moderator is no reason to start over.
	_, s := admin(t, srv)
	for _, i := range []int{5, 7} {
		if err := s.DeleteMsg(t.Context(), seqs[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range map[int][]string{5: {"7"}, 7: nil} {
		if page := read(t, ann, "rooms:lobby", edge.Query{After: seqs[i], Limit: 10}); page.Trimmed || !slices.Equal(bodies(page.Messages), want) {
			t.Errorf("after a deleted message: %+v", page)
		}
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if page := read(t, ann, "rooms:lobby", edge.Query{After: seqs[4], Limit: 10}); !page.Trimmed || page.First != 0 || len(page.Messages) != 0 {
		t.Errorf("after a purge: %+v", page)
	}
}

func TestRoomsNeverMeet(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann, bob := keep(t, srv, nil), keep(t, srv, nil)
	topics := []string{
		"rooms:lobby", "rooms:lobb", "rooms:lobby.x", "rooms:lobby:x", "rooms:Lobby", "rooms:LOBBY", "rooms:*", "rooms:>", "rooms:",
		"rooms", "*:lobby", ">", "rooms:\u00e9", "rooms:e\u0301", "rooms:%C3%A9", "rooms:a b", "rooms:\xff", "rooms:=", strings.Repeat("x", 255),
	}
	ears := make(map[string]*ear)
	for _, topic := range topics {
		ears[topic] = listen(t, bob, topic, true)
	}
	for _, topic := range topics {
		say(t, ann, topic, fmt.Sprintf("%x", topic))
	}
	for _, topic := range topics {
		want := []string{fmt.Sprintf("%x", topic)}
		if got := bodies(ears[topic].wait(t, 1)); !slices.Equal(got, want) {
			t.Errorf("%q heard %v", topic, got)
		}
		for _, q := range []edge.Query{{Limit: 10}, {Last: true, Limit: 10}, {Before: 1 << 40, Limit: 10}} {
			if got := bodies(read(t, ann, topic, q).Messages); !slices.Equal(got, want) {
				t.Errorf("%q, %+v: read %v", topic, q, got)
			}
		}
	}
	if _, err := ann.Append(t.Context(), strings.Repeat("x", 256), said("hi"), ""); err == nil {
		t.Error("Append takes a topic of 256 bytes")
	}
	if _, err := ann.Read(t.Context(), strings.Repeat("x", 256), edge.Query{Limit: 1}); err == nil {
		t.Error("Read takes a topic of 256 bytes")
	}
}

// Other programs publish without any header; what is not an event reaches
// nobody, live or late, and does not disturb what is around it.
func TestStrangersStore(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, nil)
	e := listen(t, ann, "rooms:lobby", true)
	nc, err := srv.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	send := func(event, data string) {
		m := &nats.Msg{Subject: "chat.in.rooms.lobby", Data: []byte(data)}
		if event != "" {
			m.Header = nats.Header{"Phx-Event": {event}}
		}
		if _, err := nc.RequestMsg(m, patience); err != nil {
			t.Fatal(err)
		}
	}
	send("", `{"body":"hi","username":"bot"}`)
	for range 300 {
		send("", `hello`)
	}
	send("phx_close", `{}`)
	send("edited", `{"body":"bye"}`)
	got := e.wait(t, 2)
	if got[0].Name != "chat_msg" || string(got[0].Payload) != `{"body":"hi","username":"bot"}` || got[1].Name != "edited" {
		t.Errorf("delivered %+v", got)
	}
	if n := ann.Stats().Invalid; n != 301 {
		t.Errorf("%d counted as invalid, want 301", n)
	}
	bob := keep(t, srv, nil)
	for _, st := range []*backbone.Store{ann, bob} {
		for _, q := range []edge.Query{{Limit: 2}, {Last: true, Limit: 2}, {After: got[0].Seq - 1, Limit: 2}} {
			if page := read(t, st, "rooms:lobby", q); !slices.Equal(bodies(page.Messages), []string{"hi", "bye"}) || page.More {
				t.Errorf("%+v: read %v, More %v", q, bodies(page.Messages), page.More)
			}
		}
		if page := read(t, st, "rooms:lobby", edge.Query{Limit: 1}); !slices.Equal(bodies(page.Messages), []string{"hi"}) || !page.More {
			t.Errorf("the first: read %v, More %v", bodies(page.Messages), page.More)
		}
	}
	// Forged copies are not the stream's.
	for _, h := range []nats.Header{
		nil,
		{"Nats-Sequence": {"99"}},
		{"Nats-Sequence": {"99"}, "Nats-Last-Sequence": {"0"}, "Nats-Time-Stamp": {"2030-01-01T00:00:00Z"}, "Nats-Subject": {"chat.in.rooms.other"}, "Nats-Stream": {"ROOMS"}},
		{"Nats-Sequence": {"99"}, "Nats-Last-Sequence": {"0"}, "Nats-Time-Stamp": {"2030-01-01T00:00:00Z"}, "Nats-Subject": {"chat.in.rooms.lobby"}, "Nats-Stream": {"OTHER"}},
	} {
		if err := nc.PublishMsg(&nats.Msg{Subject: "chat.live.rooms.lobby", Header: h, Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "forged copies counted", func() bool { return ann.Stats().Invalid == 305 })
	e.wait(t, 2)
}

func TestAppendRefused(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, &backbone.StoreOptions{Stream: &backbone.StreamOptions{MaxMessage: 1000}})
	e := listen(t, ann, "rooms:lobby", true)
	var refusal *edge.Error
	for _, size := range []int{1001, 1 << 20, 2 << 20} {
		if _, err := ann.Append(t.Context(), "rooms:lobby", said(strings.Repeat("x", size)), "key"); !errors.As(err, &refusal) || refusal.Reason != "message is too large" {
			t.Errorf("Append of %d bytes = %v, want a refusal", size, err)
		}
	}
	for _, ev := range []edge.Event{{Name: "chat_msg", Payload: []byte(`[]`)}, {Payload: []byte(`{}`)}, {Name: "phx_reply", Payload: []byte(`{}`)}} {
		if _, err := ann.Append(t.Context(), "rooms:lobby", ev, ""); err == nil {
			t.Errorf("Append takes %+v", ev)
		}
	}
	// A stream that discards new messages, filled by others.
	_, s := admin(t, srv)
	cfg := s.CachedInfo().Config
	cfg.Discard, cfg.MaxBytes = jetstream.DiscardNew, 4000
	nc, _ := admin(t, srv)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		_, err = ann.Append(t.Context(), "rooms:lobby", said(strings.Repeat("x", 500)), "")
		if err != nil {
			break
		}
	}
	if !errors.As(err, &refusal) || refusal.Reason != "the store is full" || n == 0 {
		t.Errorf("Append to a full store, after %d = %v, want a refusal", n, err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	say(t, ann, "rooms:lobby", "room lives on")
	if got := e.wait(t, n+1); bodies(got)[n] != "room lives on" {
		t.Errorf("heard %v", bodies(got))
	}
}

// Live copies that are lost are repaired: by the next one, by the edge that
// sent the message, by an election's advisory.
func TestLostCopiesAreRepaired(t *testing.T) {
	backbone.WithoutRechecks(t)
	srv := startServer(t, t.TempDir())
	ann, bob := keep(t, srv, nil), keep(t, srv, nil)
	_, s := admin(t, srv)
	nc, _ := admin(t, srv)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	whole := s.CachedInfo().Config
	deaf := whole
	deaf.RePublish = nil
	update := func(cfg jetstream.StreamConfig) {
		t.Helper()
		if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	topic := "rooms:lobby"
	e, f := listen(t, ann, topic, true), listen(t, bob, topic, true)
	say(t, ann, topic, "1")
	e.wait(t, 1)
	f.wait(t, 1)

	// The next message shows the gap.
	update(deaf)
	for i := 2; i <= 500; i++ {
		if _, err := nc.Request("chat.in.rooms.lobby", fmt.Appendf(nil, `{"body":"%d"}`, i), patience); err != nil {
			t.Fatal(err)
		}
	}
	update(whole)
	say(t, ann, topic, "501")
	for _, e := range []*ear{e, f} {
		if got := bodies(e.wait(t, 501)); !slices.Equal(got, numbers(1, 501)) {
			t.Errorf("heard %d messages, not in order", len(got))
		}
	}
	if n := bob.StoreStats().Gaps; n == 0 {
		t.Error("no gap was seen")
	}

	// The room falls silent; the sender's edge tells the others.
	update(deaf)
	stamp := say(t, ann, topic, "502")
	if stamp.At.IsZero() {
		t.Error("a stamp without a time")
	}
	for _, e := range []*ear{e, f} {
		if got := bodies(e.wait(t, 502)); got[501] != "502" {
			t.Errorf("heard %v last", got[501])
		}
	}
	if n := ann.StoreStats().Nudges; n != 1 {
		t.Errorf("%d nudges, want 1", n)
	}

	// Another program sent it; there is an election.
	if _, err := nc.Request("chat.in.rooms.lobby", []byte(`{"body":"503"}`), patience); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.ROOMS", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for _, e := range []*ear{e, f} {
		if got := bodies(e.wait(t, 503)); got[502] != "503" {
			t.Errorf("heard %v last", got[502])
		}
	}
}

// A room that opens is checked once more: its subscription may not have been
// known everywhere.
func TestOpenedRoomIsChecked(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, nil)
	nc, s := admin(t, srv)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.RePublish = nil
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	e := listen(t, ann, "rooms:lobby", true)
	if _, err := nc.Request("chat.in.rooms.lobby", []byte(`{"body":"1"}`), patience); err != nil {
		t.Fatal(err)
	}
	e.wait(t, 1)
}

// What a nudge claims is not believed.
func TestFalseNudge(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, nil)
	e := listen(t, ann, "rooms:lobby", true)
	nc, _ := admin(t, srv)
	for _, data := range []string{``, `{}`, `[]`, `{"topic":"rooms:none","seq":1}`, `{"topic":"rooms:lobby","seq":9007199254740991}`, `{"topic":"rooms:lobby","seq":-1}`} {
		if err := nc.Publish("chat.ctl.nudge", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		say(t, ann, "rooms:lobby", fmt.Sprint(i+1))
	}
	eventually(t, "all heard", func() bool { return len(e.all()) == 3 })
	eventually(t, "the leader was asked", func() bool { return ann.StoreStats().Reads > 5 })
	say(t, ann, "rooms:lobby", "4")
	if got := bodies(e.wait(t, 4)); !slices.Equal(got, numbers(1, 4)) {
		t.Errorf("heard %v", got)
	}
}

// Between what Read returns and what is delivered there is neither a gap nor,
// by sequence, a message twice that differs.
func TestSeam(t *testing.T) {
	tests := []struct {
		name    string
		late    [2]time.Duration // the connections for live events and for reads
		clients int
	}{
		{"as fast as can be", [2]time.Duration{}, 100},
		{"live is late", [2]time.Duration{5 * time.Millisecond, 0}, 20},
		{"reads are late", [2]time.Duration{0, 5 * time.Millisecond}, 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { testSeam(t, tt.late, tt.clients) })
	}
}

func testSeam(t *testing.T, late [2]time.Duration, clients int) {
	srv := startServer(t, t.TempDir())
	door := &door{Server: srv, late: func(n int) time.Duration { return late[n%2] }}
	door.open()
	ann, bob := keep(t, srv, nil), keep(t, door, nil)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := ann.Append(context.Background(), "rooms:lobby", said("x"), ""); err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				time.Sleep(late[0] + late[1]) // who reads late could never catch up with full speed
			}
		})
	}
	type seam struct {
		since uint64
		e     *ear
		read  []edge.Delivery
	}
	var seams []seam
	since := uint64(0)
	for range clients {
		// Each comes back to a room that nobody is in.
		s := seam{since: since, e: newEar()}
		unsubscribe, err := bob.Subscribe(t.Context(), "rooms:lobby", true, s.e.deliver)
		if err != nil {
			t.Fatal(err)
		}
		for after := since; ; {
			page := read(t, bob, "rooms:lobby", edge.Query{After: after, Limit: 1000})
			s.read = append(s.read, page.Messages...)
			if !page.More {
				break
			}
			after = s.read[len(s.read)-1].Seq
		}
		eventually(t, "something live", func() bool { return len(s.e.all()) > 2 })
		unsubscribe()
		seams = append(seams, s)
		live := s.e.all()
		since = live[len(live)-1].Seq
	}
	stop()
	wg.Wait()
	var stored []uint64
	for after := uint64(0); ; {
		page := read(t, ann, "rooms:lobby", edge.Query{After: after, Limit: 1000})
		for _, d := range page.Messages {
			stored = append(stored, d.Seq)
		}
		if !page.More {
			break
		}
		after = stored[len(stored)-1]
	}
	for i, s := range seams {
		var got []uint64
		for _, d := range s.read {
			got = append(got, d.Seq)
		}
		for _, d := range s.e.all() {
			if len(got) == 0 || d.Seq > got[len(got)-1] {
				got = append(got, d.Seq)
			}
		}
		from, _ := slices.BinarySearch(stored, s.since+1)
		if want := stored[from:][:len(got)]; !slices.Equal(got, want) {
			t.Fatalf("client %d, since %d: %d read and %d live messages are not those stored", i, s.since, len(s.read), len(s.e.all()))
		}
	}
}

// Many clients that come back to a room cost a few reads.
func TestReplayStorm(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann, bob := keep(t, srv, nil), keep(t, srv, nil)
	var seqs []uint64
	for i := range 200 {
		seqs = append(seqs, say(t, ann, "rooms:lobby", fmt.Sprint(i+1)).Seq)
	}
	listen(t, bob, "rooms:lobby", true)
	before := bob.StoreStats().Reads
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			since := i * 7 % 200
			page, err := bob.Read(context.Background(), "rooms:lobby", edge.Query{After: seqs[since], Limit: 200})
			if err != nil || !slices.Equal(bodies(page.Messages), numbers(since+2, 200)) || page.More {
				t.Errorf("since %d: %v, %v", since, bodies(page.Messages), err)
			}
		})
	}
	wg.Wait()
	if n := bob.StoreStats().Reads - before; n > 30 {
		t.Errorf("1000 clients cost %d reads", n)
	}
	// Later ones cost none.
	before = bob.StoreStats().Reads
	read(t, bob, "rooms:lobby", edge.Query{After: seqs[150], Limit: 200})
	if n := bob.StoreStats().Reads - before; n != 0 {
		t.Errorf("one more cost %d reads", n)
	}
	// The same for the newest.
	for range 100 {
		if got := bodies(read(t, bob, "rooms:lobby", edge.Query{Last: true, Limit: 50}).Messages); !slices.Equal(got, numbers(151, 200)) {
			t.Fatalf("newest: %v", got)
		}
	}
	if n := bob.StoreStats().Reads - before; n > 10 {
		t.Errorf("100 readers of the newest cost %d reads", n)
	}
}

func TestRecentIsBounded(t *testing.T) {
	srv := startServer(t, t.TempDir())
	const bound = 100 << 10
	ann := keep(t, srv, &backbone.StoreOptions{RecentBytes: bound})
	var want []string
	for room := range 20 {
		topic := fmt.Sprintf("rooms:%d", room)
		e := listen(t, ann, topic, true)
		for i := range 20 {
			say(t, ann, topic, strings.Repeat(fmt.Sprint(i%10), 1000))
		}
		e.wait(t, 20)
		if n := ann.StoreStats().RecentBytes; n > bound {
			t.Fatalf("%d bytes kept, more than %d", n, bound)
		}
	}
	for i := range 20 {
		want = append(want, strings.Repeat(fmt.Sprint(i%10), 1000))
	}
	for room := range 20 { // those that made way are read from the stream
		if got := bodies(read(t, ann, fmt.Sprintf("rooms:%d", room), edge.Query{Last: true, Limit: 50}).Messages); !slices.Equal(got, want) {
			t.Errorf("room %d: %d messages", room, len(got))
		}
	}
	if n := ann.StoreStats().RecentBytes; n > bound || n == 0 {
		t.Errorf("%d bytes kept, want up to %d", n, bound)
	}
}

func TestStreamReports(t *testing.T) {
	srv := startServer(t, t.TempDir())
	l := dial(t, srv)
	ctx := t.Context()
	if _, err := l.CheckStream(ctx, nil); err == nil {
		t.Error("CheckStream finds a stream that is not there")
	}
	o := &backbone.StreamOptions{MaxBytes: 10 << 20, MaxPerTopic: 100, MaxAge: time.Hour}
	r, err := l.ApplyStream(ctx, o)
	if err != nil || !r.Created || r.Broken != nil || len(r.Changed)+len(r.Differs)+len(r.Warnings) != 0 {
		t.Fatalf("ApplyStream = %+v, %v, want it created", r, err)
	}
	r, err = l.ApplyStream(ctx, o)
	if err != nil || r.Created || len(r.Changed)+len(r.Differs) != 0 {
		t.Errorf("ApplyStream again = %+v, %v, want nothing to do", r, err)
	}
	more := &backbone.StreamOptions{MaxBytes: 20 << 20, MaxPerTopic: 200, MaxAge: 2 * time.Hour, MaxMessage: 1 << 10, Duplicates: time.Minute}
	r, err = l.CheckStream(ctx, more)
	if err != nil || len(r.Differs) != 5 || len(r.Changed) != 0 {
		t.Errorf("CheckStream = %+v, %v, want 5 differences", r, err)
	}
	r, err = l.ApplyStream(ctx, more)
	if err != nil || len(r.Changed) != 5 || len(r.Differs) != 0 {
		t.Errorf("ApplyStream with more = %+v, %v, want 5 changes", r, err)
	}
	less := &backbone.StreamOptions{MaxBytes: 10 << 20, MaxPerTopic: 100, MaxAge: time.Hour, MaxMessage: 1 << 10, Duplicates: time.Minute, Memory: true}
	r, err = l.ApplyStream(ctx, less)
	if err != nil || len(r.Changed) != 0 || len(r.Differs) != 4 {
		t.Errorf("ApplyStream with less = %+v, %v, want 4 differences left", r, err)
	}
	less.Shrink = true
	r, err = l.ApplyStream(ctx, less)
	if err != nil || len(r.Changed) != 3 || len(r.Differs) != 1 || !strings.Contains(r.Differs[0], "storage") {
		t.Errorf("ApplyStream with less, shrinking = %+v, %v, want 3 changes and the storage left", r, err)
	}
	if r, err = l.CheckStream(ctx, &backbone.StreamOptions{MaxPerTopic: -1}); err == nil {
		t.Errorf("CheckStream of a negative limit = %+v", r)
	}

	// A stream that others have made over is mended.
	_, s := admin(t, srv)
	cfg := s.CachedInfo().Config
	cfg.Subjects, cfg.RePublish, cfg.AllowDirect = []string{"other.>"}, nil, false
	nc, _ := admin(t, srv)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	less.Shrink = false
	r, err = l.CheckStream(ctx, less)
	if err != nil || r.Broken == nil || len(r.Differs) != 4 {
		t.Errorf("CheckStream of a broken stream = %+v, %v", r, err)
	}
	r, err = l.ApplyStream(ctx, less)
	if err != nil || r.Broken != nil || len(r.Changed) != 3 {
		t.Errorf("ApplyStream of a broken stream = %+v, %v", r, err)
	}
	memory, err := dial(t, srv, func(o *backbone.Options) { o.Prefix = "mem" }).ApplyStream(ctx, &backbone.StreamOptions{Memory: true})
	if err != nil || memory.Name != "ROOMS_mem" || len(memory.Warnings) != 1 {
		t.Errorf("ApplyStream in memory = %+v, %v, want a warning", memory, err)
	}
}

// Without the right to create it, an edge waits for the stream.
func TestStreamMissing(t *testing.T) {
	srv := startServer(t, t.TempDir())
	st, err := dial(t, srv).Store(t.Context(), &backbone.StoreOptions{Patience: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Ready(); err == nil || st.Epoch() != "" {
		t.Errorf("Ready() = %v, Epoch() = %q without a stream", err, st.Epoch())
	}
	if _, err := st.Append(t.Context(), "rooms:lobby", said("hi"), ""); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Append = %v, want ErrUnavailable", err)
	}
	if _, err := dial(t, srv).ApplyStream(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { return st.Ready() == nil && st.Epoch() != "" })
	e := listen(t, st, "rooms:lobby", true)
	say(t, st, "rooms:lobby", "hi")
	e.wait(t, 1)
}
