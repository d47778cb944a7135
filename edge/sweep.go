package edge

import (
	"errors"
	"time"
)

var errIdle = errors.New("idle")

// sweep has every connection inspected now and then, in place of timers of
// their own.
func (srv *Server) sweep() {
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
			c.transport.inspect(now)
		}
	}
}
