package backbone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
)

// StoreOptions tune a [Store]. A nil *StoreOptions is valid.
type StoreOptions struct {
	// Stream is what the stream should be like. One that differs is reported
	// in the log.
	Stream *StreamOptions

	// Apply creates the stream, or changes it as [Link.ApplyStream] does. In
	// production edges often have no right to.
	Apply bool

	// AckTimeout is how long Append waits for the acknowledgement of what it
	// sent. If zero, two seconds.
	AckTimeout time.Duration

	// Patience is how long Append tries to send while there is no link or no
	// leader. If zero, 1.5 seconds.
	Patience time.Duration

	// RecentBytes bounds the recent messages kept of all topics subscribed to.
	// If zero, 64 MiB.
	RecentBytes int
}

func (o *StoreOptions) withDefaults() (d StoreOptions) {
	if o != nil {
		d = *o
	}
	d.AckTimeout = cmp.Or(d.AckTimeout, 2*time.Second)
	d.Patience = cmp.Or(d.Patience, 1500*time.Millisecond)
	d.RecentBytes = cmp.Or(d.RecentBytes, 64<<20)
	return d
}

// A Store is a [Link] that keeps what is appended: an [edge.History] over a
// JetStream stream. It has no consumer, and nothing that runs per topic.
type Store struct {
	*Link
	opts     StoreOptions
	stream   string
	recent   recent
	counters storeCounters

	gate     chan struct{} // held by the one who verifies
	verified atomic.Uint64 // Link.dials when the stream was last seen to be what it was; never equal to it if that is in doubt
	epoch    atomic.Pointer[string]
	perTopic atomic.Int64 // messages kept of each topic
	once     atomic.Bool  // whether the stream was ever verified
	problem  atomic.Pointer[error]

	complaint string // logged last; only maintain uses it once it runs

	reconcile chan struct{} // holds a token if all topics are to be checked
	jobs      jobs
	fills     fills
	flights   flights
}

var _ edge.History = (*Store)(nil)

