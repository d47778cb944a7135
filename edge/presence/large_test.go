package presence_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aristochat/aristochat/edge/presence"
)

// A room that grows beyond the limit is counted, and one that shrinks is shown
// again.
func TestCounted(t *testing.T) {
	ns := newNATS(t)
	o := &presence.Options{CountAbove: 10}
	a, b := newEdge(t, ns, o), newEdge(t, ns, o)
	watcher := a.dial(t, "t:x", `{}`)
	var members []*client
	for i := range 10 {
		members = append(members, b.dial(t, "t:x", fmt.Sprintf(`{"key":"k%02d"}`, i)))
	}
	watcher.await("ten", func() bool { return len(watcher.now.state) == 10 })

	members = append(members, b.dial(t, "t:x", `{"key":"k10"}`))
	for _, c := range append(members, watcher) {
		c.await("a count instead", func() bool { return c.now.synced && len(c.now.state) == 0 && c.now.count == 11 })
	}
	members = append(members, b.dial(t, "t:x", `{"key":"k11"}`))
	late := a.dial(t, "t:x", `{}`)
	for _, c := range []*client{watcher, late, members[11]} {
		c.await("the new count", func() bool { return c.now.synced && len(c.now.state) == 0 && c.now.count == 12 })
	}
	watcher.drain()
	for _, c := range members[8:] {
		c.leave()
	}
	members = members[:8]
	for _, c := range append(members, watcher, late) {
		c.await("eight again", func() bool { return len(c.now.state) == 8 })
	}
	for _, f := range watcher.drain() {
		if strings.Contains(f, "presence_diff") {
			t.Errorf("a room that is counted was told of %s", f)
		}
	}
	members = append(members, b.dial(t, "t:x", `{"key":"new"}`))
	late.await("the new one", func() bool { return late.now.state["new"] != nil })
	wantSame(t, []*edgeServer{a, b}, append(members, watcher, late), "t:x")
}

func TestPages(t *testing.T) {
	ns := newNATS(t)
	e := newEdge(t, ns, &presence.Options{CountAbove: 3, MaxKeys: 1000, Burst: 1000})
	c := e.dial(t, "t:x", `{}`)
	const n = 130
	for i := range n {
		c.ask("track", `{"key":"k%03d","n":%d}`, i, i)
	}
	type page struct {
		Presences people
		Count     int
		Next      *string
	}
	var keys []string
	after := ""
	for _, want := range []int{40, 40, 40, 10} {
		var p page
		if err := json.Unmarshal(c.ask("presence_list", `{"after":%q,"limit":40}`, after), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Presences) != want || p.Count != n || (p.Next == nil) != (want == 10) {
			t.Fatalf("after %q: got %d of %d, next %v; want %d", after, len(p.Presences), p.Count, p.Next, want)
		}
		for key := range p.Presences {
			keys = append(keys, key)
		}
		if p.Next != nil {
			after = *p.Next
		}
	}
	slices.Sort(keys)
	if keys = slices.Compact(keys); len(keys) != n {
		t.Errorf("the pages have %d keys, want %d", len(keys), n)
	}
	var most, behind page
	if err := json.Unmarshal(c.ask("presence_list", `{"limit":100000}`), &most); err != nil || len(most.Presences) != 100 {
		t.Errorf("a page without bounds has %d keys (%v), want 100", len(most.Presences), err)
	}
	if err := json.Unmarshal(c.ask("presence_list", `{"after":"zzz"}`), &behind); err != nil || len(behind.Presences) != 0 || behind.Next != nil {
		t.Errorf("behind the last key are %v (%v)", behind.Presences, err)
	}
	var none, rest page
	c.ask("track", `{"key":""}`)
	if err := json.Unmarshal(c.ask("presence_list", `{"limit":1}`), &none); err != nil || none.Next == nil || *none.Next != "k000" {
		t.Errorf("the page with the empty key is %+v (%v), want it to go on after k000", none, err)
	}
	if err := json.Unmarshal(c.ask("presence_list", `{"after":"k128"}`), &rest); err != nil || len(rest.Presences) != 1 || rest.Next != nil {
		t.Errorf("the last page is %+v (%v), want one key", rest, err)
	}
	if r, err := c.call("presence_list", `{"limit":"many"}`); err != nil || r.Status != "error" {
		t.Errorf("a limit that is no number: %s %s %v", r.Status, r.Response, err)
	}
}

// What an edge has of a large room does not fit into one packet, nor does its
// digest need to.
func TestManyPackets(t *testing.T) {
	ns := newNATS(t)
	o := &presence.Options{MaxKeys: 1e6, Burst: 1e6, CountAbove: -1}
	a, b := newEdge(t, ns, o), newEdge(t, ns, o)
	c := a.dial(t, "t:x", `{"key":"first"}`)
	c.shows("first:1")
	const n = 5000
	a.trackMany(t, "t:x", n)
	c.await("all", func() bool { return len(c.now.state) == n+1 })
	late := b.dial(t, "t:x", `{"key":"late"}`)
	late.await("all and itself", func() bool { return len(late.now.state) == n+2 })
	wantSame(t, []*edgeServer{a, b}, []*client{c, late}, "t:x")
	c2 := b.dial(t, "t:x", `{}`)
	c2.await("all", func() bool { return len(c2.now.state) == n+2 })
}

// Of a large answer some packet is lost, whichever: what came of it counts for
// nothing, and the edge is asked again.
func TestPacketOfAnAnswerIsLost(t *testing.T) {
	const n = 5000 // three packets
	for lost := range 3 {
		t.Run(strconv.Itoa(lost), func(t *testing.T) {
			t.Parallel()
			ns := newNATS(t)
			o := &presence.Options{MaxKeys: 1e6, Burst: 1e6, CountAbove: -1}
			a, b := newEdge(t, ns, o), newEdge(t, ns, o)
			c := a.dial(t, "t:x", `{"key":"first"}`)
			a.trackMany(t, "t:x", n)
			c.await("all", func() bool { return len(c.now.state) == n+1 })
			var heard atomic.Int64
			b.link.losesAnswer = func() bool { return heard.Add(1) == int64(lost+1) }
			late := b.dial(t, "t:x", `{"key":"late"}`)
			late.await("all and itself", func() bool { return len(late.now.state) == n+2 })
			wantSame(t, []*edgeServer{a, b}, []*client{c, late}, "t:x")
			if got := heard.Load(); got < 6 {
				t.Errorf("%d packets came as answers, want three, twice", got)
			}
		})
	}
}
