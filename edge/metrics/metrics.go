// Package metrics gives what an edge counts to Prometheus.
//
// Nothing is counted twice: the packages that serve count for themselves, and
// what they have counted is read when Prometheus asks. So [New] may be called at
// any time, and whoever does not call it has no Prometheus in the program.
//
// A new metric is a count in the Stats of its package and a line in one of the
// tables here. Labels have few values, all known beforehand: never a room, a
// user, or an address.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/histogram"
	"github.com/aristochat/aristochat/edge/presence"
)

// namespace begins the name of every metric.
const namespace = "aristochat"

// New returns a collector of all that is counted in a server and in its
// backbone, if that is a [backbone.Link] or [backbone.Store], and in a tracker
// of presences, if it is not nil. Register it once.
func New(srv *edge.Server, who *presence.Tracker) prometheus.Collector {
	c := &collector{srv: srv, who: who, metrics: edgeMetrics()}
	c.link, _ = srv.Backbone().(linkStats)
	c.store, _ = srv.Backbone().(storeStats)
	if c.link != nil {
		c.metrics = append(c.metrics, linkMetrics()...)
	}
	if c.store != nil {
		c.metrics = append(c.metrics, storeMetrics()...)
	}
	if c.who != nil {
		c.metrics = append(c.metrics, presenceMetrics()...)
	}
	return c
}

type (
	linkStats  interface{ Stats() backbone.Stats }
	storeStats interface{ StoreStats() backbone.StoreStats }
)

type collector struct {
	srv     *edge.Server
	link    linkStats         // nil if the backbone is none of ours
	store   storeStats        // nil without history
	who     *presence.Tracker // nil without presence
	metrics []metric
}

// A sample is what was counted up to now. What does not exist is zero.
type sample struct {
	edge     edge.Stats
	link     backbone.Stats
	store    backbone.StoreStats
	presence presence.Stats
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := sample{edge: c.srv.Stats()}
	if c.link != nil {
		s.link = c.link.Stats()
	}
	if c.store != nil {
		s.store = c.store.StoreStats()
	}
	if c.who != nil {
		s.presence = c.who.Stats()
	}
	for _, m := range c.metrics {
		m.collect(&s, out)
	}
}

// A metric is one row of a table.
type metric struct {
	desc    *prometheus.Desc
	collect func(*sample, chan<- prometheus.Metric)
}

func number(kind prometheus.ValueType, name, help string, value func(*sample) float64) metric {
	desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)
	return metric{desc, func(s *sample, out chan<- prometheus.Metric) {
		out <- prometheus.MustNewConstMetric(desc, kind, value(s))
	}}
}

func gauge[N int | int64](name, help string, value func(*sample) N) metric {
	return number(prometheus.GaugeValue, name, help, func(s *sample) float64 { return float64(value(s)) })
}

// seconds is a gauge of a duration.
func seconds(name, help string, value func(*sample) float64) metric {
	return number(prometheus.GaugeValue, name, help, value)
}

// state is a gauge that is 0 or 1.
func state(name, help string, value func(*sample) bool) metric {
	return number(prometheus.GaugeValue, name, help, func(s *sample) float64 { return bit(value(s)) })
}

func counter(name, help string, value func(*sample) uint64) metric {
	return number(prometheus.CounterValue, name, help, func(s *sample) float64 { return float64(value(s)) })
}

// counters are one metric with a label.
func counters(name, help, label string, values func(*sample) map[string]uint64) metric {
	return byLabel(prometheus.CounterValue, name, help, []string{label}, func(s *sample, emit func(float64, ...string)) {
		for name, n := range values(s) {
			emit(float64(n), name)
		}
	})
}

// byLabel is for whatever has labels: each calls emit for each set of values.
func byLabel(kind prometheus.ValueType, name, help string, labels []string, each func(s *sample, emit func(value float64, labels ...string))) metric {
	desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	return metric{desc, func(s *sample, out chan<- prometheus.Metric) {
		each(s, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
		})
	}}
}

func durations(name, help string, value func(*sample) histogram.Snapshot) metric {
	desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)
	return metric{desc, func(s *sample, out chan<- prometheus.Metric) {
		out <- distribution{desc, value(s)}
	}}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
