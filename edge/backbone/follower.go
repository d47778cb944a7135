package backbone

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
)

// A follower hands on the stored messages of one topic: each once, in their
// order, without holes. It takes the republished copies as they come, and sees
// by the sequence of the message before each whether one is missing; what is
// missing it reads from the stream.
type follower struct {
	store   *Store
	topic   *topic
	subject string // in the stream
	ring    ring   // guarded by store.recent.mu

	// Guarded by topic.mu.

	cur   uint64 // sequence of the last message handed on
	curAt time.Time
	// target is how far the stream is said to be, and proof how far it is
	// known to have been: a sequence somewhere below it may never have been
	// this topic's, or be gone.
	target, proof uint64

	opened  bool
	closed  bool
	filling bool // catching up, or about to: what comes is held
	parked  bool // the catching up waits for the stream to be verified
	sure    bool // what is held came before the stream was verified
	tries   int  // without progress
	held    []copied
	size    int // bytes held

	checked uint64 // up to this sequence of the stream the topic was compared
	acked   uint64 // newest sequence acknowledged to this edge
	nudging uint64 // the one that a jobNudge is set for, or 0
	waiters []waiter
}

// copied is a republished message.
type copied struct {
	stored
	prev uint64 // sequence of the topic's message before it
}

// A waiter wants to know when the message of a sequence was stored.
type waiter struct {
	seq uint64
	at  chan time.Time // has room for one
}

const (
	fillBatch = 256
	// heldMessages and heldBytes bound what waits while a topic catches up.
	// What does not fit is read from the stream.
	heldMessages = 1024
	heldBytes    = 4 << 20
	// lagTries is how often a replica that seems to lag is asked, before the
	// leader is.
	lagTries   = 5
	lagPause   = 20 * time.Millisecond
	nudgeDelay = 300 * time.Millisecond
)

func newFollower(st *Store, t *topic) *follower {
	return &follower{store: st, topic: t, subject: st.subjects.in(t.tail), filling: true}
}

// open finds where to begin. The subscription must be active: what is stored
// from now on will come, or leave a gap that can be seen.
func (f *follower) open(ctx context.Context) error {
	st := f.store
	for {
		if err := st.await(ctx); err != nil {
			return err
		}
		last, any, err := st.newest(ctx, f.subject)
		if err != nil {
			return err
		}
		f.topic.mu.Lock()
		if !st.fresh() { // the answer may be of another stream
			f.topic.mu.Unlock()
			continue
		}
		f.cur, f.curAt = last.seq, last.at
		f.target, f.proof = max(f.target, last.seq), max(f.proof, last.seq)
		st.recent.reset(&f.ring, last.seq, !any)
		f.opened = true
		f.settleLocked()
		f.topic.mu.Unlock()
		now := time.Now()
		for _, d := range recheck {
			st.jobs.add(job{at: now.Add(d), kind: jobCheck, f: f})
		}
		return nil
	}
}

func (f *follower) close() {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	f.closed = true
	f.held, f.waiters = nil, nil
	f.store.recent.reset(&f.ring, 0, false)
}

// take is called by the dispatcher with a republished copy.
func (f *follower) take(m *nats.Msg) {
	st := f.store
	s, err := parseStored(m)
	var prev uint64
	if err == nil {
		prev, err = strconv.ParseUint(m.Header.Get(headerPrevious), 10, 64)
	}
	if err == nil && (s.subject != f.subject || m.Header.Get(headerStream) != st.stream) {
		err = errors.New("it was not republished by the stream")
	}
	if err != nil {
		st.invalid(m.Subject, err)
		return
	}
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if !f.closed {
		f.takeLocked(copied{s, prev}, false)
	}
}

// takeLocked is the rule of it all. sure says that the stream was verified
// after c came.
func (f *follower) takeLocked(c copied, sure bool) {
	st := f.store
	switch {
	case f.filling || !st.fresh():
		f.holdLocked(c)
	case c.seq <= f.cur:
		// Seen. But one stored later with a lower sequence is of another stream.
		if c.at.After(f.curAt) && !sure {
			st.suspect()
		}
	case c.prev < f.cur && !sure:
		// The message before should be cur itself. It was deleted, or this is
		// another stream.
		f.holdLocked(c)
		st.suspect()
	case c.prev <= f.cur:
		f.deliverLocked(c.stored)
	default:
		st.counters.gaps.Add(1)
		f.holdLocked(c)
		f.proof = max(f.proof, c.prev)
		f.fillToLocked(c.prev)
	}
}

func (f *follower) holdLocked(c copied) {
	f.held = append(f.held, c)
	f.size += len(c.data)
	if len(f.held) <= heldMessages && f.size <= heldBytes {
		return
	}
	for _, c := range f.held {
		f.target, f.proof = max(f.target, c.seq), max(f.proof, c.seq)
	}
	f.held, f.size = nil, 0
}

