package fleet

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// A switched is a backbone of which a Table asks one thing only.
type switched struct {
	edge.Backbone
	down bool
}

func (s *switched) Connected() bool { return !s.down }

func names(t *Table) string {
	var all []string
	for _, e := range t.Edges() {
		all = append(all, e.ID)
	}
	return fmt.Sprint(all)
}

func TestTableForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := &switched{}
		table := newTable(link, &Options{Logger: slog.New(slog.DiscardHandler)})
		want := func(when, ids string) {
			t.Helper()
			if got := names(table); got != ids || table.Len() != len(table.Edges()) {
				t.Errorf("%s: got %s, want %s", when, got, ids)
			}
		}
		table.hear([]byte(`{"id":"a"}`))
		table.hear([]byte(`{"id":"b","sockets":1}`))
		table.hear([]byte(`nonsense`))
		want("at first", "[a b]")
		time.Sleep(4 * time.Second)
		table.hear([]byte(`{"id":"b","sockets":2}`))
		time.Sleep(4 * time.Second)
		want("a is silent", "[b]")
		if got := table.Edges()[0].Sockets; got != 2 {
			t.Errorf("b has %d sockets, want what it said last", got)
		}
		if table.Alive("a") || !table.Alive("b") {
			t.Error("b lives, and a does not")
		}

		// Without a link it is this edge that hears nobody.
		link.down = true
		for range 10 {
			time.Sleep(2 * time.Second)
			want("without a link", "[b]")
		}
		link.down = false
		time.Sleep(5 * time.Second)
		want("the link is back, and others have yet to speak", "[b]")
		time.Sleep(2 * time.Second)
		want("b has gone meanwhile", "[]")

		// What comes behind the last word is not heard.
		table.hear([]byte(`{"id":"c"}`))
		table.hear([]byte(`{"id":"c","gone":true}`))
		table.hear([]byte(`{"id":"c"}`))
		want("c has gone", "[]")
	})
}

func TestTableIsBounded(t *testing.T) {
	table := newTable(&switched{}, &Options{Logger: slog.New(slog.DiscardHandler)})
	for i := range 2 * maxEdges {
		table.hear(fmt.Appendf(nil, `{"id":"e%d"}`, i))
		table.hear(fmt.Appendf(nil, `{"id":"g%d","gone":true}`, i))
	}
	if len(table.edges) != maxEdges || len(table.ended) != maxEdges {
		t.Errorf("%d edges and %d that have ended, want %d", len(table.edges), len(table.ended), maxEdges)
	}
}
