package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aristochat/aristochat/cmd/edge/internal/check"
	"github.com/aristochat/aristochat/cmd/edge/internal/tail"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/internal/command"
)

type tailFlags struct {
	Room  string `arg:"" optional:"" help:"A room such as lobby, a topic such as rooms:lobby, or all rooms if it is left out."`
	User  string `env:"-" placeholder:"NAME" help:"Only what this user says and does."`
	Last  int    `env:"-" placeholder:"N" help:"Begin with the newest N messages of the room."`
	Since string `env:"-" placeholder:"WHEN" help:"Begin with the messages since a time ago, such as 10m, or after a sequence, such as 1234."`
	JSON  bool   `name:"json" env:"-" help:"Print one JSON object a line."`
}

// pattern is that of the topics asked for.
func (f *tailFlags) pattern() string {
	switch {
	case f.Room == "", f.Room == "*":
		return backbone.Everything
	case strings.Contains(f.Room, ":"):
		return f.Room
	}
	return "rooms:" + f.Room
}

func (f *tailFlags) past() (p tail.Past, err error) {
	wild := f.pattern() == backbone.Everything || strings.HasSuffix(f.Room, ":*")
	switch {
	case f.Last < 0:
		return p, fmt.Errorf("--last: %d is negative", f.Last)
	case f.Last > 0 && f.Since != "":
		return p, errors.New("--last and --since exclude each other")
	case wild && (f.Last > 0 || f.Since != ""):
		return p, errors.New("--last and --since are about one room: name it, such as edge tail lobby --last 10")
	case f.Since == "":
		return tail.Past{Last: f.Last}, nil
	}
	if seq, err := strconv.ParseUint(f.Since, 10, 64); err == nil {
		return tail.Past{After: &seq}, nil
	}
	d, err := time.ParseDuration(f.Since)
	if err != nil || d <= 0 {
		return p, fmt.Errorf("--since: %q is neither a time, such as 10m, nor a sequence", f.Since)
	}
	return tail.Past{For: d}, nil
}

// runTail is the command "tail".
func runTail(ctx context.Context, cfg *config, stdout, stderr io.Writer) error {
	past, err := cfg.Tail.past()
	if err != nil {
		return command.Fail(exitUsage, err)
	}
	where, err := reach(cfg)
	if err != nil {
		return err
	}
	o := &tail.Options{
		Backbone: lookingOn(cfg, stderr), Pattern: cfg.Tail.pattern(),
		User: cfg.Tail.User, JSON: cfg.Tail.JSON, Past: past, Zone: time.Local,
	}
	return tail.Run(ctx, o, stdout, func() {
		if !o.JSON {
			fmt.Fprintf(stderr, "tail: %s on %s; Ctrl-C ends it\n", o.Pattern, where)
		}
	})
}

// reach returns the name of a server that answers, or why none does: who looks
// on is not to wait in silence.
func reach(cfg *config) (name string, err error) {
	var causes []error
	for _, u := range cfg.NATS {
		p, err := backbone.NewProbe(u, &backbone.Options{NATS: cfg.natsOptions, Prefix: cfg.SubjectPrefix})
		if err != nil {
			message, change := check.Explain(err)
			causes = append(causes, fmt.Errorf("NATS at %s: %s; %s", u, message, change))
			continue
		}
		info, err := p.Server()
		p.Close()
		if err == nil {
			return info.Name, nil
		}
		causes = append(causes, fmt.Errorf("NATS at %s: %w", u, err))
	}
	return "", command.Fail(exitUnfit, errors.Join(causes...))
}

// lookingOn is the link of a tool that is no edge.
func lookingOn(cfg *config, stderr io.Writer) backbone.Options {
	quiet := *cfg
	if quiet.LogLevel == "info" {
		quiet.LogLevel = "warn" // that it has connected goes without saying
	}
	log, _ := newLogger(stderr, &quiet)
	return backbone.Options{URLs: cfg.NATS, NATS: cfg.natsOptions, Prefix: cfg.SubjectPrefix, Name: "aristochat " + cfg.command, Logger: log}
}
