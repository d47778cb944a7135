package backbone

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aristochat/aristochat/edge"
)

const (
	// readTimeout bounds a Read, whatever its context says.
	readTimeout = 5 * time.Second
	// pageLimit bounds a page, whatever the query says: More says that there
	// is more.
	pageLimit = 1000
	// smallTopic is how many messages are read at once rather than counted.
	smallTopic = 256
)

// errChanged says that the stream may have become another one while it was
// read.
var errChanged = errors.New("the stream changed")

// Read implements [edge.History]. Messages that are not fit to be delivered
// are left out.
func (st *Store) Read(ctx context.Context, topic string, q edge.Query) (edge.Page, error) {
	tail, err := Tail(topic)
	if err != nil {
		return edge.Page{}, err
	}
	if q.Limit <= 0 {
		return edge.Page{}, fmt.Errorf("reading %q: limit is %d", topic, q.Limit)
	}
	q.Limit = min(q.Limit, pageLimit)
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for {
		if err := st.await(ctx); err != nil {
			return edge.Page{}, err
		}
		page, err := st.readOnce(ctx, topic, st.subjects.in(tail), q)
		if !errors.Is(err, errChanged) {
			return page, err
		}
		if ctx.Err() != nil {
			return edge.Page{}, fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
		}
	}
}

func (st *Store) readOnce(ctx context.Context, topic, subject string, q edge.Query) (page edge.Page, err error) {
	epoch := st.epoch.Load()
	f := st.follower(topic)
	if f != nil {
		// Who reads a topic that is followed must not get less than what was
		// handed on: what comes next would leave a gap.
		q.AtLeast = max(q.AtLeast, f.position())
		if page, ok := st.recent.read(&f.ring, q, st.perTopic.Load()); ok && st.unchanged(epoch) {
			st.counters.ringReads.Add(1)
			return page, nil
		}
	}
	if q.Last || q.Before != 0 {
		page, err = st.readNewest(ctx, f, subject, q)
	} else {
		page, err = st.readShared(ctx, f, subject, q)
	}
	if err == nil && !st.unchanged(epoch) {
		err = errChanged
	}
	if err == nil && f != nil && len(page.Messages) > 0 {
		// A client may know more of the topic than this edge has heard.
		f.want(epoch, page.Messages[len(page.Messages)-1].Seq)
	}
	return page, err
}

func (st *Store) unchanged(epoch *string) bool { return st.fresh() && st.epoch.Load() == epoch }

func (f *follower) position() uint64 {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	return f.cur
}

// flights are the reads after some sequence that are under way, at most one
// known of each subject. Many clients that come back at once then cost few
// reads: who wants less than what is being read waits for it.
type flights struct {
	mu sync.Mutex // guards what follows
	of map[string]*flight
}

type flight struct {
	query edge.Query
	done  chan struct{} // closed when what follows is set
	page  edge.Page
	err   error
}

func (fs *flights) init() { fs.of = make(map[string]*flight) }

func (st *Store) readShared(ctx context.Context, f *follower, subject string, q edge.Query) (edge.Page, error) {
	for {
		st.flights.mu.Lock()
		fl := st.flights.of[subject]
		mine := fl == nil || fl.query.After > q.After
		if mine {
			fl = &flight{query: q, done: make(chan struct{})}
			fl.query.Limit = max(q.Limit, ringMessages)
			st.flights.of[subject] = fl
		}
		st.flights.mu.Unlock()
		if mine {
			// Others wait for it too: this caller's end must not be theirs.
			st.fly(context.WithoutCancel(ctx), f, subject, fl)
			if fl.err != nil {
				return edge.Page{}, fl.err
			}
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			return edge.Page{}, fmt.Errorf("%w: %w", edge.ErrUnavailable, ctx.Err())
		}
		if page, ok := fl.answer(q); ok {
			if !mine {
				st.counters.sharedReads.Add(1)
			}
			return page, nil
		}
		// It did not tell what is wanted here: now it is this caller's turn, or
		// another's.
	}
}

func (st *Store) fly(ctx context.Context, f *follower, subject string, fl *flight) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	fl.page, fl.err = st.readAfter(ctx, f, subject, fl.query)
	st.flights.mu.Lock()
	if st.flights.of[subject] == fl {
		delete(st.flights.of, subject)
	}
	st.flights.mu.Unlock()
	close(fl.done)
}

// answer is what the flight's page says to a query that may begin later and
// want less.
func (fl *flight) answer(q edge.Query) (page edge.Page, ok bool) {
	if fl.err != nil || q.After < fl.query.After {
		return page, false
	}
	all := fl.page.Messages
	end := fl.query.After
	if len(all) > 0 {
		end = all[len(all)-1].Seq
	}
	switch {
	case q.After == fl.query.After:
	case fl.page.Trimmed, q.After > end, q.After == end && fl.page.More:
		return page, false
	}
	if !fl.page.More && q.AtLeast > max(end, fl.query.AtLeast) {
		return page, false
	}
	page.First, page.Trimmed = fl.page.First, fl.page.Trimmed
	for len(all) > 0 && all[0].Seq <= q.After {
		all = all[1:]
	}
	n := min(len(all), q.Limit)
	page.Messages = all[:n:n]
	page.More = fl.page.More || n < len(all)
	return page, true
}

