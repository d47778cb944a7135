package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aristochat/aristochat/cmd/chat/testserver"
	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/internal/vacant"
)

var built = sync.OnceValues(func() (string, error) {
	var err error
	if builtIn, err = os.MkdirTemp("", "chat"); err != nil {
		return "", err
	}
	file := filepath.Join(builtIn, "chat")
	// The repository may be another user's, of which git then tells nothing.
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", file, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

// builtIn is the folder of the program; empty until a test needs it.
var builtIn string

// chatBinary is the program, built once for all tests.
func chatBinary(t *testing.T) string {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestMain forgets what whoever tests has set for chats of their own.
func TestMain(m *testing.M) {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ARISTOCHAT_") {
			os.Unsetenv(name)
		}
	}
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// chat runs the program with input, and returns what it prints and its code.
func chat(t *testing.T, input string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*testserver.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, chatBinary(t), args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestPipe(t *testing.T) {
	s := testserver.Start(t, nil)
	out, errs, code := chat(t, "hello\n\n  two  \n", "--server", s.Addr, "--username", "ann", "--once")
	if code != 0 || errs != "" {
		t.Errorf("code %d, stderr %q", code, errs)
	}
	var said []string
	for line := range strings.Lines(out) {
		if len(line) < 9 || line[2] != ':' || line[5] != ':' || line[8] != ' ' {
			t.Fatalf("%q does not begin with a time", line)
		}
		said = append(said, strings.TrimSuffix(line[9:], "\n"))
	}
	if want := []string{"ann: hello", "ann:   two  "}; !slices.Equal(said, want) {
		t.Errorf("printed %q, want %q", said, want)
	}

	out, _, code = chat(t, "hi \x1b[31m\u009b\n", "--server", s.Addr, "--username", "bob\u202e", "--once", "--backlog", "1")
	if want := "bob�: hi ␛[31m�\n"; code != 0 || !strings.HasSuffix(out, want) || strings.Count(out, "\n") != 2 {
		t.Errorf("code %d, printed %q, want it to end with %q", code, out, want)
	}

	out, _, _ = chat(t, "no\n", "--server", s.Addr, "--username", "ann: yes", "--once")
	if want := " \"ann: yes\": no\n"; !strings.HasSuffix(out, want) {
		t.Errorf("printed %q, which passes for ann's; want it to end with %q", out, want)
	}
}

func TestPipeJSON(t *testing.T) {
	s := testserver.Start(t, nil)
	out, errs, code := chat(t, "one\n\u009b\u202e\x7f\n"+strings.Repeat("x", 20_000)+"\n", "--server", s.Addr, "--username", "ann", "--once", "--json")
	if code != exitNotSent || !strings.Contains(errs, "1 message was not acknowledged") {
		t.Errorf("code %d, stderr %q", code, errs)
	}
	if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && (r < 0x20 || r >= 0x7f) }); i >= 0 {
		t.Errorf("%q is not plain", out)
	}
	var lines []map[string]any
	for line := range strings.Lines(out) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, v)
	}
	if len(lines) != 3 {
		t.Fatalf("printed %d lines, want 3: %s", len(lines), out)
	}
	first := lines[0]
	if first["type"] != "message" || first["room"] != "main" || first["username"] != "ann" || first["body"] != "one" || first["own"] != true ||
		first["seq"] == nil || first["at"] == nil || first["client_id"] == nil {
		t.Errorf("the first line is %v", first)
	}
	if got := lines[1]["body"]; got != "\u009b\u202e\x7f" {
		t.Errorf("the second body is %q", got)
	}
	if last := lines[2]; last["type"] != "failed" || last["reason"] != "body is longer than 16384 bytes" || len(last["body"].(string)) != 20_000 {
		t.Errorf("the third line is of type %v, reason %v", last["type"], last["reason"])
	}
}

// TestPipesTalk: two programs, one of which stays.
func TestPipesTalk(t *testing.T) {
	s := testserver.Start(t, nil)
	cmd := exec.CommandContext(t.Context(), chatBinary(t), "--server", s.Addr, "--username", "ann")
	in, out := pipes(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "anybody?\n"); err != nil {
		t.Fatal(err)
	}
	testserver.Await(t, "ann's message", func() bool { return strings.Contains(out.String(), "ann: anybody?\n") })
	heard, _, code := chat(t, "me\n", "--server", s.Addr, "--username", "bob", "--once", "--backlog", "5")
	if code != 0 || !strings.Contains(heard, "ann: anybody?\n") || !strings.Contains(heard, "bob: me\n") {
		t.Errorf("code %d, bob heard %q", code, heard)
	}
	testserver.Await(t, "bob's message", func() bool { return strings.Contains(out.String(), "bob: me\n") })

	// The edge goes and comes back: what was said meanwhile is printed.
	s.Kill()
	s.Start()
	if _, _, code := chat(t, "still there?\n", "--server", s.Addr, "--username", "bob", "--once"); code != 0 {
		t.Errorf("code %d", code)
	}
	testserver.Await(t, "what was missed", func() bool { return strings.Contains(out.String(), "bob: still there?\n") })
	if n := strings.Count(out.String(), "\n"); n != 3 {
		t.Errorf("printed %d lines, want 3: %s", n, out.String())
	}
	in.Close() // it stays
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended by an interrupt with %v", err)
	}
}

func pipes(t *testing.T, cmd *exec.Cmd) (io.WriteCloser, *buffer) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := new(buffer)
	cmd.Stdout = out
	return in, out
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestPipeToAnAncestor(t *testing.T) {
	out, errs, code := chat(t, "two\none\ntwo\n", "--server", testserver.Ancestor(t), "--username", "ann", "--once")
	if code != 0 || errs != "" || strings.Count(out, "ann: ") != 3 {
		t.Errorf("code %d, printed %q, stderr %q", code, out, errs)
	}
}

