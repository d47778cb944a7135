package edge

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

// Each frame that we build is to the byte what coder/websocket would have sent.
func TestFrameIsTheLibrarys(t *testing.T) {
	for _, n := range []int{0, 1, 60, 61, 62, 63, 100, 65_400, 65_480, 65_500, 65_536, 200_000} {
		m := &protocol.Message{Kind: protocol.Broadcast, Topic: "rooms:lobby", Event: "msg", Payload: []byte(`{"b":"` + strings.Repeat("x", n) + `"}`)}
		binary := &protocol.Message{Kind: protocol.Broadcast, Topic: "rooms:lobby", Event: "msg", Payload: make([]byte, n), Binary: true}
		for _, m := range []*protocol.Message{m, binary} {
			f, err := frameOf(protocol.V2, false, m)
			if err != nil {
				t.Fatal(err)
			}
			payload, isBinary, err := protocol.AppendServer(nil, protocol.V2, m)
			if err != nil {
				t.Fatal(err)
			}
			if want := libraryFrame(t, isBinary, payload); !bytes.Equal(f, want) {
				t.Errorf("%d bytes, binary %v: frame begins % x, the library's % x", n, isBinary, f[:min(12, len(f))], want[:min(12, len(want))])
			}
		}
	}
}

// libraryFrame returns what coder/websocket writes for a message.
func libraryFrame(t *testing.T, isBinary bool, payload []byte) []byte {
	t.Helper()
	var wire bytes.Buffer
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		kind := websocket.MessageText
		if isBinary {
			kind = websocket.MessageBinary
		}
		if err := ws.Write(context.Background(), kind, payload); err != nil {
			t.Error(err)
		}
		_ = ws.CloseNow()
	}))
	defer hs.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &tapConn{nc, &wire}, err
	}}}
	ws, _, err := websocket.Dial(t.Context(), hs.URL, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	ws.SetReadLimit(-1)
	if _, _, err := ws.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, frame, _ := bytes.Cut(wire.Bytes(), []byte("\r\n\r\n"))
	return frame
}

type tapConn struct {
	net.Conn
	read *bytes.Buffer
}

func (c *tapConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Write(p[:n])
	return n, err
}

func TestCompressedFrame(t *testing.T) {
	m := &protocol.Message{Kind: protocol.Broadcast, Topic: "t:a", Event: "msg", Payload: []byte(`{"b":"` + strings.Repeat("x", 500) + `"}`)}
	f, err := frameOf(protocol.V2, true, m)
	if err != nil {
		t.Fatal(err)
	}
	if f[0] != finBit|rsv1Bit|opText || int(f[1]) != len(f)-2 {
		t.Fatalf("header % x of %d bytes", f[:2], len(f))
	}
	r := flate.NewReader(io.MultiReader(bytes.NewReader(f[2:]), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := protocol.AppendServer(nil, protocol.V2, m)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("inflates to %q, %v", got, err)
	}
}

// Members who speak the same version share one frame.
func TestBroadcastEncodesOnce(t *testing.T) {
	b := broadcast{message: protocol.Message{Kind: protocol.Broadcast, Topic: "t:a", Event: "msg", Payload: []byte(`{}`)}}
	for _, v := range []protocol.Version{protocol.V1, protocol.V2} {
		for _, deflate := range []bool{false, true} {
			x, err := b.frame(v, deflate)
			if err != nil {
				t.Fatal(err)
			}
			y, err := b.frame(v, deflate)
			if err != nil || &x[0] != &y[0] {
				t.Errorf("version %d, deflate %v: encoded twice", v, deflate)
			}
		}
	}
}
