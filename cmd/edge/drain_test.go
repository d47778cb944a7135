package main

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/internal/vacant"
)

// SIGTERM to one of two edges: at once it is not ready, for the delay it still
// takes clients, then all of them are sent to the other one, where nobody saw
// them leave.
func TestDrain(t *testing.T) {
	t.Parallel()
	stay := start(t, "--listen", "127.0.0.1:0", "--nats-listen", vacant.Address(t))
	natsURL := "nats://" + stay.await(`NATS +in this process and on (\S+),`)[1]
	leave := start(t, "--listen", vacant.Address(t), "--nats", natsURL, "--drain", "1m", "--drain-delay", "10s")
	host := leave.host()
	for _, h := range []string{stay.host(), host} {
		awaitStatus(t, "http://"+h+"/readyz", 200)
	}
	watcher := dial(t, stay.host()+"?username=watcher")
	send(t, watcher, `["1","1","rooms:lobby","phx_join",{}]`)
	ann := dial(t, host+"?username=ann")
	send(t, ann, `["1","1","rooms:lobby","phx_join",{}]`)
	expect(t, watcher, `"joins":{"ann"`)

	leave.signal(syscall.SIGTERM)
	leave.await("shutting down")
	awaitStatus(t, "http://"+host+"/readyz", 503)
	late := dial(t, host) // from a load balancer that has yet to notice
	heartbeat(t, late)
	var wg sync.WaitGroup
	ends := func(c *websocket.Conn) {
		for {
			if _, _, err := c.Read(t.Context()); err != nil {
				if got := websocket.CloseStatus(err); got != websocket.StatusServiceRestart {
					t.Errorf("a client's socket ends with %v, want close code %d", err, websocket.StatusServiceRestart)
				}
				return
			}
		}
	}
	wg.Go(func() { ends(late) })
	ends(ann)
	ann = dial(t, stay.host()+"?username=ann") // at once, as clients do
	send(t, ann, `["1","1","rooms:lobby","phx_join",{}]`)
	wg.Wait()
	if res, err := http.Get("http://" + host + "/healthz"); err == nil {
		res.Body.Close()
		t.Error("it still takes connections")
	}
	if st := leave.wait(); st.ExitStatus() != 0 {
		t.Errorf("exit code %d, want 0", st.ExitStatus())
	}
	send(t, ann, `["1","2","rooms:lobby","chat_msg",{"body":"back"}]`)
	heard := hear(t, watcher, "back")
	for _, f := range heard {
		if strings.Contains(f, "presence_diff") && !strings.Contains(f, `"joins":{"ann"`) {
			t.Errorf("the watcher was told %s", f)
		}
	}
	if out := leave.output(); !regexp.MustCompile(`msg=draining sockets=2 .*\n(.*\n)*.*msg=drained sockets=2 closed=2 left=0`).MatchString(out) {
		t.Error("the log does not tell of the drain")
	}
}

// hear reads until a frame contains what is wanted, and returns all.
func hear(t *testing.T, c *websocket.Conn, want string) (heard []string) {
	t.Helper()
	for len(heard) == 0 || !strings.Contains(heard[len(heard)-1], want) {
		_, b, err := c.Read(t.Context())
		if err != nil {
			t.Fatalf("heard %q, then %v; want %s", heard, err, want)
		}
		heard = append(heard, string(b))
	}
	return heard
}

// A full edge says so where load balancers look, and to whoever comes.
func TestMaxSockets(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--max-sockets", "1", "--history", "off")
	ready := "http://" + p.host() + "/readyz"
	awaitStatus(t, ready, 200)
	c := dial(t, p.host())
	if s, b := get(t, ready); s != 503 || !strings.HasPrefix(b, "full") {
		t.Errorf("/readyz = %d %q, want 503 full", s, b)
	}
	if _, res, err := websocket.Dial(t.Context(), "ws://"+p.host()+"/socket/websocket", nil); err == nil || res == nil || res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a second client got %v %v", res, err)
	}
	p.await(`level=WARN msg="refusing connection" reason="full`)
	c.Close(websocket.StatusNormalClosure, "")
	awaitStatus(t, ready, 200)
}

// Whoever ends an edge by hand does not wait for nothing.
func TestEndIsQuick(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--history", "off", "--drain", "1h")
	c := dial(t, p.host())
	go c.Read(t.Context()) // answers the close
	p.signal(syscall.SIGINT)
	if st := p.wait(); st.ExitStatus() != 0 {
		t.Errorf("ended with %v; it waits for the hour that it has", st)
	}
}

// An edge that had to cut its clients off still says goodbye to NATS.
func TestEndAtDeadline(t *testing.T) {
	t.Parallel()
	p := start(t, "--listen", "127.0.0.1:0", "--history", "off", "--drain", "1s")
	dial(t, p.host()) // never reads, and so does not answer the close
	p.signal(syscall.SIGTERM)
	if st := p.wait(); st.ExitStatus() != 0 {
		t.Errorf("exit code %d, want 0", st.ExitStatus())
	}
	out := p.output()
	if !strings.Contains(out, "cutting off clients that did not leave in time") || strings.Contains(out, "NATS may not have got everything") {
		t.Errorf("the log says\n%s", out)
	}
}
