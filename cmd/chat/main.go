// Command chat is a terminal client for chat on a Phoenix Channels server: a
// full screen in a terminal, lines in and lines out in a pipe.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/aristochat/aristochat/cmd/chat/pipe"
	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/text"
	"github.com/aristochat/aristochat/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal kills
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", text.Name(err.Error()))
		os.Exit(command.ExitCode(err))
	}
}

// Exit codes, as --help has them.
const (
	exitUsage       = command.Usage
	exitUnreachable = 3
	exitRefused     = 4
	exitNotSent     = 5
)

// run chats until the user leaves or ctx ends.
func run(ctx context.Context, args []string, stdin, stdout *os.File, stderr io.Writer) error {
	cfg, err := parseConfig(args, stdout)
	if err != nil || cfg == nil {
		return err
	}
	if cfg.JSON || cfg.Once || !isTerminal(stdin) || !isTerminal(stdout) {
		return endsWith(ctx, func() error { return runPipe(ctx, cfg, stdin, stdout, stderr) })
	}
	return runScreen(ctx, cfg, stdout, stderr)
}

// isTerminal reports one that can be painted on.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" }

// goodbye bounds how long the program goes on after a signal: whoever reads
// what it prints may not.
const goodbye = 5 * time.Second

// endsWith runs f, but leaves it behind if it does not end soon after ctx.
func endsWith(ctx context.Context, f func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(goodbye):
		return errors.New("interrupted, and nobody reads what is printed")
	}
}

// runPipe chats in lines.
func runPipe(ctx context.Context, cfg *config, stdin io.Reader, stdout, stderr io.Writer) error {
	p := pipe.New(pipe.Options{
		Room:   cfg.Room,
		User:   cfg.Username,
		Server: cfg.Server,
		JSON:   cfg.JSON,
		Once:   cfg.Once,
		Out:    stdout,
		Err:    stderr,
	})
	s, err := dial(ctx, cfg, cfg.backlog(0), p.Emit)
	if err != nil {
		return err
	}
	err = errors.Join(p.Run(ctx, s, stdin), s.Close())
	switch {
	case errors.Is(err, pipe.ErrRefused):
		return command.Fail(exitRefused, err)
	case errors.Is(err, pipe.ErrNoWayIn):
		return command.Fail(exitUnreachable, err)
	case errors.Is(err, pipe.ErrNotSent):
		return command.Fail(exitNotSent, err)
	}
	return err
}

// dial connects, and says how the program ends if that fails.
func dial(ctx context.Context, cfg *config, backlog int, emit func(talk.Event)) (*talk.Session, error) {
	s, err := talk.Dial(ctx, talk.Config{
		URL:      cfg.url,
		Username: cfg.Username,
		Token:    cfg.Token,
		HTTP:     cfg.http,
		History:  backlog,
		Emit:     emit,
	})
	if err == nil {
		return s, nil
	}
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	why := talk.Explain(err, cfg.Server)
	err = errors.New(why.Text)
	switch why.Cause {
	case talk.Unreachable:
		return nil, command.Fail(exitUnreachable, err)
	case talk.Denied:
		return nil, command.Fail(exitRefused, err)
	case talk.Other:
	}
	return nil, err
}
