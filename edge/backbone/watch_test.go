package backbone_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
)

// watched collects what passes, as texts.
func watched(t *testing.T, l *backbone.Link, pattern string) chan string {
	t.Helper()
	seen := make(chan string, 64)
	stop, err := l.Watch(t.Context(), pattern, func(p backbone.Passing) {
		s := fmt.Sprintf("%s %s %s", p.Topic, p.Name, p.Payload)
		if p.Stored {
			s = fmt.Sprintf("#%d %s", p.Seq, s)
		}
		if p.Stored == p.At.IsZero() && p.Dropped == nil {
			t.Errorf("%s: the time is %v", s, p.At)
		}
		if p.Dropped != nil {
			s = "dropped " + s
		}
		seen <- s
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return seen
}

func TestWatch(t *testing.T) {
	srv := startServer(t, t.TempDir())
	st := keep(t, srv, &backbone.StoreOptions{Apply: true})
	looker := dial(t, srv)
	patterns := map[string]chan string{}
	for _, p := range []string{backbone.Everything, "rooms:*", "rooms:a.b *", "news", "other:*"} {
		patterns[p] = watched(t, looker, p)
	}
	nc, err := srv.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()

	say(t, st, "rooms:a.b *", "hi")
	publish(t, st, "rooms:lobby", edge.Event{Name: "typing", Payload: []byte(`{}`)})
	publish(t, st, "news", edge.Event{Name: "flash", Payload: []byte{1}, Binary: true})
	if err := nc.Publish("chat.live.rooms.lobby", []byte("no")); err != nil { // forged
		t.Fatal(err)
	}
	if err := nc.Publish("chat.eph.rooms.%", []byte(`{}`)); err != nil { // of no topic, and of no event
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		backbone.Everything: {`#1 rooms:a.b * chat_msg {"body":"hi"}`, "rooms:lobby typing {}", "news flash \x01", "dropped #0 rooms:lobby chat_msg no", "dropped rooms.%  {}"},
		"rooms:*":           {`#1 rooms:a.b * chat_msg {"body":"hi"}`, "rooms:lobby typing {}", "dropped #0 rooms:lobby chat_msg no", "dropped rooms.%  {}"},
		"rooms:a.b *":       {`#1 rooms:a.b * chat_msg {"body":"hi"}`},
		"news":              {"news flash \x01"},
		"other:*":           nil,
	}
	for pattern, seen := range patterns {
		// Different connections publish: their order is no one's.
		got := map[string]bool{}
		for range want[pattern] {
			got[next(t, seen)] = true
		}
		for _, w := range want[pattern] {
			if !got[w] {
				t.Errorf("%q shows %v, want %q", pattern, got, w)
			}
		}
		if len(seen) > 0 {
			t.Errorf("%q shows also %q", pattern, <-seen)
		}
	}
}

func next(t *testing.T, c <-chan string) (s string) {
	t.Helper()
	eventually(t, "something passes", func() bool {
		select {
		case s = <-c:
			return true
		default:
			return false
		}
	})
	return s
}

func TestOverhear(t *testing.T) {
	srv := startServer(t, "")
	speaker, looker := dial(t, srv), dial(t, srv)
	heard := make(chan string, 8)
	stop, err := looker.Overhear(t.Context(), "d", "rooms:*", func(topic string, data []byte) { heard <- topic + " " + string(data) })
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"news", "rooms:a.b"} {
		if err := speaker.Say("d", topic, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	await(t, heard, "rooms:a.b x")
	stop()
	if err := speaker.Say("d", "rooms:a.b", []byte("y")); err != nil {
		t.Fatal(err)
	}
	flushLink(t, speaker)
	flushLink(t, looker)
	if len(heard) > 0 {
		t.Errorf("heard %q after stop", <-heard)
	}
}

func TestWatchWithoutLink(t *testing.T) {
	l := dial(t, nil, func(o *backbone.Options) { o.Server, o.URLs = nil, []string{"nats://127.0.0.1:1"} })
	if _, err := l.Watch(t.Context(), backbone.Everything, func(backbone.Passing) {}); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Watch = %v, want %v", err, edge.ErrUnavailable)
	}
	if _, err := backbone.NewProbe("nats://127.0.0.1:1", nil); !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("NewProbe = %v, want %v", err, nats.ErrNoServers)
	}
}
