package fleet_test

import (
	"math"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/fleet"
)

// find returns what a table knows of an edge.
func find(t *fleet.Table, e *site) *fleet.Edge {
	for _, other := range t.Edges() {
		if other.ID == e.ID() {
			return &other
		}
	}
	return nil
}

// Edges know each other, how full they are, and whom they cannot count on.
func TestFleet(t *testing.T) {
	ns := newNATS(t)
	a := newEdge(t, ns, &edge.Options{AdmitRate: 100, MaxSockets: 3})
	onlooker, err := fleet.Watch(t.Context(), newLink(t, ns), often())
	if err != nil {
		t.Fatal(err)
	}
	defer onlooker.Close()
	if got := a.member.Pace(); !math.IsInf(got, 1) {
		t.Errorf("alone an edge goes at %v", got)
	}
	b := newEdge(t, ns, &edge.Options{AdmitRate: 50})
	tables := map[string]*fleet.Table{"a": a.table, "b": b.table, "onlooker": onlooker}
	for who, table := range tables {
		eventually(t, who+" knows both", func() bool { return table.Len() == 2 })
	}
	ws := a.dial(t)
	join(t, ws)
	for who, table := range tables {
		eventually(t, who+" sees what a has", func() bool {
			e := find(table, a)
			return e != nil && e.Sockets == 1 && e.Channels == 1 && e.Rooms == 1 && e.MaxSockets == 3 && e.AdmitRate == 100 && e.MessagesIn+e.MessagesOut >= 0
		})
	}
	eventually(t, "b counts on a", func() bool { return b.member.Pace() == 4 }) // two places in half a second
	a.dial(t)
	a.dial(t)
	if err := a.Ready(); err == nil {
		t.Error("a is ready, and full")
	}
	eventually(t, "a is full for b", func() bool { return b.member.Pace() == 0 })

	a.member.Leave()
	eventually(t, "b is the only one that stays", func() bool { return math.IsInf(b.member.Pace(), 1) })
	eventually(t, "a counts on b", func() bool { return a.member.Pace() == 40 })
	if !b.table.Alive(a.ID()) {
		t.Error("a drains, and lives")
	}
	began := time.Now()
	if err := a.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for who, table := range map[string]*fleet.Table{"b": b.table, "onlooker": onlooker} {
		eventually(t, who+" knows that a has gone", func() bool { return table.Len() == 1 && !table.Alive(a.ID()) })
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}

// One that dies without a word is forgotten.
func TestFleetForgets(t *testing.T) {
	ns := newNATS(t)
	a := newEdge(t, ns, &edge.Options{})
	link := newLink(t, ns)
	table, err := fleet.Watch(t.Context(), link, often())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := edge.New(link, &edge.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	table.Join(srv, &fleet.MemberOptions{Name: "doomed\n", Version: "v0"})
	eventually(t, "a knows it", func() bool {
		for _, e := range a.table.Edges() {
			if e.Name == "doomed?" && e.Version == "v0" {
				return true
			}
		}
		return false
	})
	if err := link.Close(t.Context()); err != nil { // as NATS sees a process that was killed
		t.Fatal(err)
	}
	eventually(t, "a has forgotten it", func() bool { return a.table.Len() == 1 })
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A status out of turn, just after another one, takes no rate of the moment
// between.
func TestRatesOfAMoment(t *testing.T) {
	e := newEdge(t, newNATS(t), &edge.Options{})
	seldom, err := fleet.Watch(t.Context(), newLink(t, newNATS(t)), &fleet.Options{Every: time.Minute, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer seldom.Close()
	member := seldom.Join(e.Server, nil)
	eventually(t, "it has said how it is", func() bool { return seldom.Len() == 1 })
	join(t, e.dial(t))
	member.Leave()
	eventually(t, "it has said so again", func() bool { return seldom.Edges()[0].Draining })
	if s := seldom.Edges()[0]; s.Channels != 1 || s.MessagesIn != 0 || s.MessagesOut != 0 {
		t.Errorf("%+v: a rate of one message in a moment", s.Status)
	}
}
