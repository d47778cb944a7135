package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/aristochat/aristochat/edge/histogram"
)

// A distribution is a histogram in both of Prometheus's forms: servers that do
// not ask for native buckets get the classic ones.
type distribution struct {
	desc     *prometheus.Desc
	snapshot histogram.Snapshot
}

var _ prometheus.Metric = distribution{}

// Desc implements [prometheus.Metric].
func (d distribution) Desc() *prometheus.Desc { return d.desc }

// Write implements [prometheus.Metric].
func (d distribution) Write(out *dto.Metric) error {
	s, sum := &d.snapshot, d.snapshot.Sum.Seconds()
	buckets := make(map[float64]uint64, len(s.Coarse))
	for i, bound := range histogram.Bounds() {
		buckets[bound.Seconds()] = s.Coarse[i]
	}
	classic, err := prometheus.NewConstHistogram(d.desc, s.Count, sum, buckets)
	if err != nil {
		return err
	}
	native, err := prometheus.NewConstNativeHistogram(d.desc, s.Count, sum, s.Fine, nil, 0, histogram.Schema, zeroThreshold, started)
	if err != nil {
		return err
	}
	var inClassic dto.Metric
	if err := classic.Write(&inClassic); err != nil {
		return err
	}
	if err := native.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = inClassic.Histogram.Bucket
	return nil
}

// zeroThreshold is where Prometheus's zero bucket ends, in seconds. There is
// nothing in it: what is zero counts in the first fine bucket.
const zeroThreshold = 1e-9

// started is about when the counting began.
var started = time.Now()
