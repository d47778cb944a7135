package main

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/internal/vacant"
)

// admin is where the process lets operators look.
func (p *process) admin() string {
	p.t.Helper()
	return p.await(`metrics +http://([^/]+)/metrics`)[1]
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--secret", "0123456789abcdef0123456789abcdef")
	host, admin := p.host(), p.admin()
	awaitStatus(t, "http://"+admin+"/readyz", 200)
	c := dial(t, host+"?username=ann")
	send(t, c, `["1","1","rooms:lobby","phx_join",{}]`)
	expect(t, c, `"phx_reply",{"status":"ok"`)
	awaitBody(t, "http://"+admin+"/metrics", `\naristochat_joins_total{result="ok"} 1\n`) // counted when the reply is on its way

	for _, tt := range []struct {
		url    string
		status int
		want   string
	}{
		{admin + "/metrics", 200, "\naristochat_sockets{transport=\"websocket\"} 1\n"},
		{admin + "/metrics", 200, "\naristochat_ready 1\n"},
		{admin + "/metrics", 200, "\ngo_goroutines "},
		{admin + "/healthz", 200, "ok"},
		{admin + "/debug/pprof/", 200, "goroutine"},
		{admin + "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{admin + "/debug/pprof/cmdline", 404, ""}, // flags may hold a secret
		{admin + "/", 404, ""},
		{admin + "/socket/websocket?vsn=2.0.0", 404, ""},
		{host + "/metrics", 404, ""}, // not for clients
		{host + "/debug/pprof/", 404, ""},
	} {
		status, body := get(t, "http://"+tt.url)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("GET %s = %d %.300q, want %d and %q", tt.url, status, body, tt.status, tt.want)
		}
		if strings.Contains(body, "0123456789abcdef") {
			t.Errorf("GET %s gives the secret away", tt.url)
		}
	}
}

// An end can be watched: the metrics are there until the last client has gone.
func TestAdminWhileDraining(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--drain", "1m")
	admin := p.admin()
	last := halfRequest(t, p.host())
	c := dial(t, p.host()) // after which the edge knows of the other
	p.signal(syscall.SIGTERM)
	awaitStatus(t, "http://"+admin+"/readyz", 503)
	awaitBody(t, "http://"+admin+"/metrics", `\naristochat_draining 1\n(.*\n)*aristochat_ready 0\n`)
	last.Close()
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
		t.Errorf("the client's socket ends with %v", err)
	}
	if st := p.wait(); st.ExitStatus() != 0 {
		t.Errorf("exit code %d, want 0", st.ExitStatus())
	}
}

// halfRequest is a request whose body does not come, for which an edge waits
// before it ends.
func halfRequest(t *testing.T, host string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "POST /healthz HTTP/1.1\r\nHost: %s\r\nContent-Length: 1\r\n\r\n", host); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHealthCommand(t *testing.T) {
	t.Parallel()
	ready := start(t, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	awaitStatus(t, "http://"+ready.host()+"/readyz", 200)
	not := start(t, "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1")
	nobody := vacant.Address(t)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--listen", ready.host()}, 0, "^ok$"},
		{[]string{"--listen", nobody, "--admin-listen", ready.admin()}, 0, "^ok$"},
		{[]string{"--url", "http://" + ready.host() + "/healthz"}, 0, "^ok$"},
		{[]string{"--listen", not.host(), "--url", "/healthz"}, 0, "^ok$"},
		{[]string{"--listen", not.host()}, 1, "^not yet connected to NATS"},
		{[]string{"--listen", nobody}, 1, "^edge: no answer"},
		{[]string{"--url", "http://" + ready.host() + "/nothing"}, 1, "^edge: .*404"},
		{[]string{"--listen", ":0"}, exitUsage, "--url must be a whole URL"},
		{[]string{"--url", "http://a b/"}, exitUsage, "--url"},
		{[]string{"--url", "localhost:4000/healthz"}, exitUsage, "neither a URL"},
		{[]string{"--url", "healthz"}, exitUsage, "nor a path"},
	} {
		// It gives an edge two seconds, which on a busy machine may be too few.
		said, code, fine := "", 0, false
		for end := time.Now().Add(patience); !fine && time.Now().Before(end); {
			p := start(t, append([]string{"health"}, tt.args...)...)
			code = p.wait().ExitStatus()
			said = p.output()
			fine = code == tt.code && regexp.MustCompile("(?m)"+tt.want).MatchString(said)
		}
		if !fine {
			t.Errorf("edge health %q: exit code %d, %q; want %d, %s", tt.args, code, said, tt.code, tt.want)
		}
	}
}

