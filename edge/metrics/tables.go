package metrics

import (
	"maps"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aristochat/aristochat/edge/histogram"
)

// The texts are what docs/observability.md and whoever hovers over a metric in
// Grafana read.

func edgeMetrics() []metric {
	return []metric{
		byLabel(prometheus.GaugeValue, "sockets", "Open connections.", []string{"transport"}, func(s *sample, emit func(float64, ...string)) {
			polls := float64(s.edge.LongPolls)
			emit(polls, "longpoll")
			emit(max(0, float64(s.edge.Sockets)-polls), "websocket")
		}),
		gauge("channels", "Joined channels: a client in two rooms has two.", func(s *sample) int64 { return s.edge.Channels }),
		gauge("rooms", "Topics with members on this edge.", func(s *sample) int { return s.edge.Rooms }),
		state("draining", "1 once the edge shuts down.", func(s *sample) bool { return s.edge.Draining }),
		byLabel(prometheus.CounterValue, "drained_sockets_total", "Connections that the edge closed to shut down: at the pace that the other edges bear, or faster since time was short.",
			[]string{"pace"}, func(s *sample, emit func(float64, ...string)) {
				emit(float64(s.edge.Drained-s.edge.DrainRushed), "borne")
				emit(float64(s.edge.DrainRushed), "rushed")
			}),
		counter("cut_sockets_total", "Connections that were cut off when the edge shut down: they did not leave in time.",
			func(s *sample) uint64 { return s.edge.DrainCut }),
		gauge("handshakes_waiting", "Clients that wait to be let in.", func(s *sample) int64 { return s.edge.Waiting }),

		counters("handshakes_total", "Clients that wanted to connect, by what came of it.", "result",
			func(s *sample) map[string]uint64 { return s.edge.Handshakes }),
		counters("sockets_closed_total", "Connections that ended, by why.", "reason",
			func(s *sample) map[string]uint64 { return s.edge.Ended }),
		counters("joins_total", "Joins, by what came of them.", "result",
			func(s *sample) map[string]uint64 { return s.edge.Joins }),
		counter("crashes_total", "Panics and errors that ended a channel, a join or a handshake: mistakes in the program.",
			func(s *sample) uint64 { return s.edge.Crashes }),

		counter("messages_received_total", "Messages from clients.", func(s *sample) uint64 { return s.edge.MessagesIn }),
		counter("messages_sent_total", "Messages to clients that the kernel, or a poll, has taken.", func(s *sample) uint64 { return s.edge.MessagesOut }),
		counter("received_bytes_total", "Bytes from clients: of websockets as on the wire without TLS, of long-polling the bodies.",
			func(s *sample) uint64 { return s.edge.BytesIn }),
		counter("sent_bytes_total", "Bytes to clients, counted as those from them.", func(s *sample) uint64 { return s.edge.BytesOut }),
		counters("messages_dropped_total", "Messages that were queued for a client and never left: it did not read, or has gone.", "reason",
			func(s *sample) map[string]uint64 { return s.edge.Dropped }),
		counter("messages_stale_total", "Messages from clients that were meant for a channel they had joined before, and were dropped.",
			func(s *sample) uint64 { return s.edge.Stale }),
		counter("events_invalid_total", "Stored events that were not fit to deliver: another program has written them.",
			func(s *sample) uint64 { return s.edge.Invalid }),
		counter("longpoll_tokens_invalid_total", "Requests of long-polling with a session token that is not signed with this edge's secret.",
			func(s *sample) uint64 { return s.edge.BadTokens }),

		durations("fanout_seconds", "How long it took to queue an event for all members on this edge.",
			func(s *sample) histogram.Snapshot { return s.edge.FanOut }),
		durations("delivery_seconds", "From when an event was stored, by NATS's clock, until it was queued for all members on this edge, by this machine's. Events that are not stored do not count.",
			func(s *sample) histogram.Snapshot { return s.edge.Delivery }),
		counter("delivery_clock_skew_total", "Events that came more than 0.1 s before they were stored, so far apart are the clocks. They count as zero in delivery_seconds.",
			func(s *sample) uint64 { return s.edge.ClockSkew }),
		durations("outgoing_wait_seconds", "How long messages were queued until the kernel took them: of each write the oldest. Websockets only.",
			func(s *sample) histogram.Snapshot { return s.edge.Outgoing }),
		seconds("outgoing_oldest_seconds", "How long the oldest message that waits for a websocket's client has waited.",
			func(s *sample) float64 { return s.edge.OldestQueued.Seconds() }),
		gauge("outgoing_bytes", "Bytes that wait for clients.", func(s *sample) int64 { return s.edge.QueuedBytes }),
		counters("slow_clients_total", "Clients that were closed since they did not read, by the bound that they met.", "reason",
			func(s *sample) map[string]uint64 { return s.edge.Slow }),
		counters("limits_total", "How often a client met a bound other than those for slow ones, by which.", "limit", limitsHit),

		counters("history_requests_total", "Requests for stored messages: with a join, to resume, to scroll back.", "kind",
			func(s *sample) map[string]uint64 { return s.edge.Histories }),
		counter("history_request_failures_total", "Reads of stored messages for a client that failed.",
			func(s *sample) uint64 { return s.edge.HistoryFailures }),
		byLabel(prometheus.CounterValue, "resumes_total", "Clients that came back and asked for what they missed: whether they got all of it, or else why not.",
			[]string{"recovered", "reason"}, func(s *sample, emit func(float64, ...string)) {
				for result, n := range s.edge.Resumes {
					recovered := result == "recovered"
					if recovered {
						result = ""
					}
					emit(float64(n), strconv.FormatBool(recovered), result)
				}
			}),
	}
}

