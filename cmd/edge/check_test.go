package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aristochat/aristochat/cmd/edge/internal/check"
	"github.com/aristochat/aristochat/embedded"
)

// bareNATS runs a server without JetStream.
func bareNATS(t *testing.T) (url string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{ServerName: "bare", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return "nats://" + s.Addr().String()
}

func goodNATS(t *testing.T) (url string) {
	t.Helper()
	srv, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	return srv.ClientURL()
}

func TestCheck(t *testing.T) {
	good, bare := goodNATS(t), bareNATS(t)
	tests := []struct {
		name string
		args []string
		code int
		want []string // parts of lines
	}{
		{"alone", nil, 0, []string{"ok       listen", "ok       data"}},
		{"NATS", []string{"--nats", good, "--longpoll=off"}, 0, []string{"ok       nats         1 of 1 answer", "ROOMS does not exist yet"}},
		{"warning", []string{"--nats", good}, 0, []string{"warning  secret", "→ give all edges"}},
		{"warning in production", []string{"--nats", good, "--production"}, exitUnfit, []string{"failed   secret"}},
		{"memory in production", []string{"--nats", good, "--longpoll=off", "--history=memory", "--production"}, exitUnfit, []string{"failed   storage"}},
		{"no JetStream", []string{"--nats", bare, "--longpoll=off"}, exitUnfit, []string{"failed   jetstream", "--history off"}},
		{"NATS away", []string{"--nats", "nats://127.0.0.1:1", "--longpoll=off"}, exitUnfit, []string{"failed   nats", "nothing listens there"}},
		{"drain", []string{"--grace=5s"}, exitUnfit, []string{"failed   drain", "→ lower --drain to 2s"}},
		{"operators", []string{"--admin-listen=127.0.0.1:0"}, 0, []string{"ok       admin-listen 127.0.0.1:0 can be listened on"}},
		{"operators among clients", []string{"--listen=:4000", "--admin-listen=127.0.0.1:4000"}, exitUnfit, []string{"failed   admin-listen", "→ choose another port"}},
		{"volume", []string{"--data=/dev/null/x"}, exitUnfit, []string{"failed   data"}},
		{"a wrong flag", []string{"--listen=4000"}, exitUsage, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, code, err := call(t, append([]string{"check", "--listen=127.0.0.1:0"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d (%v), want %d", code, err, tt.code)
			}
			for _, w := range tt.want {
				if !strings.Contains(out, w) {
					t.Errorf("it prints\n%s\nwant %q", out, w)
				}
			}
			if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
				t.Errorf("it leaves %v, %v", files, err)
			}
		})
	}
}

func TestCheckJSON(t *testing.T) {
	out, code, _ := call(t, "check", "--json", "--listen=127.0.0.1:0", "--grace=5s")
	if code != exitUnfit {
		t.Errorf("exit code %d, want %d", code, exitUnfit)
	}
	found := map[string]check.Finding{}
	for line := range strings.Lines(out) {
		var f check.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		found[f.Check] = f
	}
	if f := found["drain"]; f.Level != check.Failed || f.Change == "" || found["listen"].Level != check.OK {
		t.Errorf("found %+v", found)
	}
}

// What waiting does not mend ends the edge; what it may mend does not.
func TestUnfitAtStart(t *testing.T) {
	tests := []struct {
		name string
		nats func(*testing.T) string
		args []string
		code int
		want string
	}{
		{"no JetStream", bareNATS, nil, exitUnfit, "^edge: jetstream: .*--history off"},
		{"three replicas on one server", goodNATS, []string{"--history-replicas=3"}, exitUnfit, "^edge: replicas: .*cluster of three"},
		{"three replicas in the process", nil, []string{"--history-replicas=3"}, exitUsage, "^edge: replicas: .*--nats"},
		{"killed while draining", nil, []string{"--grace=5s"}, exitUsage, "^edge: drain: .*lower --drain to 2s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"--listen", "127.0.0.1:0"}, tt.args...)
			if tt.nats != nil {
				args = append(args, "--nats", tt.nats(t))
			}
			p := start(t, args...)
			p.await(tt.want)
			if got := p.wait().ExitStatus(); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
		})
	}
}

func TestWarningsAtStart(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--nats", goodNATS(t), "--history", "memory")
	p.await("level=WARN.*messages are at risk.*memory")
	awaitStatus(t, "http://"+p.host()+"/readyz", 200)

	away := start(t, "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1")
	away.await("level=WARN.*nothing listens there.*start the server")
	away.signal(syscall.SIGTERM)
	if st := away.wait(); st.ExitStatus() != 0 {
		t.Errorf("exit code %d, want 0", st.ExitStatus())
	}
}
