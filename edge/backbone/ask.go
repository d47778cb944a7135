package backbone

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
)

var _ edge.Caller = (*Link)(nil)

// Request implements [edge.Caller]. NATS says at once if nobody listens.
func (l *Link) Request(ctx context.Context, name string, data []byte) ([]byte, error) {
	subject, err := l.subjects.edge(name)
	if err != nil {
		return nil, err
	}
	if !l.rpc.IsConnected() {
		return nil, edge.ErrUnavailable
	}
	l.stats.published.Add(1)
	m, err := l.rpc.RequestWithContext(ctx, subject, data)
	switch {
	case err == nil:
		return m.Data, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("asking edge %s: %w", name, edge.ErrNobody)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("asking edge %s: %w", name, err)
	}
	return nil, linkError(err)
}

// stopTimeout bounds how long a stop waits for NATS to know of it.
const stopTimeout = time.Second

// A server answers the requests to one edge.
type server struct {
	answer func(context.Context, []byte) []byte
	ctx    context.Context // of the calls
	link   *Link

	mu      sync.Mutex // guards what follows
	calls   sync.WaitGroup
	stopped bool
}

// Serve implements [edge.Caller].
func (l *Link) Serve(ctx context.Context, name string, answer func(context.Context, []byte) []byte) (stop func(), err error) {
	subject, err := l.subjects.edge(name)
	if err != nil {
		return nil, err
	}
	if l.closed() {
		return nil, errClosed
	}
	calls, cancel := context.WithCancel(l.ctx)
	s := &server{answer: answer, ctx: calls, link: l}
	sub, err := l.rpc.Subscribe(subject, s.take)
	if err != nil {
		cancel()
		return nil, linkError(err)
	}
	stop = sync.OnceFunc(func() {
		sub.Unsubscribe() // fails only if the connection is closed
		// Who asks from now on is told at once that nobody is here.
		ctx, done := context.WithTimeout(context.Background(), stopTimeout)
		defer done()
		_ = flush(ctx, l.rpc)
		cancel()
		s.wait()
	})
	// Without NATS, or while it stands still, the subscription becomes active later.
	if err := flush(ctx, l.rpc); err != nil && ctx.Err() != nil {
		stop()
		return nil, err
	}
	l.tasks.Go(func() { // for a link that ends first
		<-calls.Done()
		s.wait()
	})
	return stop, nil
}

func (s *server) take(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.link.stats.received.Add(1)
	s.calls.Go(func() {
		if err := m.Respond(s.answer(s.ctx, m.Data)); err != nil {
			s.link.log.Warn("cannot answer another edge", "error", err)
		}
	})
}

func (s *server) wait() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.calls.Wait()
}
