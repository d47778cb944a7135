package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies is a histogram from a microsecond to ten minutes, true to three
// digits.
type latencies struct{ h *hdrhistogram.Histogram }

const longest = 10 * time.Minute

func newLatencies() latencies {
	return latencies{hdrhistogram.New(1, longest.Microseconds(), 3)}
}

func (l latencies) record(d time.Duration) {
	// It fails for what is out of range only, and there is none.
	_ = l.h.RecordValue(min(max(d, time.Microsecond), longest).Microseconds())
}

func (l latencies) at(percentile float64) time.Duration {
	return time.Duration(l.h.ValueAtPercentile(percentile)) * time.Microsecond
}

// A summary of latencies, in milliseconds.
type summary struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99.9_ms"`
	Max   float64 `json:"max_ms"`
}

func (l latencies) summary() summary {
	return summary{
		l.h.TotalCount(), millis(l.at(50)), millis(l.at(90)), millis(l.at(99)), millis(l.at(99.9)),
		millis(time.Duration(l.h.Max()) * time.Microsecond),
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (s summary) String() string {
	if s.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, max %s  (%d)",
		short(s.P50), short(s.P90), short(s.P99), short(s.P999), short(s.Max), s.Count)
}

// short writes milliseconds with three digits that count.
func short(ms float64) string {
	switch {
	case ms >= 10_000:
		return fmt.Sprintf("%.1fs", ms/1000)
	case ms >= 1000:
		return fmt.Sprintf("%.2fs", ms/1000)
	case ms >= 10:
		return fmt.Sprintf("%.0fms", ms)
	}
	return fmt.Sprintf("%.2gms", ms)
}