func TestExitCodes(t *testing.T) {
	s := testserver.Start(t, &testserver.Options{
		Connect: func(ctx context.Context, h *edge.Handshake) (edge.Session, error) {
			if h.Token != "sesame" {
				return edge.Session{}, errors.New("no")
			}
			return rooms.Connect(ctx, h)
		},
	})
	closed := vacant.Address(t)
	tests := []struct {
		about string
		args  []string
		code  int
		want  string
	}{
		{"fine", []string{"--server", s.Addr, "--token", "sesame"}, 0, ""},
		{"a URL", []string{"--server", "http://" + s.Addr + "/socket/websocket", "--token", "sesame"}, 0, ""},
		{"no token", []string{"--server", s.Addr}, exitRefused, "the token or the user name is not accepted"},
		{"room", []string{"--server", s.Addr, "--token", "sesame", "--room", strings.Repeat("r", 300)}, exitRefused, "topic too long"},
		{"nobody there", []string{"--server", closed}, exitUnreachable, "nothing listens at " + closed},
		{"no TLS", []string{"--server", "https://" + s.Addr}, exitUnreachable, "does not speak TLS"},
		{"wrong path", []string{"--server", s.Addr + "/chat"}, exitUnreachable, "no chat at this path"},
		{"unknown flag", []string{"--sever", s.Addr}, exitUsage, "unknown flag --sever"},
		{"scheme", []string{"--server", "ftp://" + s.Addr}, exitUsage, "--server"},
		{"no host", []string{"--server", ":4000"}, exitUsage, "has no host"},
		{"backlog", []string{"--backlog", "1000"}, exitUsage, "--backlog"},
		{"no such file", []string{"--ca", "/nowhere"}, exitUsage, "--ca"},
		{"blank room", []string{"--room", " "}, exitUsage, "--room"},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			_, errs, code := chat(t, "", append(tt.args, "--once")...)
			if code != tt.code || !strings.Contains(errs, tt.want) {
				t.Errorf("code %d, stderr %q, want %d, %q", code, errs, tt.code, tt.want)
			}
		})
	}
}

// TestTLS: behind a proxy that ends TLS, with a certificate of one's own.
func TestTLS(t *testing.T) {
	s := testserver.Start(t, nil)
	proxy := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.Addr}))
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0) // of those who do not trust it
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw})
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := chat(t, "secret\n", "--server", proxy.URL, "--ca", ca, "--once")
	if code != 0 || !strings.Contains(out, "secret") {
		t.Errorf("code %d, printed %q, stderr %q", code, out, errs)
	}
	_, errs, code = chat(t, "secret\n", "--server", proxy.URL, "--once")
	if code != exitUnreachable || !strings.Contains(errs, "signed by nobody known") || !strings.Contains(errs, "--ca") {
		t.Errorf("without --ca code %d, stderr %q", code, errs)
	}
}

// TestEnvironment: each flag has its variable, and the flag wins.
func TestEnvironment(t *testing.T) {
	t.Setenv("ARISTOCHAT_USERNAME", "ann")
	t.Setenv("ARISTOCHAT_ROOM", "dev")
	t.Setenv("ARISTOCHAT_SERVER", "https://chat.example.com")
	t.Setenv("ARISTOCHAT_TOKEN", "sesame")
	t.Setenv("ARISTOCHAT_JSON", "true")
	cfg, err := parseConfig([]string{"--room", "ops"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Username != "ann" || cfg.Room != "ops" || cfg.url != "https://chat.example.com/socket" || cfg.Token != "sesame" || !cfg.JSON {
		t.Errorf("got %+v", cfg)
	}
}

func TestDefaults(t *testing.T) {
	cfg, err := parseConfig(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Username != loginName() || cfg.Username == "" || cfg.Room != "main" || cfg.url != "ws://localhost:4000/socket" {
		t.Errorf("got %+v", cfg)
	}
}

func TestSocketURL(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:4000":                        "ws://localhost:4000/socket",
		"example.com":                           "ws://example.com/socket",
		"[::1]:4000":                            "ws://[::1]:4000/socket",
		"http://localhost:4000":                 "http://localhost:4000/socket",
		"https://example.com/":                  "https://example.com/socket",
		"wss://example.com/chat/socket":         "wss://example.com/chat/socket",
		"ws://localhost:4000/socket/websocket":  "ws://localhost:4000/socket/websocket",
		"localhost:4000/live":                   "ws://localhost:4000/live",
		"wss://example.com/socket?tenant=brave": "wss://example.com/socket?tenant=brave",
	} {
		if got, err := socketURL(in); got != want || err != nil {
			t.Errorf("socketURL(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ":4000", "ftp://x", "http://", "ws://[::1"} {
		if got, err := socketURL(in); err == nil {
			t.Errorf("socketURL(%q) = %q, want an error", in, got)
		}
	}
}

func TestHelp(t *testing.T) {
	out, _, code := chat(t, "", "--help")
	for _, s := range []string{"--username", "$ARISTOCHAT_USERNAME", "--once", "Exit codes", "5  a message was not acknowledged"} {
		if !strings.Contains(out, s) {
			t.Errorf("--help does not have %q:\n%s", s, out)
		}
	}
	if code != 0 {
		t.Errorf("code %d", code)
	}
	if out, _, code = chat(t, "", "--version"); code != 0 || !strings.HasPrefix(out, "aristochat chat ") {
		t.Errorf("--version: code %d, %q", code, out)
	}
}
