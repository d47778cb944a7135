package client_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/aristochat/aristochat/client"
)

// FuzzServer has a server send any bytes after the handshake, in frames of their
// own if framed. The client neither panics nor hangs, and leaves nothing behind.
func FuzzServer(f *testing.F) {
	const joined = `["1","1","t","phx_reply",{"status":"ok","response":{}}]`
	for _, seed := range []string{
		joined,
		`["1",null,"t","e",{"x":1}]`,
		`[null,null,"t","presence_state",{"u":{"metas":[{"phx_ref":"1"}]}}]`,
		`[null,null,"t","presence_diff",{"joins":{},"leaves":{"u":{"metas":[{}]}}}]`,
		`["1","1","t","phx_error",{}]`,
		`["1","1","t","phx_close",{}]`,
		`["1","2","t","phx_reply",{"status":"error","response":7}]`,
		`[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]`,
		"\x00\x01\x01\x011te\x01\x02", "\x02\x01\x01te\x01", "\x01\x01\x01\x01\x0211tok",
		"\x88\x02\x03\xe8", "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "\x89\x00",
	} {
		f.Add([]byte(seed), true, false)
		f.Add([]byte(seed), true, true)
		f.Add([]byte(seed), false, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, framed, binary bool) {
		if framed {
			data = append(serverFrame(1, joined), serverFrame(1+btoi(binary), string(data))...)
		}
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go speak(theirs, data)
			return ours, nil
		}}
		c, err := client.Dial(t.Context(), "ws://server", &client.Options{
			HTTPClient:     &http.Client{Transport: transport},
			Logger:         quiet(),
			MaxMessage:     1 << 16,
			Timeout:        patience,
			ReconnectAfter: func(int) time.Duration { return time.Hour },
		})
		if err != nil {
			t.Fatal(err)
		}
		ch := c.Channel("t", nil)
		who := client.NewPresence(ch, client.PresenceHandlers{State: func() {}})
		ch.On("e", func(m client.Message) { _ = m.Decode(new(any)) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = ch.Join(ctx)
		_ = fmt.Sprint(err) // has a text, whatever it is
		_, err = ch.Push(ctx, "e", nil)
		_ = fmt.Sprint(err)
		who.List()
		start := time.Now()
		c.Close()
		if took := time.Since(start); took > patience/2 {
			t.Errorf("Close took %v", took)
		}
		await(t, "Done", c.Done())
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// serverFrame is a whole frame, as servers send it: not masked.
func serverFrame(opcode int, data string) []byte {
	n := len(data)
	switch {
	case n < 126:
		return append([]byte{0x80 | byte(opcode), byte(n)}, data...)
	case n < 1<<16:
		return append([]byte{0x80 | byte(opcode), 126, byte(n >> 8), byte(n)}, data...)
	}
	return append([]byte{0x80 | byte(opcode), 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, data...)
}

// speak is a server that does the handshake, waits for the join, sends data and
// hangs up.
func speak(c net.Conn, data []byte) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	r.Peek(2) // it is a join
	go io.Copy(io.Discard, r)
	c.Write(data)
}
