package edge_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/aristochat/aristochat/edge"
)

// A bareClient is a websocket client that costs next to nothing: a TCP
// connection without a goroutine. Its frames have a mask of zeros.
type bareClient struct {
	net.Conn
	r *bufio.Reader
}

func dialBare(tb testing.TB, e *edgeServer) *bareClient {
	tb.Helper()
	nc, err := net.Dial("tcp", e.http.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	c := &bareClient{nc, bufio.NewReaderSize(nc, 256)}
	_, err = io.WriteString(nc, "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		tb.Fatal(err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		tb.Fatalf("upgrade: %v, %v", res, err)
	}
	return c
}

func (c *bareClient) send(tb testing.TB, text string) {
	tb.Helper()
	if len(text) > 125 {
		tb.Fatal("too long for a bare client")
	}
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	if _, err := c.Write(frame); err != nil {
		tb.Fatal(err)
	}
}

// readFrame returns the payload of the next frame.
func (c *bareClient) readFrame(tb testing.TB) string {
	tb.Helper()
	var h [2]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		tb.Fatal(err)
	}
	n := int(h[1])
	if n == 126 {
		var ext [2]byte
		if _, err := io.ReadFull(c.r, ext[:]); err != nil {
			tb.Fatal(err)
		}
		n = int(ext[0])<<8 | int(ext[1])
	}
	if n == 127 {
		var ext [8]byte
		if _, err := io.ReadFull(c.r, ext[:]); err != nil {
			tb.Fatal(err)
		}
		n = int(binary.BigEndian.Uint64(ext[:]))
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(c.r, p); err != nil {
		tb.Fatal(err)
	}
	return string(p)
}

func (c *bareClient) join(tb testing.TB, topic string) {
	tb.Helper()
	c.send(tb, fmt.Sprintf(`["1","1",%q,"phx_join",{}]`, topic))
	if got := c.readFrame(tb); !strings.Contains(got, `"status":"ok"`) {
		tb.Fatal(got)
	}
}

type mute struct{}

func (mute) Join(context.Context, *edge.Socket, edge.Payload) (any, error) { return nil, nil }
func (mute) Handle(context.Context, *edge.Socket, *edge.Message) (*edge.Reply, error) {
	return nil, nil
}

// memory is what the process's heap and stacks hold.
func memory() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkIdleSocket reports what a joined socket costs that has nothing to
// say: bytes of heap and stack, and goroutines. The bare client's share, a TCP
// connection and a buffer of 256 bytes, is measured beside it and taken off.
func BenchmarkIdleSocket(b *testing.B) {
	const n, perRoom = 2000, 10
	e := single(b, nil, func() edge.Channel { return mute{} })
	dialBare(b, e).join(b, "t:warm")

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	for b.Loop() {
		before := memory()
		var pairs []net.Conn
		var buffers []*bufio.Reader
		for range n {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			s, err := ln.Accept()
			if err != nil {
				b.Fatal(err)
			}
			pairs = append(pairs, c, s)
			buffers = append(buffers, bufio.NewReaderSize(c, 256))
		}
		// Only the client's end of a pair is the client's.
		bare := (memory() - before) / 2
		runtime.KeepAlive(buffers)
		for _, c := range pairs {
			c.Close()
		}
		pairs = nil

		before = memory()
		goroutines := runtime.NumGoroutine()
		clients := make([]*bareClient, n)
		for i := range clients {
			clients[i] = dialBare(b, e)
			clients[i].join(b, fmt.Sprintf("t:%d", i/perRoom))
		}
		b.ReportMetric((memory()-before-bare)/n, "B/socket")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/socket")
		for _, c := range clients {
			c.Close()
		}
		eventually(b, "all but one gone", func() bool { return e.Stats().Sockets == 1 })
	}
}

// BenchmarkFanOut broadcasts to a room of 1,000 members and waits until all
// have got it. A client's reading is part of the cost.
func BenchmarkFanOut(b *testing.B) {
	const members = 1000
	for _, burst := range []int{1, 10} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			e := single(b, nil, func() edge.Channel { return mute{} })
			var got sync.WaitGroup
			payload := map[string]string{"body": strings.Repeat("x", 100)}
			var size int
			for i := range members {
				c := dialBare(b, e)
				c.join(b, "t:x")
				if i == 0 {
					if err := e.Broadcast(b.Context(), "t:x", "msg", payload); err != nil {
						b.Fatal(err)
					}
					size = len(c.readFrame(b)) + 4
				}
				go func() {
					buf := make([]byte, size*burst)
					for {
						if _, err := io.ReadFull(c.r, buf); err != nil {
							return
						}
						got.Done()
					}
				}()
			}
			b.ReportAllocs()
			for b.Loop() {
				got.Add(members)
				for range burst {
					if err := e.Broadcast(b.Context(), "t:x", "msg", payload); err != nil {
						b.Fatal(err)
					}
				}
				got.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*members*burst), "µs/delivery")
		})
	}
}
