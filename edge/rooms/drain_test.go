package rooms_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/fleet"
	"github.com/aristochat/aristochat/edge/rooms"
)

// Edges are drained one after the other, as a deploy does, while people talk.
// Every acknowledged message arrives at every client that resumes exactly once,
// in one order.
func TestDeploy(t *testing.T) {
	ns := newNATS(t)
	const topic, clients, publishers = "rooms:lobby", 60, 6
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()

	type site struct {
		*server
		member *fleet.Member
	}
	start := func() *site {
		st := newStore(t, ns, nil)
		table, err := fleet.Watch(t.Context(), st, &fleet.Options{Every: 500 * time.Millisecond, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(table.Close)
		e := newEdgeWith(t, st, &edge.Options{Connect: rooms.Connect, Logger: quiet(), AdmitRate: 60}, nil)
		return &site{e, table.Join(e.Server, nil)}
	}
	var mu sync.Mutex // guards what follows
	var sites []*site
	pick := func(i int) string {
		mu.Lock()
		defer mu.Unlock()
		return sites[i%len(sites)].addr()
	}
	for range 2 {
		sites = append(sites, start())
	}
	epoch := sites[0].Backbone().(*backbone.Store).Epoch()

	listeners := make([]*listener, clients)
	var listening sync.WaitGroup
	for i := range listeners {
		l := &listener{topic: topic, epoch: epoch}
		listeners[i] = l
		done := func() bool { return len(l.got) > 0 && l.got[len(l.got)-1].Body == "the end" }
		listening.Go(func() {
			for turn := i; !done() && l.broken == nil && ctx.Err() == nil; turn++ {
				err := l.visit(ctx, pick(turn), fmt.Sprintf("listener %d", i), done)
				if code := websocket.CloseStatus(err); code != -1 && code != websocket.StatusServiceRestart {
					t.Errorf("client %d was closed with %v", i, code)
				}
			}
		})
	}
	eventually(t, "all are there", func() bool {
		return sites[0].Stats().Channels+sites[1].Stats().Channels == clients
	})
	quit := make(chan struct{})
	speakers := make([]*speaker, publishers)
	var speaking sync.WaitGroup
	for i := range speakers {
		sp := &speaker{name: fmt.Sprintf("speaker %d", i), topic: topic, drain: func([]frame) {}}
		speakers[i] = sp
		speaking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				case <-time.After(20 * time.Millisecond):
				}
				mu.Lock()
				sp.addrs = []string{sites[i%2].addr(), sites[1-i%2].addr()}
				mu.Unlock()
				if err := sp.say(ctx, fmt.Sprintf("%d.%d", i, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}

	// The new one comes before the old one goes.
	for i := range 2 {
		fresh := start()
		mu.Lock()
		old := sites[i]
		sites[i] = fresh
		mu.Unlock()
		eventually(t, "the old one knows two others", func() bool { return old.member.Pace() == 96 })
		patient, cancel := context.WithTimeout(ctx, 12*time.Second) // it takes half
		if err := old.Drain(patient, old.member.Pace); err != nil {
			t.Error(err)
		}
		cancel()
		if st := old.Stats(); st.Drained < clients/4 || st.DrainCut != 0 || st.Sockets != 0 {
			t.Errorf("%+v", st)
		}
	}
	close(quit)
	speaking.Wait()
	if err := speakers[0].say(ctx, "the end"); err != nil {
		t.Fatal(err)
	}
	all := stored(t, plain(t, ns), "chat.in.rooms.lobby")
	listening.Wait()
	checkStored(t, all, speakers)
	visits := 0
	for i, l := range listeners {
		l.check(t, fmt.Sprintf("client %d", i), all)
		visits += l.visits
	}
	if visits < 2*clients-clients/4 {
		t.Errorf("%d joins of %d clients; the test tests little", visits, clients)
	}
	t.Logf("%d messages, %d joins", len(all), visits)
}