func (f *follower) fillToLocked(target uint64) {
	f.target = max(f.target, target)
	if f.target > f.cur && !f.filling && !f.closed {
		f.filling, f.tries = true, 0
		f.store.fills.push(f)
	}
}

// deliverLocked hands on the message that follows cur.
func (f *follower) deliverLocked(s stored) {
	st := f.store
	f.cur, f.curAt = s.seq, s.at
	d, err := s.delivery()
	st.recent.add(&f.ring, d, err == nil)
	f.waiters = answerWaiters(f.waiters, s)
	if err != nil {
		st.invalid(s.subject, err)
		return
	}
	st.counters.delivered.Add(1)
	for _, sub := range f.topic.subscribers {
		if sub.stored {
			sub.deliver(d)
		}
	}
}

func answerWaiters(waiters []waiter, s stored) []waiter {
	left := waiters[:0]
	for _, w := range waiters {
		switch {
		case w.seq == s.seq:
			w.at <- s.at
		case w.seq > s.seq:
			left = append(left, w)
		}
	}
	clear(waiters[len(left):])
	return left
}

// settleLocked ends the catching up: cur has reached target. What was held is
// taken, and may show the next gap.
func (f *follower) settleLocked() {
	held, sure := f.held, f.sure
	f.held, f.size, f.sure = nil, 0, false
	f.filling, f.tries = false, 0
	for _, c := range held {
		f.takeLocked(c, sure)
	}
	f.fillToLocked(0)
}

// want says that the topic has reached seq. Only the stream itself is believed,
// as it was in epoch: without one, nothing is proven.
func (f *follower) want(epoch *string, seq uint64) {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if f.closed || !f.opened || seq <= f.cur {
		return
	}
	if epoch != nil {
		if epoch != f.store.epoch.Load() {
			return
		}
		f.proof = max(f.proof, seq)
	}
	f.fillToLocked(seq)
}

// release follows the stream's verification.
func (f *follower) release() {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	switch {
	case f.closed:
	case f.parked:
		f.parked = false
		f.store.fills.push(f)
	case !f.filling && (len(f.held) > 0 || f.target > f.cur):
		// Another goroutine takes them: the one that verifies may be its
		// caller's.
		f.filling, f.sure = true, true
		f.store.fills.push(f)
	}
}

// forget follows the discovery that the stream is another one. All that it has
// of the topic is new.
func (f *follower) forget() {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	f.cur, f.curAt = 0, time.Time{}
	f.target, f.proof, f.checked, f.acked, f.nudging = 0, 0, 0, 0, 0
	f.held, f.size, f.waiters = nil, 0, nil
	f.store.recent.reset(&f.ring, 0, false)
}

// checkedUpTo returns up to where the topic was compared with the stream, and
// whether it is to be compared at all.
func (f *follower) checkedUpTo() (seq uint64, ok bool) {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	return f.checked, f.opened && !f.closed
}

func (f *follower) checkedTo(epoch *string, seq uint64) {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if f.store.epoch.Load() == epoch {
		f.checked = max(f.checked, seq)
	}
}

// acknowledged says that the store has acknowledged seq to this edge. If its
// message has not come yet, w tells its time when it does; if it still has not
// after a while, other edges are told: the leader may have died before it
// republished it.
func (f *follower) acknowledged(epoch *string, seq uint64) (w waiter, wait bool) {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if f.closed || !f.opened || seq <= f.cur || f.store.epoch.Load() != epoch {
		return w, false
	}
	f.acked = max(f.acked, seq)
	f.nudgeLaterLocked()
	w = waiter{seq, make(chan time.Time, 1)}
	f.waiters = append(f.waiters, w)
	return w, true
}

func (f *follower) nudgeLaterLocked() {
	if f.nudging == 0 && f.acked > f.cur && !f.closed {
		f.nudging = f.acked
		f.store.jobs.add(job{at: time.Now().Add(nudgeDelay), kind: jobNudge, f: f})
	}
}

// nudge looks whether what was acknowledged a while ago has come.
func (f *follower) nudge(ctx context.Context) {
	f.topic.mu.Lock()
	seq := f.nudging
	f.nudging = 0
	behind := f.cur < seq && !f.closed
	if behind {
		f.proof = max(f.proof, seq)
		f.fillToLocked(seq)
	}
	f.nudgeLaterLocked()
	f.topic.mu.Unlock()
	if !behind {
		return
	}
	f.store.counters.nudges.Add(1)
	data, err := json.Marshal(nudge{f.topic.name, seq})
	if err == nil {
		err = f.store.PublishControl(ctx, nudgeKind, data)
	}
	if err != nil && !errors.Is(err, edge.ErrUnavailable) {
		f.store.log.Warn("cannot tell other edges of a message", "room", f.topic.name, "seq", seq, "error", err)
	}
}
