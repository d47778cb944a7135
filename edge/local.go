package edge

import (
	"fmt"
	"log/slog"

	"github.com/aristochat/aristochat/protocol"
)

// Backbone returns what the server was made with, for packages that have
// something of their own to say to other edges.
func (srv *Server) Backbone() Backbone { return srv.backbone }

// Logger returns the server's logger, for packages on top of it.
func (srv *Server) Logger() *slog.Logger { return srv.log }

// BroadcastLocal sends an event that is not stored to the members of a topic on
// this edge, and to no other. The payload must be a JSON object, or [Binary].
func (srv *Server) BroadcastLocal(topic, event string, payload any) error {
	p, err := payloadOf(payload)
	if err != nil {
		return err
	}
	if !p.isObject() {
		return fmt.Errorf("broadcasting %q: %w", event, protocol.ErrPayload)
	}
	return srv.sendLocal(topic, Event{Name: event, Payload: p.Bytes, Binary: p.Binary}, nil)
}

// sendLocal gives an event that is not stored to the members here.
func (srv *Server) sendLocal(topic string, e Event, except *Socket) error {
	srv.roomsMu.Lock()
	r := srv.rooms[topic]
	srv.roomsMu.Unlock()
	if r == nil {
		return nil
	}
	return r.send(srv, &Delivery{Event: e}, except)
}

// OnShutdown has f called when [Server.Shutdown] begins, before the first
// connection is closed; after a [Server.Drain], when they have been.
func (srv *Server) OnShutdown(f func()) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.onShutdown = append(srv.onShutdown, f)
}

// OnDrain has f called when [Server.Drain] begins, before the first connection
// is closed.
func (srv *Server) OnDrain(f func()) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.onDrain = append(srv.onDrain, f)
}

// OnEnd has f called once the channel has ended, with why, or its join has
// failed: it is no longer a member of its topic then, and Terminate has yet to
// be called. If that is past, f is called at once. Whatever waits for the
// channel's end without being part of it, such as package presence, belongs
// here.
func (s *Socket) OnEnd(f func(reason error)) {
	s.mu.Lock()
	gone := s.gone
	if gone == nil {
		s.onEnd = append(s.onEnd, f)
	}
	s.mu.Unlock()
	if gone != nil {
		f(gone)
	}
}

// runOnEnd calls what OnEnd was given.
func (s *Socket) runOnEnd(reason error) {
	s.mu.Lock()
	s.gone = reason
	fs := s.onEnd
	s.onEnd = nil
	s.mu.Unlock()
	for _, f := range fs {
		f(reason)
	}
}
