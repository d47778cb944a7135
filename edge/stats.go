package edge

import (
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/edge/histogram"
)

// Stats are counts since the server began, and what there is now. Counts by
// kind have every kind, also those that never were. Package metrics gives them
// to Prometheus.
type Stats struct {
	Sockets   int64 `json:"sockets"`    // open connections, …
	LongPolls int   `json:"long_polls"` // … and those of them that long-poll
	Channels  int64 `json:"channels"`   // joined channels
	Rooms     int   `json:"rooms"`      // topics with members here
	Draining  bool  `json:"draining"`   // no more connections are taken
	Waiting   int64 `json:"waiting"`    // handshakes that wait to be let in

	Handshakes map[string]uint64 `json:"handshakes"` // who wanted to connect: ok, or what kept them from it
	Ended      map[string]uint64 `json:"ended"`      // connections that ended, by why
	Joins      map[string]uint64 `json:"joins"`      // by what came of them

	Drained     uint64 `json:"drained"`      // connections closed by Drain, …
	DrainRushed uint64 `json:"drain_rushed"` // … and those of them closed faster than the other edges could bear
	DrainCut    uint64 `json:"drain_cut"`    // connections that were cut off by Drain or Shutdown: they did not leave in time

	MessagesIn  uint64            `json:"messages_in"`  // from clients
	MessagesOut uint64            `json:"messages_out"` // taken by the kernel, or by a poll
	BytesIn     uint64            `json:"bytes_in"`     // of websockets as on the wire, of POSTs their bodies
	BytesOut    uint64            `json:"bytes_out"`    // as BytesIn; of polls the messages
	Dropped     map[string]uint64 `json:"dropped"`      // messages to clients that never left, by why

	Stale       uint64 `json:"stale"`        // messages from clients, dropped for an old join_ref
	Invalid     uint64 `json:"invalid"`      // stored events that were not fit to deliver
	Crashes     uint64 `json:"crashes"`      // panics and errors that ended a channel or a join
	BadTokens   uint64 `json:"bad_tokens"`   // requests with a session token that is not signed with this edge's secret
	SlowClients uint64 `json:"slow_clients"` // closed since they did not read …

	Slow   map[string]uint64 `json:"slow"`   // … by which bound they met
	Limits map[string]uint64 `json:"limits"` // how often a client met any other bound

	Histories       map[string]uint64 `json:"histories"`        // requests for stored events, by how they were made
	HistoryFailures uint64            `json:"history_failures"` // those that could not be answered
	Resumes         map[string]uint64 `json:"resumes"`          // joins with "since": recovered, or why not

	OldestQueued time.Duration `json:"oldest_queued"` // how long the oldest frame that a websocket has not taken has waited
	QueuedBytes  int64         `json:"queued_bytes"`  // what waits for all clients; both as of the last sweep

	// FanOut is how long it took to queue an event for all members here.
	FanOut histogram.Snapshot `json:"fan_out"`
	// Delivery is the time from when an event was stored, by the store's clock,
	// until it was queued for all members here, by this machine's: it is as
	// good as the two agree. A negative one counts as zero, and in ClockSkew if
	// it is more than a tenth of a second.
	Delivery  histogram.Snapshot `json:"delivery"`
	ClockSkew uint64             `json:"clock_skew"`
	// Outgoing is how long frames were queued until the kernel had them: of
	// each write the oldest. Long-polling is not in it.
	Outgoing histogram.Snapshot `json:"outgoing"`
}

// String returns the counts as JSON, for expvar.
func (s Stats) String() string {
	b, _ := json.Marshal(s) // numbers only
	return string(b)
}

