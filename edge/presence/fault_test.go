package presence_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/embedded"
)

// An edge that dies without a word loses its users after the configured time,
// not before.
func TestEdgeDies(t *testing.T) {
	ns := newNATS(t)
	o := presence.Options{}.Quick()
	a, b := newEdge(t, ns, o), newEdge(t, ns, o)
	ann := a.dial(t, "t:x", `{"key":"ann"}`)
	bob := b.dial(t, "t:x", `{"key":"bob"}`)
	ann.shows("ann:1 bob:1")
	bob.shows("ann:1 bob:1")
	died := time.Now()
	b.kill(t)
	ann.shows("ann:1")
	took := time.Since(died)
	t.Logf("gone after %v", took)
	if least := o.DeadAfter / 2; took < least { // it said something a quarter of the time ago, or a bit more
		t.Errorf("bob was gone after %v, want at least %v", took, least)
	}
	if took > patience/2 {
		t.Errorf("bob was gone after %v, want little more than %v", took, o.DeadAfter)
	}
}

// Who comes back elsewhere after a drain never appears to leave; who does not,
// leaves after the grace.
func TestDrain(t *testing.T) {
	ns := newNATS(t)
	o := presence.Options{}.Quick()
	o.Grace = 5 * time.Second
	a, b, c := newEdge(t, ns, o), newEdge(t, ns, o), newEdge(t, ns, o)
	watcher := a.dial(t, "t:x", `{}`)
	ann := b.dial(t, "t:x", `{"key":"ann"}`)
	twice := b.dial(t, "t:x", `{"key":"ann"}`)
	bob := b.dial(t, "t:x", `{"key":"bob"}`)
	cid := c.dial(t, "t:x", `{"key":"cid"}`)
	for _, m := range []*client{watcher, ann, twice, bob, cid} {
		m.shows("ann:2 bob:1 cid:1")
	}
	shutdown := make(chan error, 1)
	go func() { shutdown <- b.Shutdown(t.Context()) }()
	for _, m := range []*client{ann, twice, bob} {
		eventually(t, "the drained edge closes", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.closed })
		for _, f := range m.drain() {
			if strings.Contains(f, `"leaves":{"`) {
				t.Errorf("a member of the drained edge was told %s", f)
			}
		}
	}
	if err := <-shutdown; err != nil {
		t.Error(err)
	}
	back := c.dial(t, "t:x", `{"key":"ann"}`)
	back2 := a.dial(t, "t:x", `{"key":"ann"}`)
	for _, m := range []*client{watcher, cid, back, back2} {
		m.shows("ann:2 cid:1") // bob had his time
	}
	for _, m := range []*client{watcher, cid} {
		if m.now.vanished["ann"] != 0 || m.now.vanished["cid"] != 0 || m.now.vanished["bob"] != 1 {
			t.Errorf("vanished: %v, want bob alone, once", m.now.vanished)
		}
		for _, f := range m.drain() { // nor was she ever there fewer than twice
			var d diff
			var payload json.RawMessage
			if json.Unmarshal([]byte(f), &[]any{nil, nil, nil, nil, &payload}) == nil && json.Unmarshal(payload, &d) == nil &&
				d.Leaves["ann"] != nil && (d.Joins["ann"] == nil || len(d.Joins["ann"].Metas) < len(d.Leaves["ann"].Metas)) {
				t.Errorf("ann left in %s", f)
			}
		}
	}
	wantSame(t, []*edgeServer{a, c}, []*client{watcher, cid, back, back2}, "t:x")
}

// wantSame waits until all edges know the same and all clients show it.
func wantSame(t *testing.T, edges []*edgeServer, clients []*client, topic string) {
	t.Helper()
	var differ string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if differ = difference(t, edges, clients, topic); differ == "" {
			return
		}
	}
	t.Fatal(differ)
}

func difference(t *testing.T, edges []*edgeServer, clients []*client, topic string) string {
	want := known(t, edges[0], topic)
	for i, e := range edges {
		if got := known(t, e, topic); got != want {
			return fmt.Sprintf("edge %d knows of %s\n%sedge 0 knows\n%s", i, topic, got, want)
		}
	}
	for i, c := range clients {
		c.mu.Lock()
		now, old, synced := c.now.state.String(), c.old.state.String(), c.now.synced
		c.mu.Unlock()
		if now != want || old != want || !synced {
			return fmt.Sprintf("client %d (synced: %t) shows of %s\n%sof old\n%sthe edges know\n%s", i, synced, topic, now, old, want)
		}
	}
	return ""
}

