package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aristochat/aristochat/protocol"
)

var (
	errNoRef     = errors.New("message has no ref to reply to")
	errNotJoined = errors.New("the join has not been answered yet")
	errEnded     = errors.New("channel has ended")
)

// A Socket is a client's end of one channel: the connection as seen from one
// topic. Its methods may be called from any goroutine.
type Socket struct {
	conn    *conn
	topic   string
	route   *route
	channel Channel
	joinRef protocol.Ref // as the client sent it
	pushRef protocol.Ref // what pushes and replies carry

	mu      sync.Mutex // guards what follows
	state   state
	running bool // a goroutine handles the inbox
	inbox   []task
	cancel  context.CancelFunc // of the running handler
	onEnd   []func(reason error)
	gone    error // why it ended; not nil once onEnd has been called

	member member // guarded by its room
}

type state uint8

const (
	joining state = iota // Join runs; the reply has not been sent
	joined
	ended  // phx_close or phx_error has been sent, or the connection ends
	silent // replaced by another join, or terminated: nothing more is sent
)

// Topic returns the topic that the client joined.
func (s *Socket) Topic() string { return s.topic }

// ID returns the socket id that [Options.Connect] chose.
func (s *Socket) ID() string { return s.conn.session.ID }

// Assigns returns what [Options.Connect] attached to the connection. The
// channels of a connection share it.
func (s *Socket) Assigns() any { return s.conn.session.Assigns }

// Push sends an event to this client alone. The payload must be a JSON object,
// or [Binary]. It fails from within Join, and once the channel has ended.
func (s *Socket) Push(event string, payload any) error {
	p, err := payloadOf(payload)
	if err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return fmt.Errorf("pushing %q: %w", event, err)
	}
	return s.conn.push(&protocol.Message{
		JoinRef: s.pushRef, Topic: s.topic, Event: event, Payload: p.Bytes, Binary: p.Binary,
	})
}

// Broadcast sends an event to all members of the topic on all edges, this
// client included. The payload must be a JSON object, or [Binary].
//
// An event that is not stored reaches the members on this edge before
// Broadcast returns, and those on other edges soon after, at most once; without
// a link to them it fails with [ErrUnavailable], and nobody gets it. One that is
// stored (see [Stored]) is acknowledged by the store when Broadcast returns, and
// delivered in the store's order.
func (s *Socket) Broadcast(ctx context.Context, event string, payload any) error {
	if err := s.open(); err != nil {
		return fmt.Errorf("broadcasting %q: %w", event, err)
	}
	return s.conn.srv.broadcast(ctx, s.route, s.topic, event, payload, nil)
}

// BroadcastFrom is Broadcast to all but this client. It cannot be used for
// events that are stored.
func (s *Socket) BroadcastFrom(ctx context.Context, event string, payload any) error {
	if err := s.open(); err != nil {
		return fmt.Errorf("broadcasting %q: %w", event, err)
	}
	return s.conn.srv.broadcast(ctx, s.route, s.topic, event, payload, s)
}

// Do calls f in the channel's order, after the messages that came before, and
// never at the same time as another handler. From within Join, f runs after
// the reply. What f returns is treated as an error of [Channel] Handle without
// a message to reply to. If the channel ends first, f is not called.
func (s *Socket) Do(f func(ctx context.Context) error) {
	s.post(task{kind: taskDo, do: f})
}

// open returns an error unless the channel may speak to its client.
func (s *Socket) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case joining:
		return errNotJoined
	case silent:
		return errEnded
	default:
		return nil
	}
}

func (s *Socket) reply(ref protocol.Ref, r *Reply) error {
	p, err := payloadOf(r.Response)
	if err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return fmt.Errorf("replying: %w", err)
	}
	return s.conn.push(&protocol.Message{
		Kind: protocol.Reply, JoinRef: s.pushRef, Ref: ref, Topic: s.topic, Event: protocol.EventReply,
		Status: r.Status, Payload: p.Bytes, Binary: p.Binary,
	})
}

// announce tells the client of the channel's end by phx_close or phx_error.
func (s *Socket) announce(event string) {
	payload := emptyObject
	if event == protocol.EventError {
		payload = crashPayload
	}
	err := s.conn.push(&protocol.Message{
		JoinRef: s.joinRef, Ref: s.endRef(), Topic: s.topic, Event: event, Payload: payload,
	})
	if err != nil { // a ref that came in a binary frame and is no text
		s.conn.srv.log.Warn("cannot announce the end of a channel", s.attrs("event", event, "error", err)...)
	}
}

var crashPayload = []byte(`{"reason":"channel_crash"}`)

// endRef is the ref of phx_close and phx_error. Clients of version 1 that sent
// no join_ref tell incarnations of a channel apart by the ref of the join.
func (s *Socket) endRef() protocol.Ref {
	if s.conn.version == protocol.V1 {
		return s.pushRef
	}
	return s.joinRef
}

func (s *Socket) attrs(more ...any) []any {
	return s.conn.attrs(append([]any{"room", s.topic}, more...)...)
}

func (s *Socket) intercepts(event string) bool {
	i, ok := s.channel.(Interceptor)
	return ok && i.Intercepts(event)
}

// newSocket makes the channel for a join.
func (c *conn) newSocket(rt *route, m *protocol.Message) *Socket {
	s := &Socket{conn: c, topic: strings.Clone(m.Topic), route: rt, channel: rt.make(), joinRef: m.JoinRef, pushRef: m.JoinRef}
	if m.JoinRef.IsNull() || m.JoinRef == "false" {
		s.pushRef = m.Ref
	}
	// The refs outlive the frame that they are part of.
	same := s.joinRef == s.pushRef
	s.joinRef, s.pushRef = cloneRef(s.joinRef), cloneRef(s.pushRef)
	if same {
		s.pushRef = s.joinRef
	}
	return s
}

func cloneRef(r protocol.Ref) protocol.Ref { return protocol.Ref(strings.Clone(string(r))) }
