package main

import (
	"context"
	"io"
	"os"
	"strings"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"github.com/aristochat/aristochat/cmd/edge/internal/top"
)

type topFlags struct {
	Once bool `env:"-" help:"Print a table and end, as it does anyway where there is no terminal."`
	JSON bool `name:"json" env:"-" help:"Print one JSON object for each edge and end."`
}

// runTop is the command "top".
func runTop(ctx context.Context, cfg *config, stdout, stderr io.Writer) error {
	server, err := reach(cfg)
	if err != nil {
		return err
	}
	o := lookingOn(cfg, stderr)
	now, stop, err := top.Listen(ctx, &o)
	if err != nil {
		return err
	}
	defer stop()
	terminal, ok := stdout.(*os.File)
	if cfg.Top.Once || cfg.Top.JSON || !ok || !term.IsTerminal(int(terminal.Fd())) {
		return top.Once(ctx, now, cfg.Top.JSON, stdout)
	}
	title := strings.Join(cfg.NATS, ", ")
	if server != "" {
		title += " (" + server + ")"
	}
	return top.Run(ctx, now, title, tea.WithOutput(terminal))
}
