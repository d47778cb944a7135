package backbone

import (
	"sync/atomic"

	"github.com/aristochat/aristochat/edge/histogram"
)

// Stats count what a Link did since it was made.
type Stats struct {
	Published  uint64 // events and control messages handed to NATS
	Received   uint64 // messages taken from NATS
	Invalid    uint64 // messages dropped because nobody should have published them
	Reconnects uint64 // of either connection
	Slow       uint64 // episodes in which messages were dropped because this process was too slow
	BytesIn    uint64 // from NATS, of both connections, without headers of the protocol
	BytesOut   uint64 // to NATS, likewise

	Live, RPC bool // whether the connections stand: see [Link]

	Topics  int // topics subscribed to now
	Backlog int // messages that wait for the dispatcher now
}

type counters struct {
	published, received, invalid, reconnects, slow atomic.Uint64
}

// Stats returns the counters.
func (l *Link) Stats() Stats {
	l.mu.RLock()
	topics := len(l.topics)
	l.mu.RUnlock()
	live, rpc := l.live.Stats(), l.rpc.Stats()
	return Stats{
		BytesIn:    live.InBytes + rpc.InBytes,
		BytesOut:   live.OutBytes + rpc.OutBytes,
		Live:       l.live.IsConnected(),
		RPC:        l.rpc.IsConnected(),
		Published:  l.stats.published.Load(),
		Received:   l.stats.received.Load(),
		Invalid:    l.stats.invalid.Load(),
		Reconnects: l.stats.reconnects.Load(),
		Slow:       l.stats.slow.Load(),
		Topics:     topics,
		Backlog:    len(l.inbox),
	}
}

// StoreStats count what a Store did since it was made, besides its Link's
// [Stats].
type StoreStats struct {
	Appended   uint64 // events that were acknowledged
	Duplicates uint64 // of those, the ones whose key had been seen
	Refused    uint64 // events that the store does not take: too large, it is full, they are no events
	Failed     uint64 // events that were not stored, for want of a link or a leader
	Unknown    uint64 // events of which nobody can say whether they are stored

	// Publish is how long NATS took to acknowledge what was published: each
	// attempt that was acknowledged.
	Publish histogram.Snapshot

	Delivered  uint64 // stored events handed to topics
	Filled     uint64 // messages read from the stream because their live copy was missed
	Gaps       uint64 // times a live copy showed that others were missed
	Trimmed    uint64 // times that what was missed was no longer kept
	Nudges     uint64 // acknowledged messages of which other edges had to be told
	Reconciles uint64 // comparisons of all topics with the stream
	Suspicions uint64 // times the stream seemed to be another one

	Reads       uint64 // requests to the store
	RingReads   uint64 // Reads answered from recent messages
	SharedReads uint64 // Reads answered from another's request

	RecentBytes int // recent messages kept now
}

type storeCounters struct {
	publish                                                                                histogram.Histogram
	refused, failed, unknown                                                               atomic.Uint64
	appended, duplicates, delivered, filled, gaps, trimmed, nudges, reconciles, suspicions atomic.Uint64
	reads, ringReads, sharedReads                                                          atomic.Uint64
}

// StoreStats returns the counters.
func (st *Store) StoreStats() StoreStats {
	st.recent.mu.Lock()
	recentBytes := st.recent.bytes
	st.recent.mu.Unlock()
	c := &st.counters
	return StoreStats{
		Appended:    c.appended.Load(),
		Duplicates:  c.duplicates.Load(),
		Refused:     c.refused.Load(),
		Failed:      c.failed.Load(),
		Unknown:     c.unknown.Load(),
		Publish:     c.publish.Snapshot(),
		Delivered:   c.delivered.Load(),
		Filled:      c.filled.Load(),
		Gaps:        c.gaps.Load(),
		Trimmed:     c.trimmed.Load(),
		Nudges:      c.nudges.Load(),
		Reconciles:  c.reconciles.Load(),
		Suspicions:  c.suspicions.Load(),
		Reads:       c.reads.Load(),
		RingReads:   c.ringReads.Load(),
		SharedReads: c.sharedReads.Load(),
		RecentBytes: recentBytes,
	}
}