// readAfter reads the messages after a sequence, oldest first.
func (st *Store) readAfter(ctx context.Context, f *follower, subject string, q edge.Query) (page edge.Page, err error) {
	// The message at After is read too: if it is still there, so are those
	// after it.
	s := scan{store: st, subject: subject, next: max(q.After, 1), after: q.After, need: q.AtLeast, limit: q.Limit + 1}
	if err := s.step(ctx); err != nil {
		return page, err
	}
	switch {
	case q.After == 0:
		// Nothing tells whether a topic had messages before its first one,
		// except that it is full.
		if most := st.perTopic.Load(); most > 0 && uint64(s.count)+s.pending >= uint64(most) {
			page.Trimmed, page.First = true, s.first
		}
	case s.first != q.After:
		if err := s.trimmed(ctx, &page); err != nil {
			return page, err
		}
	}
	if err := s.run(ctx); err != nil {
		return page, err
	}
	page.Messages = s.deliveries
	if f != nil && !page.Trimmed && q.After != 0 {
		st.recent.extend(&f.ring, q.After, s.next-1, false, page.Messages)
	}
	page.More = s.pending > 0 || len(page.Messages) > q.Limit
	page.Messages = page.Messages[:min(len(page.Messages), q.Limit)]
	return page, nil
}

// trimmed finds out why the message at after was not found. A topic loses its
// oldest messages first.
func (s *scan) trimmed(ctx context.Context, page *edge.Page) error {
	st := s.store
	next, err := st.mustNext(ctx, s.subject, s.after)
	if err != nil {
		return err
	}
	if next != nil && next.seq == s.after { // the replica lags
		s.need = max(s.need, s.after)
		return nil
	}
	oldest, err := st.mustNext(ctx, s.subject, 1)
	if err != nil {
		return err
	}
	if oldest == nil {
		page.Trimmed = true
		return nil
	}
	if oldest.seq <= s.after+1 {
		if next != nil {
			return nil // it was another topic's sequence, or deleted alone
		}
		last, err := st.lastSequence(ctx)
		if err != nil || s.after <= last {
			return err
		}
		// There was never such a sequence.
	}
	page.Trimmed, page.First = true, oldest.seq
	return nil
}

// readNewest reads the newest messages, or the newest before a sequence.
func (st *Store) readNewest(ctx context.Context, f *follower, subject string, q edge.Query) (page edge.Page, err error) {
	before, need := q.Before, uint64(0)
	if q.Last {
		before, need = 0, q.AtLeast
	}
	oldest, size, err := st.countFrom(ctx, subject, 1)
	if err != nil {
		return page, err
	}
	behind := uint64(0) // how many are not before
	if before != 0 {
		if _, behind, err = st.countFrom(ctx, subject, before); err != nil {
			return page, err
		}
	}
	want := uint64(q.Limit) + 1 // one more tells whether more precede
	begin := max(oldest, 1)
	if size > behind+max(smallTopic, 2*want) {
		if begin, err = st.begin(ctx, subject, oldest, before, behind, want); err != nil {
			return page, err
		}
	}
	for {
		s := scan{store: st, subject: subject, next: begin, before: before, need: need}
		if err := s.run(ctx); err != nil {
			return page, err
		}
		whole := begin <= max(oldest, 1)
		if uint64(len(s.deliveries)) < want && !whole {
			begin = max(oldest, 1) // among those counted were some that nobody should see
			continue
		}
		if f != nil && before == 0 {
			st.recent.extend(&f.ring, begin-1, s.next-1, whole, s.deliveries)
		}
		page.More = len(s.deliveries) > q.Limit
		page.Messages = s.deliveries[max(0, len(s.deliveries)-q.Limit):]
		return page, nil
	}
}

// begin finds a sequence from which on there are at least want messages of a
// subject, and not many more, besides those behind. There is no request for
// that; but an answer tells how many follow it.
func (st *Store) begin(ctx context.Context, subject string, oldest, before, behind, want uint64) (uint64, error) {
	end := before
	if end == 0 {
		last, _, err := st.newest(ctx, subject)
		if err != nil {
			return 0, err
		}
		end = last.seq + 1
	}
	count := func(seq uint64) (uint64, error) {
		_, n, err := st.countFrom(ctx, subject, seq)
		return n - min(n, behind), err
	}
	// From low on there are enough, from high on too few.
	low, high := oldest, end
	enough := uint64(1 << 62) // how many there are from low on
	for window := 2 * want; oldest+window < end; window *= 4 {
		n, err := count(end - window)
		if err != nil {
			return 0, err
		}
		if n >= want {
			low, enough = end-window, n
			break
		}
		high = end - window
	}
	for enough > want+smallTopic && low+1 < high {
		middle := low + (high-low)/2
		n, err := count(middle)
		if err != nil {
			return 0, err
		}
		if n >= want {
			low, enough = middle, n
		} else {
			high = middle
		}
	}
	return low, nil
}

// countFrom returns the first sequence of a subject from seq on, and how many
// messages there are from there.
func (st *Store) countFrom(ctx context.Context, subject string, seq uint64) (first, n uint64, err error) {
	a, err := st.mustGet(ctx, query{Seq: seq, Next: subject, Batch: 1})
	if err != nil || len(a.messages) == 0 {
		return 0, 0, err
	}
	return a.messages[0].seq, a.pending + 1, nil
}