// Stats returns the counts. It costs a few microseconds.
func (srv *Server) Stats() Stats {
	srv.roomsMu.Lock()
	rooms := len(srv.rooms)
	srv.roomsMu.Unlock()
	polls := 0
	if srv.longPoll != nil {
		polls = srv.longPoll.count()
	}
	s := &srv.stats
	return Stats{
		Sockets: s.sockets.Load(), LongPolls: polls, Channels: s.channels.Load(), Rooms: rooms, Draining: srv.isDraining(), Waiting: srv.admission.waiters(),
		Drained: s.drained.Load(), DrainRushed: s.drainRushed.Load(), DrainCut: s.drainCut.Load(),
		Handshakes: byName(handshakeResults[:], s.handshakes[:]), Ended: byName(endReasons[:], s.ended[:]),
		Joins:      byName(joinResults[:], s.joins[:]),
		MessagesIn: s.messagesIn.Load(), MessagesOut: s.messagesOut.Load(), BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(),
		Dropped: byName(dropReasons[:], s.dropped[:]), Stale: s.stale.Load(), Invalid: s.invalid.Load(), Crashes: s.crashes.Load(), BadTokens: s.badTokens.Load(),
		SlowClients: total(s.slow[:]), Slow: byName(slowReasons[:], s.slow[:]), Limits: byName(limits[:], s.limits[:]),
		Histories: byName(historyKinds[:], s.histories[:]), HistoryFailures: s.historyFailures.Load(),
		Resumes:      byName(resumeResults[:], s.resumes[:]),
		OldestQueued: time.Duration(s.oldestQueued.Load()), QueuedBytes: s.queuedBytes.Load(),
		FanOut: s.fanOut.Snapshot(), Delivery: s.delivery.Snapshot(), ClockSkew: s.clockSkew.Load(), Outgoing: s.outgoing.Snapshot(),
	}
}

// stats counts what happens. What has kinds is an array with a place for each:
// to count something new, add a constant and its name.
type stats struct {
	sockets, channels                          atomic.Int64
	messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
	stale, invalid, crashes, badTokens         atomic.Uint64
	historyFailures, clockSkew                 atomic.Uint64
	drained, drainRushed, drainCut             atomic.Uint64
	oldestQueued, queuedBytes, lastSweep       atomic.Int64
	handshakes                                 [len(handshakeResults)]atomic.Uint64
	ended                                      [len(endReasons)]atomic.Uint64
	joins                                      [len(joinResults)]atomic.Uint64
	dropped                                    [len(dropReasons)]atomic.Uint64
	slow                                       [len(slowReasons)]atomic.Uint64
	limits                                     [len(limits)]atomic.Uint64
	histories                                  [len(historyKinds)]atomic.Uint64
	resumes                                    [len(resumeResults)]atomic.Uint64
	fanOut, delivery, outgoing                 histogram.Histogram
}

// What comes of a handshake, or of a request that begins a long-polling session.
const (
	handshakeOK         = iota
	handshakeRefused    // by Options.Connect
	handshakeOrigin     // by Options.CheckOrigin
	handshakeBadRequest // no handshake, or none of a version that we know
	handshakeLimited
	handshakeDraining
	handshakeFull    // there are MaxSockets
	handshakeCrowded // too many waited to be let in
	handshakeCrashed // Connect did
	handshakeFailed  // the connection broke, or the client gave up while it waited
)

var handshakeResults = [...]string{"ok", "refused", "origin", "bad_request", "limited", "draining", "full", "crowded", "crashed", "failed"}

// Why a connection ends.
const (
	endClient       = iota // the client left, or its network did
	endIdle                // nothing came from it
	endSlow                // it did not read
	endDrained             // Shutdown
	endDisconnected        // Disconnect
	endTooBig              // it sent more than MaxMessage
	endFault               // it broke the protocol, or we could not answer
)

var endReasons = [...]string{"client", "idle", "slow", "drained", "disconnected", "too_big", "error"}

func endReason(err error) int {
	switch {
	case errors.Is(err, ErrClosed):
		return endClient
	case errors.Is(err, errIdle):
		return endIdle
	case errors.Is(err, errSlow):
		return endSlow
	case errors.Is(err, ErrDraining):
		return endDrained
	case errors.Is(err, ErrDisconnected):
		return endDisconnected
	case errors.Is(err, websocket.ErrMessageTooBig):
		return endTooBig
	}
	return endFault
}

