package check

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/vacant"
)

// want compares a finding with "level: words" or "level!: words".
func want(t *testing.T, f Finding, want string) {
	t.Helper()
	level, words, _ := strings.Cut(want, ": ")
	level, isLasting := strings.CutSuffix(level, "!")
	if string(f.Level) != level || f.Lasting != isLasting || !strings.Contains(f.Message+" → "+f.Change, words) {
		t.Errorf("found %+v, want %q", f, want)
	}
}

func TestDrain(t *testing.T) {
	tests := []struct {
		drain, grace time.Duration
		want         string
	}{
		{10 * time.Second, 0, "ok: --grace does not say"},
		{10 * time.Second, 30 * time.Second, "ok: of the 30s"},
		{27 * time.Second, 30 * time.Second, "ok: of the 30s"},
		{28 * time.Second, 30 * time.Second, "failed!: lower --drain to 27s, or raise --grace"},
		{45 * time.Second, 30 * time.Second, "failed!: to 48s"},
	}
	for _, tt := range tests {
		want(t, drain(&Config{Drain: tt.drain, Grace: tt.grace}), tt.want)
	}
}

func TestFiles(t *testing.T) {
	limit := openFiles()
	if limit == 0 {
		t.Skip("the limit is not known here")
	}
	want(t, files(&Config{MaxSockets: 10}), "ok: ")
	if limit < math.MaxInt32 {
		want(t, files(&Config{MaxSockets: limit}), "failed: ulimit -n")
	}
}

func TestMemory(t *testing.T) {
	tests := []struct {
		name             string
		container, limit uint64
		want             string
	}{
		{"no container", 0, math.MaxInt64, "ok: no limit"},
		{"too much", 512 << 20, 1 << 30, "warning: GOMEMLIMIT=409MiB"},
		{"not told", 512 << 20, math.MaxInt64, "warning: the container has 512 MiB"},
		{"well", 512 << 20, 460 << 20, "ok: 460 MiB of the container's 512 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { want(t, memoryOf(tt.container, tt.limit), tt.want) })
	}
}

func TestListen(t *testing.T) {
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) }))
	defer edge.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	tests := []struct{ address, want string }{
		{"127.0.0.1:0", "ok: can be listened on"},
		{edge.Listener.Addr().String(), "ok: an edge is running"},
		{other.Listener.Addr().String(), "failed: in use"},
		{"192.0.2.1:4000", "failed: an address of this machine"},
	}
	for _, tt := range tests {
		t.Run(tt.address, func(t *testing.T) { want(t, listen(t.Context(), "listen", tt.address), tt.want) })
	}
}

func TestAdminListen(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	tests := []struct{ clients, operators, want string }{
		{"127.0.0.1:0", "127.0.0.1:0", "ok: can be listened on"},
		{"127.0.0.1:0", other.Listener.Addr().String(), "failed: another --admin-listen"},
		{"127.0.0.1:0", "192.0.2.1:9465", "failed: --admin-listen :9465"},
		{":4000", ":4000", "failed: also where clients connect"},
		{":4000", "127.0.0.1:4000", "failed: choose another port"},
		{"127.0.0.1:4000", "[::]:4000", "failed: choose another port"},
		{"localhost:4000", "localhost:4000", "failed: choose another port"},
		{"192.0.2.1:4000", "127.0.0.1:0", "ok: can be listened on"},
	}
	for _, tt := range tests {
		t.Run(tt.clients+" "+tt.operators, func(t *testing.T) {
			f := Place(t.Context(), &Config{Listen: tt.clients, AdminListen: tt.operators})
			if len(f) != 2 || f[1].Check != "admin-listen" {
				t.Fatalf("found %+v", f)
			}
			want(t, f[1], tt.want)
		})
	}
}

