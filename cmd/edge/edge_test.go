package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aristochat/aristochat/internal/command"
)

// TestMain lets the test binary be the program itself, for tests of signals and
// exit codes. What whoever tests has set for edges of their own is not for ours.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_MAIN") != "" {
		main()
		os.Exit(0)
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ARISTOCHAT_") || strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// patience bounds what should happen at once. It is generous: the machine may
// be busy, and a test that passes never waits for it.
const patience = 90 * time.Second

// A process is a running edge.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	end func() // waits for the process and all that it has said

	mu      sync.Mutex // guards what follows
	lines   []string   // of both outputs
	changed chan struct{}
}

// start runs the program in an empty directory.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(exe, args...), changed: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(os.Environ(), "TEST_MAIN=1", "GOMEMLIMIT=256MiB") // or a container without it is worth a warning
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	p.end = sync.OnceFunc(func() {
		p.cmd.Wait()
		w.Close()
		<-read
	})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.end()
		if t.Failed() {
			t.Logf("output of edge %s:\n%s", strings.Join(args, " "), p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// await returns the first line that matches, and its groups.
func (p *process) await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		changed := p.changed
		for _, line := range p.lines {
			if m := re.FindStringSubmatch(line); m != nil {
				p.mu.Unlock()
				return m
			}
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("no line matches %q", pattern)
		}
	}
}

// host is where the process serves.
func (p *process) host() string {
	p.t.Helper()
	return p.await(`websocket +ws://([^/]+)/`)[1]
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait waits for the end and returns how it was.
func (p *process) wait() syscall.WaitStatus {
	p.t.Helper()
	kill := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	p.end()
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// call runs the program within the test. It fails the test if the program
// goes on to serve.
func call(t *testing.T, args ...string) (stdout string, code int, err error) {
	t.Helper()
	t.Chdir(t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, log strings.Builder
	if err = run(ctx, args, &out, &log); err != nil {
		code = command.ExitCode(err)
	}
	if strings.Contains(out.String(), "websocket") && strings.Contains(out.String(), "AUTHENTICATION") {
		t.Fatal("it serves")
	}
	return out.String(), code, err
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// awaitStatus waits until a page answers with the status.
func awaitStatus(t *testing.T, url string, want int) {
	t.Helper()
	var status int
	var body string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if status, body = get(t, url); status == want {
			return
		}
	}
	t.Fatalf("%s = %d %q, want %d", url, status, body, want)
}
