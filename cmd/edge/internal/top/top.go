// Package top shows the edges of a cluster: who is there, how full, how busy.
package top

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/fleet"
)

// A Snapshot is what is known of the cluster at a time.
type Snapshot struct {
	At    time.Time
	Edges []fleet.Edge
	Lost  error // why nothing is heard, if nothing is
}

// A Source says how the cluster is now.
type Source func() Snapshot

// settle is how long it takes until each edge has said something.
const settle = 2500 * time.Millisecond

// Listen begins to hear what edges say of themselves.
func Listen(ctx context.Context, o *backbone.Options) (now Source, stop func(), err error) {
	quiet := *o
	quiet.Logger = slog.New(slog.DiscardHandler) // the screen is taken; Lost says what is wrong
	l, err := backbone.Connect(ctx, &quiet)
	if err != nil {
		return nil, nil, err
	}
	end := func() { l.Close(context.WithoutCancel(ctx)) }
	t, err := fleet.Watch(ctx, l, &fleet.Options{Logger: quiet.Logger})
	if err != nil {
		end()
		return nil, nil, fmt.Errorf("listening to edges: %w", err)
	}
	now = func() Snapshot {
		s := Snapshot{At: time.Now(), Edges: t.Edges()}
		if !l.Connected() {
			s.Lost = cmp.Or(l.Ready(), errors.New("the connection to NATS was lost"))
		}
		return s
	}
	return now, func() { t.Close(); end() }, nil
}

// Once writes one line for each edge, once all have been heard: as a table, or
// as JSON.
func Once(ctx context.Context, now Source, asJSON bool, out io.Writer) error {
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return nil
	}
	s := now()
	switch {
	case s.Lost != nil:
		return s.Lost
	case len(s.Edges) == 0:
		return fmt.Errorf("no edge has said anything for %v: are there any on these servers, with this --subject-prefix?", settle)
	case !asJSON:
		_, err := io.WriteString(out, plain(s))
		return err
	}
	enc := json.NewEncoder(out)
	for i := range s.Edges {
		line := struct {
			fleet.Status
			Heard time.Time `json:"heard"`
		}{s.Edges[i].Status, s.Edges[i].Heard.UTC()}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// Run shows the cluster on a terminal until the user has seen enough, or ctx
// ends.
func Run(ctx context.Context, now Source, title string, o ...tea.ProgramOption) error {
	p := tea.NewProgram(newModel(now, title), append([]tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler()}, o...)...)
	_, err := p.Run()
	if ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled) {
		err = nil
	}
	return err
}

// totals are of all edges.
type totals struct {
	sockets, channels, rooms, waiting int64
	in, out                           float64
	draining                          int
}

func sum(edges []fleet.Edge) (t totals) {
	for i := range edges {
		e := &edges[i]
		t.sockets += e.Sockets
		t.channels += e.Channels
		t.rooms += e.Rooms
		t.waiting += e.Waiting
		t.in += e.MessagesIn
		t.out += e.MessagesOut
		if e.Draining {
			t.draining++
		}
	}
	return t
}

// orders are how rows may be sorted.
var orders = []struct {
	name    string
	compare func(a, b *fleet.Edge) int
}{
	{"name", func(*fleet.Edge, *fleet.Edge) int { return 0 }}, // as a fleet.Table has them
	{"sockets", func(a, b *fleet.Edge) int { return cmp.Compare(b.Sockets, a.Sockets) }},
	{"messages", func(a, b *fleet.Edge) int { return cmp.Compare(b.MessagesOut, a.MessagesOut) }},
}

func sorted(edges []fleet.Edge, order int) []fleet.Edge {
	edges = slices.Clone(edges)
	slices.SortStableFunc(edges, func(a, b fleet.Edge) int { return orders[order].compare(&a, &b) })
	return edges
}
