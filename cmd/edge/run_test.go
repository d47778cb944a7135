package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/embedded"

	"github.com/aristochat/aristochat/internal/vacant"
)

func TestServeAndEnd(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, "--listen", "127.0.0.1:0")
			host := p.host()
			p.await("AUTHENTICATION IS OFF")
			p.await("data in " + filepath.Join(p.cmd.Dir, defaultData) + "$")
			awaitStatus(t, "http://"+host+"/readyz", 200)

			c := dial(t, host)
			p.signal(sig)
			_, _, err := c.Read(t.Context())
			if got := websocket.CloseStatus(err); got != websocket.StatusServiceRestart {
				t.Errorf("the client's socket ends with %v, want close code %d", err, websocket.StatusServiceRestart)
			}
			if st := p.wait(); st.ExitStatus() != 0 {
				t.Errorf("exit code %d, want 0", st.ExitStatus())
			}
			busy := regexp.MustCompile(`(?m)^.*(Readloop processing time|took too long).*$`) // says NATS of a machine
			out := busy.ReplaceAllString(p.output(), "")
			if a, b := strings.Index(out, "shutting down"), strings.Index(out, `msg="shut down"`); a < 0 || b < a {
				t.Error("the log does not tell the end, in order")
			}
			if strings.Contains(out, "level=WARN") || strings.Contains(out, "level=ERROR") {
				t.Error("an ordinary life is worth no warning")
			}
			if _, err := os.Stat(filepath.Join(p.cmd.Dir, defaultData)); err != nil {
				t.Errorf("the data directory: %v", err)
			}
		})
	}
}

func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--drain", "1h", "--drain-delay", "50m")
	p.host() // it is up
	p.signal(syscall.SIGTERM)
	p.await("shutting down")
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		// The first signal may still be in hand when the second one comes.
		for t := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-t.C:
				p.cmd.Process.Signal(syscall.SIGTERM)
			case <-ended:
				return
			}
		}
	}()
	if st := p.wait(); !st.Signaled() || st.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want to be killed by the second signal", st)
	}
}

func TestExitCodes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, "^Usage: edge"},
		{[]string{"--version"}, 0, "^aristochat edge "},
		{[]string{"--nope"}, exitUsage, "^edge: unknown flag --nope"},
		{[]string{"--listen", l.Addr().String()}, exitListen, "^edge: --listen: .*in use"},
		{[]string{"--listen", "127.0.0.1:0", "--admin-listen", l.Addr().String()}, exitListen, "^edge: --admin-listen: .*in use.*--admin-listen :"},
		{[]string{"--listen", "127.0.0.1:0", "--data", "/dev/null/x"}, exitData, "^edge: --data: "},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			p := start(t, tt.args...)
			p.await(tt.want)
			if got := p.wait().ExitStatus(); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
		})
	}
}

