package backbone

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"time"
)

const (
	// fillers is how many topics catch up with the stream at a time.
	fillers = 8
	// sweepPeriod is how often each topic is checked without a reason, with as
	// much again at random.
	sweepPeriod = 30 * time.Second
	// retryPause is how long to wait when topics could not be compared: for as
	// long they stand still.
	retryPause = 250 * time.Millisecond
	// checkTimeout bounds one comparison of all topics.
	checkTimeout = 30 * time.Second
)

// After a change routes between servers may not know each other's interest for
// a while, so topics are checked again.
var recheck = []time.Duration{time.Second, 5 * time.Second}

// maintain finds out what was missed: after each event that may lose messages,
// and now and then without one.
func (st *Store) maintain(ctx context.Context) {
	pause := func() time.Duration { return sweepPeriod + rand.N(sweepPeriod) } //nolint:gosec // spreads load
	sweep := time.NewTimer(pause())
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-st.reconcile:
			if st.checkAll(ctx) {
				st.jobs.recheckAll()
			}
		case <-st.jobs.recheck:
			st.checkAll(ctx)
		case <-st.jobs.due:
			if st.check(ctx, st.jobs.takeDue()) != nil {
				st.reconcileSoon()
			}
		case <-sweep.C:
			st.sweep(ctx)
			sweep.Reset(pause())
		}
	}
}

// checkAll compares all topics with the stream. If it cannot, it has itself
// called again.
func (st *Store) checkAll(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	st.counters.reconciles.Add(1)
	err := st.verify(ctx)
	if err == nil {
		err = st.flush(ctx) // subscriptions first, as for a single topic
	}
	if err == nil {
		err = st.check(ctx, st.followers())
	}
	if err == nil {
		st.complaint = ""
	} else {
		st.complain(err)
		st.jobs.add(job{at: time.Now().Add(retryPause), kind: jobReconcile})
	}
	return err == nil
}

// complain logs an error that history stands still for, once until it changes.
func (st *Store) complain(err error) {
	if !st.Connected() || err.Error() == st.complaint { // a lost link is logged where it is noticed
		return
	}
	st.complaint = err.Error()
	st.log.Error("history is not available", "stream", st.stream, "error", err)
}

// sweep is a checkAll that is in nobody's way.
func (st *Store) sweep(ctx context.Context) {
	if _, err := st.lastSequence(ctx); err != nil { // verifies: the stream may be another one without a reconnect
		st.reconcileSoon()
		return
	}
	all := st.followers()
	for len(all) > 0 && len(st.reconcile) == 0 {
		n := min(len(all), checkBatch)
		if st.check(ctx, all[:n]) != nil {
			st.reconcileSoon()
			return
		}
		all = all[n:]
		if len(all) > 0 && !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
}

const (
	// checkBatch is how many topics one request compares. The server answers at
	// most 1,024.
	checkBatch = 1000
	// checkBytes bounds the request; servers take a megabyte.
	checkBytes = 256 << 10
)

// check asks for the newest message of each topic, and has what is missing
// fetched.
func (st *Store) check(ctx context.Context, all []*follower) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	for len(all) > 0 {
		bySubject := make(map[string]*follower)
		q := query{Batch: checkBatch}
		size, n := 0, 0
		seen := uint64(math.MaxUint64)
		for _, f := range all[:min(len(all), checkBatch)] {
			if size += len(f.subject); size > checkBytes && n > 0 {
				break
			}
			n++
			checked, ok := f.checkedUpTo()
			if !ok || bySubject[f.subject] != nil {
				continue
			}
			seen = min(seen, checked)
			bySubject[f.subject] = f
			q.Last = append(q.Last, f.subject)
		}
		all = all[n:]
		if len(q.Last) == 0 {
			continue
		}
		// What was compared before need not be again: silent topics then answer
		// nothing.
		q.Seq = seen + 1
		epoch := st.epoch.Load()
		var upTo uint64
		for {
			a, err := st.mustGet(ctx, q)
			if err != nil {
				return err
			}
			for _, m := range a.messages {
				if f := bySubject[m.subject]; f != nil {
					f.want(epoch, m.seq)
				}
			}
			upTo = a.upTo
			if a.pending == 0 || len(a.messages) == 0 {
				break
			}
			q.Seq, q.UpTo = a.messages[len(a.messages)-1].seq+1, a.upTo
		}
		for _, f := range bySubject {
			f.checkedTo(epoch, upTo)
		}
	}
	return nil
}

// nudgeKind is the kind of control message that says how far a topic is.
const nudgeKind = "nudge"

type nudge struct {
	Topic string `json:"topic"`
	Seq   uint64 `json:"seq"`
}

// nudged follows another edge's word that a topic has reached a sequence. It is
// not taken for proof.
func (st *Store) nudged(data []byte) {
	var n nudge
	if err := json.Unmarshal(data, &n); err != nil {
		st.invalid(st.subjects.control(nudgeKind), err)
		return
	}
	if f := st.follower(n.Topic); f != nil {
		f.want(nil, n.Seq)
	}
}
