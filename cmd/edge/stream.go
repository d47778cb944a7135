package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/internal/command"
)

// applyPatience is how long the servers may take to be there and have a leader:
// this runs beside their own start.
const applyPatience = time.Minute

// applyStream is the command "stream apply", for those who may create streams
// where edges may not.
func applyStream(ctx context.Context, cfg *config, log *slog.Logger, stdout io.Writer) (err error) {
	o, _, err := backboneOptions(cfg, log)
	if err != nil {
		return err
	}
	l, err := backbone.Connect(ctx, o)
	if err != nil {
		return command.Fail(exitUsage, err)
	}
	defer l.Close(ctx)
	ctx, cancel := context.WithTimeout(ctx, applyPatience)
	defer cancel()
	r, err := l.ApplyStream(ctx, cfg.streamOptions())
	if err != nil {
		return err
	}
	printReport(stdout, r)
	return r.Broken
}

func printReport(w io.Writer, r backbone.StreamReport) {
	switch {
	case r.Created:
		fmt.Fprintf(w, "stream %s: created\n", r.Name)
	case len(r.Changed)+len(r.Differs) == 0:
		fmt.Fprintf(w, "stream %s: nothing to change\n", r.Name)
	}
	for _, s := range r.Changed {
		fmt.Fprintf(w, "stream %s: changed %s\n", r.Name, s)
	}
	for _, s := range r.Differs {
		fmt.Fprintf(w, "stream %s: left as it is: %s\n", r.Name, s)
	}
	for _, s := range r.Warnings {
		fmt.Fprintf(w, "stream %s: warning: %s\n", r.Name, s)
	}
}