func TestUnreachableNATS(t *testing.T) {
	t.Parallel()
	addr := vacant.Address(t)
	p := start(t, "--listen", "127.0.0.1:0", "--nats", "nats://user:hunter2@"+addr)
	host := p.host()
	p.await("level=WARN.*NATS.*trying again")
	if s, b := get(t, "http://"+host+"/healthz"); s != 200 {
		t.Errorf("/healthz = %d %q, want 200", s, b)
	}
	if s, b := get(t, "http://"+host+"/readyz"); s != 503 || !strings.Contains(b, "NATS") {
		t.Errorf("/readyz = %d %q, want 503 and that NATS is missing", s, b)
	}
	c := dial(t, host) // sockets are up all the same
	heartbeat(t, c)

	// The one that comes asks for no password and takes any.
	srv, err := embedded.Start(&embedded.Options{Listen: addr, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	awaitStatus(t, "http://"+host+"/readyz", 200)
	heartbeat(t, c)

	go c.Read(t.Context()) // answers the close
	p.signal(syscall.SIGTERM)
	if st := p.wait(); st.ExitStatus() != 0 {
		t.Errorf("exit code %d, want 0", st.ExitStatus())
	}
	if strings.Contains(p.output(), "hunter2") {
		t.Error("the output gives a password away")
	}
}

func TestEndWithoutNATS(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1")
	p.host()
	p.signal(syscall.SIGTERM)
	if st := p.wait(); st.ExitStatus() != 0 {
		t.Errorf("exit code %d, want 0", st.ExitStatus())
	}
}

func TestJSONLog(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug")
	p.await(`"AUTHENTICATION IS OFF`)
	dial(t, p.await(`"url":"ws://([^/]+)/`)[1]).CloseRead(t.Context()) // so that it answers
	p.await(`"msg":"connected"`)
	p.signal(syscall.SIGTERM)
	p.wait()
	var socket string
	types := map[string]string{} // of keys: what reads a log wants one of each
	for line := range strings.Lines(p.output()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("line is not JSON: %s", line)
		}
		for key, value := range m {
			kind := fmt.Sprintf("%T", value)
			if before := cmp.Or(types[key], kind); kind != before {
				t.Errorf("%s was a %s, and is a %s in %s", key, before, kind, line)
			}
			types[key] = kind
		}
		if s, ok := m["url"].(string); ok {
			socket = s
		}
	}
	if !strings.HasPrefix(socket, "ws://localhost:") {
		t.Errorf("the log says that sockets connect to %q", socket)
	}
	for _, key := range []string{"patience", "took"} { // of the lines about draining
		if types[key] != "string" {
			t.Errorf("%s is a %q, want a string such as 1.5s", key, types[key])
		}
	}
	if kind := types["bearable"]; kind == "string" { // a number, where other edges live
		t.Errorf("bearable is a %s", kind)
	}
}

func TestReachable(t *testing.T) {
	tests := map[string]string{
		"0.0.0.0:4000":       "localhost:4000",
		"[::]:4000":          "localhost:4000",
		"127.0.0.1:1":        "localhost:1",
		"192.0.2.7:4000":     "192.0.2.7:4000",
		"[2001:db8::1]:4000": "[2001:db8::1]:4000",
	}
	for in, want := range tests {
		addr, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(addr); got != want {
			t.Errorf("reachable(%s) = %s, want %s", in, got, want)
		}
	}
}

// dial connects to host, or host?query.
func dial(t *testing.T, host string) *websocket.Conn {
	t.Helper()
	host, query, _ := strings.Cut(host, "?")
	c, resp, err := websocket.Dial(t.Context(), "ws://"+host+"/socket/websocket?vsn=2.0.0&"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	t.Cleanup(func() { c.CloseNow() })
	return c
}

func heartbeat(t *testing.T, c *websocket.Conn) {
	t.Helper()
	send(t, c, `[null,"7","phoenix","heartbeat",{}]`)
	_, b, err := c.Read(t.Context())
	if want := `[null,"7","phoenix","phx_reply",{"status":"ok","response":{}}]`; err != nil || string(b) != want {
		t.Fatalf("heartbeat is answered with %s, %v; want %s", b, err, want)
	}
}

// Two edges on one NATS, of which one brings it: what is said on one is heard on
// the other, and kept for a third who comes later.
func TestTwoEdges(t *testing.T) {
	t.Parallel()
	a := start(t, "--listen", "127.0.0.1:0", "--nats-listen", vacant.Address(t))
	natsURL := "nats://" + a.await(`NATS +in this process and on (\S+),`)[1]
	b := start(t, "--listen", "127.0.0.1:0", "--nats", natsURL)
	for _, p := range []*process{a, b} {
		awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	}

	ann, bob := dial(t, a.host()+"?username=ann"), dial(t, b.host()+"?username=bob")
	for _, c := range []*websocket.Conn{ann, bob} {
		send(t, c, `["1","1","rooms:lobby","phx_join",{}]`)
		expect(t, c, `"phx_reply",{"status":"ok"`)
	}
	send(t, ann, `["1","2","rooms:lobby","chat_msg",{"body":"hi"}]`)
	expect(t, bob, `"chat_msg",{"body":"hi","username":"ann","seq":1`)

	late := dial(t, b.host())
	send(t, late, `["1","1","rooms:lobby","phx_join",{"history":10}]`)
	expect(t, late, `"body":"hi","username":"ann","seq":1`)
}

func TestRestartKeepsHistory(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	first := start(t, "--listen", "127.0.0.1:0", "--data", data)
	awaitStatus(t, "http://"+first.host()+"/readyz", 200)
	c := dial(t, first.host())
	send(t, c, `["1","1","rooms:a","phx_join",{}]`)
	expect(t, c, `"phx_reply",{"status":"ok"`)
	send(t, c, `["1","2","rooms:a","chat_msg",{"body":"kept"}]`)
	expect(t, c, `"kept"`)
	c.CloseNow()
	first.signal(syscall.SIGTERM)
	first.wait()

	second := start(t, "--listen", "127.0.0.1:0", "--data", data)
	awaitStatus(t, "http://"+second.host()+"/readyz", 200)
	c = dial(t, second.host())
	send(t, c, `["1","1","rooms:a","phx_join",{"history":10}]`)
	expect(t, c, `"kept"`)
}

func TestHistoryOff(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--history", "off")
	c := dial(t, p.host()+"?username=ann")
	send(t, c, `["1","1","rooms:a","phx_join",{}]`)
	expect(t, c, `"phx_reply",{"status":"ok"`)
	send(t, c, `["1","2","rooms:a","chat_msg",{"body":"hi"}]`)
	expect(t, c, `"chat_msg",{"body":"hi","username":"ann"}]`)
	if files, err := os.ReadDir(p.cmd.Dir); err != nil || len(files) > 0 {
		t.Errorf("%v, %v stand where nothing is to be kept", files, err)
	}
}

func TestStreamApply(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()
	nats := "--nats=" + srv.ClientURL()

	checking := start(t, "--listen", "127.0.0.1:0", nats, "--stream=check")
	awaitStatus(t, "http://"+checking.host()+"/readyz", 503)
	checking.await("edge stream apply")
	for _, step := range []struct{ args, want string }{
		{"stream apply", "^stream ROOMS: created"},
		{"stream apply", "^stream ROOMS: nothing to change"},
		{"stream apply --history-messages=20000", "^stream ROOMS: changed .*20000"},
		{"stream apply --history-messages=10", "^stream ROOMS: left as it is: .*20000, want 10$"},
		{"stream apply --history-messages=10 --shrink", "^stream ROOMS: changed .*20000, want 10$"},
	} {
		p := start(t, append(strings.Fields(step.args), nats)...)
		p.await(step.want)
		if st := p.wait(); st.ExitStatus() != 0 {
			t.Errorf("edge %s: exit code %d, want 0", step.args, st.ExitStatus())
		}
	}
	c := dial(t, checking.host())
	send(t, c, `["1","1","rooms:a","phx_join",{}]`)
	expect(t, c, `"phx_reply",{"status":"ok"`)
	awaitStatus(t, "http://"+checking.host()+"/readyz", 200)
}

func send(t *testing.T, c *websocket.Conn, frame string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

// expect reads until a frame contains what is wanted.
func expect(t *testing.T, c *websocket.Conn, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var heard []string
	for {
		_, b, err := c.Read(ctx)
		if err != nil {
			t.Fatalf("heard %q, then %v; want %s", heard, err, want)
		}
		heard = append(heard, string(b))
		if strings.Contains(string(b), want) {
			return
		}
	}
}
