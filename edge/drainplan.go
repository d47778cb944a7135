package edge

import (
	"math"
	"time"
)

// A drainPlan says when how many sockets of a drain are closed. It knows no
// sockets and no clock.
type drainPlan struct {
	until  time.Time // by when all must be closed; zero if there is no end
	gentle float64   // sockets a second; so that it takes half the time
	alone  float64   // the same, if there is nobody to be considerate of

	last time.Time // when next was called
	owed float64   // what has not made up a whole socket yet
	rate float64   // sockets a second, as of the last call
}

const (
	// drainAlone is what a drain takes if there is nobody to be considerate of:
	// short, since clients must wait for this edge's return, and not at once, so
	// that they do not all come in the same moment.
	drainAlone = time.Second
	// drainLeast is how many sockets a second any edge can spare, so that a few
	// are closed soon.
	drainLeast = 25
	// drainGap is the longest pause that is made up for: what comes behind one
	// must not become a burst.
	drainGap = 4 * drainTick
)

// newDrainPlan begins a drain of so many sockets.
func newDrainPlan(now, until time.Time, sockets int) *drainPlan {
	p := &drainPlan{until: until, last: now, gentle: math.Inf(1)}
	alone := drainAlone
	if !until.IsZero() {
		half := max(until.Sub(now)/2, time.Millisecond)
		p.gentle = max(drainLeast, float64(sockets)/half.Seconds())
		alone = min(alone, half)
	}
	p.alone = max(drainLeast, float64(sockets)/alone.Seconds())
	return p
}

// next returns how many of those that are left to close now, and whether that is
// more than is bearable (sockets a second).
func (p *drainPlan) next(now time.Time, left int, bearable float64) (n int, rushed bool) {
	p.rate = min(p.gentle, bearable)
	if math.IsInf(bearable, 1) {
		p.rate = p.alone
	}
	if !p.until.IsZero() {
		remaining := p.until.Sub(now).Seconds()
		if remaining <= 0 {
			p.rate = math.Inf(1)
			return left, true
		}
		if needed := float64(left) / remaining; needed > p.rate {
			p.rate, rushed = needed, needed > bearable
		}
	}
	p.owed += p.rate * min(now.Sub(p.last), drainGap).Seconds()
	p.last = now
	n = min(int(p.owed), left)
	p.owed -= float64(n)
	return n, rushed && n > 0
}