// Store makes the Link keep events. It is called once, before the first
// Subscribe to stored events. A stream that is missing or unfit is no error:
// the Store goes on trying, the log says what is wrong, and so does
// [Store.Ready].
func (l *Link) Store(ctx context.Context, o *StoreOptions) (*Store, error) {
	st := &Store{
		Link:      l,
		opts:      o.withDefaults(),
		stream:    l.subjects.streamName(),
		gate:      make(chan struct{}, 1),
		reconcile: make(chan struct{}, 1),
	}
	if err := st.opts.Stream.withDefaults().check(); err != nil {
		return nil, err
	}
	st.recent.limit = st.opts.RecentBytes
	st.verified.Store(math.MaxUint64)
	st.jobs.init()
	st.fills.init()
	st.flights.init()

	if _, err := l.SubscribeControl(ctx, nudgeKind, st.nudged); err != nil {
		return nil, err
	}
	if _, err := l.listen(advisoryElected+st.stream, leaderElected{st}); err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.store != nil {
		l.mu.Unlock()
		return nil, errors.New("the link has a store already")
	}
	l.store = st
	l.mu.Unlock()

	if l.Connected() {
		start, cancel := context.WithTimeout(ctx, peersPatience+flushTimeout)
		defer cancel()
		if err := st.verify(start); err != nil {
			st.complain(err)
		}
	}
	if !st.fresh() {
		st.reconcileSoon()
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.tasks.Go(func() { <-l.done; cancel(); st.fills.stop() })
	l.tasks.Go(func() { st.maintain(ctx) })
	l.tasks.Go(func() { st.runJobs(ctx) })
	for range fillers {
		l.tasks.Go(func() { st.runFills(ctx) })
	}
	return st, nil
}

// Ready returns nil if the edge can serve: see [Link.Ready]; and the stream
// must be there.
func (st *Store) Ready() error {
	if err := st.Link.Ready(); err != nil {
		return err
	}
	if p := st.problem.Load(); p != nil && (!st.once.Load() || !errors.Is(*p, edge.ErrUnavailable)) {
		return fmt.Errorf("history is not available: %w", *p)
	}
	if !st.once.Load() {
		return errors.New("history is not available: the stream has not been seen yet")
	}
	return nil
}

// Epoch implements [edge.History].
func (st *Store) Epoch() string {
	if e := st.epoch.Load(); e != nil {
		return *e
	}
	return ""
}

// fresh says whether the stream is known to be the one it was.
func (st *Store) fresh() bool { return st.verified.Load() == st.dials.Load() }

// suspect makes everybody wait until the stream is verified.
func (st *Store) suspect() {
	st.counters.suspicions.Add(1)
	st.verified.Store(math.MaxUint64)
	st.reconcileSoon()
}

func (st *Store) reconcileSoon() { token(st.reconcile) }

// verify returns once the stream is known to be the one it was, or all topics
// have been told that it is not.
func (st *Store) verify(ctx context.Context) error {
	if st.fresh() {
		return nil
	}
	select {
	case st.gate <- struct{}{}:
		defer func() { <-st.gate }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", edge.ErrUnavailable, ctx.Err())
	}
	if st.fresh() {
		return nil
	}
	_, err := st.verifyLocked(ctx)
	return err
}

// lastSequence returns the stream's last sequence, from the leader. It verifies
// the stream, too.
func (st *Store) lastSequence(ctx context.Context) (uint64, error) {
	select {
	case st.gate <- struct{}{}:
		defer func() { <-st.gate }()
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", edge.ErrUnavailable, ctx.Err())
	}
	info, err := st.verifyLocked(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// await is verify for those who are waited for: they have some patience if the
// link is about to return, but fail soon if it is gone.
func (st *Store) await(ctx context.Context) error {
	for end := time.Now().Add(st.opts.Patience); ; {
		err := st.verify(ctx)
		if err == nil || st.rpc.IsConnected() || time.Now().After(end) || !sleep(ctx, lagPause) {
			return err
		}
	}
}

// verifyLocked needs the gate.
func (st *Store) verifyLocked(ctx context.Context) (*jetstream.StreamInfo, error) {
	for {
		dials := st.dials.Load()
		info, err := st.inspect(ctx)
		if err != nil {
			st.problem.Store(&err)
			return nil, err
		}
		epoch := epochOf(info)
		if old := st.Epoch(); old != epoch {
			if old != "" {
				st.log.Warn("the stream is another one now", "stream", st.stream, "epoch", epoch, "before", old)
				st.verified.Store(math.MaxUint64)
				if err := st.drain(ctx); err != nil {
					return nil, err
				}
			}
			// In this order: what was learned before is refused from now on,
			// or forgotten.
			st.epoch.Store(&epoch)
			st.eachFollower((*follower).forget)
			if old != "" {
				st.reconcileSoon()
			}
		}
		st.perTopic.Store(info.Config.MaxMsgsPerSubject)
		st.problem.Store(nil)
		st.once.Store(true)
		st.verified.Store(dials)
		if dials == st.dials.Load() {
			st.eachFollower((*follower).release)
			return info, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
		}
	}
}

// inspect gets the stream's state, and makes or reports what is missing.
func (st *Store) inspect(ctx context.Context) (*jetstream.StreamInfo, error) {
	first := !st.once.Load()
	info, err := st.streamInfo(ctx)
	missing := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !missing {
		return nil, fmt.Errorf("%w: stream %s: %w", edge.ErrUnavailable, st.stream, err)
	}
	if missing && !st.opts.Apply {
		return nil, fmt.Errorf("%w; create it with: edge stream apply", err)
	}
	broken := err == nil && st.unfit(info.Config) != nil
	if !first && !missing && !broken {
		return info, nil
	}
	var r StreamReport
	if st.opts.Apply {
		r, err = st.ApplyStream(ctx, st.opts.Stream)
	} else {
		r, err = st.CheckStream(ctx, st.opts.Stream)
	}
	if err != nil {
		return nil, err
	}
	st.report(r)
	if r.Broken != nil {
		return nil, fmt.Errorf("%w; mend it with: edge stream apply", r.Broken)
	}
	return st.streamInfo(ctx)
}

func (st *Store) report(r StreamReport) {
	if r.Created {
		st.log.Info("created the stream", "stream", r.Name)
	}
	for _, s := range r.Changed {
		st.log.Info("changed the stream", "stream", r.Name, "reason", s)
	}
	for _, s := range r.Differs {
		st.log.Warn("the stream is not as it should be", "stream", r.Name, "reason", s)
	}
	for _, s := range r.Warnings {
		st.log.Warn("messages are at risk", "stream", r.Name, "reason", s)
	}
}

// drain returns once the dispatcher has handled all that had come before.
func (st *Store) drain(ctx context.Context) error {
	mark, reached := new(nats.Subscription), make(chan struct{})
	st.mu.Lock()
	st.routes[mark] = routeFunc(func(*nats.Msg) { close(reached) })
	st.mu.Unlock()
	defer func() {
		st.mu.Lock()
		delete(st.routes, mark)
		st.mu.Unlock()
	}()
	late := fmt.Errorf("%w: messages of the former stream are still on their way", edge.ErrUnavailable)
	select {
	case st.inbox <- &nats.Msg{Sub: mark}:
	case <-st.done:
		return errClosed
	case <-ctx.Done():
		return late
	}
	select {
	case <-reached:
		return nil
	case <-st.done:
		return errClosed
	case <-ctx.Done():
		return late
	}
}

type routeFunc func(*nats.Msg)

func (f routeFunc) take(m *nats.Msg) { f(m) }

// advisoryElected is what the server says when a stream has a new leader; the
// stream's name follows.
const advisoryElected = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."

type leaderElected struct{ store *Store }

// take follows the advisory of an election: what the leader before stored last
// may never be republished.
func (e leaderElected) take(*nats.Msg) { e.store.reconcileSoon() }

func (st *Store) followers() []*follower {
	st.mu.RLock()
	defer st.mu.RUnlock()
	all := make([]*follower, 0, len(st.topics))
	for _, t := range st.topics {
		if t.follower != nil {
			all = append(all, t.follower)
		}
	}
	return all
}

func (st *Store) eachFollower(f func(*follower)) {
	for _, g := range st.followers() {
		f(g)
	}
}

// follower returns the one that follows a topic now, or nil.
func (st *Store) follower(topic string) *follower {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if t := st.topics[topic]; t != nil {
		return t.follower
	}
	return nil
}
