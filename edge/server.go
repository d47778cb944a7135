package edge

import (
	"context"
	"crypto/rand"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// A Server terminates Phoenix sockets. It is an http.Handler for its path, to
// be mounted or served as it is; Shutdown ends its connections.
type Server struct {
	backbone Backbone
	opts     Options
	log      *slog.Logger
	routes   []*route
	stats    stats
	longPoll *longPoll // nil if off

	id        string        // of this edge, as others know it
	admission *admission    // nil if everybody is let in at once
	quit      chan struct{} // closed by Shutdown: ends the sweep
	pages     chan struct{} // holds a token for each page of history that is being made ready
	close     func()        // ends the control subscription
	serials   atomic.Uint64
	wg        sync.WaitGroup // connections
	sweeping  sync.WaitGroup // the sweep

	accepting     context.Context // ends once no more connections are taken
	stopAccepting context.CancelFunc

	mu         sync.Mutex // guards what follows
	conns      map[*conn]struct{}
	draining   bool // no more connections are taken
	ending     bool // Shutdown has begun
	onShutdown []func()
	onDrain    []func() // nil once they have been called

	roomsMu sync.Mutex // guards rooms and their refs
	rooms   map[string]*room
}

// controlDisconnect is the kind of control message by which edges tell each
// other to close the sockets of an id.
const controlDisconnect = "disconnect"

// New returns a Server that reaches other edges over the backbone. Declare its
// channels, then serve it. It fails if the backbone cannot be subscribed to.
func New(b Backbone, o *Options) (*Server, error) {
	srv := &Server{
		backbone: b,
		opts:     o.withDefaults(),
		id:       rand.Text(),
		quit:     make(chan struct{}),
		pages:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		conns:    make(map[*conn]struct{}),
		rooms:    make(map[string]*room),
	}
	srv.log = srv.opts.Logger
	srv.stats.lastSweep.Store(srv.clock())
	srv.admission = newAdmission(&srv.opts)
	srv.accepting, srv.stopAccepting = context.WithCancel(context.Background())
	var err error
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	srv.close, err = b.SubscribeControl(ctx, controlDisconnect, func(data []byte) { srv.disconnect(string(data)) })
	if err != nil {
		return nil, err
	}
	if srv.opts.LongPoll != nil {
		if srv.longPoll, err = newLongPoll(ctx, srv); err != nil {
			srv.close()
			return nil, err
		}
	}
	srv.sweeping.Go(srv.sweep)
	return srv, nil
}

// ID names this edge among the others: a random word that no other server has,
// nor this one after a restart.
func (srv *Server) ID() string { return srv.id }

// Limits are what a server bears, as its Options say.
type Limits struct {
	MaxSockets int     // 0 if there is no bound
	AdmitRate  float64 // sockets a second; 0 if there is no bound
}

// Limits returns what the server bears.
func (srv *Server) Limits() Limits {
	return Limits{srv.opts.MaxSockets, srv.opts.AdmitRate}
}

// Broadcast sends an event to all members of a topic on all edges. See
// [Socket.Broadcast]. An event named disconnect also closes the sockets whose
// id is the topic, as in Phoenix.
func (srv *Server) Broadcast(ctx context.Context, topic, event string, payload any) error {
	if event == "disconnect" {
		if err := srv.Disconnect(ctx, topic); err != nil {
			return err
		}
	}
	return srv.broadcast(ctx, srv.match(topic), topic, event, payload, nil)
}

// Disconnect closes every socket with the id, on all edges. What is queued for
// them leaves first. Clients reconnect; whether they may is for Connect to say.
func (srv *Server) Disconnect(ctx context.Context, id string) error {
	srv.disconnect(id) // those here, whatever the link does
	return srv.backbone.PublishControl(ctx, controlDisconnect, []byte(id))
}

func (srv *Server) disconnect(id string) {
	if id == "" {
		return
	}
	for _, c := range srv.connections() {
		if c.session.ID == id {
			c.end(websocket.StatusGoingAway, ErrDisconnected)
		}
	}
}

// Shutdown refuses new connections and closes those there are with code 1012,
// upon which clients reconnect elsewhere. It returns when all have ended, or
// ctx has; the rest is then cut off, though with a close frame if it leaves
// within a quarter of a second. [Server.Drain] closes them gently.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.refuse()
	srv.mu.Lock()
	first := !srv.ending
	srv.ending = true
	before := srv.onShutdown
	srv.mu.Unlock()
	if first {
		for _, f := range before {
			f()
		}
		close(srv.quit)
		srv.close()
	}
	for _, c := range srv.connections() {
		c.end(websocket.StatusServiceRestart, ErrDraining)
	}
	if srv.longPoll != nil {
		srv.longPoll.shutdown()
	}
	srv.sweeping.Wait()
	gone := srv.gone()
	select {
	case <-gone:
		return nil
	case <-time.After(srv.opts.closeTimeout): // for clients that do not answer
		srv.cut(func(*conn) {})
	case <-ctx.Done():
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		srv.cut(func(c *conn) { c.cancel() })
		return ctx.Err()
	}
}

// gone returns a channel that is closed when there is no connection left. It
// must not be called before connections are refused.
func (srv *Server) gone() <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		srv.wg.Wait()
		close(gone)
	}()
	return gone
}

// cut ends all connections, each after f, as soon as what waits for them has
// left, and within Options.lastWord.
func (srv *Server) cut(f func(*conn)) {
	all := srv.connections()
	for _, c := range all {
		if c.cut.CompareAndSwap(false, true) {
			srv.stats.drainCut.Add(1)
		}
		f(c)
	}
	end := time.Now().Add(srv.opts.lastWord)
	for _, c := range all {
		c.transport.wait(time.Until(end))
		c.transport.hangUp()
	}
}

// add makes c one of the server's connections. It fails with [ErrDraining] or
// [ErrFull].
func (srv *Server) add(c *conn) error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if err := srv.readyLocked(); err != nil {
		return err
	}
	srv.conns[c] = struct{}{}
	srv.wg.Add(1)
	srv.stats.sockets.Add(1)
	return nil
}

func (srv *Server) isDraining() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.draining
}

func (srv *Server) remove(c *conn) {
	srv.mu.Lock()
	delete(srv.conns, c)
	srv.mu.Unlock()
	srv.stats.sockets.Add(-1)
}

func (srv *Server) connections() []*conn {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	all := make([]*conn, 0, len(srv.conns))
	for c := range srv.conns {
		all = append(all, c)
	}
	return all
}

// clock returns the server's time: nanoseconds, monotonic, never 0.
func (srv *Server) clock() int64 { return nanotime() }
