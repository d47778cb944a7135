package edge

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/protocol"
)

// A hasty transport's client answers before close returns, as one nearby does
// when this machine has much to do.
type hasty struct {
	transport
	conn   *conn
	reason error
}

func (h *hasty) close(websocket.StatusCode) { h.conn.stopChannels(h.reason) }

func (h *hasty) discard(websocket.StatusCode) { h.conn.stopChannels(h.reason) }

// Whoever notices first that a connection ends, the reason is that for which it
// was closed: what presence makes of a drain depends on it.
func TestEndHasOneReason(t *testing.T) {
	for _, noticed := range []error{ErrClosed, errSlow} { // by a websocket, by a session
		srv := &Server{log: slog.New(slog.DiscardHandler)}
		c := &conn{}
		c.init(srv, &hasty{conn: c, reason: noticed}, protocol.V2, Session{})
		c.end(websocket.StatusServiceRestart, ErrDraining)
		if !errors.Is(c.ended, ErrDraining) || srv.stats.ended[endDrained].Load() != 1 || total(srv.stats.ended[:]) != 1 {
			t.Errorf("%v was noticed first, and is why it ended: %v, %v", noticed, c.ended, byName(endReasons[:], srv.stats.ended[:]))
		}
		// The other way round the client left, and was not sent away.
		c = &conn{}
		c.init(srv, &hasty{conn: c, reason: noticed}, protocol.V2, Session{})
		c.stopChannels(noticed)
		c.end(websocket.StatusServiceRestart, ErrDraining)
		if !errors.Is(c.ended, noticed) {
			t.Errorf("it had ended with %v, and later with %v", noticed, c.ended)
		}
	}
}

// A client that is closed since it does not keep up has not left by itself,
// however soon it answers.
func TestSlowHasOneReason(t *testing.T) {
	srv := &Server{log: slog.New(slog.DiscardHandler)}
	c := &conn{}
	c.init(srv, &hasty{conn: c, reason: ErrClosed}, protocol.V2, Session{})
	for range 2 {
		c.slow(slowInbox)
	}
	if !errors.Is(c.ended, errSlow) || srv.stats.ended[endSlow].Load() != 1 || total(srv.stats.ended[:]) != 1 || total(srv.stats.slow[:]) != 1 {
		t.Errorf("it ended with %v, %v", c.ended, byName(endReasons[:], srv.stats.ended[:]))
	}
}
