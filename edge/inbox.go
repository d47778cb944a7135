package edge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"go.opentelemetry.io/otel/trace"

	"github.com/aristochat/aristochat/protocol"
)

// A task is one thing for a channel to do, in its order.
type task struct {
	kind    taskKind
	message protocol.Message                // of taskMessage, taskLeave, taskOut
	do      func(ctx context.Context) error // of taskDo
	err     error                           // of taskEnd: why
}

type taskKind uint8

const (
	taskMessage taskKind = iota
	taskLeave
	taskOut // an intercepted broadcast
	taskDo
	taskEnd // the connection ends, or another join has replaced the channel
)

func (t *task) size() int { return sizeOf(&t.message) }

// post queues a task. It reports false if the channel has ended.
func (s *Socket) post(t task) bool {
	s.mu.Lock()
	if s.state >= ended && t.kind != taskEnd {
		s.mu.Unlock()
		return false
	}
	s.inbox = append(s.inbox, t)
	s.startLocked()
	s.mu.Unlock()
	s.conn.took(t.size())
	return true
}

// startLocked has the inbox handled. There is a goroutine only while there is
// something in it.
func (s *Socket) startLocked() {
	if s.running || s.state == joining || len(s.inbox) == 0 {
		return
	}
	s.running = true
	ctx, cancel := context.WithCancel(s.conn.ctx)
	s.cancel = cancel
	go s.run(ctx, cancel)
}

// run handles tasks until there are none, or until one ends the channel.
func (s *Socket) run(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	for {
		s.mu.Lock()
		if len(s.inbox) == 0 {
			s.inbox, s.running, s.cancel = nil, false, nil
			s.mu.Unlock()
			return
		}
		t := s.inbox[0]
		s.inbox[0] = task{}
		s.inbox = s.inbox[1:]
		isReplaced := s.state == silent
		s.mu.Unlock()
		s.conn.took(-t.size())
		if isReplaced && t.kind != taskEnd {
			continue
		}
		if end := s.handle(ctx, &t); end != nil {
			s.finish(end)
			return
		}
	}
}

// handle does a task. It returns why the channel ends, or nil.
func (s *Socket) handle(ctx context.Context, t *task) (end *endError) {
	defer func() {
		if p := recover(); p != nil {
			s.conn.srv.stats.crashes.Add(1)
			s.conn.srv.log.Error("channel crashed", s.attrs("event", cut(t.message.Event), "panic", cut(fmt.Sprint(p)), "stack", string(debug.Stack()))...)
			end = &endError{reason: fmt.Errorf("%w: %v", ErrCrashed, p), crash: true}
		}
	}()
	var err error
	switch t.kind {
	case taskMessage:
		return s.handleMessage(ctx, &t.message)
	case taskLeave:
		if err := s.reply(t.message.Ref, OK(nil)); err != nil {
			return s.crash(err)
		}
		return &endError{reason: ErrLeft}
	case taskOut:
		p := Payload{t.message.Payload, t.message.Binary}
		err = s.channel.(Interceptor).HandleOut(ctx, s, t.message.Event, p)
	case taskDo:
		err = t.do(ctx)
	case taskEnd:
		return &endError{reason: t.err}
	}
	return s.failed(t.message.Event, err)
}

func (s *Socket) handleMessage(ctx context.Context, pm *protocol.Message) *endError {
	if pm.RawEvent != "" {
		return s.crash(errEventNotString)
	}
	ctx, span := s.conn.srv.span(ctx, spanPush, trace.SpanKindServer)
	defer span.End() // also if the handler panics; it counts once
	if span.IsRecording() {
		span.SetAttributes(attrTopic.String(cut(s.topic)), attrEvent.String(cut(pm.Event)))
	}
	m := &Message{Event: pm.Event, Payload: Payload{pm.Payload, pm.Binary}, socket: s, ref: pm.Ref}
	r, err := s.answer(ctx, m)
	endSpan(span, err)
	var end *endError
	switch {
	case errors.As(err, &end):
	case err != nil:
		r = s.errorReply(pm.Event, err)
	}
	if r != nil {
		if err := s.reply(pm.Ref, r); err != nil && !errors.Is(err, errEnded) {
			return s.crash(err)
		}
	}
	if end != nil && end.crash {
		s.logCrash(end.reason)
	}
	return end
}

