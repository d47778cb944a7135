package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aristochat/aristochat/edge/page"
)

func TestHealth(t *testing.T) {
	f := &front{}
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	check := func(when, path string, status int, body string) {
		t.Helper()
		if s, b := ask(path); s != status || b != body {
			t.Errorf("%s: GET %s = %d %q, want %d %q", when, path, s, b, status, body)
		}
	}
	check("at first", "/healthz", 200, "ok")
	check("at first", "/readyz", 503, "starting")
	check("at first", "/socket/websocket", 503, "starting")

	var notAlive, notReady, full error
	teapot := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	f.open(teapot, func() error { return notAlive }, func() error { return notReady }, func() error { return full })
	check("open", "/readyz", 200, "ok")
	check("open", "//socket//websocket/", 418, "")

	notReady = errors.New("no NATS")
	check("without NATS", "/healthz", 200, "ok")
	check("without NATS", "/readyz", 503, "no NATS")
	check("without NATS", "/socket/websocket", 418, "")

	full = errors.New("full")
	check("without NATS, and full", "/readyz", 503, "no NATS\nfull")

	notAlive = errors.New("stuck")
	check("stuck", "/healthz", 503, "stuck")

	notAlive, notReady, full = nil, nil, nil
	f.drain()
	check("draining", "/healthz", 200, "ok")
	check("draining", "/readyz", 503, "shutting down")
}

func TestPage(t *testing.T) {
	teapot := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	tests := []struct {
		path          string
		with, without int
	}{
		{"/", 200, 418},
		{"/?room=lobby", 200, 418},
		{"/page/nothing", 404, 418},
		{"/pages", 418, 418},
		{"//", 418, 418},
		{"/socket/websocket", 418, 418},
		{"/healthz", 200, 200},
	}
	for _, tt := range tests {
		for _, f := range []*front{{page: page.Handler()}, {}} {
			f.open(teapot, func() error { return nil })
			w := httptest.NewRecorder()
			f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, nil))
			want := tt.without
			if f.page != nil {
				want = tt.with
			}
			if w.Code != want {
				t.Errorf("GET %s, with a page %v: status %d, want %d", tt.path, f.page != nil, w.Code, want)
			}
		}
	}

	starting := &front{page: page.Handler()}
	w := httptest.NewRecorder()
	starting.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusOK {
		t.Errorf("while the edge starts: status %d, want 200: the page itself tells", w.Code)
	}
}

// pipes is a listener of connections within the process, on which a fake clock
// works.
type pipes struct {
	conns chan net.Conn
	stop  chan struct{}
	close func()
}

func newPipes() *pipes {
	stop := make(chan struct{})
	return &pipes{make(chan net.Conn), stop, sync.OnceFunc(func() { close(stop) })}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.stop:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func serveOnPipes(t *testing.T) *pipes {
	hs := newHTTPServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	l := newPipes()
	done := make(chan error)
	go func() { done <- hs.Serve(l) }()
	t.Cleanup(func() {
		hs.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve = %v", err)
		}
	})
	return l
}

func TestSlowHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serveOnPipes(t).dial()
		begin := time.Now()
		cutOff := make(chan struct{})
		go func() { io.Copy(io.Discard, c); close(cutOff) }()

		// A byte a second, for as long as it is taken.
		_, err := io.WriteString(c, "GET /socket/websocket HTTP/1.1\r\nX: ")
		for ; err == nil; _, err = io.WriteString(c, "x") {
			time.Sleep(time.Second)
		}
		<-cutOff
		if d := time.Since(begin); d < 14*time.Second || d > 17*time.Second {
			t.Errorf("cut off after %v, want about 15s", d)
		}
	})
}

// A request that a bad network brings late, on a connection that was there in
// time, is answered.
func TestLateRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serveOnPipes(t).dial()
		defer c.Close()
		time.Sleep(14 * time.Second)
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("status = %d, want the handler's 404", resp.StatusCode)
		}
	})
}

func TestHeaderTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serveOnPipes(t).dial()
		defer c.Close()
		go fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", strings.Repeat("x", 100<<10))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status = %d, want 431", resp.StatusCode)
		}
		time.Sleep(time.Second) // net/http lingers before it closes
	})
}

func TestPageFlag(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		status int
	}{
		{nil, http.StatusOK},
		{[]string{"--page=false"}, http.StatusNotFound},
	} {
		p := start(t, append(tt.args, "--listen", "127.0.0.1:0", "--history", "off")...)
		url := "http://" + p.host() + "/"
		awaitStatus(t, url+"readyz", 200)
		if status, _ := get(t, url); status != tt.status {
			t.Errorf("with %q: GET / = %d, want %d", tt.args, status, tt.status)
		}
		if said := strings.Contains(p.output(), "chat         "+url[:7]); said != (tt.status == http.StatusOK) {
			t.Errorf("with %q: the address of the page is announced: %v", tt.args, said)
		}
	}
}
