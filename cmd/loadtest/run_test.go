package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/command"
	"github.com/aristochat/aristochat/internal/vacant"
)

// patience bounds what should happen at once. It is generous: the machine may
// be busy, and a test that passes never waits for it.
const patience = 90 * time.Second

// TestMain forgets what whoever tests has set for programs of their own.
func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ARISTOCHAT_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newNATS(t *testing.T) *embedded.Server {
	t.Helper()
	ns, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Shutdown)
	return ns
}

// An edgeProcess is what a process of cmd/edge is: a link, a server, and its
// address.
type edgeProcess struct {
	addr string
	stop func()
}

// What an edge keeps of its rooms.
var (
	keeps   = &backbone.StoreOptions{Apply: true}
	forgets = &backbone.StoreOptions{Apply: true, Stream: &backbone.StreamOptions{MaxPerTopic: 1}, RecentBytes: 1}

	nothing *backbone.StoreOptions // no history
)

// startEdge starts one at an address.
func startEdge(t *testing.T, ns *embedded.Server, addr string, history *backbone.StoreOptions) *edgeProcess {
	t.Helper()
	link, err := backbone.Connect(t.Context(), &backbone.Options{Server: ns, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	var b edge.Backbone = link
	if history != nil {
		store, err := link.Store(t.Context(), history)
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); store.Ready() != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(store.Ready())
			}
		}
		b = store
	}
	srv, err := edge.New(b, &edge.Options{Connect: rooms.Connect, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	rooms.Serve(srv, &rooms.Options{NoHistory: history == nil})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: srv, ReadHeaderTimeout: patience}
	go hs.Serve(l)
	var once sync.Once
	e := &edgeProcess{addr: addr}
	e.stop = func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			l.Close()
			if err := srv.Shutdown(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			hs.Close()
			if err := errors.Join(link.Close(ctx)); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	t.Cleanup(e.stop)
	return e
}

// A running is a run whose progress can be waited for.
type running struct {
	t        *testing.T
	stop     context.CancelFunc
	done     chan error
	report   bytes.Buffer // once done
	mu       sync.Mutex   // guards progress
	progress bytes.Buffer
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress.Write(p)
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r := &running{t: t, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx, args, &r.report, r) }()
	return r
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress.String()
}

