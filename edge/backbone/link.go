package backbone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
)

// Options tune a [Link]. A nil *Options is valid.
type Options struct {
	// URLs of NATS servers. If empty, nats://127.0.0.1:4222.
	URLs []string

	// Server, if not nil, is a server within this process that is connected to
	// instead.
	Server nats.InProcessConnProvider

	// NATS are further options of both connections: credentials, TLS. The Link
	// needs some for itself, among them all handlers; those it overrides.
	NATS []nats.Option

	// Name is how the connections are called in NATS's monitoring. If empty,
	// "aristochat".
	Name string

	// Prefix is the first token of every subject. If empty, "chat".
	Prefix string

	// Logger receives what an operator should know. If nil, [slog.Default].
	Logger *slog.Logger
}

func (o *Options) withDefaults() (d Options) {
	if o != nil {
		d = *o
	}
	if len(d.URLs) == 0 {
		d.URLs = []string{nats.DefaultURL}
	}
	d.Name = cmp.Or(d.Name, "aristochat")
	d.Prefix = cmp.Or(d.Prefix, "chat")
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d
}

// A Link is an edge's link to NATS: an [edge.Backbone]. It has two connections,
// so that a long answer on one never stands in front of live events on the
// other.
type Link struct {
	log      *slog.Logger
	subjects subjects

	// live carries subscriptions, and the publications that must not come
	// back; rpc carries requests to the store.
	live, rpc *nats.Conn
	// dials counts attempts to connect. One that has grown says, before the
	// first message of the new connection, that what was known of the store
	// may be wrong.
	dials atomic.Uint64
	// refusal is why the last attempt failed; nil once one succeeds.
	refusal atomic.Pointer[error]

	inbox chan *nats.Msg  // of all subscriptions
	made  chan struct{}   // closed once both connections are set
	done  chan struct{}   // closed by Close
	ctx   context.Context // ends with done
	end   context.CancelFunc
	tasks sync.WaitGroup
	close sync.Once
	stats counters
	asks  asks

	mu     sync.RWMutex // guards what follows
	routes map[*nats.Subscription]route
	topics map[string]*topic
	kinds  map[string]*control
	store  *Store
	lostAt time.Time // when the first of the connections was lost; zero if none is
	stood  bool      // whether both connections ever stood

	resyncs map[*func()]struct{} // of OnResync
}

var _ edge.Backbone = (*Link)(nil)

const (
	inboxSize      = 64 << 10
	connectTimeout = 3 * time.Second
	flushTimeout   = 5 * time.Second
	// readyGrace is how long a link may be lost before the edge is no longer
	// ready: moving from one server to the next should not empty a service.
	readyGrace = 15 * time.Second
)

var errClosed = fmt.Errorf("%w: closed", edge.ErrUnavailable)

// Connect links to NATS. Servers that cannot be reached are no error: the Link
// goes on trying, and [Link.Ready] says how it goes.
func Connect(ctx context.Context, o *Options) (*Link, error) {
	d := o.withDefaults()
	subjects, err := newSubjects(d.Prefix)
	if err != nil {
		return nil, err
	}
	l := &Link{
		log:      d.Logger,
		subjects: subjects,
		inbox:    make(chan *nats.Msg, inboxSize),
		made:     make(chan struct{}),
		done:     make(chan struct{}),
		routes:   make(map[*nats.Subscription]route),
		topics:   make(map[string]*topic),
		kinds:    make(map[string]*control),
	}
	l.ctx, l.end = context.WithCancel(context.Background())
	if l.live, err = l.connect(d, "live"); err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	if l.rpc, err = l.connect(d, "rpc"); err != nil {
		close(l.done)
		l.live.Close()
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	close(l.made)
	if !l.Connected() {
		l.log.Warn("NATS cannot be reached, trying again", "servers", redacted(d.URLs), "error", l.lastError())
	}
	l.noteState()
	l.tasks.Go(l.dispatch)
	if err := ctx.Err(); err != nil {
		l.shut()
		return nil, err
	}
	return l, nil
}

func (l *Link) connect(d Options, role string) (*nats.Conn, error) {
	log := l.log.With("connection", role)
	o := nats.GetDefaultOptions()
	o.Timeout = connectTimeout
	o.PingInterval = 5 * time.Second
	o.MaxPingsOut = 2
	o.FlusherTimeout = flushTimeout // the library's own is a minute, for which publishers would block
	o.InboxPrefix = inboxPrefix
	for _, option := range d.NATS {
		if option == nil {
			continue
		}
		if err := option(&o); err != nil {
			return nil, err
		}
	}
	o.Servers = d.URLs
	o.Name = d.Name + " " + role
	o.RetryOnFailedConnect = true
	o.AllowReconnect = true
	o.MaxReconnect = -1
	o.IgnoreAuthErrorAbort = true // credentials may be on their way
	o.CustomReconnectDelayCB = reconnectDelay
	o.ReconnectBufSize = -1 // never send later what the caller was told had failed
	o.NoEcho = role == "live"

	if o.InProcessServer = d.Server; d.Server != nil {
		o.InProcessServer = countingServer{d.Server, &l.dials}
	} else {
		o.CustomDialer = countingDialer{dialerOf(o), &l.dials}
	}

	o.ConnectedCB = func(nc *nats.Conn) {
		l.refusal.Store(nil)
		log.Info("connected to NATS", "server", nc.ConnectedServerName())
		l.linkChanged()
	}
	o.ReconnectedCB = func(nc *nats.Conn) {
		l.refusal.Store(nil)
		l.stats.reconnects.Add(1)
		log.Info("connected to NATS again", "server", nc.ConnectedServerName())
		l.linkChanged()
	}
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) {
		if l.closed() {
			return
		}
		log.Warn("lost the connection to NATS", "error", err)
		l.noteState()
	}
	o.ReconnectErrCB = func(_ *nats.Conn, err error) { l.failed(log, err) }
	o.LameDuckModeHandler = func(nc *nats.Conn) {
		log.Info("NATS server is about to leave", "server", nc.ConnectedServerName())
	}
	o.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) {
		switch {
		case errors.Is(err, nats.ErrSlowConsumer):
			l.stats.slow.Add(1)
			log.Warn("too slow for NATS, messages were dropped", "subject", sub.Subject)
			l.reconcileSoon()
		case isAuthError(err): // of which ReconnectErrCB hears at the first attempt only
			l.failed(log, err)
		default:
			log.Warn("NATS reports an error", "error", err)
		}
	}
	return o.Connect()
}

