// Command edge serves chat to Phoenix clients. Edges on the same NATS servers
// act as one; without --nats an edge brings its own NATS.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/fleet"
	"github.com/aristochat/aristochat/edge/metrics"
	"github.com/aristochat/aristochat/edge/page"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/internal/command"
	"github.com/aristochat/aristochat/internal/logsample"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "edge:", err)
		os.Exit(command.ExitCode(err))
	}
}

// Exit codes, as --help has them.
const (
	exitFailure = command.Failure
	exitUsage   = command.Usage
	exitListen  = 3
	exitData    = 4
	exitUnfit   = 5
)

// run does what args say, and serves until ctx ends if they say nothing.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if err != nil || cfg == nil {
		return err
	}
	if cfg.command == commandHealth { // needs no log
		return checkHealth(ctx, cfg, stdout)
	}
	log, lines := newLogger(stderr, cfg)
	defer lines.Flush()
	slog.SetDefault(log) // for libraries that know no other
	switch cfg.command {
	case commandStreamApply:
		return applyStream(ctx, cfg, log, stdout)
	case commandCheck:
		limitMemory(slog.New(slog.DiscardHandler)) // as an edge does
		return runCheck(ctx, cfg, stdout)
	case commandTail:
		return runTail(ctx, cfg, stdout, stderr)
	case commandTop:
		return runTop(ctx, cfg, stdout, stderr)
	}
	return serve(ctx, cfg, log, lines, stdout)
}

