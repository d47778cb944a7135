package backbone

import (
	"context"
	"sync"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// fill reads from the stream what is missing. It is called by one of few
// goroutines and does not wait: what cannot go on now is queued again.
func (f *follower) fill(ctx context.Context) {
	st, t := f.store, f.topic
	for {
		t.mu.Lock()
		switch {
		case f.closed:
			t.mu.Unlock()
			return
		case !st.fresh():
			f.parked = true
			t.mu.Unlock()
			st.reconcileSoon()
			return
		case f.cur >= f.target:
			f.settleLocked()
			t.mu.Unlock()
			return
		}
		cur, tries, epoch := f.cur, f.tries, st.epoch.Load()
		f.tries++
		t.mu.Unlock()

		var err error
		if tries < lagTries {
			err = f.fillFromReplica(ctx, epoch, cur)
		} else {
			err = f.fillFromLeader(ctx, epoch, cur)
		}
		t.mu.Lock()
		progress := f.cur != cur || f.cur >= f.target
		if progress {
			f.tries = 0
		}
		t.mu.Unlock()
		if progress {
			continue
		}
		// A replica that lags will have it soon. What fails outright may take
		// longer.
		pause := lagPause * time.Duration(tries+1)
		if err != nil || tries >= lagTries {
			pause = min(pause*4, 2*time.Second)
		}
		st.jobs.add(job{at: time.Now().Add(pause), kind: jobFill, f: f})
		return
	}
}

func (f *follower) fillFromReplica(ctx context.Context, epoch *string, cur uint64) error {
	// The message at cur is read again: if it is gone, so may be others.
	a, err := f.store.get(ctx, query{Seq: max(cur, 1), Next: f.subject, Batch: fillBatch})
	if err != nil {
		return err
	}
	f.catchUp(epoch, cur, a.messages, len(a.messages) > 0 && a.messages[0].seq > cur)
	return nil
}

func (f *follower) fillFromLeader(ctx context.Context, epoch *string, cur uint64) error {
	kept, err := f.store.next(ctx, f.subject, max(cur, 1))
	if err != nil {
		return err
	}
	s := kept
	if kept != nil && kept.seq == cur {
		if s, err = f.store.next(ctx, f.subject, cur+1); err != nil {
			return err
		}
	}
	if s != nil {
		f.catchUp(epoch, cur, []stored{*s}, kept.seq > cur)
		return nil
	}
	// Nothing follows. What was proven to exist is gone; the rest never was.
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if f.closed || f.cur != cur || !f.store.fresh() || f.store.epoch.Load() != epoch {
		return nil
	}
	if f.proof > f.cur {
		f.cur = f.proof
		f.lostLocked()
		f.store.recent.reset(&f.ring, f.cur, false)
	}
	f.target = f.cur
	return nil
}

// lostLocked tells subscribers that messages are missing that nobody has any
// more.
func (f *follower) lostLocked() {
	f.store.counters.trimmed.Add(1)
	for _, sub := range f.topic.subscribers {
		if sub.stored {
			sub.deliver(edge.Delivery{Lost: true})
		}
	}
}

// catchUp hands on what a read from cur on has found. If the message at cur was
// gone, so may be others after it: topics lose their oldest messages first.
func (f *follower) catchUp(epoch *string, cur uint64, messages []stored, gone bool) {
	st := f.store
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	if f.closed || f.cur != cur || !st.fresh() || st.epoch.Load() != epoch || len(messages) == 0 {
		return
	}
	if cur != 0 && gone {
		f.lostLocked()
		st.recent.reset(&f.ring, messages[0].seq-1, false)
	}
	for _, m := range messages {
		if m.seq > f.cur {
			st.counters.filled.Add(1)
			f.deliverLocked(m)
		}
	}
}

// A fills is the queue of topics that catch up.
type fills struct {
	mu      sync.Mutex // guards what follows
	some    *sync.Cond
	queue   []*follower
	stopped bool
}

func (q *fills) init() { q.some = sync.NewCond(&q.mu) }

func (q *fills) push(f *follower) {
	q.mu.Lock()
	q.queue = append(q.queue, f)
	q.mu.Unlock()
	q.some.Signal()
}

func (q *fills) pop() *follower {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 && !q.stopped {
		q.some.Wait()
	}
	if q.stopped {
		return nil
	}
	f := q.queue[0]
	q.queue[0] = nil
	q.queue = q.queue[1:]
	return f
}

func (q *fills) stop() {
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	q.some.Broadcast()
}

func (st *Store) runFills(ctx context.Context) {
	for {
		f := st.fills.pop()
		if f == nil {
			return
		}
		f.fill(ctx)
	}
}
