package edge

import (
	"errors"
	"fmt"
	"time"
)

var errIdle = errors.New("idle")

// stallTime is how long a sweep may be late before the server counts as stuck.
// It is long: on a machine with too much to do a restart makes things worse.
const stallTime = time.Minute

// Alive returns an error if the server has not looked after its connections for
// a minute: something in it is stuck, and only a restart will help.
func (srv *Server) Alive() error {
	if srv.isDraining() { // the sweep may have ended
		return nil
	}
	if late := time.Duration(srv.clock() - srv.stats.lastSweep.Load()); late > stallTime {
		return fmt.Errorf("connections have not been looked after for %v", late.Round(time.Second))
	}
	return nil
}

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