// What the client sent in place of an event is not repeated: it may be anything.
var errEventNotString = errors.New("event is not a string")

// answer has the message handled: by the application, unless it asks for the
// history of a channel that has one.
func (s *Socket) answer(ctx context.Context, m *Message) (*Reply, error) {
	if m.Event == eventHistory && len(s.route.stored) > 0 {
		return s.scrollBack(ctx, m.Payload)
	}
	return s.channel.Handle(ctx, s, m)
}

// errorReply is what a client may know of an error.
func (s *Socket) errorReply(event string, err error) *Reply {
	var known *Error
	switch {
	case errors.As(err, &known):
		return &Reply{protocol.StatusError, known.response()}
	case errors.Is(err, ErrUnavailable):
		return &Reply{protocol.StatusError, unavailable}
	case errors.Is(err, ErrUnknown):
		return &Reply{protocol.StatusError, unknown}
	}
	s.conn.srv.log.Error("handler failed", s.attrs("event", cut(event), "error", err)...)
	return &Reply{protocol.StatusError, reason{"internal error"}}
}

// Error responses that tell a client to try again.
var (
	unavailable = retry{"unavailable", 1000}
	unknown     = retry{"unknown", 1000}
)

type retry struct {
	Reason       string `json:"reason"`
	RetryAfterMS int    `json:"retry_after_ms"`
}

// failed treats the error of a handler that has no message to reply to.
func (s *Socket) failed(event string, err error) *endError {
	var end *endError
	switch {
	case err == nil:
	case errors.As(err, &end):
		if end.crash {
			s.logCrash(end.reason)
		}
	default:
		s.conn.srv.log.Error("handler failed", s.attrs("event", cut(event), "error", err)...)
	}
	return end
}

// crash ends the channel for an error that no handler returned.
func (s *Socket) crash(err error) *endError {
	s.logCrash(err)
	return &endError{reason: fmt.Errorf("%w: %w", ErrCrashed, err), crash: true}
}

func (s *Socket) logCrash(err error) {
	s.conn.srv.stats.crashes.Add(1)
	s.conn.srv.log.Error("channel crashed", s.attrs("error", err)...)
}

// finish ends the channel: the client is told, the topic is free, Terminate
// runs, and what still waited is dispatched anew, as it would have been had it
// come a moment later. It runs in the channel's goroutine, which then ends.
func (s *Socket) finish(end *endError) {
	s.mu.Lock()
	was := s.state
	s.state = max(s.state, ended)
	rest := s.inbox
	s.inbox = nil
	s.mu.Unlock()

	if was == joined {
		s.conn.forget(s)
		s.leaveRoom()
		switch {
		case s.conn.isEnded(): // a close frame says it all
		case end.crash:
			s.announce(protocol.EventError)
		default:
			s.announce(protocol.EventClose)
		}
	}
	s.runOnEnd(end.reason)
	s.terminate(end.reason)
	s.mu.Lock()
	s.state = silent
	s.mu.Unlock()
	s.conn.srv.stats.channels.Add(-1)
	defer s.conn.release()
	for _, t := range rest {
		s.conn.took(-t.size())
		if t.kind == taskMessage || t.kind == taskLeave {
			s.conn.dispatch(t.message)
		}
	}
}

func (s *Socket) terminate(reason error) {
	t, ok := s.channel.(Terminator)
	if !ok {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			s.conn.srv.log.Error("Terminate crashed", s.attrs("panic", cut(fmt.Sprint(p)), "stack", string(debug.Stack()))...)
		}
	}()
	t.Terminate(s, reason)
}