func TestHealthURL(t *testing.T) {
	for _, tt := range []struct{ listen, admin, want string }{
		{":4000", "", "http://localhost:4000/readyz"},
		{"0.0.0.0:4000", "", "http://localhost:4000/readyz"},
		{"[::]:4000", "", "http://localhost:4000/readyz"},
		{"192.0.2.7:4000", "", "http://192.0.2.7:4000/readyz"},
		{"[2001:db8::1]:4000", "", "http://[2001:db8::1]:4000/readyz"},
		{":4000", "127.0.0.1:9464", "http://127.0.0.1:9464/readyz"},
	} {
		c := config{Listen: tt.listen, AdminListen: tt.admin}
		if got, err := c.healthURL(); err != nil || got != tt.want {
			t.Errorf("healthURL(%q, %q) = %q, %v; want %q", tt.listen, tt.admin, got, err, tt.want)
		}
	}
}

// What clients say, and what they prove themselves with, is nobody's to read in
// a log, however much is logged and whatever goes wrong.
func TestLogTellsNoSecrets(t *testing.T) {
	t.Parallel()
	const marker = "hunter2"
	p := start(t, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-level", "debug", "--log-format", "json",
		"--secret", marker+"-0123456789abcdef")
	host := strings.TrimPrefix(p.await(`"url":"ws://([^/]+)/`)[1], "ws://")
	awaitStatus(t, "http://"+host+"/readyz", 200)

	ann := dial(t, host+"?username=ann&token="+marker)
	send(t, ann, `["1","1","rooms:a","phx_join",{"token":"`+marker+`"}]`)
	expect(t, ann, `"phx_reply",{"status":"ok"`)
	for _, frame := range []string{
		`["1","2","rooms:a","chat_msg",{"body":"` + marker + `"}]`,
		`["1","3","rooms:a","chat_msg",{"text":"` + marker + `"}]`,
		`["1","4","rooms:a","chat_msg","` + marker + `"]`,
		`["1","5","rooms:a","presence",{"status":"` + marker + `"}]`,
		`["1","6","rooms:a","history",{"before":"` + marker + `"}]`,
		`["7","7","rooms:b","phx_join",{"since":"` + marker + `"}]`,
		`["8","8","rooms:c","phx_join",{"epoch":{"a":"` + marker + `"},"since":1}]`,
		`[null,"9",{"token":"` + marker + `"},"phx_join",{}]`,
		`["1","10","rooms:a",{"token":"` + marker + `"},{}]`, // ends the channel
	} {
		send(t, ann, frame)
	}
	expect(t, ann, `"phx_error"`)
	// What is no message ends the connection.
	for _, frame := range []string{
		`{"body":"` + marker + `"}`, `["1","2","rooms:a","chat_msg",{"body":"` + marker, `["1","2","` + marker + `"]`, marker,
		`["1","\udc00","rooms:a","` + marker + `",{}]`,
	} {
		c := dial(t, host+"?username=bob")
		send(t, c, frame)
		if _, _, err := c.Read(t.Context()); err == nil {
			t.Errorf("%s is answered", frame)
		}
	}
	for _, path := range []string{"websocket?vsn=9&token=", "websocket?vsn=2.0.0&x=%zz", "longpoll?vsn=2.0.0&token=", "longpoll?vsn=9&token="} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/socket/"+path+marker, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+marker)
		req.Header.Set("X-Phoenix-AuthToken", marker)
		req.Header.Set("Cookie", "session="+marker)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	p.signal(syscall.SIGTERM)
	p.await(`"shut down"`)
	p.wait()
	out := p.output()
	if !strings.Contains(out, `"closing connection"`) || !strings.Contains(out, `"channel crashed"`) {
		t.Error("the log tells nothing of what happened")
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, marker) {
			t.Errorf("the log gives a secret away: %s", line)
		}
	}
}
