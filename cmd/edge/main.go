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
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/fleet"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/edge/rooms"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "edge:", err)
		os.Exit(exitCode(err))
	}
}

// Exit codes, as --help has them.
const (
	exitFailure = 1
	exitUsage   = 2
	exitListen  = 3
	exitData    = 4
	exitUnfit   = 5
)

// An exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailure
}

// run does what args say, and serves until ctx ends if they say nothing.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if err != nil || cfg == nil {
		return err
	}
	log := newLogger(stderr, cfg)
	slog.SetDefault(log) // for libraries that know no other
	switch cfg.command {
	case commandStreamApply:
		return applyStream(ctx, cfg, log, stdout)
	case commandCheck:
		return runCheck(ctx, cfg, stdout)
	case commandTail:
		return runTail(ctx, cfg, stdout, stderr)
	case commandTop:
		return runTop(ctx, cfg, stdout, stderr)
	}
	return serve(ctx, cfg, log, stdout)
}

// serve answers until ctx ends, then gives clients cfg.Drain to leave.
func serve(ctx context.Context, cfg *config, log *slog.Logger, stdout io.Writer) error {
	// First what fails most often, and before anything is written.
	if err := checkMachine(cfg, log); err != nil {
		return err
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return &exitError{exitListen, fmt.Errorf("--listen: %w; %s", err, listenHint(err))}
	}
	f := &front{}
	hs := newHTTPServer(f, log)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ignoreClosed(hs.Serve(l)) })
	// From here on there are answers about health, whatever NATS does.

	e, err := open(gctx, cfg, log)
	if err != nil {
		hs.Close()
		if ctx.Err() != nil { // told to end before it had begun
			err = nil
		}
		return errors.Join(err, g.Wait())
	}
	f.open(e.srv, e.ready)
	announce(stdout, log, cfg, l.Addr())

	g.Go(func() error { return checkNATSAtStart(gctx, cfg, log) })
	g.Go(func() error {
		remind(gctx, log, e.link)
		log.Info("shutting down; a second signal ends at once", "patience", cfg.Drain, "delay", cfg.DrainDelay)
		f.drain()
		// ctx is spent by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(gctx), cfg.Drain)
		defer cancel()
		e.end(ctx, hs)
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

// An edgeProcess is what ends in order.
type edgeProcess struct {
	log      *slog.Logger
	cfg      *config
	stopNATS func() // ends what runs in this process
	link     link
	srv      *edge.Server
	table    *fleet.Table
	member   *fleet.Member
}

// open links to NATS and makes the server on top.
func open(ctx context.Context, cfg *config, log *slog.Logger) (*edgeProcess, error) {
	e := &edgeProcess{log: log, cfg: cfg}
	bo, stopNATS, err := backboneOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	e.stopNATS = stopNATS
	if e.link, err = connect(ctx, cfg, bo); err != nil {
		stopNATS()
		return nil, err
	}
	if err := e.serve(ctx); err != nil {
		err = errors.Join(err, e.link.Close(ctx))
		stopNATS()
		return nil, err
	}
	return e, nil
}

func (e *edgeProcess) serve(ctx context.Context) (err error) {
	if e.table, err = fleet.Watch(ctx, e.link, &fleet.Options{Logger: e.log}); err != nil {
		return err
	}
	if e.srv, err = newServer(e.link, e.cfg, e.table, e.log); err != nil {
		return err
	}
	e.member = e.table.Join(e.srv, &fleet.MemberOptions{Version: buildVersion()})
	return nil
}

// ready returns nil if new clients may come, or why not.
func (e *edgeProcess) ready() error {
	if err := e.srv.Ready(); err != nil {
		return err
	}
	return e.link.Ready()
}

func newServer(l link, cfg *config, others *fleet.Table, log *slog.Logger) (*edge.Server, error) {
	poll, err := longPoll(cfg)
	if err != nil {
		return nil, err
	}
	if poll != nil {
		poll.Alive = others.Alive
	}
	srv, err := edge.New(l, &edge.Options{
		Connect:     rooms.Connect,
		AuthToken:   true, // nobody verifies it yet, but clients that send one break off if it is ignored
		CheckOrigin: cfg.origins,
		LongPoll:    poll,
		MaxSockets:  cfg.MaxSockets,
		AdmitRate:   cfg.AdmitRate,
		Logger:      log,
	})
	if err != nil {
		return nil, err
	}
	rooms.Serve(srv, &rooms.Options{
		NoHistory: cfg.History == "off",
		Presence:  &presence.Options{DeadAfter: cfg.DeadAfter},
	})
	return srv, nil
}

func connect(ctx context.Context, cfg *config, o *backbone.Options) (link, error) {
	l, err := backbone.Connect(ctx, o)
	if err != nil {
		return nil, &exitError{exitUsage, err} // unreachable servers are no error: an option is
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
	if err := e.link.Close(ctx); err != nil {
		e.log.Warn("NATS may not have got everything", "error", err)
	}
	e.stopNATS()
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func listenHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: stop it, or choose another port, such as --listen :4001"
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need a privilege: choose another, such as --listen :4000"
	}
	return "choose an address of this machine, such as --listen :4000"
}
