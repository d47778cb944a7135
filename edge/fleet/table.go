package fleet

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// Options tune a [Table]. A nil *Options is valid.
type Options struct {
	// Every is how often edges say their status; one that said none for three
	// times as long is forgotten. All must agree. If zero, 2 s.
	Every time.Duration

	// Logger receives what an operator should know. If nil, slog.Default().
	Logger *slog.Logger
}

func (o *Options) withDefaults() (d Options) {
	if o != nil {
		d = *o
	}
	d.Every = cmp.Or(d.Every, 2*time.Second)
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d
}

// kind is that of the control messages.
const kind = "edge"

// maxEdges bounds a Table: whoever may speak on the subject could make up any
// number.
const maxEdges = 4096

// An Edge is one that lives, as far as is known.
type Edge struct {
	Status
	Heard time.Time // when it said so
}

// A Table is the edges there are. Its methods may be called concurrently.
type Table struct {
	backbone edge.Backbone
	opts     Options
	stop     func()

	mu    sync.Mutex // guards what follows
	edges map[string]Edge
	ended map[string]time.Time // edges that said they end, and when: what comes late is not heard
	thaw  time.Time            // before which nobody is forgotten
	swept time.Time            // when who is silent was last looked for
}

// Watch begins to listen to what edges say over b. A Table that is new is
// complete after Options.Every.
func Watch(ctx context.Context, b edge.Backbone, o *Options) (*Table, error) {
	t := newTable(b, o)
	var err error
	if t.stop, err = b.SubscribeControl(ctx, kind, t.hear); err != nil {
		return nil, err
	}
	return t, nil
}

func newTable(b edge.Backbone, o *Options) *Table {
	return &Table{backbone: b, opts: o.withDefaults(), edges: make(map[string]Edge), ended: make(map[string]time.Time)}
}

// Close ends listening.
func (t *Table) Close() { t.stop() }

// Edges returns the edges that live, by name. A [Member] of the table is one of
// them.
func (t *Table) Edges() []Edge {
	t.mu.Lock()
	t.forgetLocked(time.Now())
	all := make([]Edge, 0, len(t.edges))
	for _, e := range t.edges {
		all = append(all, e)
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Len returns how many edges live.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(time.Now())
	return len(t.edges)
}

// Alive reports whether the edge of that ID is known to live.
func (t *Table) Alive(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(time.Now())
	_, ok := t.edges[id]
	return ok
}

// hear takes what another edge says.
func (t *Table) hear(data []byte) {
	s, err := parse(data)
	if err != nil {
		t.opts.Logger.Warn("dropping what is not the status of an edge", "error", err)
		return
	}
	t.note(s)
}

// note keeps a status.
func (t *Table) note(s Status) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forgetLocked(now)
	_, known := t.edges[s.ID]
	_, ended := t.ended[s.ID]
	switch {
	case s.Gone:
		delete(t.edges, s.ID)
		if len(t.ended) < maxEdges {
			t.ended[s.ID] = now
		}
	case ended:
	case !known && len(t.edges) >= maxEdges:
		t.opts.Logger.Warn("more edges than can be, one is not heard", "edge", s.ID, "known", len(t.edges))
	default:
		t.edges[s.ID] = Edge{s, now}
	}
}

// forgetLocked forgets who is silent; but not while it is this edge that hears
// nobody.
func (t *Table) forgetLocked(now time.Time) {
	if now.Sub(t.swept) < t.opts.Every/8 {
		return
	}
	t.swept = now
	patience := 3 * t.opts.Every
	if l, ok := t.backbone.(interface{ Connected() bool }); ok && !l.Connected() {
		t.thaw = now.Add(patience)
	}
	for id, at := range t.ended {
		if now.Sub(at) > patience {
			delete(t.ended, id)
		}
	}
	if now.Before(t.thaw) {
		return
	}
	for id, e := range t.edges {
		if now.Sub(e.Heard) > patience {
			t.opts.Logger.Info("another edge is silent", "edge", id, "name", e.Name)
			delete(t.edges, id)
		}
	}
}