func limitsHit(s *sample) map[string]uint64 {
	all := maps.Clone(s.edge.Limits)
	for name, n := range s.presence.Limits {
		all["presence_"+name] = n
	}
	return all
}

func linkMetrics() []metric {
	return []metric{
		byLabel(prometheus.GaugeValue, "nats_connected", "1 while the connection to NATS stands: live carries events, rpc requests to the store.",
			[]string{"connection"}, func(s *sample, emit func(float64, ...string)) {
				emit(bit(s.link.Live), "live")
				emit(bit(s.link.RPC), "rpc")
			}),
		counter("nats_reconnects_total", "Connections to NATS that were lost and made again.", func(s *sample) uint64 { return s.link.Reconnects }),
		counter("nats_published_messages_total", "Events and control messages handed to NATS, without those that are stored.",
			func(s *sample) uint64 { return s.link.Published }),
		counter("nats_received_messages_total", "Messages taken from NATS.", func(s *sample) uint64 { return s.link.Received }),
		counter("nats_sent_bytes_total", "Payload bytes to NATS.", func(s *sample) uint64 { return s.link.BytesOut }),
		counter("nats_received_bytes_total", "Payload bytes from NATS.", func(s *sample) uint64 { return s.link.BytesIn }),
		counter("nats_invalid_messages_total", "Messages dropped because nobody should have published them.", func(s *sample) uint64 { return s.link.Invalid }),
		counter("nats_slow_consumer_total", "Episodes in which NATS's messages were dropped because this edge was too slow.",
			func(s *sample) uint64 { return s.link.Slow }),
		gauge("nats_backlog_messages", "Messages from NATS that wait for the dispatcher.", func(s *sample) int { return s.link.Backlog }),
		gauge("nats_topics", "Topics subscribed to.", func(s *sample) int { return s.link.Topics }),
	}
}

func storeMetrics() []metric {
	return []metric{
		durations("jetstream_publish_seconds", "How long JetStream took to acknowledge a message.",
			func(s *sample) histogram.Snapshot { return s.store.Publish }),
		counters("jetstream_appends_total", "Messages to be stored, by what came of it. Of unknown ones nobody can say whether they are.", "result",
			func(s *sample) map[string]uint64 {
				st := &s.store
				return map[string]uint64{
					"ok": st.Appended - min(st.Duplicates, st.Appended), "duplicate": st.Duplicates,
					"refused": st.Refused, "unavailable": st.Failed, "unknown": st.Unknown,
				}
			}),
		counters("store_reads_total", "Reads of stored messages: requests to the stream, answers from recent messages, answers shared with another reader.", "from",
			func(s *sample) map[string]uint64 {
				return map[string]uint64{"stream": s.store.Reads, "recent": s.store.RingReads, "shared": s.store.SharedReads}
			}),
		counter("store_delivered_total", "Stored events handed to rooms.", func(s *sample) uint64 { return s.store.Delivered }),
		counter("store_gaps_total", "Times a message showed that others before it were missed.", func(s *sample) uint64 { return s.store.Gaps }),
		counter("store_filled_total", "Messages read from the stream because their live copy was missed.", func(s *sample) uint64 { return s.store.Filled }),
		counter("store_lost_total", "Times a room's missed messages were no longer kept: its members must join again.", func(s *sample) uint64 { return s.store.Trimmed }),
		counter("store_nudges_total", "Acknowledged messages that did not come back in time, of which other edges were told.", func(s *sample) uint64 { return s.store.Nudges }),
		counter("store_reconciles_total", "Comparisons of all rooms with the stream.", func(s *sample) uint64 { return s.store.Reconciles }),
		counter("store_suspicions_total", "Times the stream seemed to be another one.", func(s *sample) uint64 { return s.store.Suspicions }),
		gauge("store_recent_bytes", "Bytes of recent messages kept in memory.", func(s *sample) int { return s.store.RecentBytes }),
	}
}

func presenceMetrics() []metric {
	return []metric{
		gauge("presence_rooms", "Rooms whose presences this edge follows.", func(s *sample) int { return s.presence.Rooms }),
		gauge("presence_edges", "Other edges that live.", func(s *sample) int { return s.presence.Edges }),
		gauge("presence_keys", "Users shown in the rooms followed, on all edges. One in two rooms counts twice.", func(s *sample) int { return s.presence.Keys }),
		gauge("presence_metas", "Connections of the users shown.", func(s *sample) int { return s.presence.Metas }),
		gauge("presence_largest_room_keys", "Users shown in the room that has most.", func(s *sample) int { return s.presence.Largest }),
		counter("presence_dead_edges_total", "Other edges that fell silent without a goodbye; their users were taken to be gone.",
			func(s *sample) uint64 { return s.presence.Dead }),
		counter("presence_invalid_packets_total", "Packets between edges dropped because they were none.", func(s *sample) uint64 { return s.presence.Invalid }),
		counter("presence_unanswered_total", "Questions of other edges for which there was no time.", func(s *sample) uint64 { return s.presence.Unanswered }),
	}
}
