// Command loadtest loads a chat with thousands of clients, and tells whether it
// keeps its promises while edges and NATS servers come and go: no acknowledged
// message lost, none delivered twice to a client that resumes, one order for
// all.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aristochat/aristochat/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(command.ExitCode(err))
	}
}

// Exit codes, as --help has them.
const (
	exitFailure = command.Failure
	exitUsage   = command.Usage
	exitBroken  = 3
	exitSteep   = 4
)

// run does what args say. If ctx ends it stops sending, and reports all the
// same.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if err != nil || cfg == nil {
		return err
	}
	timeline, err := openTimeline(cfg.Timeline, stdout)
	if err != nil {
		return err
	}
	r, err := load(ctx, cfg, timeline, stderr)
	if err := errors.Join(err, timeline.Close()); err != nil {
		return err
	}
	if err := r.write(stdout, cfg.JSON); err != nil {
		return err
	}
	return r.verdict(cfg)
}

// load lets the clients do their work and returns what was seen.
func load(ctx context.Context, cfg *config, timeline, stderr io.Writer) (*report, error) {
	s := newSwarm(cfg)
	w := startWatch(s, timeline, stderr)
	r, err := s.work(ctx, w)
	return r, errors.Join(err, w.stop())
}

// work is the run, from the first client to the report.
func (s *swarm) work(ctx context.Context, w *watch) (*report, error) {
	w.say("run %s: %d clients, %d rooms, %g messages a second for %v", s.run, s.cfg.Sockets, s.cfg.Rooms, s.cfg.Rate, s.cfg.Duration)
	if err := s.gather(ctx); err != nil {
		s.close()
		return nil, err
	}
	w.say("all have joined")

	// Whoever interrupts wants the report: what was sent is still waited for.
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var out sync.WaitGroup
	began := time.Now()
	s.talk(ctx, sending, &out)
	talked := time.Since(began)
	w.say("no more is sent; waiting for what is on its way")
	s.settle(&out)
	cancel()
	out.Wait()
	s.close()
	return newReport(s, talked), nil
}

// openTimeline opens the file of --timeline.
func openTimeline(name string, stdout io.Writer) (io.WriteCloser, error) {
	switch name {
	case "":
		return nopCloser{io.Discard}, nil
	case "-":
		return nopCloser{stdout}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, command.Fail(exitUsage, fmt.Errorf("--timeline: %w", err))
	}
	return f, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
