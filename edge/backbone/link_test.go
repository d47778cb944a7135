package backbone_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

// patience bounds what should happen soon. It is generous: the machine may be
// busy, and a test that passes never waits for it.
const patience = 30 * time.Second

// startServer starts NATS, with JetStream if dir is not empty.
func startServer(t testing.TB, dir string) *embedded.Server {
	t.Helper()
	srv, err := embedded.Start(&embedded.Options{StoreDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	return srv
}

func dial(t testing.TB, srv nats.InProcessConnProvider, change ...func(*backbone.Options)) *backbone.Link {
	t.Helper()
	o := &backbone.Options{Server: srv, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(o)
	}
	l, err := backbone.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// An ear keeps what was delivered to it.
type ear struct {
	mu   sync.Mutex
	got  []edge.Delivery
	more chan struct{} // holds a token if got has grown
}

func newEar() *ear { return &ear{more: make(chan struct{}, 1)} }

func (e *ear) deliver(d edge.Delivery) {
	d.Payload = bytes.Clone(d.Payload)
	e.mu.Lock()
	e.got = append(e.got, d)
	e.mu.Unlock()
	select {
	case e.more <- struct{}{}:
	default:
	}
}

func (e *ear) all() []edge.Delivery {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// count is for who looks often: a copy of many events takes longer than their
// delivery.
func (e *ear) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.got)
}

// wait returns what was delivered once it is n events. It is patient as long as
// more come.
func (e *ear) wait(t testing.TB, n int) []edge.Delivery {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		switch got := e.count(); {
		case got == n:
			return e.all()
		case got > n:
			t.Fatalf("delivered %d events, want %d", got, n)
		}
		select {
		case <-e.more:
			timeout.Reset(patience)
		case <-timeout.C:
			t.Fatalf("delivered %d events, want %d", e.count(), n)
		}
	}
}

func listen(t testing.TB, b edge.Backbone, topic string, stored bool) *ear {
	t.Helper()
	e := newEar()
	unsubscribe, err := b.Subscribe(t.Context(), topic, stored, e.deliver)
	if err != nil {
		t.Fatalf("Subscribe(%q): %v", topic, err)
	}
	t.Cleanup(unsubscribe)
	return e
}

func publish(t testing.TB, b edge.Backbone, topic string, e edge.Event) {
	t.Helper()
	if err := b.Publish(t.Context(), topic, e); err != nil {
		t.Fatalf("Publish(%q): %v", topic, err)
	}
}

func said(s string) edge.Event {
	return edge.Event{Name: "chat_msg", Payload: fmt.Appendf(nil, `{"body":%q}`, s)}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not yet: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestPublishReachesTheOtherEdges(t *testing.T) {
	srv := startServer(t, "")
	ann, bob, cat := dial(t, srv), dial(t, srv), dial(t, srv)
	ears := map[string]*ear{
		"ann": listen(t, ann, "rooms:lobby", false),
		"bob": listen(t, bob, "rooms:lobby", false),
		"cat": listen(t, cat, "rooms:lobby", false),
	}
	want := []edge.Event{
		{Name: "typing", Payload: []byte(`{"user":"ann"}`)},
		{Name: "image 🖼", Payload: []byte{0, 0xff, '\r', '\n'}, Binary: true},
		{Name: "empty", Payload: nil, Binary: true},
		{Name: "last", Payload: []byte(" \n{}")},
	}
	for _, e := range want {
		publish(t, ann, "rooms:lobby", e)
	}
	publish(t, bob, "rooms:lobby", said("from bob")) // the mark after which ann has all
	for _, name := range []string{"bob", "cat"} {
		n := len(want)
		if name == "cat" {
			n++
		}
		got := ears[name].wait(t, n)
		// Between two publishers there is no order.
		got = slices.DeleteFunc(got, func(d edge.Delivery) bool { return d.Name == "chat_msg" })
		for i, d := range got {
			if d.Name != want[i].Name || !bytes.Equal(d.Payload, want[i].Payload) || d.Binary != want[i].Binary || d.Seq != 0 || !d.At.IsZero() {
				t.Errorf("%s got %+v, want %+v", name, d, want[i])
			}
		}
	}
	if got := ears["ann"].wait(t, 1); string(got[0].Payload) != `{"body":"from bob"}` {
		t.Errorf("ann got %s, want what bob said and nothing of her own", got[0].Payload)
	}
}

func TestPublishKeepsThePublishersOrder(t *testing.T) {
	srv := startServer(t, "")
	ann, bob := dial(t, srv), dial(t, srv)
	e := listen(t, bob, "rooms:lobby", false)
	for i := range 2000 {
		publish(t, ann, "rooms:lobby", said(fmt.Sprint(i)))
	}
	for i, d := range e.wait(t, 2000) {
		if want := string(said(fmt.Sprint(i)).Payload); string(d.Payload) != want {
			t.Fatalf("event %d is %s, want %s", i, d.Payload, want)
		}
	}
}

// Each interested edge gets a message once, however many subscribers it has,
// and the others not at all.
func TestMessageCrossesOncePerInterestedEdge(t *testing.T) {
	srv := startServer(t, "")
	ann, bob, cat := dial(t, srv), dial(t, srv), dial(t, srv)
	first := listen(t, bob, "rooms:lobby", false)
	second := listen(t, bob, "rooms:lobby", false)
	other := listen(t, cat, "rooms:other", false)
	received := func() map[string]int64 {
		conns, err := srv.NATS().Connz(nil)
		if err != nil {
			t.Fatal(err)
		}
		n := make(map[string]int64)
		for _, c := range conns.Conns {
			n[fmt.Sprint(c.Cid)] = c.OutMsgs
		}
		return n
	}
	before := received()
	const n = 100
	for range n {
		publish(t, ann, "rooms:lobby", said("hi"))
	}
	first.wait(t, n)
	second.wait(t, n)
	after := received()
	var grew []int64
	for id := range after {
		if d := after[id] - before[id]; d != 0 {
			grew = append(grew, d)
		}
	}
	if !slices.Equal(grew, []int64{n}) {
		t.Errorf("connections that got messages got %v, want one that got %d", grew, n)
	}
	if got := other.all(); len(got) != 0 {
		t.Errorf("the other room heard %v", got)
	}
}

func TestInterestEndsWithTheLastSubscriber(t *testing.T) {
	srv := startServer(t, "")
	ann, bob := dial(t, srv), dial(t, srv)
	base := srv.NATS().NumSubscriptions()
	e, f := newEar(), newEar()
	unsubscribe, err := bob.Subscribe(t.Context(), "rooms:lobby", false, e.deliver)
	if err != nil {
		t.Fatal(err)
	}
	again, err := bob.Subscribe(t.Context(), "rooms:lobby", false, f.deliver)
	if err != nil {
		t.Fatal(err)
	}
	if n := srv.NATS().NumSubscriptions(); n != base+1 {
		t.Errorf("%d subscriptions for two subscribers, want 1", n-base)
	}
	unsubscribe()
	unsubscribe() // harmless
	publish(t, ann, "rooms:lobby", said("hi"))
	f.wait(t, 1)
	if got := e.all(); len(got) != 0 {
		t.Errorf("delivered %v after unsubscribe", got)
	}
	again()
	eventually(t, "the subscription is gone", func() bool { return srv.NATS().NumSubscriptions() == base })
	if n := bob.Stats().Topics; n != 0 {
		t.Errorf("%d topics after the last unsubscribe", n)
	}
}

func TestTopicsNeverMeet(t *testing.T) {
	srv := startServer(t, "")
	ann, bob := dial(t, srv), dial(t, srv)
	topics := []string{
		"rooms:*", "rooms:>", "*:>", ">", "*", "*:*", "rooms", "rooms:", ":", "", ":rooms", "rooms:lobby", "rooms:lobby.x",
		"rooms:lobb", "rooms:lobby:", "rooms:Lobby", "rooms:LOBBY", "rooms:a b", "rooms:a\tb", "rooms:a\r\nb", "rooms:\x00",
		"rooms:%2A", "rooms:\u00e9", "rooms:e\u0301", "rooms:чат", "rooms:😀", "rooms:\xff\xfe", "rooms.lobby", "rooms:$SYS.>",
		"$SYS:>", "_INBOX_EDGE:>", "rooms:=", "rooms:==", strings.Repeat("x", backbone.MaxTopic),
	}
	for _, r := range "𐀀𝄞漢\u200b\u2028\u00a0\ufeff" {
		topics = append(topics, fmt.Sprintf("rooms:%c", r))
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	ears := make(map[string]*ear)
	for _, topic := range topics {
		ears[topic] = listen(t, bob, topic, false)
	}
	for _, topic := range topics {
		publish(t, ann, topic, said(fmt.Sprintf("%x", topic)))
	}
	for _, topic := range topics {
		got := ears[topic].wait(t, 1)
		if want := fmt.Sprintf(`{"body":"%x"}`, topic); string(got[0].Payload) != want {
			t.Errorf("%q heard %s, want %s", topic, got[0].Payload, want)
		}
	}
	if _, err := bob.Subscribe(t.Context(), strings.Repeat("x", 256), false, func(edge.Delivery) {}); err == nil {
		t.Error("Subscribe takes a topic of 256 bytes")
	}
	if err := bob.Publish(t.Context(), strings.Repeat("x", 256), said("hi")); err == nil {
		t.Error("Publish takes a topic of 256 bytes")
	}
}

func TestStrangersMessages(t *testing.T) {
	srv := startServer(t, "")
	bob := dial(t, srv)
	e := listen(t, bob, "rooms:lobby", false)
	nc, err := srv.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	tests := []struct {
		name   string
		header nats.Header
		data   string
	}{
		{"no event", nil, `{}`},
		{"two events", nats.Header{"Phx-Event": {"a", "b"}}, `{}`},
		{"long event", nats.Header{"Phx-Event": {strings.Repeat("x", 256)}}, `{}`},
		{"event with control characters", nats.Header{"Phx-Event": {"a\x00b"}}, `{}`},
		{"event that is not UTF-8", nats.Header{"Phx-Event": {"\xff"}}, `{}`},
		{"unknown kind of payload", nats.Header{"Phx-Event": {"a"}, "Phx-Payload": {"xml"}}, `{}`},
		{"nothing", nats.Header{"Phx-Event": {"a"}}, ``},
		{"text", nats.Header{"Phx-Event": {"a"}}, `hello`},
		{"array", nats.Header{"Phx-Event": {"a"}}, `[]`},
		{"null", nats.Header{"Phx-Event": {"a"}}, `null`},
		{"half an object", nats.Header{"Phx-Event": {"a"}}, `{"a":`},
		{"two objects", nats.Header{"Phx-Event": {"a"}}, `{}{}`},
		{"not UTF-8", nats.Header{"Phx-Event": {"a"}}, "{\"a\":\"\xff\"}"},
	}
	for _, tt := range tests {
		if err := nc.PublishMsg(&nats.Msg{Subject: "chat.eph.rooms.lobby", Header: tt.header, Data: []byte(tt.data)}); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
	}
	if err := nc.PublishMsg(&nats.Msg{Subject: "chat.eph.rooms.lobby", Header: nats.Header{"Phx-Event": {"good"}}, Data: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if got := e.wait(t, 1); got[0].Name != "good" {
		t.Errorf("delivered %+v, want the good one", got[0])
	}
	if n := bob.Stats().Invalid; n != uint64(len(tests)) {
		t.Errorf("%d counted as invalid, want %d", n, len(tests))
	}
}

// What receivers would drop, Publish refuses.
func TestPublishRefuses(t *testing.T) {
	ann := dial(t, startServer(t, ""))
	for _, e := range []edge.Event{
		{Name: "a\r\nNats-Msg-Id: b", Payload: []byte(`{}`)},
		{Name: " a", Payload: []byte(`{}`)},
		{Name: "a", Payload: []byte(`[]`)},
		{Name: "a"},
	} {
		if err := ann.Publish(t.Context(), "rooms:lobby", e); err == nil {
			t.Errorf("Publish takes %+v", e)
		}
	}
	var refusal *edge.Error
	if err := ann.Publish(t.Context(), "rooms:lobby", edge.Event{Name: "a", Payload: make([]byte, 2<<20), Binary: true}); !errors.As(err, &refusal) {
		t.Errorf("Publish of 2 MiB = %v, want a refusal", err)
	}
	if n := ann.Stats().Published; n != 0 {
		t.Errorf("%d published", n)
	}
}

func TestControl(t *testing.T) {
	srv := startServer(t, "")
	ann, bob := dial(t, srv), dial(t, srv)
	heard := make(chan string, 10)
	for name, l := range map[string]*backbone.Link{"ann": ann, "bob": bob} {
		unsubscribe, err := l.SubscribeControl(t.Context(), "drain", func(data []byte) { heard <- name + " " + string(data) })
		if err != nil {
			t.Fatal(err)
		}
		defer unsubscribe()
	}
	for _, data := range []string{"", "\x00\xff", "last"} {
		if err := ann.PublishControl(t.Context(), "drain", []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got, want := <-heard, "bob "+data; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	if err := ann.PublishControl(t.Context(), "other", nil); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"", "a.b", "*", ">", "A", "é", strings.Repeat("x", 33)} {
		if err := ann.PublishControl(t.Context(), kind, nil); err == nil {
			t.Errorf("PublishControl takes kind %q", kind)
		}
		if _, err := ann.SubscribeControl(t.Context(), kind, func([]byte) {}); err == nil {
			t.Errorf("SubscribeControl takes kind %q", kind)
		}
	}
	if len(heard) != 0 {
		t.Errorf("heard %q", <-heard)
	}
}

func TestPrefixesNeverMeet(t *testing.T) {
	srv := startServer(t, "")
	under := func(prefix string) func(*backbone.Options) {
		return func(o *backbone.Options) { o.Prefix = prefix }
	}
	ann, bob, cat := dial(t, srv, under("a")), dial(t, srv, under("a")), dial(t, srv, under("b"))
	hears, deaf := listen(t, bob, "rooms:lobby", false), listen(t, cat, "rooms:lobby", false)
	publish(t, ann, "rooms:lobby", said("hi"))
	hears.wait(t, 1)
	if got := deaf.all(); len(got) != 0 {
		t.Errorf("the other prefix heard %v", got)
	}
	for _, prefix := range []string{"a.b", "*", ">", "a b", "é", "a:b"} {
		if _, err := backbone.Connect(t.Context(), &backbone.Options{Server: srv, Prefix: prefix}); err == nil {
			t.Errorf("Connect takes prefix %q", prefix)
		}
	}
}

// A server that is not there yet is no error; the link comes up with it.
func TestConnectBeforeTheServer(t *testing.T) {
	srv := startServer(t, "")
	door := &door{Server: srv}
	ann := dial(t, door)
	if err := ann.Ready(); err == nil || ann.Connected() {
		t.Errorf("Ready() = %v, Connected() = %v without a server", err, ann.Connected())
	}
	if err := ann.Publish(t.Context(), "rooms:lobby", said("hi")); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Publish = %v, want ErrUnavailable", err)
	}
	if _, err := ann.Subscribe(t.Context(), "rooms:lobby", false, func(edge.Delivery) {}); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Subscribe = %v, want ErrUnavailable", err)
	}
	heard := make(chan string, 1)
	if _, err := ann.SubscribeControl(t.Context(), "drain", func(data []byte) { heard <- string(data) }); err != nil {
		t.Fatalf("SubscribeControl: %v", err)
	}
	door.open()
	eventually(t, "ready", func() bool { return ann.Ready() == nil && ann.Connected() })
	e := listen(t, ann, "rooms:lobby", false)
	bob := dial(t, srv)
	publish(t, bob, "rooms:lobby", said("hi"))
	e.wait(t, 1)
	if err := bob.PublishControl(t.Context(), "drain", []byte("now")); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; got != "now" {
		t.Errorf("heard %q", got)
	}
}

func TestReconnect(t *testing.T) {
	srv := startServer(t, "")
	door := &door{Server: srv}
	door.open()
	ann, bob := dial(t, door), dial(t, srv)
	e := listen(t, ann, "rooms:lobby", false)
	door.shut()
	eventually(t, "connection lost", func() bool { return !ann.Connected() })
	if err := ann.Ready(); err != nil {
		t.Errorf("Ready() = %v right after the loss, want some patience", err)
	}
	if err := ann.Publish(t.Context(), "rooms:lobby", said("lost")); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Publish = %v, want ErrUnavailable", err)
	}
	door.open()
	eventually(t, "connected again", func() bool { return ann.Connected() && ann.Stats().Reconnects == 2 })
	publish(t, bob, "rooms:lobby", said("hi"))
	if got := e.wait(t, 1); string(got[0].Payload) != string(said("hi").Payload) {
		t.Errorf("heard %s", got[0].Payload)
	}
}

func TestClose(t *testing.T) {
	srv := startServer(t, "")
	ann, bob := dial(t, srv), dial(t, srv)
	e := listen(t, bob, "rooms:lobby", false)
	mine := listen(t, ann, "rooms:lobby", false)
	publish(t, ann, "rooms:lobby", said("bye"))
	if err := ann.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	e.wait(t, 1)
	publish(t, bob, "rooms:lobby", said("anyone?"))
	if err := ann.Publish(t.Context(), "rooms:lobby", said("hi")); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Publish = %v, want ErrUnavailable", err)
	}
	if _, err := ann.Subscribe(t.Context(), "rooms:a", false, func(edge.Delivery) {}); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Subscribe = %v, want ErrUnavailable", err)
	}
	if ann.Ready() == nil || ann.Connected() {
		t.Error("ready after Close")
	}
	if err := ann.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if got := mine.all(); len(got) != 0 {
		t.Errorf("delivered %v", got)
	}
	eventually(t, "connections closed", func() bool { return srv.NATS().NumClients() == 2 })
}
