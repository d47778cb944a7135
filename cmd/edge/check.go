package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/aristochat/aristochat/cmd/edge/internal/check"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/internal/command"
)

func (c *config) checked() *check.Config {
	return &check.Config{
		Listen: c.Listen, AdminListen: c.AdminListen, Drain: c.Drain, Grace: c.Grace, MaxSockets: c.MaxSockets, LacksSecret: lacksSecret(c),
		NATS: c.NATS, Data: c.Data, NATSListen: c.NATSListen,
		Backbone: backbone.Options{NATS: c.natsOptions, Prefix: c.SubjectPrefix},
		History:  c.History != "off", Stream: c.streamOptions(), Apply: c.Stream == "apply",
	}
}

// runCheck is the command "check".
func runCheck(ctx context.Context, cfg *config, stdout io.Writer) error {
	findings := check.All(ctx, cfg.checked())
	bad := 0
	for _, f := range findings {
		if cfg.Check.Production && f.Level == check.Warning {
			f.Level = check.Failed
		}
		if f.Level == check.Failed {
			bad++
		}
		if err := printFinding(stdout, f, cfg.Check.JSON); err != nil {
			return err
		}
	}
	if bad > 0 {
		return command.Fail(exitUnfit, fmt.Errorf("%d of %d checks failed", bad, len(findings)))
	}
	return nil
}

func printFinding(w io.Writer, f check.Finding, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(f)
	}
	fmt.Fprintf(w, "%-8s %-12s %s\n", f.Level, f.Check, f.Message)
	if f.Change != "" {
		fmt.Fprintf(w, "%21s → %s\n", "", f.Change)
	}
	return nil
}

// checkMachine checks, at start, what needs no NATS.
func checkMachine(cfg *config, log *slog.Logger) error {
	c := cfg.checked()
	c.LacksSecret = false // announce says it
	return report(log, check.Machine(c), exitUsage)
}

const (
	checkPause    = 3 * time.Second
	longestChecks = 30 * time.Second
)

// checkNATSAtStart checks the servers as soon as one answers. A server that is
// not there, or knows our credentials not yet, is asked again.
func checkNATSAtStart(ctx context.Context, cfg *config, log *slog.Logger) error {
	if len(cfg.NATS) == 0 {
		return nil
	}
	var said []check.Finding
	for pause := checkPause; ctx.Err() == nil; pause = min(2*pause, longestChecks) {
		findings, reached := check.NATS(ctx, cfg.checked())
		switch {
		case ctx.Err() != nil: // what was found may be the end's doing
			continue
		case reached:
			return report(log, findings, exitUnfit)
		case !slices.Equal(findings, said):
			_ = report(log, findings, exitUnfit) // a server that is not there may come
			said = findings
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// report logs findings, and returns those that waiting does not mend.
func report(log *slog.Logger, findings []check.Finding, code int) error {
	var lasting error
	for _, f := range findings {
		switch {
		case f.Lasting:
			lasting = cmp.Or(lasting, command.Fail(code, fmt.Errorf("%s: %s; %s", f.Check, f.Message, f.Change)))
		case f.Level == check.OK, f.Check == "stream", f.Check == "storage": // of these the store speaks
		case f.Level == check.Failed && f.Check != "nats":
			log.Error("a check failed", "check", f.Check, "what", f.Message, "change", f.Change)
		default:
			log.Warn("a check warns", "check", f.Check, "what", f.Message, "change", f.Change)
		}
	}
	return lasting
}
