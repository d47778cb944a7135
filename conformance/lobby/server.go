package lobby

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/embedded"
)

// Config says which server to start.
type Config struct {
	// Listen is the host:port of HTTP. If empty, a free port of the loopback
	// address.
	Listen string
	// Profile is one of Profiles. If empty, "default".
	Profile string
	// Slower is how many times as long as recorded the time-outs of the profile
	// short are. If zero, once.
	Slower int
	// NATS are the servers to join. If empty, one is started in this process.
	NATS []string
	// Embedded, if not nil, is a NATS server in this process to be used
	// instead.
	Embedded *embedded.Server
	// Prefix keeps servers on one NATS apart. If empty, that of the backbone.
	Prefix string
	// Logger hears of every crash, of which there are many here. If nil,
	// slog.Default().
	Logger *slog.Logger
}

// Profiles are the configurations that a server can have.
var Profiles = []string{"default", "short", "limit", "origin", "origin_true", "origin_conn", "cluster", "shutdown"}

// MaxPayload is what NATS has to carry, in bytes: the longest broadcast is that
// of the longest message that a client may send.
const MaxPayload = 16 << 20

// options returns what a profile changes.
func options(cfg *Config) (*edge.Options, error) {
	o := &edge.Options{
		CheckOrigin: edge.AnyOrigin,
		MaxMessage:  10_000_000, // as Phoenix 1.8 with websock_adapter 0.6
		OutboxBytes: 2 * MaxPayload,
		LongPoll:    &edge.LongPoll{Secret: []byte("that of all fixtures")},
	}
	var err error
	switch cmp.Or(cfg.Profile, "default") {
	case "default", "cluster", "shutdown":
	case "short":
		slower := max(1, cfg.Slower)
		o.IdleTimeout = time.Duration(1500*slower) * time.Millisecond
		o.LongPoll.Window = time.Duration(slower) * time.Second
	case "limit":
		o.MaxMessage = 4096
		o.Compress = true
	case "origin":
		o.CheckOrigin, err = edge.AllowOrigins("https://example.com", "//another.com:888", "//*.wild.com", "http://plain.test:8080")
	case "origin_true":
		o.CheckOrigin = edge.SameHost("localhost")
	case "origin_conn":
		o.CheckOrigin = edge.SameOrigin
	default:
		err = fmt.Errorf("unknown profile %q, want one of %s", cfg.Profile, strings.Join(Profiles, ", "))
	}
	return o, err
}

// A Server is a running fixture.
type Server struct {
	edge     *edge.Server
	http     *http.Server
	listener net.Listener
	link     *backbone.Link
	nats     *embedded.Server // nil unless it is ours
	served   chan error
}

// Start starts a server and returns once it answers.
func Start(ctx context.Context, cfg Config) (_ *Server, err error) {
	log := cfg.Logger
	if log == nil {
		log = slog.Default()
	}
	o, err := options(&cfg)
	if err != nil {
		return nil, err
	}
	o.Logger = log
	o.Connect = connect
	o.ErrorPage = errorPage

	s := &Server{served: make(chan error, 1)}
	defer func() {
		if err != nil {
			_ = s.release(ctx) // err says more
		}
	}()
	provider := cfg.Embedded
	if provider == nil && len(cfg.NATS) == 0 {
		s.nats, err = embedded.Start(&embedded.Options{MaxPayload: MaxPayload, Logger: log})
		if err != nil {
			return nil, fmt.Errorf("starting NATS: %w", err)
		}
		provider = s.nats
	}
	links := &backbone.Options{URLs: cfg.NATS, Name: "conformance", Prefix: cfg.Prefix, Logger: log}
	if provider != nil {
		links.Server = provider
	}
	if s.link, err = backbone.Connect(ctx, links); err != nil {
		return nil, err
	}
	if s.edge, err = edge.New(s.link, o); err != nil {
		return nil, err
	}
	s.edge.Channel("rooms:*", func() edge.Channel { return room{} })
	who := presence.New(s.edge, nil)
	s.edge.Channel("lobby:*", func() edge.Channel { return &lobby{server: s.edge, who: who} })
	if s.listener, err = net.Listen("tcp", cmp.Or(cfg.Listen, "127.0.0.1:0")); err != nil {
		return nil, err
	}
	s.http = &http.Server{Handler: s.edge, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() { s.served <- s.http.Serve(s.listener) }()
	return s, nil
}

// Addr is the host:port that the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Shutdown drains the sockets, ends the server and all that it started.
func (s *Server) Shutdown(ctx context.Context) error {
	err := errors.Join(s.edge.Shutdown(ctx), s.http.Shutdown(ctx))
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return errors.Join(err, s.release(ctx))
}

// release ends what is below the edge.
func (s *Server) release(ctx context.Context) (err error) {
	if s.link != nil {
		err = s.link.Close(ctx)
	}
	if s.nats != nil {
		s.nats.Shutdown()
	}
	return err
}

// errorPage is how the recorded server renders errors.
func errorPage(w http.ResponseWriter, _ *http.Request, status int) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":{"detail":%q}}`, http.StatusText(status))
}
