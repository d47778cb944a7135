package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aristochat/aristochat/embedded"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience bounds what should happen soon. It is generous: the machine may be
// busy, and a test that passes never waits for it.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	s, err := embedded.Start(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, s *embedded.Server) *nats.Conn {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func stream(t *testing.T, nc *nats.Conn, replicas int) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, Storage: jetstream.FileStorage, Replicas: replicas,
	})
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func messages(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	st, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	return st.CachedInfo().State.Msgs
}

func TestConnectInProcessOnly(t *testing.T) {
	s := start(t, embedded.Options{StoreDir: t.TempDir()})
	if url := s.ClientURL(); url != "" {
		t.Errorf("ClientURL without Listen = %q, want none", url)
	}
	if addr := s.NATS().Addr(); addr != nil {
		t.Errorf("the server listens on %v, want no listener", addr)
	}
	js := stream(t, connect(t, s), 1)
	if _, err := js.Publish(t.Context(), "s.a", []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if n := messages(t, js); n != 1 {
		t.Errorf("%d messages stored, want 1", n)
	}
}

func TestNilOptions(t *testing.T) {
	s, err := embedded.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	nc := connect(t, s)
	if got, want := nc.MaxPayload(), int64(1<<20); got != want {
		t.Errorf("max payload = %d, want %d", got, want)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(t.Context()); !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		t.Errorf("AccountInfo without StoreDir: %v, want %v", err, jetstream.ErrJetStreamNotEnabled)
	}
}

func TestListen(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", ":0"} {
		t.Run(listen, func(t *testing.T) {
			s := start(t, embedded.Options{Listen: listen, MaxPayload: 4096})
			nc, err := nats.Connect(s.ClientURL())
			if err != nil {
				t.Fatalf("connecting to %q: %v", s.ClientURL(), err)
			}
			defer nc.Close()
			if got := nc.MaxPayload(); got != 4096 {
				t.Errorf("max payload = %d, want 4096", got)
			}

			sub, err := nc.SubscribeSync("a")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := connect(t, s).Publish("a", []byte("from within")); err != nil {
				t.Fatal(err)
			}
			if _, err := sub.NextMsg(patience); err != nil {
				t.Errorf("a message from within does not reach a TCP client: %v", err)
			}
		})
	}
}

func TestStartErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readOnly := filepath.Join(t.TempDir(), "read-only")
	if err := os.Mkdir(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	brokenStore := t.TempDir()
	if err := os.WriteFile(filepath.Join(brokenStore, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inUse := t.TempDir()
	start(t, embedded.Options{StoreDir: inUse})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()

	tests := []struct {
		name string
		o    embedded.Options
		is   error
		want []string
		root bool // can root do it?
	}{
		{"store is a file", embedded.Options{StoreDir: file}, syscall.ENOTDIR, []string{file, "choose a directory"}, false},
		{"store below a file", embedded.Options{StoreDir: filepath.Join(file, "a")}, syscall.ENOTDIR, []string{file, "choose a directory"}, false},
		{"store not writable", embedded.Options{StoreDir: readOnly}, os.ErrPermission, []string{readOnly, "choose a directory"}, true},
		{"store not JetStream's", embedded.Options{StoreDir: brokenStore}, nil, []string{"JetStream", "storage directory is not a directory"}, false},
		{"store in use", embedded.Options{StoreDir: inUse}, embedded.ErrStoreInUse, []string{inUse, "stop that server"}, false},
		{"port taken", embedded.Options{Listen: taken}, syscall.EADDRINUSE, []string{taken, "choose another"}, false},
		{"port taken with a store", embedded.Options{Listen: taken, StoreDir: t.TempDir()}, syscall.EADDRINUSE, []string{taken}, false},
		{"not our address", embedded.Options{Listen: "192.0.2.1:0"}, syscall.EADDRNOTAVAIL, []string{"192.0.2.1"}, false},
		{"no port", embedded.Options{Listen: "localhost"}, nil, []string{"localhost", "HOST:PORT"}, false},
		{"port too large", embedded.Options{Listen: "localhost:70000"}, nil, []string{"70000", "0 to 65535"}, false},
		{"port by name", embedded.Options{Listen: "localhost:nats"}, nil, []string{`"nats"`}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() == 0 {
				t.Skip("root may write anywhere")
			}
			tt.o.Logger = quiet()
			s, err := embedded.Start(&tt.o)
			if err == nil {
				s.Shutdown()
				t.Fatal("Start succeeded")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error is %q, want one that is %q", err, tt.is)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error is %q, want it to name %q", err, w)
				}
			}
		})
	}
}

// A failed start must leave nothing behind that keeps the next one from working.
func TestStartAfterError(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := embedded.Options{StoreDir: dir, Listen: l.Addr().String(), Logger: quiet()}
	if s, err := embedded.Start(&o); err == nil {
		s.Shutdown()
		t.Fatal("Start on a taken port succeeded")
	}
	l.Close()
	start(t, o)
}