// serve answers until ctx ends, then gives clients cfg.Drain to leave.
func serve(ctx context.Context, cfg *config, log *slog.Logger, lines *logsample.Handler, stdout io.Writer) error {
	limitMemory(log)
	// First what fails most often, and before anything is written.
	if err := checkMachine(cfg, log); err != nil {
		return err
	}
	l, err := listen("--listen", cfg.Listen, "4001")
	if err != nil {
		return err
	}
	f := &front{}
	if cfg.Page {
		f.page = page.Handler()
	}
	hs := newHTTPServer(f, log)
	reg := newRegistry(f, lines)
	admin := newAdminServer(newAdmin(f, reg, log), log)
	var al net.Listener // nil if nobody shall look
	if cfg.AdminListen != "" {
		if al, err = listen("--admin-listen", cfg.AdminListen, "9465"); err != nil {
			l.Close()
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ignoreClosed(hs.Serve(l)) })
	if al != nil {
		g.Go(func() error { return ignoreClosed(admin.Serve(al)) })
	}
	// From here on there are answers about health, whatever NATS does.

	e, err := open(gctx, cfg, log)
	if err != nil {
		hs.Close()
		admin.Close()
		if ctx.Err() != nil { // told to end before it had begun
			err = nil
		}
		return errors.Join(err, g.Wait())
	}
	reg.MustRegister(metrics.New(e.srv, e.who))
	f.open(e.srv, e.srv.Alive, e.srv.Ready, e.link.Ready)
	announce(stdout, log, cfg, l.Addr(), al)

	g.Go(func() error { return checkNATSAtStart(gctx, cfg, log) })
	g.Go(func() error {
		remind(gctx, log, e.link)
		log.Info("shutting down; a second signal ends at once", "patience", cfg.Drain, "delay", cfg.DrainDelay)
		f.drain()
		// ctx is spent by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(gctx), cfg.Drain)
		defer cancel()
		e.end(ctx, hs)
		admin.Close() // last: an end can be watched
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	log.Info("shut down")
	return nil
}

// A link is the backbone, with history or without.
type link interface {
	edge.Backbone
	Ready() error
	Close(context.Context) error
}

// An edgeProcess is what a server needs around it, and ends in order.
type edgeProcess struct {
	log    *slog.Logger
	cfg    *config
	srv    *edge.Server
	who    *presence.Tracker
	table  *fleet.Table
	member *fleet.Member
	link   link
	stop   []func(context.Context) // what ends last, in reverse order
}

// open links to NATS and makes the server on top.
func open(ctx context.Context, cfg *config, log *slog.Logger) (_ *edgeProcess, err error) {
	e := &edgeProcess{log: log, cfg: cfg}
	defer func() {
		if err != nil {
			e.stopAll(ctx)
		}
	}()
	tracer, stopTracing, err := newTracer(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	e.stop = append(e.stop, stopTracing)
	bo, stopNATS, err := backboneOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	e.stop = append(e.stop, func(context.Context) { stopNATS() })
	if e.link, err = connect(ctx, cfg, bo); err != nil {
		return nil, err
	}
	if err := e.serve(ctx, tracer); err != nil {
		return nil, errors.Join(err, e.link.Close(ctx))
	}
	return e, nil
}

func (e *edgeProcess) serve(ctx context.Context, tracer trace.Tracer) (err error) {
	if e.table, err = fleet.Watch(ctx, e.link, &fleet.Options{Logger: e.log}); err != nil {
		return err
	}
	if e.srv, e.who, err = newServer(e.link, e.cfg, e.table, e.log, tracer); err != nil {
		return err
	}
	e.member = e.table.Join(e.srv, &fleet.MemberOptions{Version: command.Version()})
	return nil
}

func (e *edgeProcess) stopAll(ctx context.Context) {
	for _, stop := range slices.Backward(e.stop) {
		stop(ctx)
	}
}

func newServer(l link, cfg *config, others *fleet.Table, log *slog.Logger, tracer trace.Tracer) (*edge.Server, *presence.Tracker, error) {
	poll, err := longPoll(cfg)
	if err != nil {
		return nil, nil, err
	}
	if poll != nil {
		poll.Alive = others.Alive
	}
	srv, err := edge.New(l, &edge.Options{
		Connect:     rooms.Connect,
		AuthToken:   true, // nobody verifies it yet, but clients that send one break off if it is ignored
		CheckOrigin: cfg.origins,
		LongPoll:    poll,
		Tracer:      tracer,
		MaxSockets:  cfg.MaxSockets,
		AdmitRate:   cfg.AdmitRate,
		Logger:      log,
	})
	if err != nil {
		return nil, nil, err
	}
	who := rooms.Serve(srv, &rooms.Options{
		NoHistory: cfg.History == "off",
		Presence:  &presence.Options{DeadAfter: cfg.DeadAfter},
	})
	return srv, who, nil
}

func connect(ctx context.Context, cfg *config, o *backbone.Options) (link, error) {
	l, err := backbone.Connect(ctx, o)
	if err != nil {
		return nil, command.Fail(exitUsage, err) // unreachable servers are no error: an option is
	}
	if cfg.History == "off" {
		return l, nil
	}
	st, err := l.Store(ctx, &backbone.StoreOptions{Stream: cfg.streamOptions(), Apply: cfg.Stream == "apply"})
	if err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return st, nil
}

// remind repeats what is wrong until ctx ends: whoever looks at the log only
// now should see it too.
func remind(ctx context.Context, log *slog.Logger, l link) {
	t := time.NewTicker(30 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := l.Ready(); err != nil {
				log.Warn("not ready, still trying", "error", err)
			}
		}
	}
}

// lastWords is how long NATS may take at least to get what is left.
const lastWords = time.Second

// end ends in order, at the latest when ctx does: for the delay clients may still
// come, then they go, and NATS last, so that what they have said still leaves.
func (e *edgeProcess) end(ctx context.Context, hs *http.Server) {
	e.member.Leave() // nobody shall count on this edge
	if e.cfg.DrainDelay > 0 {
		select {
		case <-time.After(e.cfg.DrainDelay):
		case <-ctx.Done():
		}
	}
	// Together: hs waits for handshakes, and hs knows nothing of upgraded
	// connections.
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := hs.Shutdown(ctx); err != nil {
			hs.Close()
		}
	})
	if err := e.srv.Drain(ctx, e.member.Pace); err != nil {
		e.log.Warn("cutting off clients that did not leave in time", "error", err, "clients", e.srv.Stats().DrainCut)
	}
	wg.Wait()
	e.table.Close()
	// Clients may have used up the time that there was.
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(lastWords, time.Until(deadline)))
	defer cancel()
	if err := e.link.Close(ctx); err != nil {
		e.log.Warn("NATS may not have got everything", "error", err)
	}
	e.stopAll(ctx)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// listen listens on the address of a flag. port is one to propose.
func listen(flag, address, port string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, command.Fail(exitListen, fmt.Errorf("%s: %w; %s", flag, err, listenHint(err, flag+" :"+port)))
	}
	return l, nil
}

func listenHint(err error, such string) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: stop it, or choose another port, such as " + such
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need a privilege: choose another, such as " + such
	}
	return "choose an address of this machine, such as " + such
}