// An edge without a link shows whom it knew, and learns what it missed.
func TestLinkDown(t *testing.T) {
	ns := newNATS(t)
	o := presence.Options{}.Quick()
	a, b := newEdge(t, ns, o), newEdge(t, ns, o)
	ann := a.dial(t, "t:x", `{"key":"ann"}`)
	bob := b.dial(t, "t:x", `{"key":"bob"}`)
	ann.shows("ann:1 bob:1")
	bob.shows("ann:1 bob:1")
	b.door.shut()
	ann.shows("ann:1") // a thinks that b died
	a.dial(t, "t:x", `{"key":"cid"}`)
	dan := b.dial(t, "t:x", `{"key":"dan"}`)
	ann.shows("ann:1 cid:1")
	dan.shows("ann:1 bob:1 dan:1")
	if n := bob.now.vanished["ann"]; n > 0 {
		t.Error("the edge without a link forgot ann")
	}
	b.door.open()
	for _, c := range []*client{ann, bob, dan} {
		c.shows("ann:1 bob:1 cid:1 dan:1")
	}
	wantSame(t, []*edgeServer{a, b}, []*client{ann, bob, dan}, "t:x")
	if n := bob.now.vanished["ann"]; n > 0 {
		t.Error("ann vanished when the link came back")
	}
}

