package edge

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/coder/websocket"
)

// Drain is a [Server.Shutdown] that nobody notices: it refuses new connections,
// closes those there are a few at a time, each once what is queued for it has
// left, and when all have gone does the rest of Shutdown.
//
// pace returns how many sockets a second the other edges can take from this one
// now, 0 if they are full; +Inf, or a nil pace, says that there is nobody to be
// considerate of. It is called often. Package fleet has one.
//
// Drain closes no faster than pace says, and gently: over half of the time until
// ctx ends, if pace allows that. Only if the time would not suffice does it go as
// fast as it must, evenly. Without a deadline it goes as fast as pace says. With
// nobody to be considerate of it takes a second: clients come back to this edge,
// and wait for it. When ctx ends whoever is left is cut off, and its error
// returned.
func (srv *Server) Drain(ctx context.Context, pace func() float64) error {
	srv.refuse()
	srv.mu.Lock()
	before := srv.onDrain
	srv.onDrain = nil
	srv.mu.Unlock()
	for _, f := range before {
		f()
	}
	d := &drain{srv: srv, pace: pace, left: srv.connections(), gone: srv.gone(), began: time.Now()}
	if d.pace == nil {
		d.pace = func() float64 { return math.Inf(1) }
	}
	if len(d.left) > 0 {
		d.run(ctx)
	}
	return srv.Shutdown(ctx)
}

// refuse ends that connections are taken.
func (srv *Server) refuse() {
	srv.mu.Lock()
	srv.draining = true
	srv.mu.Unlock()
	srv.stopAccepting()
}

// How a drain goes on.
const (
	drainTick  = 50 * time.Millisecond // between batches, on average
	drainTells = 5 * time.Second       // between lines in the log
)

// A drain is one under way.
type drain struct {
	srv    *Server
	pace   func() float64
	left   []*conn // that have not been closed, in no order
	gone   <-chan struct{}
	began  time.Time
	closed int
	rushed bool // whether this is faster than the others can bear
}

func (d *drain) run(ctx context.Context) {
	log, sockets := d.srv.log, len(d.left)
	until := d.until(ctx)
	log.Info("draining", slog.Int("sockets", sockets), slog.Any("patience", timeLeft(d.began, until)), perSecond("bearable", d.pace()))
	rand.Shuffle(sockets, func(i, j int) { //nolint:gosec // spreads load: the clients of a room come from all of it
		d.left[i], d.left[j] = d.left[j], d.left[i]
	})
	d.close(ctx, newDrainPlan(d.began, until, sockets))
	d.flush(ctx, until)
	log.Info("drained", "sockets", sockets, "closed", d.closed, "left", d.srv.stats.sockets.Load(),
		"took", time.Since(d.began).Round(time.Millisecond))
}

// until is by when all must have been told, so that they have time to answer;
// zero if ctx has no end.
func (d *drain) until(ctx context.Context) time.Time {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return end.Add(-min(d.srv.opts.closeTimeout, end.Sub(d.began)/4))
}

// close closes connections by the plan, until there are none or ctx ends. They
// may leave by themselves, too, or all be closed by Shutdown.
func (d *drain) close(ctx context.Context, p *drainPlan) {
	tick := time.NewTimer(0)
	defer tick.Stop()
	told := d.began
	for len(d.left) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-d.gone:
			return
		case <-tick.C:
		}
		tick.Reset(drainTick/2 + rand.N(drainTick)) //nolint:gosec // spreads load
		now, bearable := time.Now(), d.pace()
		n, rushed := p.next(now, len(d.left), bearable)
		if rushed && !d.rushed {
			d.rushed = true
			d.srv.log.Warn("draining faster than the other edges can bear: there is not enough time",
				slog.Int("left", len(d.left)), perSecond("rate", p.rate), perSecond("bearable", bearable))
		}
		d.batch(n, rushed)
		if now.Sub(told) >= drainTells {
			told = now
			d.srv.log.Info("still draining", slog.Int("left", len(d.left)), slog.Int("closed", d.closed), perSecond("rate", p.rate), perSecond("bearable", bearable))
		}
	}
}

// batch closes n connections; those that have ended by themselves do not count.
func (d *drain) batch(n int, rushed bool) {
	for ; n > 0 && len(d.left) > 0; d.left = d.left[1:] {
		c := d.left[0]
		d.left[0] = nil
		if c.isEnded() {
			continue
		}
		c.end(websocket.StatusServiceRestart, ErrDraining)
		n--
		d.closed++
		d.srv.stats.drained.Add(1)
		if rushed {
			d.srv.stats.drainRushed.Add(1)
		}
	}
}

// flush waits for clients to get what is queued for them, and to go.
func (d *drain) flush(ctx context.Context, until time.Time) {
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	select {
	case <-d.gone:
	case <-ctx.Done():
	}
}

// timeLeft is the time until then, for the log.
func timeLeft(now, until time.Time) any {
	if until.IsZero() {
		return "any"
	}
	return until.Sub(now).Round(time.Millisecond)
}

// perSecond is a rate for the log, and nothing if there is no bound.
func perSecond(key string, rate float64) slog.Attr {
	if math.IsInf(rate, 1) {
		return slog.Attr{}
	}
	return slog.Float64(key, math.Round(rate*10)/10)
}
