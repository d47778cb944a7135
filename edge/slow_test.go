package edge_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/coder/websocket"
)

// A client that does not read is closed when too much waits for it. The others
// get everything, at once.
func TestSlowClientBytes(t *testing.T) {
	t.Parallel()
	e := single(t, &edge.Options{OutboxBytes: 256 << 10}, probes)
	slow, quick := dialBare(t, e), e.v2(t)
	slow.join(t, "t:x")
	if err := slow.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	quick.join("1", "t:x")
	payload := map[string]string{"b": strings.Repeat("x", 64<<10)}
	for i := 0; e.Stats().SlowClients == 0; i++ {
		if i == 1000 {
			t.Fatal("64 MB waited for a client that does not read")
		}
		if err := e.Broadcast(t.Context(), "t:x", "bc", payload); err != nil {
			t.Fatal(err)
		}
		quick.read()
	}
	eventually(t, "slow client gone", func() bool { return e.Stats().Sockets == 1 })
	quick.silent()
}

// What waits too long closes the client too, however little it is.
func TestSlowClientAge(t *testing.T) {
	t.Parallel()
	e := single(t, &edge.Options{OutboxAge: 200 * time.Millisecond, OutboxBytes: 1 << 30}, probes)
	slow := dialBare(t, e)
	slow.join(t, "t:x")
	payload := map[string]string{"b": strings.Repeat("x", 512<<10)}
	eventually(t, "closed for the age of what waits", func() bool {
		if err := e.Broadcast(t.Context(), "t:x", "bc", payload); err != nil {
			t.Fatal(err)
		}
		return e.Stats().SlowClients > 0
	})
	eventually(t, "slow client gone", func() bool { return e.Stats().Sockets == 0 })
}

// A client that reads late but within the bounds gets all, in order.
func TestLateReader(t *testing.T) {
	e := single(t, nil, probes)
	c := dialBare(t, e)
	c.join(t, "t:x")
	const n = 5000
	for i := range n {
		if err := e.Broadcast(t.Context(), "t:x", "bc", map[string]any{"n": i, "pad": strings.Repeat("x", 100)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got := c.readFrame(t); !strings.HasPrefix(got, fmt.Sprintf(`[null,null,"t:x","bc",{"n":%d,`, i)) {
			t.Fatalf("frame %d: %s", i, got)
		}
	}
}

// A slow client that does read its close frame learns to come back later.
func TestSlowClientCode(t *testing.T) {
	t.Parallel()
	e := single(t, &edge.Options{OutboxBytes: 128 << 10}, probes)
	c := dialBare(t, e)
	c.join(t, "t:x")
	payload := map[string]string{"b": strings.Repeat("x", 32<<10)}
	for e.Stats().SlowClients == 0 {
		if err := e.Broadcast(t.Context(), "t:x", "bc", payload); err != nil {
			t.Fatal(err)
		}
	}
	all, err := io.ReadAll(c.r)
	if err != nil && len(all) == 0 {
		t.Fatal(err)
	}
	if want := string([]byte{0x88, 2, 1013 >> 8, 1013 & 0xff}); !strings.HasSuffix(string(all), want) {
		t.Errorf("ends in % x, want close 1013", all[max(0, len(all)-8):])
	}
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const idle = 3 * time.Second // a busy machine's pings may come late
	e := single(t, &edge.Options{IdleTimeout: idle}, probes)
	c, lively := e.v2(t), e.v2(t)
	lively.ws.CloseRead(t.Context()) // reads the pongs
	ping := func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := lively.ws.Ping(ctx); err != nil {
			t.Errorf("ping: %v", err)
		}
	}
	closed, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			ping()
			select {
			case <-closed:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	began := time.Now()
	c.join("1", "t:x")
	// What the server sends does not count.
	for range 3 {
		if err := e.Broadcast(t.Context(), "t:x", "bc", nil); err != nil {
			t.Fatal(err)
		}
		c.read()
	}
	c.wantClose(websocket.StatusProtocolError)
	if d := time.Since(began); d < idle {
		t.Errorf("closed after %v", d)
	}
	close(closed)
	<-done
	ping()
}
