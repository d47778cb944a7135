package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aristochat/aristochat/internal/vacant"
)

func TestBadSecrets(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("   fifteen bytes..\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const hidden = "hunter2"
	tests := []struct {
		name string
		args []string
		env  string
		want []string
	}{
		{"short", []string{"--secret", hidden}, "", []string{"--secret: 7 bytes", "16"}},
		{"short variable", nil, hidden, []string{"--secret: 7 bytes", "from ARISTOCHAT_SECRET"}},
		{"short file", []string{"--secret-file", short}, "", []string{"--secret-file: 15 bytes"}},
		{"no file", []string{"--secret-file", filepath.Join(dir, "missing")}, "", []string{"--secret-file", "no such file"}},
		{"both", []string{"--secret", hidden, "--secret-file", short}, "", []string{"exclude"}},
		{"how", []string{"--longpoll", "maybe"}, "", []string{"--longpoll", "maybe", "off"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("ARISTOCHAT_SECRET", tt.env)
			_, code, err := call(t, tt.args...)
			if err == nil || code != exitUsage {
				t.Fatalf("code %d, error %v; want code %d", code, err, exitUsage)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error is %q, want it to say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("error gives the secret away: %q", err)
			}
		})
	}
}

// A secret that was made is kept, for its owner's eyes only.
func TestKeptSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	first, err := keptSecret(file)
	if err != nil || len(first) < minSecret {
		t.Fatalf("keptSecret = %q, %v", first, err)
	}
	again, err := keptSecret(file)
	if err != nil || string(again) != string(first) {
		t.Errorf("the second time: %q, %v; want %q", again, err, first)
	}
	if other, err := keptSecret(file + "2"); err != nil || string(other) == string(first) {
		t.Errorf("another file: %q, %v", other, err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", st.Mode(), err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keptSecret(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("an empty file: %v, want an error that names it", err)
	}
}

// polled is the body of a long-polling answer.
type polled struct {
	Status   int
	Messages []string
	Token    string
}

func longPolled(t *testing.T, p *process, method, token, body string) (a polled) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+p.host()+"/socket/longpoll?vsn=2.0.0&username=ann&token="+token, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatalf("%s: got %d %q", method, res.StatusCode, b)
	}
	return a
}

// Two edges with one secret share their long-polling clients; one without says
// what it cannot do.
func TestLongPollingCluster(t *testing.T) {
	t.Parallel()
	const secret = "--secret=what both of them know"
	a := start(t, "--listen", "127.0.0.1:0", "--nats-listen", vacant.Address(t), secret)
	natsURL := "nats://" + a.await(`NATS +in this process and on (\S+),`)[1]
	b := start(t, "--listen", "127.0.0.1:0", "--nats", natsURL, secret)
	c := start(t, "--listen", "127.0.0.1:0", "--nats", natsURL)
	c.await("NO SECRET")
	for _, p := range []*process{a, b, c} {
		awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	}
	s := longPolled(t, a, "GET", "", "")
	if s.Status != 410 || s.Token == "" {
		t.Fatalf("got %+v, want a session", s)
	}
	if got := longPolled(t, b, "POST", s.Token, `["1","1","rooms:lobby","phx_join",{}]`); got.Status != 200 {
		t.Errorf("a join through the other edge: %+v, want 200", got)
	}
	if got := longPolled(t, b, "GET", s.Token, ""); got.Status != 200 || len(got.Messages) == 0 || !strings.Contains(got.Messages[0], `"status":"ok"`) {
		t.Errorf("a poll of the other edge: %+v, want the reply", got)
	}
	if got := longPolled(t, c, "POST", s.Token, "[]"); got.Status != 410 {
		t.Errorf("an edge without the secret: %+v, want 410", got)
	}
	for _, p := range []*process{a, b, c} {
		if strings.Contains(p.output(), "what both of them know") {
			t.Error("the output gives the secret away")
		}
		if got := strings.Contains(p.output(), noSecret); got != (p == c) {
			t.Errorf("the edge says that it has no secret: %v", got)
		}
	}
}

func TestLongPollingOff(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--longpoll", "off")
	if status, _ := get(t, "http://"+p.host()+"/socket/longpoll?vsn=2.0.0"); status != 404 {
		t.Errorf("status %d, want 404", status)
	}
}

// An owner that is killed takes its sessions with it; that is known at once.
func TestLongPollingOwnerKilled(t *testing.T) {
	t.Parallel()
	const secret = "--secret=what both of them know"
	other := start(t, "--listen", "127.0.0.1:0", "--nats-listen", vacant.Address(t), secret)
	owner := start(t, "--listen", "127.0.0.1:0", "--nats", "nats://"+other.await(`NATS +in this process and on (\S+),`)[1], secret)
	for _, p := range []*process{owner, other} {
		awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	}
	s := longPolled(t, owner, "GET", "", "")
	owner.signal(syscall.SIGKILL)
	owner.wait()
	if got := longPolled(t, other, "POST", s.Token, "[]"); got.Status != 410 {
		t.Errorf("POST: %+v, want 410", got)
	}
	if got := longPolled(t, other, "GET", s.Token, ""); got.Status != 410 || got.Token == s.Token {
		t.Errorf("GET: %+v, want a new session", got)
	}
}
