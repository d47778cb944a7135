package edge

import (
	"errors"
	"time"
)

var errIdle = errors.New("idle")

// sweep has every connection inspected now and then, in place of timers of
// their own.
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
		var oldest, queued int64
		for _, c := range srv.connections() {
			age, bytes := c.transport.inspect(now)
			oldest, queued = max(oldest, age), queued+int64(bytes)
		}
		srv.stats.oldestQueued.Store(oldest)
		srv.stats.queuedBytes.Store(queued)
		srv.stats.lastSweep.Store(now)
	}
}
