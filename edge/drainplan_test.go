package edge

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A run is what a plan does with so many sockets.
type run struct {
	took    time.Duration
	tenths  []int // closed in each tenth of the whole
	fastest float64
	rushed  int
	left    int
}

// play ticks as a drain does, until all are closed.
func play(sockets int, patience time.Duration, bearable func(at time.Duration) float64) run {
	began := time.Unix(0, 0)
	until := time.Time{}
	if patience > 0 {
		until = began.Add(patience)
	}
	p := newDrainPlan(began, until, sockets)
	var r run
	type batch struct {
		at time.Duration
		n  int
	}
	var all []batch
	now := began
	for left := sockets; left > 0 && now.Sub(began) < time.Hour; {
		now = now.Add(drainTick/2 + rand.N(drainTick))
		n, rushed := p.next(now, left, bearable(now.Sub(began)))
		left -= n
		r.left = left
		r.took = now.Sub(began)
		r.fastest = max(r.fastest, p.rate)
		if rushed {
			r.rushed += n
		}
		all = append(all, batch{r.took, n})
	}
	r.tenths = make([]int, 10)
	for _, b := range all {
		r.tenths[min(9, int(10*b.at/r.took))] += b.n
	}
	return r
}

func always(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

func TestDrainPlan(t *testing.T) {
	tests := map[string]struct {
		sockets  int
		patience time.Duration
		bearable float64
		took     time.Duration // about
		rushed   bool
	}{
		"half of the time":           {2000, 40 * time.Second, 1000, 20 * time.Second, false},
		"as fast as is bearable":     {2000, 40 * time.Second, 80, 25 * time.Second, false},
		"just in time":               {2000, 40 * time.Second, 51, 39 * time.Second, false},
		"not enough time":            {2000, 40 * time.Second, 20, 40 * time.Second, true},
		"others are full":            {2000, 40 * time.Second, 0, 40 * time.Second, true},
		"a few are closed soon":      {10, 40 * time.Second, 100, 400 * time.Millisecond, false},
		"a few, slowly":              {10, 40 * time.Second, 2, 5 * time.Second, false},
		"alone":                      {5000, 40 * time.Second, math.Inf(1), time.Second, false},
		"alone and in a hurry":       {5000, 500 * time.Millisecond, math.Inf(1), 250 * time.Millisecond, false},
		"no end":                     {2000, 0, 200, 10 * time.Second, false},
		"no end and alone":           {2000, 0, math.Inf(1), time.Second, false},
		"more than a batch per tick": {100_000, 40 * time.Second, 10_000, 20 * time.Second, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := play(tt.sockets, tt.patience, always(tt.bearable))
			if d := r.took - tt.took; r.left > 0 || d.Abs() > max(tt.took/20, 2*drainTick) {
				t.Errorf("took %v, %d left, want about %v", r.took, r.left, tt.took)
			}
			if tt.rushed != (r.rushed > 0) {
				t.Errorf("%d closed faster than is bearable", r.rushed)
			}
			if !tt.rushed && r.fastest > tt.bearable {
				t.Errorf("went at %v a second", r.fastest)
			}
			if tt.sockets < 1000 || r.took < 20*drainTick {
				return // too few batches to have a shape
			}
			for i, n := range r.tenths {
				if mean := tt.sockets / 10; n > 2*mean || n < mean/4 {
					t.Errorf("%d closed in tenth %d, the mean is %d", n, i, mean)
				}
			}
		})
	}
}

// Whatever the others say on the way, all are closed in time.
func TestDrainPlanChanges(t *testing.T) {
	for range 300 {
		sockets, patience := 1+rand.IntN(20_000), time.Second+rand.N(time.Minute)
		var rates [60]float64
		for i := range rates {
			rates[i] = float64(rand.IntN(4)) * rand.Float64() * 4 * float64(sockets) / patience.Seconds()
		}
		r := play(sockets, patience, func(at time.Duration) float64 { return rates[min(int(at/time.Second), 59)] })
		if r.left > 0 || r.took > patience+2*drainTick {
			t.Fatalf("%d sockets: %d left after %v of %v", sockets, r.left, r.took, patience)
		}
	}
}

// A process that was stopped for a while does not make up for it at once.
func TestDrainPlanAfterPause(t *testing.T) {
	began := time.Unix(0, 0)
	p := newDrainPlan(began, began.Add(time.Minute), 6000) // 200 a second
	if n, _ := p.next(began.Add(20*time.Second), 6000, 1000); n > 50 {
		t.Errorf("%d closed at once", n)
	}
}
