package conformance_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/conformance"
	"github.com/aristochat/aristochat/conformance/lobby"
	"github.com/aristochat/aristochat/embedded"
)

// recorded counts the cases, so that none gets lost.
const recorded = 452

func loadTranscripts(t *testing.T) []conformance.Case {
	t.Helper()
	f, err := os.Open("testdata/phoenix-1.7.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases, err := conformance.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != recorded {
		t.Fatalf("got %d cases, want %d", len(cases), recorded)
	}
	return cases
}

// expected returns the cases with our answers in place of the recorded ones.
func expected(t *testing.T) []conformance.Case {
	t.Helper()
	cases := loadTranscripts(t)
	for i := range cases {
		c := &cases[i]
		for _, d := range differences {
			if !slices.Contains(d.cases, c.ID) {
				continue
			}
			before := c.Steps
			c.Steps = slices.Clone(before)
			d.edit(c)
			if reflect.DeepEqual(c.Steps, before) {
				t.Errorf("%s: the difference %q changes nothing", c.ID, d.what)
			}
		}
	}
	return cases
}

func TestDifferences(t *testing.T) {
	cases := loadTranscripts(t)
	for _, d := range differences {
		for _, id := range d.cases {
			i := slices.IndexFunc(cases, func(c conformance.Case) bool { return c.ID == id })
			if i < 0 {
				t.Errorf("the difference %q lists %s, which is no case", d.what, id)
			}
		}
	}
	// An edit that finds by itself what it concerns has nothing left to do.
	for name, edit := range general {
		for _, c := range expected(t) {
			before := c.Steps
			c.Steps = slices.Clone(before)
			edit(&c)
			if !reflect.DeepEqual(c.Steps, before) {
				t.Errorf("%s: the difference %s concerns it and does not list it", c.ID, name)
			}
		}
	}
}

// TestTranscripts replays every case against a server of its own, so that none
// sees what another one does. All servers share one NATS.
func TestTranscripts(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	nats, err := embedded.Start(&embedded.Options{MaxPayload: lobby.MaxPayload, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the last case
		nats.Shutdown()
		wantNoGoroutineIn(t, "aristochat/edge")
	})
	for i, c := range expected(t) {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			tries := 1
			if slices.Contains(hasty, c.ID) {
				tries = 5
			}
			for try := range tries {
				cfg := lobby.Config{Profile: c.Profile, Embedded: nats, Prefix: fmt.Sprintf("case%d-%d", i, try), Logger: log}
				if c.Profile == "short" {
					cfg.Slower = slower
				}
				err := replay(t, &c, cfg)
				if err == nil {
					return
				}
				if try == tries-1 {
					t.Error(err)
				} else {
					t.Log(err)
				}
			}
		})
	}
}

// slower is how many times as long as recorded the time-outs of a second are:
// on a busy machine what a case does in the last third of one would be too late.
const slower = 5

// hasty are the cases that are only answered as recorded if one edge answers
// another within a quarter of a second: who joins is not kept waiting any longer,
// and told later what comes later. On a busy machine they need more than one try.
var hasty = []string{"cluster-presence"}

// replay replays a case against a server of its own, or two if it needs them.
func replay(t *testing.T, c *conformance.Case, cfg lobby.Config) error {
	start := func() *lobby.Server {
		srv, err := lobby.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return srv
	}
	a := start()
	stop := sync.OnceValue(func() error { return shutdown(a) })
	target := conformance.Target{Addrs: map[string]string{"a": a.Addr()}, Stop: stop, Slower: cfg.Slower}
	var b *lobby.Server
	if c.Profile == "cluster" {
		b = start()
		target.Addrs["b"] = b.Addr()
	}
	replayed := c.Replay(t.Context(), target)
	if err := stop(); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if b != nil {
		if err := shutdown(b); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	return replayed
}

// patience bounds what should happen soon. It is generous: the machine may be
// busy, and a test that passes never waits for it.
const patience = 30 * time.Second

func shutdown(s *lobby.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Shutdown(ctx)
}

// wantNoGoroutineIn waits for the goroutines of a package to end.
func wantNoGoroutineIn(t *testing.T, pkg string) {
	t.Helper()
	var stacks string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		buf := make([]byte, 8<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, pkg) {
			return
		}
	}
	t.Errorf("goroutines of %s are left:\n%s", pkg, stacks)
}

// TestMain lets many cases run at once: they wait more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