// What comes of a join.
const (
	joinOK          = iota
	joinRefused     // by the channel, or a bound
	joinUnmatched   // no channel serves the topic
	joinUnavailable // the backbone does not work
	joinCrashed     // the channel panicked, or failed
	joinEnded       // the connection ended meanwhile
)

var joinResults = [...]string{"ok", "refused", "unmatched", "unavailable", "crashed", "ended"}

// Why a message that was queued for a client never left.
const (
	dropSlow = iota // it did not read
	dropGone        // it has gone
)

var dropReasons = [...]string{"slow", "gone"}

// Which bound a client that does not read has met.
const (
	slowBytes = iota // Options.OutboxBytes, or a bound of LongPoll
	slowAge          // Options.OutboxAge
	slowJoin         // what came while it joined
	slowInbox        // broadcasts that its channel intercepts
)

var (
	slowReasons = [...]string{"bytes", "age", "join", "inbox"}
	slowTexts   = [len(slowReasons)]string{
		"too many bytes queued", "oldest frame waited too long", "too much came while joining", "handlers cannot keep up with broadcasts",
	}
)

// Other bounds that a client may meet.
const (
	limitMessage         = iota // Options.MaxMessage
	limitChannels               // Options.MaxChannels
	limitTopic                  // protocol.MaxTopic
	limitRef                    // maxRef
	limitQuery                  // maxQuery
	limitInbox                  // what waits for handlers: reading pauses
	limitBody                   // LongPoll.MaxBody
	limitSessionsUser           // LongPoll.SessionsPerUser
	limitSessionsAddress        // LongPoll.SessionsPerIP
	limitRequests               // maxRequests
	limitBodies                 // LongPoll.MaxBody, of all POSTs of a session
	limitPollRate               // LongPoll.PollRate: requests wait
	limitJoinRate               // Options.JoinRate: joins wait
	limitAdmitRate              // Options.AdmitRate: handshakes wait
)

var limits = [...]string{
	"message", "channels", "topic", "ref", "query", "inbox", "body", "sessions_user", "sessions_address", "requests", "bodies", "poll_rate", "join_rate", "admit_rate",
}

// How a client asks for stored events.
const (
	historyJoin   = iota // join param "history"
	historyResume        // join param "since"
	historyScroll        // event history
)

var historyKinds = [...]string{"join", "resume", "scroll"}

// What comes of a resume.
const (
	resumeRecovered = iota
	resumeEpochMissing
	resumeEpochChanged
	resumeNotKept
)

var resumeResults = [...]string{"recovered", "epoch_missing", "epoch_changed", "not_kept"}

func resumeResult(reply *pastReply) int {
	switch reply.Reason {
	case reasonEpochMissing:
		return resumeEpochMissing
	case reasonEpochChanged:
		return resumeEpochChanged
	case reasonNotKept:
		return resumeNotKept
	}
	return resumeRecovered
}

func byName(names []string, counts []atomic.Uint64) map[string]uint64 {
	m := make(map[string]uint64, len(names))
	for i, name := range names {
		m[name] = counts[i].Load()
	}
	return m
}

func total(counts []atomic.Uint64) (n uint64) {
	for i := range counts {
		n += counts[i].Load()
	}
	return n
}

// skewTolerance is how far apart clocks are that are looked after.
const skewTolerance = 100 * time.Millisecond

// delivered notes that an event that was stored at a time is queued for all
// members here.
func (s *stats) delivered(at time.Time) {
	d := time.Since(at)
	if d < -skewTolerance {
		s.clockSkew.Add(1)
	}
	s.delivery.Observe(d)
}

// sent notes that the kernel has taken frames of which the oldest was queued at
// a time.
func (s *stats) sent(messages, bytes int, since int64) {
	s.messagesOut.Add(uint64(messages))
	s.bytesOut.Add(uint64(bytes))
	s.outgoing.Observe(time.Duration(nanotime() - since))
}