// failed notes why an attempt to connect failed, and logs it once for each reason.
func (l *Link) failed(log *slog.Logger, err error) {
	if old := l.refusal.Swap(&err); old == nil || !strings.EqualFold((*old).Error(), err.Error()) {
		log.Warn("cannot connect to NATS", "error", err)
	}
}

// isAuthError reports one with which nats.go may be told that it has no right to
// connect.
func isAuthError(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// redacted returns URLs without what is secret in them.
func redacted(urls []string) []string {
	out := make([]string, len(urls))
	for i, s := range urls {
		out[i] = "(not a URL)"
		if u, err := url.Parse(s); err == nil {
			u.User = nil // a password, or a token in place of a name
			out[i] = u.String()
		}
	}
	return out
}

// reconnectDelay is the pause after all servers have been tried for the nth
// time. The jitter spreads the edges after a server has gone.
func reconnectDelay(n int) time.Duration {
	d := min(100*time.Millisecond<<min(n, 5), 2*time.Second)
	return d/2 + rand.N(d) //nolint:gosec // spreads load
}

type countingServer struct {
	server nats.InProcessConnProvider
	n      *atomic.Uint64
}

func (s countingServer) InProcessConn() (net.Conn, error) {
	s.n.Add(1)
	return s.server.InProcessConn()
}

type countingDialer struct {
	nats.CustomDialer
	n *atomic.Uint64
}

func (d countingDialer) Dial(network, address string) (net.Conn, error) {
	d.n.Add(1)
	return d.CustomDialer.Dial(network, address)
}

// SkipTLSHandshake is a question that nats.go asks of a dialer.
func (d countingDialer) SkipTLSHandshake() bool {
	s, ok := d.CustomDialer.(interface{ SkipTLSHandshake() bool })
	return ok && s.SkipTLSHandshake()
}

// dialerOf is what nats.go would dial with.
func dialerOf(o nats.Options) nats.CustomDialer {
	if o.CustomDialer != nil {
		return o.CustomDialer
	}
	d := &net.Dialer{Timeout: o.Timeout}
	if o.Dialer != nil {
		d = o.Dialer
	}
	if o.AllowMultipathTCP != nil {
		d.SetMultipathTCP(*o.AllowMultipathTCP)
	}
	return d
}

// linkChanged follows a connection that was made.
func (l *Link) linkChanged() {
	l.noteState()
	l.reconcileSoon()
}

func (l *Link) noteState() {
	select {
	case <-l.made:
	case <-l.done:
		return
	}
	connected := l.live.IsConnected() && l.rpc.IsConnected()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case connected:
		l.lostAt, l.stood = time.Time{}, true
	case l.lostAt.IsZero():
		l.lostAt = time.Now()
	}
}

func (l *Link) reconcileSoon() {
	l.mu.RLock()
	st := l.store
	l.mu.RUnlock()
	if st != nil {
		st.reconcileSoon()
	}
	l.resync()
}

// Connected says whether both connections stand.
func (l *Link) Connected() bool {
	return l.live.IsConnected() && l.rpc.IsConnected() && !l.closed()
}

// Ready returns nil if the edge can serve, or why it cannot. A link that was
// lost counts as ready for a few seconds more.
func (l *Link) Ready() error {
	if l.closed() {
		return errClosed
	}
	l.mu.RLock()
	lostAt, stood := l.lostAt, l.stood
	l.mu.RUnlock()
	switch {
	case l.Connected():
		return nil
	case !stood:
		return fmt.Errorf("not yet connected to NATS: %w", l.lastError())
	case time.Since(lostAt) < readyGrace:
		return nil
	}
	return fmt.Errorf("connection to NATS lost at %s: %w", lostAt.UTC().Format(time.RFC3339), l.lastError())
}

// lastError says why the last attempt to connect failed. A server that refuses
// us is nats.go's last error, and before the first connection that alone; one that
// cannot be reached is known by ReconnectErrCB only.
func (l *Link) lastError() error {
	if err := cmp.Or(l.live.LastError(), l.rpc.LastError()); err != nil {
		return err
	}
	if err := l.refusal.Load(); err != nil {
		return *err
	}
	return errors.New("no server answers")
}

func (l *Link) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// Close sends what is on its way and ends the link, at the latest when ctx
// ends. Nothing is delivered once it returns.
func (l *Link) Close(ctx context.Context) error {
	var err error
	if l.live.IsConnected() && !l.closed() {
		ctx, cancel := context.WithTimeout(ctx, flushTimeout)
		defer cancel()
		if err = l.live.FlushWithContext(ctx); err != nil {
			err = fmt.Errorf("flushing the link to NATS: %w", err)
		}
	}
	l.shut()
	return err
}

func (l *Link) shut() {
	l.close.Do(func() {
		close(l.done)
		l.end()
		l.live.Close()
		l.rpc.Close()
	})
	l.tasks.Wait()
}
