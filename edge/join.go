package edge

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
	"go.opentelemetry.io/otel/trace"
)

// join handles phx_join; old is the channel that the client has on the topic,
// or nil. Order of frames (section 3.4 of the protocol): the reply, what
// the old channel had queued, its phx_close, then the new channel's frames.
func (c *conn) join(m *protocol.Message, old *Socket) {
	rt := (*route)(nil)
	if m.RawTopic == "" {
		rt = c.srv.match(m.Topic)
	}
	if rt == nil {
		c.srv.stats.joins[joinUnmatched].Add(1)
		c.unjoined(m)
		return
	}
	replaced := old != nil && c.replace(old)
	ctx, span := c.srv.span(c.ctx, spanJoin, trace.SpanKindServer)
	if span.IsRecording() {
		span.SetAttributes(attrTopic.String(cut(m.Topic)))
	}
	s, response, err := c.tryJoin(ctx, m, rt)
	endSpan(span, err)
	status := protocol.StatusOK
	if err != nil {
		status, response = protocol.StatusError, c.refusal(m, err)
	}
	p, encodeErr := payloadOf(response)
	if encodeErr != nil {
		c.end(websocket.StatusInternalError, encodeErr)
	} else {
		c.answerPayload(m, m.JoinRef, status, p)
	}
	if replaced {
		old.announce(protocol.EventClose)
	}
	if s != nil {
		c.srv.stats.joins[joinOK].Add(1)
		s.begin()
	}
	if len(p.Bytes) > largeReply {
		// A client that resumes many rooms gets them at its own pace.
		c.transport.wait(c.srv.opts.OutboxAge)
	}
}

// largeReply is a join's reply after which the next join waits until it has
// left, in bytes.
const largeReply = 16 << 10

// replace silences a channel whose topic is joined again. What it was about to
// do is not done; its Terminate is called. It reports false if the channel was
// ending by itself, so that its client is told already.
func (c *conn) replace(s *Socket) bool {
	s.mu.Lock()
	was := s.state
	s.state = silent
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	if was != joined {
		return false
	}
	c.forget(s)
	s.leaveRoom()
	s.runOnEnd(ErrReplaced) // now: presence must see one go before the other comes
	s.post(task{kind: taskEnd, err: ErrReplaced})
	return true
}

// maxRef bounds the refs of a join, in bytes. The channel keeps them, and all
// that it says repeats one.
const maxRef = 1 << 10

// tryJoin makes the channel, asks it, and enters the room. On success the
// Socket is returned with its room's frames held back until begin.
func (c *conn) tryJoin(ctx context.Context, m *protocol.Message, rt *route) (*Socket, any, error) {
	c.mu.Lock()
	full := len(c.channels) >= c.srv.opts.MaxChannels
	c.mu.Unlock()
	switch {
	case full:
		c.srv.stats.limits[limitChannels].Add(1)
		return nil, nil, &Error{Reason: "too many channels joined", Response: Payload{Bytes: tooManyChannels}}
	case len(m.JoinRef) > maxRef || len(m.Ref) > maxRef:
		c.srv.stats.limits[limitRef].Add(1)
		return nil, nil, Refuse("ref too long")
	case len(m.Topic) > protocol.MaxTopic:
		c.srv.stats.limits[limitTopic].Add(1)
		return nil, nil, &Error{Reason: "topic too long", Response: Payload{Bytes: topicTooLong}}
	}
	s := c.newSocket(rt, m)
	response, err := s.callJoin(ctx, Payload{m.Payload, m.Binary})
	if err != nil {
		s.discard(err)
		return nil, nil, err
	}
	if err := s.enterRoom(ctx); err != nil {
		s.discard(err)
		s.terminate(err)
		return nil, nil, err
	}
	if len(rt.stored) > 0 {
		response, err = s.past(ctx, response, m)
	}
	if err == nil {
		err = c.adopt(s)
	}
	if err != nil {
		s.leaveRoom()
		s.discard(err)
		s.terminate(err)
		return nil, nil, err
	}
	return s, response, nil
}

// adopt gives the topic to s, unless the connection has ended.
func (c *conn) adopt(s *Socket) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return errJoinEnded
	}
	if c.channels == nil {
		c.channels = make(map[string]*Socket)
	}
	c.channels[s.topic] = s
	c.live++
	c.srv.stats.channels.Add(1)
	return nil
}

// callJoin calls the application's Join; a panic becomes an error.
func (s *Socket) callJoin(ctx context.Context, params Payload) (response any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.conn.srv.stats.crashes.Add(1)
			s.conn.srv.log.Error("join crashed", s.attrs("panic", cut(fmt.Sprint(p)), "stack", string(debug.Stack()))...)
			response, err = nil, fmt.Errorf("%w: %v", ErrCrashed, p)
		}
	}()
	return s.channel.Join(ctx, s, params)
}

// refusal is the error response of a join that failed.
func (c *conn) refusal(m *protocol.Message, err error) any {
	count := func(result int) { c.srv.stats.joins[result].Add(1) }
	var known *Error
	switch {
	case errors.As(err, &known):
		count(joinRefused)
		c.srv.log.Info("refusing join", c.attrs("room", cut(m.Topic), "reason", cut(known.Reason))...)
		return known.response()
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUnknown):
		count(joinUnavailable)
		c.srv.log.Warn("refusing join", c.attrs("room", m.Topic, "reason", cut(err.Error()))...)
		return unavailable
	case errors.Is(err, errJoinEnded):
		count(joinEnded)
	case errors.Is(err, ErrCrashed): // logged where it did
		count(joinCrashed)
	default:
		count(joinCrashed)
		c.srv.log.Error("join failed", c.attrs("room", m.Topic, "error", err)...)
	}
	return Payload{Bytes: crashedJoin}
}

// begin follows the join's reply: handlers may run, and frames that were held
// back leave, after what is left of the past.
func (s *Socket) begin() {
	if s.member.more {
		s.ready()
		s.conn.retain()
		go func() {
			defer s.conn.release()
			if err := s.catchUp(s.conn.ctx); err != nil {
				s.Do(func(context.Context) error { return Crash(err) }) // the client joins again
			}
		}()
		return
	}
	if !s.openGateAt(s.member.cursor) {
		s.member.more = true
		s.begin()
		return
	}
	s.ready()
}

func (s *Socket) ready() {
	s.mu.Lock()
	s.state = max(s.state, joined)
	s.startLocked()
	s.mu.Unlock()
}

// discard silences a Socket that never joined, and drops what it was to do.
func (s *Socket) discard(reason error) {
	s.mu.Lock()
	s.state = silent
	rest := s.inbox
	s.inbox = nil
	s.mu.Unlock()
	for _, t := range rest {
		s.conn.took(-t.size())
	}
	s.runOnEnd(reason)
}
