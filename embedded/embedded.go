// Package embedded runs NATS inside this process: one server for an edge that
// stands alone, or a cluster of them for tests. A server starts in a few
// milliseconds.
//
//	srv, err := embedded.Start(&embedded.Options{StoreDir: dir})
//	if err != nil { … }
//	defer srv.Shutdown()
//	nc, err := srv.Connect()
//
// Nothing listens on the network unless it is asked to, and servers of one
// process share no state.
package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// ErrStoreInUse is returned by [Start] if another server, of this process or
// another one, works on the store directory.
var ErrStoreInUse = errors.New("in use by another server")

// Options tune a [Server]. A nil *Options is valid.
type Options struct {
	// StoreDir is the directory of JetStream, created if it is missing. If
	// empty, the server has no JetStream at all; streams in memory need a
	// directory too, which may be a temporary one.
	StoreDir string

	// Listen is the host:port for clients outside this process; port 0 takes a
	// free one. They are not authenticated: it should be a loopback address. If
	// empty, the server is reachable only through [Server.Connect].
	Listen string

	// MaxPayload bounds the bytes of one message. If zero, 1 MiB.
	MaxPayload int32

	// MaxStore bounds the bytes of all streams on disk. If zero, three
	// quarters of what is free at start.
	MaxStore int64

	// MaxMemory bounds the bytes of all streams in memory. If zero, 256 MiB.
	MaxMemory int64

	// Name is the server's name in its log lines. If empty, "embedded".
	Name string

	// Logger receives the server's log: warnings and errors at their level,
	// all else at debug. If nil, [slog.Default].
	Logger *slog.Logger
}

func (o *Options) withDefaults() (d Options) {
	if o != nil {
		d = *o
	}
	d.MaxPayload = cmp.Or(d.MaxPayload, 1<<20)
	d.MaxMemory = cmp.Or(d.MaxMemory, 256<<20)
	d.Name = cmp.Or(d.Name, "embedded")
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	return d
}

// A Server is a NATS server in this process. Its methods may be called
// concurrently.
type Server struct {
	nats   *server.Server
	listen bool
	store  *os.File // the lock on the store directory; nil without JetStream
	stop   sync.Once
}

// startTimeout bounds what is left to do once server.Start has returned, and
// that includes no recovery of streams.
const startTimeout = 10 * time.Second

// Start starts a server and returns once it is ready. A directory that cannot
// be written to fails with an *[os.PathError], one in use with [ErrStoreInUse],
// and an address that cannot be listened on with a *[net.OpError].
func Start(o *Options) (*Server, error) {
	d := o.withDefaults()
	so, err := serverOptions(d)
	if err != nil {
		return nil, err
	}
	return start(so, d.Logger)
}

func serverOptions(d Options) (*server.Options, error) {
	so := &server.Options{
		ServerName:             d.Name,
		NoSigs:                 true,
		DontListen:             d.Listen == "",
		MaxPayload:             d.MaxPayload,
		JetStream:              d.StoreDir != "",
		StoreDir:               d.StoreDir,
		JetStreamMaxMemory:     d.MaxMemory,
		JetStreamMaxStore:      d.MaxStore,
		SyncInterval:           10 * time.Second, // the server's own is two minutes: too much to lose with the power
		DisableJetStreamBanner: true,
	}
	if d.Listen == "" {
		return so, nil
	}
	host, port, err := net.SplitHostPort(d.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address of the embedded NATS server: %w; write it as HOST:PORT", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen address %q of the embedded NATS server: port %q is not a number from 0 to 65535", d.Listen, port)
	}
	so.Host, so.Port = host, int(n)
	if n == 0 {
		so.Port = server.RANDOM_PORT
	}
	return so, nil
}

func start(so *server.Options, log *slog.Logger) (_ *Server, err error) {
	s := &Server{listen: !so.DontListen}
	if so.StoreDir != "" {
		if s.store, err = lockStore(so.StoreDir); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				s.store.Close()
			}
		}()
	}
	if s.listen {
		if err := probeListen(so.Host, so.Port); err != nil {
			return nil, err
		}
	}
	if so.Cluster.Port != 0 {
		if err := probeListen(so.Cluster.Host, so.Cluster.Port); err != nil {
			return nil, err
		}
	}

	if s.nats, err = server.NewServer(so); err != nil {
		return nil, fmt.Errorf("configuring the embedded NATS server: %w", err)
	}
	nl := &natsLog{log: log.With("nats", so.ServerName)}
	s.nats.SetLoggerV2(nl, false, false, false)

	// Start returns once streams are recovered and clients can connect, or
	// after a fatal log line; only the listener for routes may come later.
	s.nats.Start()
	for end := time.Now().Add(startTimeout); ; {
		err = nl.fatal()
		if err == nil && s.nats.ReadyForConnections(50*time.Millisecond) {
			return s, nil
		}
		if err == nil && time.Now().After(end) {
			err = fmt.Errorf("not ready after %v", startTimeout)
		}
		if err != nil {
			s.nats.Shutdown()
			s.nats.WaitForShutdown()
			return nil, fmt.Errorf("starting the embedded NATS server: %w", err)
		}
	}
}

// probeListen tells why an address cannot be listened on. The server itself
// would only log it, as text.
func probeListen(host string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(max(port, 0))))
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w; choose another listen address, or stop what uses this one", err)
	}
	return l.Close()
}

// Connect connects to the server within this process.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append(slices.Clip(opts), nats.InProcessServer(s))...)
}

// InProcessConn makes a Server a [nats.InProcessConnProvider], for programs
// that call [nats.Connect] themselves.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// ClientURL is where clients outside this process connect, or "" if the server
// does not listen. A server on all addresses answers with the loopback one.
func (s *Server) ClientURL() string {
	if !s.listen {
		return ""
	}
	addr, ok := s.nats.Addr().(*net.TCPAddr)
	if !ok { // shut down
		return ""
	}
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// NATS is the server itself, for its statistics.
func (s *Server) NATS() *server.Server { return s.nats }

// Shutdown closes all connections, writes out what JetStream holds, and
// returns once the server has ended and its directory is free. Connections
// should be drained before.
func (s *Server) Shutdown() {
	s.stop.Do(func() {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
		if s.store != nil {
			s.store.Close()
		}
	})
}
