package rooms_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

// A site is three servers of NATS and two edges.
type site struct {
	*embedded.Cluster
	stores []*backbone.Store
	addrs  []string // of the edges
	nc     *nats.Conn
}

func newSite(t *testing.T) *site {
	t.Helper()
	c, err := embedded.StartCluster(3, t.TempDir(), &embedded.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Shutdown)
	s := &site{Cluster: c}
	for range 2 {
		st := storeAt(t, &backbone.Options{URLs: c.URLs()}, nil)
		s.stores = append(s.stores, st)
		s.addrs = append(s.addrs, newEdge(t, st, nil).addr())
	}
	r, err := s.stores[0].CheckStream(t.Context(), nil)
	if err != nil || len(r.Differs)+len(r.Warnings) != 0 {
		t.Fatalf("the stream is not as it should be: %+v, %v", r, err)
	}
	if s.nc, err = nats.Connect(c.URLs()[0], nats.MaxReconnects(-1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.nc.Close)
	return s
}

// leader returns which server leads the stream.
func (s *site) leader(t *testing.T) (i int) {
	t.Helper()
	eventually(t, "a server leads the stream", func() bool {
		for i = range s.Servers {
			if s.Servers[i].NATS().JetStreamIsStreamLeader("$G", "ROOMS") {
				return true
			}
		}
		return false
	})
	return i
}

// Members on two edges see what publishers on both say in one order. The
// server that leads the stream goes in the middle of it: there is a pause,
// nothing is lost, nothing comes twice, and no client loses its connection.
func TestServerLost(t *testing.T) { loseLeader(t, (*embedded.Cluster).Stop) }

// The same where it leaves in order, as in a deploy of NATS.
func TestServerLeaves(t *testing.T) { loseLeader(t, (*embedded.Cluster).Leave) }

func loseLeader(t *testing.T, end func(c *embedded.Cluster, i int)) {
	t.Helper()
	s := newSite(t)
	const topic, perEdge, messages = "rooms:lobby", 4, 40
	epoch := s.stores[0].Epoch()
	total := 2 * perEdge * messages

	// Members that never leave: each visit is one, or the test fails.
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	members := make([]*listener, 2*perEdge)
	var listening sync.WaitGroup
	for i := range members {
		l := &listener{topic: topic, epoch: epoch}
		members[i] = l
		listening.Go(func() {
			if err := l.visit(ctx, s.addrs[i%2], "member", func() bool { return len(l.got) == total }); err != nil {
				t.Errorf("member %d has %d of %d messages: %v", i, len(l.got), total, err)
			}
		})
	}

	var acked atomic.Int64
	speakers := make([]*speaker, 2*perEdge)
	heard := make([][]message, len(speakers))
	var speaking sync.WaitGroup
	for i := range speakers {
		sp := &speaker{name: fmt.Sprintf("speaker %d", i), topic: topic, addrs: []string{s.addrs[i%2]}}
		sp.drain = func(frames []frame) {
			for _, f := range frames {
				var m message
				if err := json.Unmarshal(f.Payload, &m); err != nil || f.Event != "chat_msg" {
					t.Errorf("%s got %v", sp.name, f)
				}
				heard[i] = append(heard[i], m)
			}
		}
		speakers[i] = sp
		speaking.Go(func() {
			for n := range messages {
				if err := sp.say(ctx, fmt.Sprintf("%d.%d", i, n)); err != nil {
					t.Error(err)
					return
				}
				acked.Add(1)
			}
		})
	}
	eventually(t, "a third is said", func() bool { return acked.Load() > int64(total/3) })
	gone := s.leader(t)
	end(s.Cluster, gone)
	speaking.Wait()
	listening.Wait()

	all := stored(t, s.nc, "chat.in.rooms.lobby")
	checkStored(t, all, speakers)
	for i, l := range members {
		l.check(t, fmt.Sprintf("member %d", i), all)
	}
	retries := 0
	for i, sp := range speakers {
		retries += sp.retries
		// What a speaker heard is what is stored, as far as it listened.
		l := &listener{}
		skip := 0
		for skip < len(all) && len(heard[i]) > 0 && all[skip].Seq < heard[i][0].Seq {
			skip++
		}
		l.got = heard[i]
		l.check(t, sp.name, all[skip:min(skip+len(heard[i]), len(all))])
		if len(heard[i]) < messages {
			t.Errorf("%s heard only %d messages", sp.name, len(heard[i]))
		}
	}
	if got := s.stores[0].Epoch(); got != epoch {
		t.Errorf("epoch is %s, was %s", got, epoch)
	}
	t.Logf("%d messages, %d retries, server %d stopped", len(all), retries, gone)
}

// Everything fails that can, all the time: clients go and come back on
// whichever edge, publishers hang up before they are answered, servers are
// restarted one after the other. Every acknowledged message arrives at every
// client exactly once, in one order.
func TestChaos(t *testing.T) {
	publishers, clients, restarts, pace := 20, 200, 3, 400*time.Millisecond
	if testing.Short() {
		publishers, clients, restarts, pace = 8, 40, 1, 200*time.Millisecond
	}
	s := newSite(t)
	const topic = "rooms:a b.*" // any name will do
	epoch := s.stores[0].Epoch()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()

	// Clients.
	var last atomic.Uint64 // the sequence after which nothing comes, once it is known
	listeners := make([]*listener, clients)
	var listening sync.WaitGroup
	for i := range listeners {
		l := &listener{topic: topic, epoch: epoch}
		listeners[i] = l
		done := func() bool { return last.Load() != 0 && l.since >= last.Load() }
		listening.Go(func() {
			for !done() && l.broken == nil {
				stay := 2 * time.Second * time.Duration(1+rand.IntN(1000)) / 1000
				if rand.IntN(10) > 0 { // the others may not get as far as the join's reply
					stay += time.Second
				}
				visit, cancel := context.WithTimeout(ctx, stay)
				_ = l.visit(visit, s.addrs[rand.IntN(2)], "listener", done)
				cancel()
				if ctx.Err() != nil {
					t.Errorf("client %d is at %d, the end is at %d", i, l.since, last.Load())
					return
				}
			}
		})
	}

	// Publishers.
	var acked atomic.Int64
	quit := make(chan struct{})
	speakers := make([]*speaker, publishers)
	var speaking sync.WaitGroup
	for i := range speakers {
		sp := &speaker{name: fmt.Sprintf("speaker %d", i), topic: topic, addrs: []string{s.addrs[i%2], s.addrs[1-i%2]}, drops: 0.1, drain: func([]frame) {}}
		speakers[i] = sp
		speaking.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				case <-time.After(pace/2 + rand.N(pace)):
				}
				if err := sp.say(ctx, fmt.Sprintf("%d.%d", i, n)); err != nil {
					t.Error(err)
					return
				}
				acked.Add(1)
			}
		})
	}

	// Servers.
	goesOn := func(when string) {
		t.Helper()
		enough := acked.Load() + 3*int64(publishers)
		eventually(t, "messages are accepted "+when, func() bool { return acked.Load() >= enough })
	}
	goesOn("at first")
	for range restarts {
		i := s.leader(t) // where it hurts most
		s.Stop(i)
		goesOn("with a server less")
		if err := s.Restart(i); err != nil {
			t.Fatal(err)
		}
		goesOn("with the server back")
	}
	close(quit)
	speaking.Wait()
	all := stored(t, s.nc, "chat.in.rooms.a%20b%2E%2A")
	last.Store(all[len(all)-1].Seq)
	listening.Wait()

	checkStored(t, all, speakers)
	visits, retries := 0, 0
	for i, l := range listeners {
		l.check(t, fmt.Sprintf("client %d", i), all)
		visits += l.visits
	}
	for _, sp := range speakers {
		retries += sp.retries
	}
	if retries < publishers/4 || visits < 2*clients {
		t.Errorf("only %d retries and %d joins; the test tests little", retries, visits)
	}
	for i, st := range s.stores {
		if got := st.Epoch(); got != epoch {
			t.Errorf("edge %d: epoch is %s, was %s", i, got, epoch)
		}
		t.Logf("edge %d: %+v", i, st.StoreStats())
	}
	t.Logf("%d messages, %d retries, %d joins", len(all), retries, visits)
}
