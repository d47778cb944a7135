package presence_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/presence"
)

// unbounded lets one channel stand for many users.
func unbounded() *presence.Options {
	return &presence.Options{MaxKeys: 1e6, Rate: 1e9, Burst: 1e9}
}

// fill has n users in a room, a thousand a channel.
func fill(b *testing.B, e *edgeServer, topic string, n int) {
	b.Helper()
	for i := 0; i < n; i += 1000 {
		c := e.dial(b, topic, `{}`)
		c.ask("many", `{"key":"user-%03d-","n":%d}`, i/1000, min(n-i, 1000))
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Memory that a user takes on the edge that it is on, and on another with
// members in the same room.
func BenchmarkMemory(b *testing.B) {
	if b.N > 1 {
		b.Skip("once is enough") // and what the first time left would count
	}
	const n = 50_000
	ns := newNATS(b)
	here, there := newEdge(b, ns, unbounded()), newEdge(b, ns, unbounded())
	there.dial(b, "t:x", `{}`)
	before := heap()
	fill(b, here, "t:x", n)
	eventually(b, "both know all", func() bool {
		return here.who.Stats().Metas == n && there.who.Stats().Metas == n
	})
	time.Sleep(1200 * time.Millisecond) // what is to be told has been
	b.ReportMetric(float64(heap()-before)/n/2, "B/user/edge")
	b.ReportMetric(0, "ns/op")
}

// What edges say of a join.
func BenchmarkJoinBytes(b *testing.B) {
	ns := newNATS(b)
	e := newEdge(b, ns, unbounded())
	c := e.dial(b, "t:x", `{"key":"ann"}`)
	c.shows("ann:1")
	time.Sleep(100 * time.Millisecond)
	for n := range 3 {
		count := []int{1, 100, 1000}[n]
		before := e.link.said.Load()
		c.ask("many", `{"key":"user-%d-","n":%d}`, n, count)
		eventually(b, "it is said", func() bool { return e.link.said.Load() > before })
		time.Sleep(100 * time.Millisecond)
		b.ReportMetric(float64(e.link.said.Load()-before)/float64(count), fmt.Sprintf("B/join_of_%d", count))
	}
	b.ReportMetric(0, "ns/op")
}

// From a client's join to its presence_state: on an edge that has members in
// the room, and on one that opens it.
func BenchmarkTimeToState(b *testing.B) {
	for _, n := range []int{10, 1_000, 50_000} {
		ns := newNATS(b)
		o := unbounded()
		o.Linger(time.Millisecond)
		here, there := newEdge(b, ns, unbounded()), newEdge(b, ns, o)
		fill(b, here, "t:x", n)
		time.Sleep(500 * time.Millisecond) // what is to be told has been
		bench := func(name string, e *edgeServer, after func()) {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				var total time.Duration
				var bytes int
				for b.Loop() {
					c := e.idle(b)
					start := time.Now()
					if err := c.tryJoin(`{}`); err != nil {
						b.Fatal(err)
					}
					c.await("state", func() bool { return c.now.synced })
					total += time.Since(start)
					for _, f := range c.drain() {
						bytes += len(f)
					}
					c.leave()
					after()
				}
				b.ReportMetric(total.Seconds()*1000/float64(b.N), "ms/state")
				b.ReportMetric(float64(bytes)/float64(b.N), "B/state")
				b.ReportMetric(0, "ns/op")
			})
		}
		bench("open", here, func() {})
		bench("opening", there, func() {
			eventually(b, "the room is closed", func() bool { return there.who.Stats().Rooms == 0 })
		})
	}
}
