package edge_test

import (
	"context"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

// NATS restarts while a client polls through an edge that does not have its
// session. The session lives, since its edge is known to, however the two edges
// find back; and nothing is lost.
func TestLongPollNATSRestarts(t *testing.T) {
	dir := t.TempDir()
	start := func(listen string) *embedded.Server {
		ns, err := embedded.Start(&embedded.Options{StoreDir: dir, Listen: listen, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	ns := start("127.0.0.1:0")
	addr := ns.ClientURL()[len("nats://"):]
	alive := func(o *edge.Options) {
		o.LongPoll.Alive = func(string) bool { return true }
		o.LongPoll.OwnerTimeout = time.Second
	}
	var edges []*edgeServer
	var links []*backbone.Link
	for range 2 {
		l, err := backbone.Connect(t.Context(), &backbone.Options{URLs: []string{ns.ClientURL()}, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close(context.Background()) })
		links = append(links, l)
		edges = append(edges, newEdge(t, l, longPoll(alive), probes))
	}
	p := newPoller(t, edges[0])
	p.edges = edges[1:]
	p.join("1", "t:x")
	for range 3 {
		polling := make(chan polled, 1)
		go func() { polling <- p.poll() }()
		ns.Shutdown()
		for _, l := range links {
			eventually(t, "the link is lost", func() bool { return !l.Connected() })
		}
		posting := make(chan int, 1)
		go func() { posting <- p.post(beat) }()
		// Longer than an owner may take to answer.
		time.Sleep(1500 * time.Millisecond)
		ns = start(addr)
		if got := <-posting; got != 200 {
			t.Errorf("POST: %d, want 200", got)
		}
		if a := <-polling; a.Status == 200 {
			p.unread = a.Messages
		} else if a.Status != 204 || a.Token != p.token {
			t.Fatalf("the poll got %+v", a)
		}
		p.want(beatReply)
		if err := edges[0].BroadcastLocal("t:x", "bc", nil); err != nil {
			t.Fatal(err)
		}
		p.want(`[null,null,"t:x","bc",{}]`)
	}
	ns.Shutdown()
}
