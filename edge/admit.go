package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// ErrFull is why a server that has [Options].MaxSockets is not ready.
var ErrFull = errors.New("full")

var errCrowded = errors.New("too many clients come at once")

// An admission lets clients in at the rate that this edge bears. Who comes
// sooner waits in line: the one in front for the rate, the others for him. So a
// client that gives up, wherever it stands, takes nothing from those behind it.
type admission struct {
	limiter  *rate.Limiter
	front    chan struct{} // holds the token of the one in front; the runtime serves senders in their order
	patience time.Duration
	most     int64 // who stands behind so many could not be let in within the patience
	waiting  atomic.Int64
}

// newAdmission returns nil, which lets everybody in at once, if there is no rate.
func newAdmission(o *Options) *admission {
	if o.AdmitRate <= 0 {
		return nil
	}
	return &admission{
		// A tenth of a second's worth at once: what a moment brings must not
		// wait, and a crowd must not look like one to the handlers.
		limiter:  rate.NewLimiter(rate.Limit(o.AdmitRate), max(1, int(o.AdmitRate/10))),
		front:    make(chan struct{}, 1),
		patience: o.AdmitWait,
		most:     int64(math.Ceil(o.AdmitRate * o.AdmitWait.Seconds())),
	}
}

// await returns nil when it is the client's turn, and whether it had to wait.
// Its error is errCrowded, or that of ctx or until.
func (a *admission) await(ctx, until context.Context) (waited bool, err error) {
	if a == nil || a.waiting.Load() == 0 && a.limiter.Allow() {
		return false, nil
	}
	if a.waiting.Add(1) > a.most {
		a.waiting.Add(-1)
		return false, errCrowded
	}
	defer a.waiting.Add(-1)
	ctx, cancel := context.WithTimeoutCause(ctx, a.patience, errCrowded)
	defer cancel()
	defer context.AfterFunc(until, cancel)()
	select {
	case a.front <- struct{}{}:
		defer func() { <-a.front }()
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
	if err := a.limiter.Wait(ctx); err != nil {
		// If ctx has not ended, then it would before it is the client's turn.
		return true, cmp.Or(context.Cause(ctx), errCrowded)
	}
	return true, nil
}

// waiters returns how many wait.
func (a *admission) waiters() int64 {
	if a == nil {
		return 0
	}
	return a.waiting.Load()
}

// admit lets a client in that wants to connect, when it is its turn. It reports
// false if the request has been answered, or nobody waits for an answer.
func (srv *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	err := srv.Ready()
	if err == nil {
		var waited bool
		if waited, err = srv.admission.await(r.Context(), srv.accepting); waited {
			srv.stats.limits[limitAdmitRate].Add(1)
		}
	}
	switch {
	case err == nil:
		return true
	case r.Context().Err() != nil:
		srv.stats.handshakes[handshakeFailed].Add(1)
		srv.log.Debug("a client gave up while it waited to be let in")
	case errors.Is(err, errCrowded):
		srv.busy(w, r, err)
	case srv.accepting.Err() != nil:
		srv.busy(w, r, ErrDraining)
	default:
		srv.busy(w, r, err)
	}
	return false
}

// busy refuses a client that may come again, to this edge or another.
func (srv *Server) busy(w http.ResponseWriter, r *http.Request, why error) {
	result, seconds := handshakeDraining, 1 // a load balancer knows by now
	switch {
	case errors.Is(why, ErrFull):
		result, seconds = handshakeFull, 5
	case errors.Is(why, errCrowded):
		result, seconds = handshakeCrowded, 2
	}
	srv.refused(result, why.Error(), "waiting", srv.admission.waiters())
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(seconds+rand.IntN(seconds+1))) //nolint:gosec // spreads load
	h.Set("Access-Control-Expose-Headers", "Retry-After")            // to pages of another origin, too
	srv.opts.ErrorPage(w, r, http.StatusServiceUnavailable)
}

// Ready returns nil if the server takes new connections, else [ErrDraining] or
// [ErrFull]: something that can be matched with errors.Is, and be shown.
func (srv *Server) Ready() error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.readyLocked()
}

func (srv *Server) readyLocked() error {
	switch limit := srv.opts.MaxSockets; {
	case srv.draining:
		return ErrDraining
	case limit > 0 && len(srv.conns) >= limit:
		return fmt.Errorf("%w: there are %d sockets, as many as may be", ErrFull, len(srv.conns))
	}
	return nil
}
