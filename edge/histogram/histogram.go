// Package histogram counts durations without locks, allocations or
// dependencies, cheaply enough for the hot path. A [Snapshot] has what a
// Prometheus histogram wants, native and classic: package metrics makes one
// of it.
package histogram

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// A Histogram counts durations. Its zero value is ready; it must not be copied.
// Its methods may be called concurrently.
//
// It has two sets of buckets. The fine ones are those of Prometheus's native
// histograms at [Schema]: each reaches a tenth further than the one below, so
// that a quantile is off by less than that. The coarse ones end at [Bounds].
type Histogram struct {
	fine   [fineBuckets]atomic.Uint64
	coarse [len(bounds) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Schema is the resolution of the fine buckets: 2^Schema of them for each
// doubling.
const Schema = 3

const perDoubling = 1 << Schema

// Fine buckets reach from a microsecond to a minute. What is shorter or longer
// counts in the first or last one.
const (
	firstBucket = -20*perDoubling + 1 // ends at 2^(-20+1/8) s
	lastBucket  = 6 * perDoubling     // ends at 64 s
	fineBuckets = lastBucket - firstBucket + 1
)

// bounds end the coarse buckets. The last one has no end.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 60 * time.Second,
}

// fractions are the bounds within a doubling, as math.Frexp has them: from a
// half to one.
var fractions = func() (f [perDoubling]float64) {
	for i := range f {
		f[i] = math.Exp2(float64(i)/perDoubling) / 2
	}
	return f
}()

// Observe counts a duration. A negative one counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.fine[fineOf(d)].Add(1)
	h.coarse[coarseOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// fineOf returns the index of the fine bucket that d is in.
func fineOf(d time.Duration) int {
	fraction, exponent := math.Frexp(d.Seconds())
	// The first bucket that ends at or above it, as client_golang finds it.
	i := 0
	for i < len(fractions) && fractions[i] < fraction {
		i++
	}
	bucket := i + (exponent-1)*perDoubling
	if d == 0 {
		bucket = firstBucket
	}
	return min(max(bucket, firstBucket), lastBucket) - firstBucket
}

// coarseOf returns the index of the coarse bucket that d is in.
func coarseOf(d time.Duration) int {
	for i, b := range bounds {
		if d <= b {
			return i
		}
	}
	return len(bounds)
}

// A Snapshot is what a Histogram has counted.
type Snapshot struct {
	Count uint64        `json:"count"`
	Sum   time.Duration `json:"sum"` // of all durations, in nanoseconds

	// Fine holds the counts of the fine buckets that are not empty, by their
	// index at Schema: i ends at 2^(i/8) seconds, where i-1 ends the one below.
	Fine map[int]int64 `json:"-"`
	// Coarse holds how many durations were at most Bounds()[i].
	Coarse []uint64 `json:"-"`
}

// Bounds returns where the coarse buckets end.
func Bounds() []time.Duration { return slices.Clone(bounds[:]) }

// Snapshot returns the counts. While others observe they may differ by what is
// being counted; Count agrees with Fine, and is no less than any of Coarse.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Fine: make(map[int]int64), Coarse: make([]uint64, len(bounds)), Sum: time.Duration(h.sum.Load())}
	below := uint64(0)
	for i := range s.Coarse { // first: Observe counts here last
		below += h.coarse[i].Load()
		s.Coarse[i] = below
	}
	for i := range h.fine {
		if n := h.fine[i].Load(); n != 0 {
			s.Fine[i+firstBucket] = int64(n)
			s.Count += n
		}
	}
	return s
}
