package rooms_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
)

// An edge has just started when all clients of a room come back at once, each
// from the same place. JetStream is read for the room, not for each of them,
// whether what they missed is more than the edge keeps of a room or less.
func TestReplayStorm(t *testing.T) {
	for _, tt := range []struct{ clients, missed int }{{1000, 100}, {500, 450}} {
		clients, missed := tt.clients, tt.missed
		if testing.Short() {
			clients /= 5
		}
		t.Run(fmt.Sprintf("%d missed", missed), func(t *testing.T) {
			ns := newNATS(t)
			author := newStore(t, ns, nil)
			since := fill(t, author, "rooms:x", 0, 10)
			last := fill(t, author, "rooms:x", 10, 10+missed)
			epoch := author.Epoch()
			all := stored(t, plain(t, ns), "chat.in.rooms.x")[10:]

			// All requests that the server sees, whoever made them.
			nc := plain(t, ns)
			var requests atomic.Int64
			if _, err := nc.Subscribe("$JS.API.>", func(*nats.Msg) { requests.Add(1) }); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			st := newStore(t, ns, nil)
			e := newEdge(t, st, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
			defer cancel()
			listeners := make([]*listener, clients)
			together(clients, func(i int) {
				l := &listener{topic: "rooms:x", epoch: epoch, since: since.Seq}
				listeners[i] = l
				if err := l.visit(ctx, e.addr(), "listener", func() bool { return l.since >= last.Seq }); err != nil {
					t.Errorf("client %d is at %d of %d: %v", i, l.since, last.Seq, err)
				}
			})
			for i, l := range listeners {
				l.check(t, fmt.Sprintf("client %d", i), all)
			}
			s := st.StoreStats()
			if err := nc.Flush(); err != nil { // what the server saw is here
				t.Fatal(err)
			}
			t.Logf("%d clients missed %d messages: %d requests, %+v", clients, missed, requests.Load(), s)
			// Each client takes up to three pages. Where they drift apart on a busy
			// machine some are read again.
			if n := requests.Load(); n == 0 || n > int64(clients)/4 {
				t.Errorf("%d requests, of which %d reads, for %d clients", n, s.Reads, clients)
			}
		})
	}
}
