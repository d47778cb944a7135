package edge_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/coder/websocket"
)

// What a client does wrong ends its own connection, with a code that says what
// was wrong, and nothing else.
func TestMalformedFrames(t *testing.T) {
	e := single(t, &edge.Options{MaxMessage: 1000}, probes)
	bystander := e.v2(t)
	bystander.join("1", "t:x")
	text := func(s string) []byte { return append([]byte{0x81, 0x80 | byte(len(s)), 0, 0, 0, 0}, s...) }
	tests := []struct {
		name  string
		frame []byte
		code  websocket.StatusCode
	}{
		{"not JSON", text(`{bad`), 1011},
		{"object", text(`{}`), 1011},
		{"short array", text(`["1","1","t:x","phx_join"]`), 1011},
		{"empty", text(``), 1011},
		{"trailing", text(`[null,"1","phoenix","heartbeat",{}]x`), 1011},
		{"invalid UTF-8", text("[\"\xff\xfe\"]"), 1007},
		{"empty binary", []byte{0x82, 0x80, 0, 0, 0, 0}, 1011},
		{"binary with lying lengths", []byte{0x82, 0x85, 0, 0, 0, 0, 0, 255, 255, 255, 255}, 1011},
		{"binary topic not UTF-8", append([]byte{0x82, 0x80 | 8, 0, 0, 0, 0}, 0, 0, 1, 1, 1, '1', 0xff, 'e'), 1011},
		{"unmasked", []byte{0x81, 2, '[', ']'}, 1002},
		{"unknown opcode", []byte{0x83, 0x80, 0, 0, 0, 0}, 1002},
		{"RSV bit", []byte{0xc1, 0x80, 0, 0, 0, 0}, 1002},
		{"continuation of nothing", []byte{0x80, 0x80, 0, 0, 0, 0}, 1002},
		{"ping of 126 bytes", append([]byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, make([]byte, 126)...), 1002},
		{"fragmented ping", []byte{0x09, 0x80, 0, 0, 0, 0}, 1002},
		{"close with code 1005", []byte{0x88, 0x82, 0, 0, 0, 0, 3, 237}, 1002},
		{"negative length", []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 1002},
		{"too large", append([]byte{0x81, 0xfe, 0x04, 0x00, 0, 0, 0, 0}, make([]byte, 1024)...), 1009},
		{"said to be too large", []byte{0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 0},
	}
	t.Run("frames", func(t *testing.T) { // ends when all of them have
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel() // a server waits a while for the answer to its close frame
				c := dialBare(t, e)
				c.join(t, "t:x")
				if _, err := c.Write(tt.frame); err != nil {
					t.Fatal(err)
				}
				if tt.code == 0 { // nothing is decided until the bytes come
					return
				}
				want := string([]byte{0x88, 2, byte(tt.code >> 8), byte(tt.code)})
				if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(c.r, got); err != nil || string(got) != want {
					t.Errorf("got % x, %v; want close %d without a reason and without phx_error", got, err, tt.code)
				}
				if _, err := c.r.ReadByte(); err != io.EOF {
					t.Errorf("after the close frame: %v, want EOF", err)
				}
			})
		}
	})
	bystander.silent()
}

// Topics of every kind are joined, refused or unmatched, and never reach
// members of another topic.
func TestTopics(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newLink(t, ns), nil, probes), newEdge(t, newLink(t, ns), nil, probes)
	topics := []string{
		"t:*", "t:>", "t:a.b", "t:a b", "t:", "t::", "t:a\tb", "t:\u0000", "t:\u007f", "t:é", "t:e\u0301", "t:漢", "t:😀",
		"t:\U0010ffff", "t:A", "t:a", "t:a.", "t:.a", "t:%2E", "t:$SYS", "t:=", "t:" + strings.Repeat("x", 253),
	}
	members := map[string]*client{}
	for _, topic := range topics {
		c := a.v2(t)
		c.join("1", topic)
		members[topic] = c
	}
	for _, topic := range topics {
		if err := b.Broadcast(t.Context(), topic, "only", map[string]string{"topic": topic}); err != nil {
			t.Fatalf("%q: %v", topic, err)
		}
	}
	for _, topic := range topics {
		members[topic].want(fmt.Sprintf(`[null,null,%s,"only",{"topic":%s}]`, quote(topic), quote(topic)))
		members[topic].silent()
	}

	c := a.v2(t)
	for i, topic := range []string{"t:" + strings.Repeat("x", 254), "t:" + strings.Repeat("漢", 3334)} {
		c.send(`["%d","%d",%s,"phx_join",{}]`, i, i, quote(topic))
		c.want(fmt.Sprintf(`["%d","%d",%s,"phx_reply",{"status":"error","response":{"reason":"topic too long"}}]`, i, i, quote(topic)))
	}
}

// Thousands of joins in one burst are answered in their order, and the flood is
// nobody else's trouble.
func TestJoinFlood(t *testing.T) {
	e := single(t, &edge.Options{MaxChannels: 50, JoinRate: 1e6}, probes) // TestJoinRate is about the rate
	c, other := e.v2(t), e.v2(t)
	const n = 3000
	go func() {
		for i := range n {
			if err := c.ws.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `["%d","%d","t:%d","phx_join",{}]`, i, i, i)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	other.silent()
	for i := range n {
		response := `{"status":"error","response":{"reason":"too many channels joined"}}`
		if i < 50 {
			response = `{"status":"ok","response":{}}`
		}
		c.want(fmt.Sprintf(`["%d","%d","t:%d","phx_reply",%s]`, i, i, i, response))
	}
}

// A client that floods a slow handler is held back, not served from memory
// without bound, and gets its answers.
func TestPushFlood(t *testing.T) {
	gate := make(chan struct{})
	e := single(t, nil, func() edge.Channel { return &probe{gate: gate} })
	c, other := e.v2(t), e.v2(t)
	c.join("1", "t:x")
	c.send(`["1","w","t:x","wait",{}]`)
	const n = 20_000
	go func() {
		for i := range n {
			if err := c.ws.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `["1","%d","t:x","echo",{"pad":%q}]`, i, strings.Repeat("x", 200))); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	other.silent()
	close(gate)
	c.want(`["1","w","t:x","phx_reply",{"status":"ok","response":{}}]`)
	for i := range n {
		if got := c.read(); !strings.HasPrefix(got, fmt.Sprintf(`["1","%d",`, i)) {
			t.Fatalf("reply %d: %s", i, got)
		}
	}
}

// Connections that end, however they do, leave no goroutine behind.
func TestNoGoroutineLeft(t *testing.T) {
	e := single(t, nil, probes)
	warm := e.v2(t)
	warm.join("1", "t:warm")
	before := runtime.NumGoroutine()
	for i := range 100 {
		c := dialBare(t, e)
		c.join(t, fmt.Sprintf("t:%d", i%7))
		switch i % 4 {
		case 0:
			_, _ = c.Write([]byte{0x81, 0x80, 0, 0, 0, 0}) // empty message
		case 1:
			_, _ = c.Write([]byte{0x81}) // half a header
		case 2:
			_, _ = c.Write([]byte{0x88, 0x80, 0, 0, 0, 0}) // close
		case 3:
			_ = c.Conn.(*net.TCPConn).SetLinger(0) // reset
		}
		c.Close()
	}
	eventually(t, "goroutines gone", func() bool { return e.Stats().Sockets == 1 && runtime.NumGoroutine() <= before+2 })
	warm.silent()
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < 0x20 {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
