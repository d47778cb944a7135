package edge_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/edge"
)

// A logBuffer is what a log has written.
type logBuffer struct {
	mu   sync.Mutex // guards what follows
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// take returns what was written since the last time.
func (b *logBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

// Whatever comes of a handshake is counted, once, and has one line in the log,
// which repeats no more of what a stranger sent than a line may.
func TestHandshakesAreCounted(t *testing.T) {
	long := strings.Repeat("x", 4000)
	var log logBuffer
	e := single(t, longPoll(func(o *edge.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.AuthToken = true
		o.MaxSockets = 1
		o.LongPoll.SessionsPerIP = -1
		o.LongPoll.SessionsPerUser = 0
		o.Connect = func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
			switch h.Params.Get("do") {
			case "refuse":
				return edge.Session{}, errors.New("who is " + h.Params.Get("who"))
			case "crash":
				panic("in connect")
			}
			return edge.Session{}, nil
		}
	}), probes)
	const ws, poll = "GET /socket/websocket?vsn=2.0.0", "/socket/longpoll?vsn=2.0.0"
	tests := []struct {
		name, result, line string
		try                func()
	}{
		{"ok", "ok", "msg=connected", func() { e.v2(t).ws.CloseNow() }},
		{"method", "bad_request", "method", func() { shake(t, e, "POST /socket/websocket") }},
		{"query", "bad_request", "refusing connection", func() { shake(t, e, "GET /socket/websocket?a=%zz"+long) }},
		{"long query", "bad_request", "refusing connection", func() { shake(t, e, ws+"&a="+strings.Repeat(long, 300)) }},
		{"origin", "origin", "refusing origin", func() { shake(t, e, ws, "Origin: https://"+long) }},
		{"token", "bad_request", "base64", func() { shake(t, e, ws, "Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.*") }},
		{"subprotocol", "bad_request", "subprotocol", func() { shake(t, e, ws, "Sec-WebSocket-Protocol: soap") }},
		{"version", "bad_request", "version", func() { shake(t, e, "GET /socket/websocket?vsn=9") }},
		{"refused", "refused", "who is x", func() { shake(t, e, ws+"&do=refuse&who="+long) }},
		{"crashed", "crashed", "connect crashed", func() { shake(t, e, ws+"&do=crash") }},
		{"no upgrade", "bad_request", "refusing connection", func() { shake(t, e, ws, "Upgrade: "+long) }},
		{"broken", "failed", "upgrade failed", func() {
			r := httptest.NewRequest("GET", "/socket/websocket?vsn=2.0.0", nil)
			for _, h := range []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"} {
				name, value, _ := strings.Cut(h, ": ")
				r.Header.Set(name, value)
			}
			e.ServeHTTP(httptest.NewRecorder(), r) // which cannot be hijacked
		}},
		{"session version", "bad_request", "version", func() { request(t, e, "GET", "/socket/longpoll?vsn=9", "") }},
		{"session refused", "refused", "who is x", func() { request(t, e, "GET", poll+"&do=refuse&who="+long, "") }},
		{"session crashed", "crashed", "connect crashed", func() { request(t, e, "GET", poll+"&do=crash", "") }},
		{"full", "full", "level=WARN msg=\"refusing connection\" reason=\"full", func() {
			c := e.v2(t)
			eventually(t, "it is there", func() bool { return e.Stats().Sockets == 1 })
			log.take()
			refused(t, e)
			c.ws.CloseNow()
			eventually(t, "it has gone", func() bool { return e.Stats().Sockets == 0 })
		}},
		{"draining", "draining", "level=INFO msg=\"refusing connection\" reason=draining", func() {
			if err := e.Drain(t.Context(), nil); err != nil {
				t.Error(err)
			}
			log.take()
			refused(t, e)
		}},
	}
	want := map[string]uint64{}
	connections := uint64(0)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log.take()
			tt.try()
			want[tt.result]++
			if tt.name == "full" {
				want["ok"]++
			}
			eventually(t, "it has been counted", func() bool { return e.Stats().Handshakes[tt.result] >= want[tt.result] })
			connections = e.Stats().Handshakes["ok"]
			eventually(t, "they have gone", func() bool { return e.Stats().Sockets == 0 })
			for result, n := range e.Stats().Handshakes {
				if n != want[result] {
					t.Errorf("%s is counted %d times, want %d", result, n, want[result])
				}
			}
			if n := sumOf(e.Stats().Ended); n != connections {
				t.Errorf("%d connections ended of %d that there were", n, connections)
			}
			text := log.take()
			if !strings.Contains(text, tt.line) {
				t.Errorf("the log says\n%s\nwant %s", text, tt.line)
			}
			for line := range strings.Lines(text) {
				if !strings.Contains(line, "stack=") && len(line) > 500 {
					t.Errorf("a line of %d bytes: %.300s", len(line), line)
				}
			}
		})
	}
}

func sumOf(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// A client that gives up while it waits to be let in is counted, too.
func TestGivenUpIsCounted(t *testing.T) {
	e := single(t, &edge.Options{AdmitRate: 0.1, AdmitWait: patience}, probes)
	e.v2(t)
	ctx, giveUp := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if ws, _, err := websocket.Dial(ctx, e.url("/socket/websocket?vsn=2.0.0"), nil); err == nil {
			ws.CloseNow()
			t.Error("a client was let in that had given up")
		}
	}()
	eventually(t, "it waits", func() bool { return e.Stats().Waiting == 1 })
	giveUp()
	<-done
	eventually(t, "it is counted", func() bool { return e.Stats().Handshakes["failed"] == 1 })
}
