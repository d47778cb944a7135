// Package tail shows the events of rooms as they pass on NATS.
package tail

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
)

// Options say what to show.
type Options struct {
	Backbone backbone.Options
	// Pattern says of which topics: see [backbone.Link.Watch].
	Pattern string
	User    string // if not empty, only what this one says and does
	JSON    bool
	Past    Past
	Zone    *time.Location
}

// Past is what to show of the time before. At most one is set, and Pattern is
// then a topic.
type Past struct {
	Last  int           // so many messages
	For   time.Duration // messages that are not older
	After *uint64       // messages with a greater sequence
}

func (p Past) isEmpty() bool { return p == Past{} }

// Run writes a line for each event to out until ctx ends, or out fails. It calls
// ready once what happens from then on is shown.
func Run(ctx context.Context, o *Options, out io.Writer, ready func()) error {
	l, err := backbone.Connect(ctx, &o.Backbone)
	if err != nil {
		return err
	}
	defer l.Close(context.WithoutCancel(ctx))
	asked := ctx // whoever ends it has seen enough
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	p := &printer{opts: o, out: out, fail: fail, held: !o.Past.isEmpty()}

	stop, err := l.Watch(ctx, o.Pattern, func(e backbone.Passing) { p.event(fromPassing(e, time.Now())) })
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer stop()
	single := o.Pattern != backbone.Everything && !isWild(o.Pattern)
	stopMoves, err := presence.Follow(ctx, l, o.Pattern, single, func(m presence.Move) { p.event(fromMove(m, time.Now())) })
	if err != nil {
		return fmt.Errorf("listening to presence: %w", err)
	}
	defer stopMoves()
	if !o.Past.isEmpty() {
		if err := p.past(ctx); err != nil {
			return fmt.Errorf("reading what was before: %w", err)
		}
	}
	ready()
	<-ctx.Done()
	if asked.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

func isWild(pattern string) bool {
	return len(pattern) >= 2 && pattern[len(pattern)-2:] == ":*"
}

// A printer writes events, those of the past first.
type printer struct {
	opts *Options
	out  io.Writer
	fail context.CancelCauseFunc

	mu    sync.Mutex // guards what follows
	held  bool       // the past is not yet written
	later []event    // what came meanwhile
}

func (p *printer) event(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.later = append(p.later, e)
		return
	}
	p.writeLocked(e)
}

func (p *printer) writeLocked(e event) {
	if p.opts.User != "" && e.User != p.opts.User {
		return
	}
	line := []byte(e.text(p.opts.Zone))
	if p.opts.JSON {
		var err error
		if line, err = e.json(); err != nil {
			p.fail(err)
			return
		}
	}
	if _, err := p.out.Write(append(line, '\n')); err != nil {
		p.fail(err)
	}
}

// past writes what was before, and then what came while it was read.
func (p *printer) past(ctx context.Context) error {
	// A link of its own: what a store has to say in the log is for edges.
	o := p.opts.Backbone
	o.Logger = slog.New(slog.DiscardHandler)
	l, err := backbone.Connect(ctx, &o)
	if err != nil {
		return err
	}
	defer l.Close(context.WithoutCancel(ctx))
	st, err := l.Store(ctx, nil)
	if err != nil {
		return err
	}
	messages, err := p.opts.Past.read(ctx, st, p.opts.Pattern)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last := uint64(0)
	for _, m := range messages {
		last = m.Seq
		p.writeLocked(fromPassing(backbone.Passing{Topic: p.opts.Pattern, Delivery: m, Stored: true}, m.At))
	}
	for _, e := range p.later {
		if e.Kind != kindStored || e.Seq > last {
			p.writeLocked(e)
		}
	}
	p.held, p.later = false, nil
	return nil
}

// pageSize is how many messages are read at once.
const pageSize = 500

func (p Past) read(ctx context.Context, h edge.History, topic string) ([]edge.Delivery, error) {
	if p.After != nil {
		return after(ctx, h, topic, *p.After)
	}
	var newest []edge.Delivery // the newest page first
	var pages [][]edge.Delivery
	since := time.Now().Add(-p.For)
	enough := func() bool {
		if p.For > 0 {
			return newest[0].At.Before(since)
		}
		return sum(pages) >= p.Last
	}
	for q := (edge.Query{Last: true, Limit: pageSize}); ; q = (edge.Query{Before: newest[0].Seq, Limit: pageSize}) {
		page, err := h.Read(ctx, topic, q)
		if err != nil {
			return nil, err
		}
		if newest = page.Messages; len(newest) == 0 {
			break
		}
		pages = append(pages, newest)
		if !page.More || enough() {
			break
		}
	}
	all := make([]edge.Delivery, 0, sum(pages))
	for _, page := range slices.Backward(pages) {
		all = append(all, page...)
	}
	if p.For == 0 {
		return all[max(0, len(all)-p.Last):], nil
	}
	for len(all) > 0 && all[0].At.Before(since) {
		all = all[1:]
	}
	return all, nil
}

func sum(pages [][]edge.Delivery) (n int) {
	for _, p := range pages {
		n += len(p)
	}
	return n
}

func after(ctx context.Context, h edge.History, topic string, seq uint64) ([]edge.Delivery, error) {
	var all []edge.Delivery
	for {
		page, err := h.Read(ctx, topic, edge.Query{After: seq, Limit: pageSize})
		if err != nil {
			return nil, err
		}
		all = append(all, page.Messages...)
		if !page.More || len(page.Messages) == 0 {
			return all, nil
		}
		seq = all[len(all)-1].Seq
	}
}
