package histogram_test

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/histogram"
)

func TestBuckets(t *testing.T) {
	for _, d := range []time.Duration{
		time.Microsecond, 3 * time.Microsecond, 99 * time.Microsecond, 100 * time.Microsecond,
		time.Millisecond, 7 * time.Millisecond, 125 * time.Millisecond, 250 * time.Millisecond,
		time.Second, 1001 * time.Millisecond, 59 * time.Second,
	} {
		var h histogram.Histogram
		h.Observe(d)
		s := h.Snapshot()
		if s.Count != 1 || s.Sum != d || len(s.Fine) != 1 {
			t.Fatalf("after %v: %+v", d, s)
		}
		for i := range s.Fine {
			low, high := math.Exp2(float64(i-1)/8), math.Exp2(float64(i)/8)
			if x := d.Seconds(); x <= low*(1-1e-12) || x > high*(1+1e-12) {
				t.Errorf("%v is in the bucket from %g to %g s", d, low, high)
			}
		}
		for i, bound := range histogram.Bounds() {
			if got, want := s.Coarse[i] == 1, d <= bound; got != want {
				t.Errorf("%v counts as at most %v: %v, want %v", d, bound, got, want)
			}
		}
	}
}

// What is out of range counts at the edge of it, and nothing is lost.
func TestOutOfRange(t *testing.T) {
	var h histogram.Histogram
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, time.Hour, math.MaxInt64 / 2} {
		h.Observe(d)
	}
	s := h.Snapshot()
	if s.Count != 6 || len(s.Fine) != 2 {
		t.Errorf("got %+v, want 6 in two buckets", s)
	}
	if last := s.Coarse[len(s.Coarse)-1]; last != 4 {
		t.Errorf("%d are at most the last bound, want 4", last)
	}
}

func TestConcurrently(t *testing.T) {
	const workers, each = 8, 1000
	var h histogram.Histogram
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for j := range each {
				h.Observe(time.Duration(i*j) * time.Microsecond)
				if j%100 == 0 {
					if s := h.Snapshot(); s.Count < s.Coarse[len(s.Coarse)-1] {
						t.Errorf("%d in all, but %d below the last bound", s.Count, s.Coarse[len(s.Coarse)-1])
					}
				}
			}
		})
	}
	wg.Wait()
	if s := h.Snapshot(); s.Count != workers*each || s.Coarse[len(s.Coarse)-1] != workers*each {
		t.Errorf("got %d and %d, want %d", s.Count, s.Coarse[len(s.Coarse)-1], workers*each)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h histogram.Histogram
	b.ReportAllocs()
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			h.Observe(1700 * time.Microsecond)
		}
	})
	b.Run("together", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				h.Observe(1700 * time.Microsecond)
			}
		})
	})
}

func ExampleHistogram() {
	var h histogram.Histogram
	begin := time.Now()
	// … what takes its time …
	h.Observe(time.Since(begin))
	fmt.Println(h.Snapshot().Count)
	// Output: 1
}
