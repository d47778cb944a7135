package backbone

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// A job is something to be done later, for one topic or for all.
type job struct {
	at   time.Time
	kind jobKind
	f    *follower
}

type jobKind int

// burstTime is how close together events are that need no recheck each.
const burstTime = 500 * time.Millisecond

const (
	jobCheck     jobKind = iota // compare the topic with the stream
	jobFill                     // go on catching up
	jobNudge                    // tell other edges, if the topic is still behind
	jobReconcile                // compare all topics with the stream
	jobRecheck                  // the same once more, to be sure
)

// jobs are what is to be done later: one heap and one timer for all topics.
type jobs struct {
	wake    chan struct{} // holds a token if the earliest job has changed
	due     chan struct{} // holds a token if checks are due
	recheck chan struct{} // holds a token if a jobRecheck is due

	mu     sync.Mutex // guards what follows
	heap   jobHeap
	checks []*follower
	last   time.Time // when rechecks were set
}

type jobHeap []job

func (h jobHeap) Len() int           { return len(h) }
func (h jobHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h jobHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *jobHeap) Push(x any)        { *h = append(*h, x.(job)) }
func (h *jobHeap) Pop() any {
	old := *h
	j := old[len(old)-1]
	old[len(old)-1] = job{}
	*h = old[:len(old)-1]
	return j
}

func (q *jobs) init() {
	q.wake, q.due, q.recheck = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
}

func (q *jobs) add(j job) {
	q.mu.Lock()
	heap.Push(&q.heap, j)
	first := q.heap[0].at.Equal(j.at)
	q.mu.Unlock()
	if first {
		token(q.wake)
	}
}

// recheckAll has all topics compared again later, but not for each event of a
// burst.
func (q *jobs) recheckAll() {
	now := time.Now()
	q.mu.Lock()
	burst := now.Sub(q.last) < burstTime
	if !burst {
		q.last = now
	}
	q.mu.Unlock()
	if burst {
		return
	}
	for _, d := range recheck {
		q.add(job{at: now.Add(d), kind: jobRecheck})
	}
}

func (q *jobs) takeDue() []*follower {
	q.mu.Lock()
	defer q.mu.Unlock()
	fs := q.checks
	q.checks = nil
	return fs
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// runJobs does what is due. Checks are collected, so that one request can
// compare many topics.
func (st *Store) runJobs(ctx context.Context) {
	const idle = time.Hour
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		q := &st.jobs
		now := time.Now()
		next := idle
		var due []job
		q.mu.Lock()
		for len(q.heap) > 0 {
			if wait := q.heap[0].at.Sub(now); wait > 0 {
				next = wait
				break
			}
			due = append(due, heap.Pop(&q.heap).(job))
		}
		q.mu.Unlock()
		for _, j := range due {
			switch j.kind {
			case jobCheck:
				q.mu.Lock()
				q.checks = append(q.checks, j.f)
				q.mu.Unlock()
				token(q.due)
			case jobFill:
				st.fills.push(j.f)
			case jobNudge:
				j.f.nudge(ctx)
			case jobReconcile:
				st.reconcileSoon()
			case jobRecheck:
				token(q.recheck)
			}
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-q.wake:
		case <-ctx.Done():
			return
		}
	}
}
