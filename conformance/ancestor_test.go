package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/conformance/lobby"
	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
)

// ancestor is the terminal client of the chat that ours descends from, with its
// frames: no vsn, no Origin, an empty ref, and the same payload in all of them.
type ancestor struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

// ancestorMessage is what that client decodes. A ref that is a number, or a body
// that is not a string, is an error to it.
type ancestorMessage struct {
	Topic   string
	Event   string
	Payload struct{ Status, Body, Username string }
	Ref     string
}

func dialAncestor(t *testing.T, addr, username string) *ancestor {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_, _ = fmt.Fprintf(c, "GET /socket/websocket?username=%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", username, addr)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // empty; the frames are in r
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: got status %d, want 101", res.StatusCode)
	}
	return &ancestor{t, c, r}
}

func ancestorFrame(topic, event, body string) []byte {
	text := fmt.Sprintf(`{"topic":%q,"event":%q,"payload":{"status":"","body":%q,"username":""},"ref":""}`, topic, event, body)
	return appendFrame(nil, Frame{Opcode: opText, Fin: true, Masked: true, Data: []byte(text)})
}

func (a *ancestor) send(frames ...[]byte) {
	a.t.Helper()
	for _, f := range frames {
		if _, err := a.c.Write(f); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *ancestor) read() ancestorMessage {
	a.t.Helper()
	_ = a.c.SetReadDeadline(time.Now().Add(patience))
	f, err := readFrame(a.r)
	if err != nil {
		a.t.Fatalf("reading: %v", err)
	}
	if f.Opcode != opText || !f.Fin {
		a.t.Fatalf("got %s, want text", f)
	}
	var m ancestorMessage
	if err := json.Unmarshal(f.Data, &m); err != nil {
		a.t.Fatalf("decoding %s: %v", f, err)
	}
	return m
}

// TestAncestorReadsABurst has the ancestor read ten frames a second, as it does,
// while somebody says 300 things at once: it stays connected and misses none.
func TestAncestorReadsABurst(t *testing.T) {
	for name, start := range map[string]func(*testing.T) string{"fixture": startFixture, "chat": startChat} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readBurst(t, start(t))
		})
	}
}

func startFixture(t *testing.T) string {
	srv, err := lobby.Start(t.Context(), lobby.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustEnd(t, srv.Shutdown) })
	return srv.Addr()
}

// startChat serves the chat itself.
func startChat(t *testing.T) string {
	log := slog.New(slog.DiscardHandler)
	nats, err := embedded.Start(&embedded.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nats.Shutdown)
	link, err := backbone.Connect(t.Context(), &backbone.Options{Server: nats, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustEnd(t, link.Close) })
	srv, err := edge.New(link, &edge.Options{Connect: rooms.Connect, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	rooms.Serve(srv, &rooms.Options{NoHistory: true})
	hs := httptest.NewServer(srv)
	t.Cleanup(hs.Close)
	t.Cleanup(func() { mustEnd(t, srv.Shutdown) })
	return hs.Listener.Addr().String()
}

func mustEnd(t *testing.T, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := end(ctx); err != nil {
		t.Errorf("ending: %v", err)
	}
}

func readBurst(t *testing.T, addr string) {
	const burst, slowly = 300, 30
	reader := dialAncestor(t, addr, "bob")
	// The kernel shall not swallow the burst.
	if err := reader.c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	reader.send(ancestorFrame("rooms:main", "phx_join", ""))
	if m := reader.read(); m.Event != "phx_reply" || m.Payload.Status != "ok" || m.Ref != "" {
		t.Fatalf("join: got %+v, want an ok reply", m)
	}

	speaker := dialAncestor(t, addr, "ann")
	speaker.send(ancestorFrame("rooms:main", "phx_join", ""))
	speaker.read()
	go func() { _, _ = io.Copy(io.Discard, speaker.r) }() // until the connection is closed
	long := strings.Repeat("z", 8<<10)
	for i := range burst {
		speaker.send(ancestorFrame("rooms:main", "chat_msg", fmt.Sprintf("%d %s", i, long)))
	}
	reader.send(ancestorFrame("phoenix", "heartbeat", "")) // it goes on doing so every 5 s

	heartbeats := 0
	next := func() ancestorMessage {
		for {
			switch m := reader.read(); {
			case m.Event == "chat_msg":
				return m
			case m.Topic == "phoenix" && m.Payload.Status == "ok":
				heartbeats++
			case strings.HasPrefix(m.Event, "presence_"): // it ignores what it does not know
			case m.Event != "phx_reply":
				t.Fatalf("got %.120v, want chat_msg", m)
			}
		}
	}
	for i := range burst {
		if i < slowly {
			time.Sleep(100 * time.Millisecond) // the client's own habit
		}
		if m := next(); m.Payload.Username != "ann" || m.Payload.Body != fmt.Sprintf("%d %s", i, long) {
			t.Fatalf("got %.120v, want message %d of ann", m, i)
		}
	}
	reader.send(ancestorFrame("rooms:main", "chat_msg", "still here"))
	if m := next(); m.Payload.Body != "still here" || m.Payload.Username != "bob" {
		t.Errorf("got %.120v, want its own message", m)
	}
	if heartbeats != 1 {
		t.Errorf("got %d replies to heartbeats, want 1", heartbeats)
	}
}