// A cluster of NATS servers that is split in two and healed: each side forgets
// the other, and both agree again.
func TestNetsplit(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	cluster, err := embedded.StartCluster(3, t.TempDir(), &embedded.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Shutdown)
	o := presence.Options{}.Quick()
	a, b := clusterEdge(t, cluster.URLs()[:1], o), clusterEdge(t, cluster.URLs()[1:2], o)
	ann := a.dial(t, "t:x", `{"key":"ann"}`)
	bob := b.dial(t, "t:x", `{"key":"bob"}`)
	ann.shows("ann:1 bob:1")
	bob.shows("ann:1 bob:1")

	// b's server goes away, and b with it as far as a can see.
	cluster.Stop(1)
	ann.shows("ann:1")
	cid := a.dial(t, "t:x", `{"key":"cid"}`)
	ann.shows("ann:1 cid:1")
	bob.ask("update", `{"key":"bob","n":5}`)
	if err := cluster.Restart(1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{ann, bob, cid} {
		c.shows("ann:1 bob:1 cid:1")
	}
	wantSame(t, []*edgeServer{a, b}, []*client{ann, bob, cid}, "t:x")
	if got := ann.now.state["bob"].Metas[0].N; got != 5 {
		t.Errorf("ann shows bob's meta %d, want 5", got)
	}
}

// clusterEdge is an edge that knows only these servers.
func clusterEdge(t *testing.T, urls []string, o *presence.Options) *edgeServer {
	t.Helper()
	l, err := backbone.Connect(t.Context(), &backbone.Options{
		URLs: urls, Logger: quiet(), NATS: []nats.Option{nats.IgnoreDiscoveredServers()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return serve(t, &edgeServer{link: &lossy{Link: l}}, o)
}

// Heartbeats that do not come through, while both sides keep their links: each
// takes the other for dead, and both agree again once they hear each other.
func TestPartition(t *testing.T) {
	ns := newNATS(t)
	o := presence.Options{}.Quick()
	var apart atomic.Bool
	a, b := lossyEdge(t, ns, o, apart.Load), lossyEdge(t, ns, o, apart.Load)
	ann := a.dial(t, "t:x", `{"key":"ann"}`)
	bob := b.dial(t, "t:x", `{"key":"bob"}`)
	ann.shows("ann:1 bob:1")
	bob.shows("ann:1 bob:1")
	apart.Store(true)
	ann.shows("ann:1")
	bob.shows("bob:1")
	bob.ask("update", `{"key":"bob","n":2}`)
	apart.Store(false)
	ann.shows("ann:1 bob:1")
	bob.shows("ann:1 bob:1")
	wantSame(t, []*edgeServer{a, b}, []*client{ann, bob}, "t:x")
}

var seed = flag.Uint64("seed", 0, "seed of the random test, 0 for a new one")

// Random operations on three edges, whose links are cut, who are killed and
// replaced, and who lose messages: at rest everybody knows the truth and shows
// it.
func TestRandomFaults(t *testing.T) {
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		s := *seed
		if s == 0 {
			s = rand.Uint64()
		}
		t.Run(fmt.Sprint("seed=", s), func(t *testing.T) {
			t.Parallel()
			randomFaults(t, rand.New(rand.NewPCG(s, 0)))
		})
	}
}

// A member is a client and what it should be seen to track.
type member struct {
	*client
	edge int
	keys map[string]int // meta by key
}

func randomFaults(t *testing.T, rng *rand.Rand) {
	const edges, topics, steps = 3, 2, 250
	ns := newNATS(t)
	o := presence.Options{Rate: 1e6, Burst: 1e6, MaxMetas: 1e6}.Quick()
	var losing atomic.Bool
	loses := func() bool { return losing.Load() && rand.IntN(4) == 0 }
	all := make([]*edgeServer, edges)
	for i := range all {
		all[i] = lossyEdge(t, ns, o, loses)
	}
	cut := make([]bool, edges)
	var members []*member
	n, cuts, ends := 0, 0, 0
	for range steps {
		n++
		switch op := rng.IntN(100); {
		case op < 40 || len(members) < 5:
			if len(members) > 25 {
				continue
			}
			i, key := rng.IntN(edges), fmt.Sprint("k", rng.IntN(8))
			c, err := all[i].tryDial(t, fmt.Sprint("t:", rng.IntN(topics)), fmt.Sprintf(`{"key":%q,"n":%d}`, key, n))
			if err != nil { // a topic cannot be opened without a link
				if !strings.Contains(err.Error(), "unavailable") {
					t.Fatal(err)
				}
				c.leave()
				continue
			}
			members = append(members, &member{c, i, map[string]int{key: n}})
		case op < 50:
			i := rng.IntN(len(members))
			members[i].leave()
			members = slices.Delete(members, i, i+1)
		case op < 85:
			m := members[rng.IntN(len(members))]
			if len(m.keys) == 0 {
				continue
			}
			keys := slices.Sorted(maps.Keys(m.keys))
			key := keys[rng.IntN(len(keys))]
			switch other := fmt.Sprint("k", rng.IntN(8)); {
			case op < 70:
				m.ask("update", `{"key":%q,"n":%d}`, key, n)
				m.keys[key] = n
			case op < 75:
				m.ask("untrack", `{"key":%q}`, key)
				delete(m.keys, key)
			case op < 80 && m.keys[other] == 0:
				m.ask("track", `{"key":%q,"n":%d}`, other, n)
				m.keys[other] = n
			default: // again, on the same connection
				if err := m.tryJoin(fmt.Sprintf(`{"key":%q,"n":%d}`, key, n)); err != nil {
					if !strings.Contains(err.Error(), "unavailable") {
						t.Fatal(err)
					}
					// The room was closed and could not be opened again.
					m.leave()
					members = slices.DeleteFunc(members, func(o *member) bool { return o == m })
					continue
				}
				m.keys = map[string]int{key: n}
			}
		case op < 88:
			losing.Store(!losing.Load())
		case op < 92:
			i := rng.IntN(edges)
			if !cut[i] {
				all[i].door.shut()
				cut[i] = true
				cuts++
			}
		case op < 93:
			i := rng.IntN(edges)
			all[i].kill(t)
			all[i], cut[i] = lossyEdge(t, ns, o, loses), false
			ends++
			members = slices.DeleteFunc(members, func(m *member) bool { return m.edge == i })
		case op < 94:
			i := rng.IntN(edges)
			if err := all[i].Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			all[i], cut[i] = lossyEdge(t, ns, o, loses), false
			ends++
			members = slices.DeleteFunc(members, func(m *member) bool { return m.edge == i })
		default:
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		}
		time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
		if i := rng.IntN(edges); cut[i] && rng.IntN(4) == 0 {
			all[i].door.open()
			cut[i] = false
		}
	}
	t.Logf("%d members are left; links cut %d times, edges ended %d times", len(members), cuts, ends)
	losing.Store(false)
	for _, e := range all {
		e.door.open()
	}
	for topic := range topics {
		topic := fmt.Sprint("t:", topic)
		var here []*client
		truth := people{}
		for _, m := range members {
			if m.topic != topic {
				continue
			}
			here = append(here, m.client)
			for key, n := range m.keys {
				if truth[key] == nil {
					truth[key] = &person{}
				}
				truth[key].Metas = append(truth[key].Metas, meta{N: n})
			}
		}
		eventually(t, "the edges know the truth", func() bool {
			return slices.IndexFunc(all, func(e *edgeServer) bool { return withoutRefs(known(t, e, topic)) != withoutRefs(truth.String()) }) < 0
		})
		wantSame(t, all, here, topic)
	}
}

// withoutRefs is what people are, whatever their refs.
func withoutRefs(s string) string {
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		words := strings.Fields(line)
		for i := range words {
			words[i], _, _ = strings.Cut(words[i], "/")
		}
		if len(words) > 1 {
			slices.Sort(words[1:])
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "\n")
}

var _ presence.Network = (*backbone.Link)(nil)
var _ edge.Backbone = (*lossy)(nil)