// await waits until what it says, from some byte on, matches.
func (r *running) await(from int, pattern string) {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); !re.MatchString(r.said()[from:]); {
		if time.Now().After(deadline) {
			r.t.Fatalf("it did not say %q, but:\n%s", pattern, r.said()[from:])
		}
		select {
		case err := <-r.done:
			r.t.Fatalf("it ended with %v and said:\n%s", err, r.said())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lose stops an edge, and waits until all of its clients are back on another: they
// are missed only once they have noticed.
func (r *running) lose(e *edgeProcess) {
	r.t.Helper()
	from := len(r.said())
	e.stop()
	r.await(from, `50 connected.* [1-9]\d* reconnects|[1-9]\d* reconnects(?s:.*)50 connected`)
}

// end has it report, and returns how it ended.
func (r *running) end() (*report, error) {
	r.t.Helper()
	r.stop()
	err := <-r.done
	var out report
	if err := json.Unmarshal(r.report.Bytes(), &out); err != nil {
		r.t.Fatalf("the report: %v\n%s", err, r.report.Bytes())
	}
	return &out, err
}

// load50 is fifty clients on two edges.
func load50(t *testing.T, a, b *edgeProcess, more ...string) *running {
	t.Helper()
	r := start(t, append([]string{
		"--server", a.addr, "--server", "ws://" + b.addr + "/socket/websocket", "--sockets=50", "--rooms=5", "--rate=200", "--duration=10m",
		"--ramp=1000", "--progress=200ms", "--json",
	}, more...)...)
	r.await(0, "all have joined")
	r.await(0, "50 connected")
	return r
}

// An edge is shut down and started again while clients talk: nobody misses
// anything, and nobody gets anything twice.
func TestEdgeRestarts(t *testing.T) {
	t.Parallel()
	ns := newNATS(t)
	a, b := startEdge(t, ns, vacant.Address(t), keeps), startEdge(t, ns, vacant.Address(t), keeps)
	timeline := filepath.Join(t.TempDir(), "timeline.csv")
	r := load50(t, a, b, "--timeline", timeline)
	for _, e := range []*edgeProcess{a, b} {
		r.lose(e)
		startEdge(t, ns, e.addr, keeps)
	}
	got, err := r.end()
	if err != nil {
		t.Errorf("ended with %v\n%v", err, got)
	}
	if n := got.Counts["reconnects"]; n < 50 {
		t.Errorf("%d reconnects, want 25 and 50, or nearly", n)
	}
	if sent, acked := got.Counts["sent"], got.Counts["acked"]; sent == 0 || acked != sent {
		t.Errorf("%d messages were sent and %d acknowledged", sent, acked)
	}
	if n, want := got.Counts["received"], 10*got.Counts["acked"]; n != want {
		t.Errorf("%d deliveries, want ten times the messages: %d", n, want)
	}
	if n := got.Counts["resumed"]; n == 0 {
		t.Error("nobody was given what it had missed")
	}
	checkTimeline(t, timeline, got)
}

// checkTimeline compares the file with the report.
func checkTimeline(t *testing.T, name string, r *report) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"reconnects", "sent", "received"} {
		column, sum := slices.Index(rows[0], name), 0
		for _, row := range rows[1:] {
			n, err := strconv.Atoi(row[column])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if want := r.Counts[name]; sum != want {
			t.Errorf("the timeline has %d of %s, the report %d", sum, name, want)
		}
	}
}

// Who was away for more than a page gets the rest in pushes.
func TestAwayForLong(t *testing.T) {
	t.Parallel()
	ns := newNATS(t)
	a, b := startEdge(t, ns, vacant.Address(t), keeps), startEdge(t, ns, vacant.Address(t), keeps)
	r := load50(t, a, b, "--rooms=1", "--rate=1000", "--size=10")
	r.lose(a)
	if got, err := r.end(); err != nil {
		t.Errorf("ended with %v\n%v", err, got)
	}
}

// Clients that do not ask for what they missed are owed nothing of it.
func TestNoResume(t *testing.T) {
	t.Parallel()
	ns := newNATS(t)
	a, b := startEdge(t, ns, vacant.Address(t), keeps), startEdge(t, ns, vacant.Address(t), keeps)
	r := load50(t, a, b, "--no-resume")
	r.lose(a)
	got, err := r.end()
	if err != nil {
		t.Errorf("ended with %v\n%v", err, got)
	}
	if n, all := got.Counts["received"], 10*got.Counts["acked"]; n >= all {
		t.Errorf("%d deliveries of %d: clients were away and missed nothing", n, all)
	}
}

// The test of the test: without history a restart loses messages, and the
// program must say so.
func TestHistoryOffIsFound(t *testing.T) {
	t.Parallel()
	ns := newNATS(t)
	a, b := startEdge(t, ns, vacant.Address(t), nothing), startEdge(t, ns, vacant.Address(t), nothing)
	r := load50(t, a, b, "--patience=15s")
	r.lose(a)
	startEdge(t, ns, a.addr, nothing)
	got, err := r.end()
	if command.ExitCode(err) != exitBroken || got.Broken[loss] == 0 {
		t.Errorf("ended with %v and %d lost, want exit code %d", err, got.Broken[loss], exitBroken)
	}
	if got.History {
		t.Error("the report says that the server keeps history")
	}
	if n := len(got.Examples); n == 0 || got.Examples[0].Kind != loss {
		t.Errorf("%d examples, want lost messages: %v", n, got.Examples)
	}
}

// And so must it if the server keeps too little to resume from, and says so.
func TestNotRecoveredIsFound(t *testing.T) {
	t.Parallel()
	ns := newNATS(t)
	a, b := startEdge(t, ns, vacant.Address(t), forgets), startEdge(t, ns, vacant.Address(t), forgets)
	r := load50(t, a, b, "--patience=15s")
	r.lose(a)
	got, err := r.end()
	if command.ExitCode(err) != exitBroken || got.Broken[notRecovered] == 0 || got.Broken[loss] == 0 {
		t.Errorf("ended with %v, found %v; want exit code %d, lost messages, and joins that were not recovered", err, got.Broken, exitBroken)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"--server=127.0.0.1:1", "--sockets=2", "--patience=5s"}, &out, &progress)
	if command.ExitCode(err) != exitFailure || !strings.Contains(err.Error(), "2 of 2 did not join") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("ended with %v, want that nobody joined and why", err)
	}
}
