package backbone

import (
	"context"
	"fmt"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// A scan reads the messages of a subject one after the other.
type scan struct {
	store   *Store
	subject string
	next    uint64 // where to go on: up to there all was read
	after   uint64 // no deliveries up to there
	before  uint64 // where to end, if not zero
	need    uint64 // a sequence known to be stored
	limit   int    // how many deliveries are enough, if not zero

	first      uint64 // the first sequence seen, 0 if none
	count      int    // messages seen
	pending    uint64 // messages that follow
	asked      bool
	ended      bool
	deliveries []edge.Delivery
}

const scanBatch = 256

// run reads until the end, or what is enough. A replica that has not reached
// what is needed is asked again, and after a while the leader is.
func (s *scan) run(ctx context.Context) error {
	for tries := 0; !s.done(); {
		seen := s.count
		if err := s.step(ctx); err != nil {
			return err
		}
		switch {
		case s.count > seen:
			tries = 0
		case s.done():
		case tries < 2: // somebody waits for it
			tries++
			if !sleep(ctx, lagPause*time.Duration(tries)) {
				return fmt.Errorf("%w: the store lags", edge.ErrUnavailable)
			}
		default:
			m, err := s.store.mustNext(ctx, s.subject, s.next)
			if err != nil {
				return err
			}
			if m == nil {
				s.ended = true // what was needed is gone
			} else {
				s.take(*m)
			}
		}
	}
	return nil
}

func (s *scan) done() bool {
	return s.ended || s.limit != 0 && len(s.deliveries) >= s.limit ||
		s.asked && s.pending == 0 && s.next > s.need
}

func (s *scan) step(ctx context.Context) error {
	batch := scanBatch
	if s.limit != 0 {
		batch = min(batch, s.limit-len(s.deliveries)+1)
	}
	a, err := s.store.mustGet(ctx, query{Seq: s.next, Next: s.subject, Batch: batch})
	if err != nil {
		return err
	}
	s.asked, s.pending = true, a.pending
	for _, m := range a.messages {
		s.take(m)
	}
	return nil
}

func (s *scan) take(m stored) {
	if s.before != 0 && m.seq >= s.before {
		s.ended = true
	}
	if s.ended || m.seq < s.next {
		return
	}
	if s.count++; s.count == 1 {
		s.first = m.seq
	}
	s.next = m.seq + 1
	if m.seq <= s.after {
		return
	}
	if d, err := m.delivery(); err == nil {
		s.deliveries = append(s.deliveries, d)
	}
}
