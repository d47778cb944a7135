package edge

import (
	"errors"
	"time"

	"github.com/coder/websocket"
)

var errIdle = errors.New("idle")

// sweep looks at every connection now and then, in place of timers of their
// own: nothing came from the client, nothing leaves to it, or it does not
// answer a close frame.
func (srv *Server) sweep() {
	defer srv.wg.Done()
	t := time.NewTicker(srv.opts.sweepEvery())
	defer t.Stop()
	for {
		select {
		case <-srv.quit:
			return
		case <-t.C:
		}
		now := srv.clock()
		for _, c := range srv.connections() {
			srv.inspect(c, now)
		}
	}
}

func (srv *Server) inspect(c *conn, now int64) {
	waiting, closing := c.outbox.oldest()
	switch {
	case closing != 0:
		if now-closing > int64(srv.opts.closeTimeout) {
			c.outbox.hangUp() // the reader takes it from here
		}
	case waiting != 0 && now-waiting > int64(srv.opts.OutboxAge):
		c.slow("oldest frame waited too long")
	case now-c.lastRead.Load() > int64(srv.opts.IdleTimeout) && !c.paused():
		srv.stats.idleClients.Add(1)
		c.end(websocket.StatusProtocolError, errIdle)
	}
}

// paused reports whether it is we who do not read.
func (c *conn) paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resume != nil
}