func TestRestartKeepsStream(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Options{StoreDir: dir})
	js := stream(t, connect(t, s), 1)
	for range 10 {
		if _, err := js.Publish(t.Context(), "s.a", []byte("kept")); err != nil {
			t.Fatal(err)
		}
	}
	s.Shutdown()

	s = start(t, embedded.Options{StoreDir: dir})
	js, err := jetstream.New(connect(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if n := messages(t, js); n != 10 {
		t.Errorf("%d messages after a restart, want 10", n)
	}
}

func TestServersDoNotMix(t *testing.T) {
	a := start(t, embedded.Options{StoreDir: t.TempDir()})
	b := start(t, embedded.Options{StoreDir: t.TempDir()})
	ncA, ncB := connect(t, a), connect(t, b)

	sub, err := ncB.SubscribeSync("s.>")
	if err != nil {
		t.Fatal(err)
	}
	jsA, jsB := stream(t, ncA, 1), stream(t, ncB, 1)
	if _, err := jsA.Publish(t.Context(), "s.a", nil); err != nil {
		t.Fatal(err)
	}
	// What b stores after a's message would come after it here too.
	if _, err := jsB.Publish(t.Context(), "s.b", nil); err != nil {
		t.Fatal(err)
	}
	m, err := sub.NextMsg(patience)
	if err != nil || m.Subject != "s.b" {
		t.Errorf("b heard %v, %v; want its own s.b", m, err)
	}

	a.Shutdown()
	if _, err := jsB.Publish(t.Context(), "s.c", nil); err != nil {
		t.Errorf("after a has shut down, publishing on b: %v", err)
	}
	if n := messages(t, jsB); n != 2 {
		t.Errorf("b stores %d messages, want 2", n)
	}
}

func TestShutdown(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Options{StoreDir: dir, Listen: "127.0.0.1:0"})
	url := s.ClientURL()
	nc := connect(t, s)
	stream(t, nc, 1)
	tcp, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()

	done := make(chan struct{})
	go func() { s.Shutdown(); close(done) }() // both wait for the end
	s.Shutdown()
	<-done

	if c, err := s.Connect(); err == nil {
		c.Close()
		t.Error("Connect after Shutdown succeeded")
	}
	if got := s.ClientURL(); got != "" {
		t.Errorf("ClientURL after Shutdown = %q, want none", got)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://")); err == nil {
		c.Close()
		t.Error("the port still answers after Shutdown")
	}
	start(t, embedded.Options{StoreDir: dir}) // and the directory is free

	nc.Close()
	tcp.Close()
}

func TestShutdownLeavesNoGoroutine(t *testing.T) {
	for range 3 {
		s, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		nc, err := s.Connect()
		if err != nil {
			t.Fatal(err)
		}
		js := stream(t, nc, 1)
		if _, err := js.Publish(t.Context(), "s.a", nil); err != nil {
			t.Fatal(err)
		}
		nc.Close()
		s.Shutdown()
	}
	awaitNoServerGoroutine(t)
}

// awaitNoServerGoroutine gives what was told to end a moment to do so.
func awaitNoServerGoroutine(t *testing.T) {
	t.Helper()
	var left []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		buf := make([]byte, 4<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = nil
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			if strings.Contains(g, "nats-server") || strings.Contains(g, "nats.go@") {
				left = append(left, g)
			}
		}
		if left == nil {
			return
		}
	}
	t.Errorf("%d goroutines of NATS are left:\n%s", len(left), strings.Join(left, "\n\n"))
}

// A record is what a log line must keep of the server's.
type record struct {
	level slog.Level
	text  string
}

func TestLog(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := embedded.Start(&embedded.Options{Name: "ours", StoreDir: t.TempDir(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s.NATS().Noticef("a %s", "notice")
	s.NATS().Noticef("Slow Consumer Detected: MaxPending of %d Exceeded", 1)
	s.NATS().Warnf("a %s", "warning")
	s.NATS().Errorf("an %s", "error")
	s.Shutdown() // the buffer has no writer any more

	for _, want := range []record{
		{slog.LevelDebug, "Starting nats-server"},
		{slog.LevelDebug, "a notice"},
		{slog.LevelWarn, "Slow Consumer Detected: MaxPending of 1 Exceeded"},
		{slog.LevelWarn, "a warning"},
		{slog.LevelError, "an error"},
	} {
		if !hasLine(buf.String(), "level="+want.level.String(), want.text, "nats=ours") {
			t.Errorf("no line at %v with %q in\n%s", want.level, want.text, buf.String())
		}
	}
}

// An ordinary life has nothing to warn of: a warning must mean something.
func TestLogQuiet(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	stream(t, nc, 1)
	nc.Close()
	s.Shutdown()
	if buf.Len() != 0 {
		t.Errorf("logged at info or above:\n%s", buf.String())
	}
}

func hasLine(log string, all ...string) bool {
lines:
	for line := range strings.Lines(log) {
		for _, want := range all {
			if !strings.Contains(line, want) {
				continue lines
			}
		}
		return true
	}
	return false
}

func ExampleStart() {
	srv, err := embedded.Start(nil)
	if err != nil {
		panic(err)
	}
	defer srv.Shutdown()
	nc, err := srv.Connect()
	if err != nil {
		panic(err)
	}
	defer nc.Close()

	sub, _ := nc.SubscribeSync("greetings")
	nc.Publish("greetings", []byte("hello"))
	m, err := sub.NextMsgWithContext(context.Background())
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(m.Data)
	// Output: hello
}
