package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A swarm is all members and what they do together.
type swarm struct {
	cfg     *config
	run     string // names this run: others may use the same rooms
	servers *servers
	tally   *tally

	rooms   []*ledger
	members []*member
	found   *findings
	history atomic.Bool // the server keeps it
}

func newSwarm(cfg *config) *swarm {
	s := &swarm{
		cfg: cfg, run: fmt.Sprintf("%08x", rand.Uint32()), //nolint:gosec // a name, not a secret
		servers: cfg.servers, tally: newTally(time.Now()), found: &findings{},
	}
	for r := range cfg.Rooms {
		size := (cfg.Sockets - r + cfg.Rooms - 1) / cfg.Rooms
		s.rooms = append(s.rooms, newLedger(fmt.Sprintf("%s-%d", cfg.RoomPrefix, r), size, s.found))
	}
	for i := range cfg.Sockets {
		s.members = append(s.members, &member{
			swarm: s, room: s.rooms[i%cfg.Rooms], index: i / cfg.Rooms, number: i, name: fmt.Sprintf("load-%s-%d", s.run, i),
		})
	}
	return s
}

// gather brings all members into their rooms, cfg.Ramp of them a second.
func (s *swarm) gather(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	errs := make(chan error, len(s.members))
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.cfg.Ramp))
	defer tick.Stop()
	for _, m := range s.members {
		wg.Go(func() { errs <- m.start(ctx) })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	late := time.AfterFunc(s.cfg.Patience, func() { cancel(errors.New("--patience is over")) })
	defer late.Stop()
	wg.Wait()
	close(errs)
	var missing int
	var last error
	for err := range errs {
		if err != nil {
			missing++
			last = err
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d did not join: %w", missing, len(s.members), last)
	}
	return nil
}

// talk has messages sent at the rate, for the duration or until ctx ends. It
// returns when none is due any more; some may still wait to be acknowledged,
// which sending ends for.
func (s *swarm) talk(ctx, sending context.Context, out *sync.WaitGroup) {
	if s.cfg.Rate <= 0 {
		wait(ctx, s.cfg.Duration)
		return
	}
	order := rand.Perm(len(s.members)) //nolint:gosec // whose turn it is, is no secret
	start, turn := time.Now(), 0
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		due := start.Add(time.Duration(float64(n) / s.cfg.Rate * float64(time.Second)))
		if due.Sub(start) >= s.cfg.Duration {
			return
		}
		if time.Now().Before(due) {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				return
			}
		}
		n++
		if m := s.idle(order, &turn); m != nil {
			out.Go(func() {
				defer m.busy.Store(false)
				m.publish(sending, due)
			})
		} else {
			s.tally.add(late)
		}
	}
}

// idle returns the next member that waits for nothing, and makes it busy; nil
// if there is none.
func (s *swarm) idle(order []int, turn *int) *member {
	for range order {
		m := s.members[order[*turn]]
		*turn = (*turn + 1) % len(order)
		if m.busy.CompareAndSwap(false, true) {
			return m
		}
	}
	return nil
}

// settle waits until all is acknowledged and received, for cfg.Patience at most.
func (s *swarm) settle(out *sync.WaitGroup) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Patience)
	defer cancel()
	sent := make(chan struct{})
	go func() { // it ends, since the caller ends what is being sent
		out.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-ctx.Done():
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for s.missing() > 0 && ctx.Err() == nil {
		<-tick.C
	}
}

// missing is how many deliveries are still to come.
func (s *swarm) missing() (n int) {
	for _, room := range s.rooms {
		n += room.missing()
	}
	return n
}

// close ends all members and counts what they never got.
func (s *swarm) close() {
	var wg sync.WaitGroup
	for _, m := range s.members {
		wg.Go(m.close)
	}
	wg.Wait()
	for _, room := range s.rooms {
		room.finish()
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