func TestVolume(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	busy := filepath.Join(dir, "busy")
	srv, err := embedded.Start(&embedded.Options{StoreDir: busy})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()

	tests := []struct {
		name  string
		data  string
		bytes int64
		want  string
	}{
		{"there", dir, 0, "ok: can be written to"},
		{"to be made", filepath.Join(dir, "a", "b"), 0, "ok: can be written to"},
		{"a file", file, 0, "failed: is no directory"},
		{"below a file", filepath.Join(file, "x"), 0, "failed: not a directory"},
		{"no such device", "/proc/nowhere/x", 0, "failed: cannot be written to"},
		{"in use", busy, 0, "ok: in use by an edge"},
		{"too small", dir, 1 << 60, "failed: --history-bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Config{Data: tt.data, History: true, Stream: &backbone.StreamOptions{MaxBytes: tt.bytes}}
			want(t, volume(c), tt.want)
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
		t.Error("the check has made a directory")
	}
}

func TestRoom(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name    string
		free    int64
		used    bool // by messages of before
		history bool
		memory  bool
		bytes   int64
		want    string
	}{
		{"plenty", 1024 * mib, false, true, false, 0, "ok: 1024 MiB are free"},
		{"full", 0, false, true, false, 0, "failed: a volume that is full"},
		{"full of messages", 0, true, true, false, 0, "failed: make room"},
		{"full, nothing kept", 0, false, false, false, 0, "failed: a volume that is full"},
		{"not enough to begin with", 85 * mib, false, true, false, 0, "failed: history takes 86 at least"},
		{"just enough", 86 * mib, false, true, false, 0, "warning: only 86 MiB free"},
		{"little left", 20 * mib, true, true, false, 0, "warning: only 20 MiB free"},
		{"nothing kept", 20 * mib, false, false, false, 0, "warning: only 20 MiB free"},
		{"kept in memory", 20 * mib, false, true, true, 0, "warning: only 20 MiB free"},
		{"less is wanted", 20 * mib, false, true, false, 8 * mib, "warning: only 20 MiB free"},
		{"more is wanted", 1024 * mib, false, true, false, 800 * mib, "failed: --history-bytes says 800 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Config{History: tt.history, Stream: &backbone.StreamOptions{MaxBytes: tt.bytes, Memory: tt.memory}}
			want(t, room(c, "/data", tt.free, tt.used), tt.want)
		})
	}
}

// An edge checks its directory when it starts, too.
func TestMachineChecksVolume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, Machine(&Config{Data: file})[0], "failed: is no directory")
}

func TestAlone(t *testing.T) {
	tests := []struct {
		name string
		c    Config
		want string
	}{
		{"replicas", Config{History: true, Stream: &backbone.StreamOptions{Replicas: 3}}, "failed!: name the servers of a cluster with --nats"},
		{"memory", Config{History: true, Stream: &backbone.StreamOptions{Memory: true}}, "warning: its end loses them"},
		{"open", Config{NATSListen: ":4222"}, "warning: asks for no password"},
		{"open to a network", Config{NATSListen: "192.0.2.1:4222"}, "warning: asks for no password"},
		{"loopback", Config{NATSListen: "127.0.0.1:4222"}, ""},
		{"localhost", Config{NATSListen: "localhost:4222"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := alone(&tt.c)
			if tt.want == "" {
				if len(f) > 0 {
					t.Errorf("found %v, want nothing", f)
				}
				return
			}
			if len(f) != 1 {
				t.Fatalf("found %v, want one", f)
			}
			want(t, f[0], tt.want)
		})
	}
}

func TestClock(t *testing.T) {
	tests := []struct {
		ahead, within time.Duration
		want          string
	}{
		{0, time.Millisecond, "ok: within 2ms"},
		{-4 * time.Second, 0, "ok: within 4"},
		{6 * time.Second, 2 * time.Second, "ok: "}, // may be the network's
		{6 * time.Second, 0, "warning: 6s behind"},
		{-30 * time.Second, 0, "warning: 30s ahead of"},
		{2 * time.Minute, 0, "failed: 2m0s behind"},
		{-time.Hour, 0, "failed: NTP"},
	}
	for _, tt := range tests {
		want(t, clock(backbone.StreamState{Ahead: tt.ahead, Within: tt.within}), tt.want)
	}
}

func TestVersion(t *testing.T) {
	tests := []struct{ version, want string }{
		{"2.10.29", "failed!: update nats-server"},
		{"v2.9.1", "failed!: 2.11.0"},
		{"", "failed!: n1"},
		{"2.11.0-RC.1", "ok: 2.11.0"},
		{"2.11.0", "ok: 2.11.0"},
		{"2.15.2", "ok: 2.15.2"},
		{"3.0.0", "ok: 3.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.version, func(t *testing.T) {
			info := backbone.ServerInfo{Name: "n1", Version: tt.version, MaxPayload: 1 << 20}
			old := answer{info: info}
			other := answer{info: backbone.ServerInfo{Name: "n2", Version: "3.1.0", MaxPayload: 1 << 20}}
			gone := answer{err: errors.New("gone")}
			want(t, least([]answer{gone, other, old})[0], tt.want)
		})
	}
}

// The address of a listener that is gone can be had again.
func TestListenLeavesNothing(t *testing.T) {
	address := vacant.Address(t)
	for range 2 {
		want(t, listen(t.Context(), "listen", address), "ok: can be listened on")
	}
}
