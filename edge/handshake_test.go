package edge_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// shake sends a handshake as it stands, but for the headers that are always the
// same unless replaced, and returns the answer and its body.
func shake(t *testing.T, e *edgeServer, request string, headers ...string) (*http.Response, string) {
	t.Helper()
	nc, err := net.Dial("tcp", e.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	all := []string{"Host: chat.test", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		for i, old := range all {
			if strings.HasPrefix(old, name+":") {
				all[i] = ""
			}
		}
		if value != " -" {
			all = append(all, h)
		}
	}
	if !strings.Contains(request, " HTTP/") {
		request += " HTTP/1.1"
	}
	text := request + "\r\n"
	for _, h := range all {
		if h != "" {
			text += h + "\r\n"
		}
	}
	if _, err := io.WriteString(nc, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res, ""
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, strings.TrimSpace(string(body))
}

func TestHandshake(t *testing.T) {
	errRate := errors.New("rate limit")
	e := single(t, &edge.Options{
		Connect: func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
			switch h.Params.Get("refuse") {
			case "error":
				return edge.Session{}, errors.New("no")
			case "rate":
				return edge.Session{}, errRate
			case "crash":
				panic("in connect")
			}
			return edge.Session{}, nil
		},
		RefuseConnect: func(w http.ResponseWriter, _ *http.Request, err error) {
			if errors.Is(err, errRate) {
				http.Error(w, "Too many requests", http.StatusTooManyRequests)
				return
			}
			w.WriteHeader(http.StatusForbidden)
		},
	}, probes)
	const ws = "GET /socket/websocket?vsn=2.0.0"
	tests := []struct {
		name, request string
		headers       []string
		status        int
		body          string
	}{
		{"v2", ws, nil, 101, ""},
		{"no vsn", "GET /socket/websocket", nil, 101, ""},
		{"patch version", "GET /socket/websocket?vsn=2.0.5", nil, 101, ""},
		{"last vsn wins", "GET /socket/websocket?vsn=9.0.0&vsn=2.0.0", nil, 101, ""},
		{"unsupported vsn", "GET /socket/websocket?vsn=2.1.0", nil, 403, ""},
		{"odd vsn", "GET /socket/websocket?vsn=v2.0.0", nil, 403, ""},
		{"empty vsn", "GET /socket/websocket?vsn", nil, 403, ""},
		{"vsn list", "GET /socket/websocket?vsn[]=1", nil, 403, ""},
		{"trailing slash", "GET /socket/websocket/?vsn=2.0.0", nil, 101, ""},
		{"doubled slashes", "GET //socket//websocket?vsn=2.0.0", nil, 101, ""},
		{"case", "GET /socket/Websocket?vsn=2.0.0", nil, 404, "Not Found"},
		{"escaped path", "GET /socket/web%73ocket?vsn=2.0.0", nil, 404, "Not Found"},
		{"mount only", "GET /socket", nil, 404, "Not Found"},
		{"plain GET", ws, []string{"Connection: -", "Upgrade: -"}, 400, "'connection' header must contain 'upgrade', got []"},
		{"keep-alive", ws, []string{"Connection: keep-alive"}, 400, `'connection' header must contain 'upgrade', got ["keep-alive"]`},
		{"connection list", ws, []string{"Connection: keep-alive, uPgrade"}, 101, ""},
		{"other upgrade", ws, []string{"Upgrade: h2c"}, 400, `'upgrade' header must contain 'websocket', got ["h2c"]`},
		{"no key", ws, []string{"Sec-WebSocket-Key: -"}, 400, "'sec-websocket-key' header is absent"},
		{"version 8", ws, []string{"Sec-WebSocket-Version: 8"}, 400, `'sec-websocket-version' header must equal '13', got ["8"]`},
		{"HTTP/1.0", ws + " HTTP/1.0", nil, 400, "HTTP version HTTP/1.0 unsupported"},
		{"refusal comes before upgrade headers", ws + "&refuse=error", []string{"Upgrade: -"}, 403, ""},
		{"POST", "POST /socket/websocket", []string{"Content-Length: 0"}, 400, ""},
		{"HEAD", "HEAD /socket/websocket", nil, 400, ""},
		{"bad UTF-8", "GET /socket/websocket?vsn=%ff", nil, 400, "Bad Request"},
		{"bad escape", "GET /socket/websocket?a=%zz", nil, 400, "Bad Request"},
		{"refused", ws + "&refuse=error", nil, 403, ""},
		{"refused otherwise", ws + "&refuse=rate", nil, 429, "Too many requests"},
		{"connect crashes", ws + "&refuse=crash", nil, 500, "Internal Server Error"},
		{"same host", ws, []string{"Origin: https://chat.test:8443"}, 101, ""},
		{"other host", ws, []string{"Origin: https://evil.test"}, 403, ""},
		{"null origin", ws, []string{"Origin: null"}, 403, ""},
		{"empty origin", ws, []string{"Origin:"}, 403, ""},
		{"origin before subprotocol and connect", ws + "&refuse=crash", []string{"Origin: https://evil.test"}, 403, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := shake(t, e, tt.request, tt.headers...)
			if res.StatusCode != tt.status || body != tt.body {
				t.Errorf("%d %q, want %d %q", res.StatusCode, body, tt.status, tt.body)
			}
			if got := res.Header.Get("Sec-Websocket-Accept"); tt.status == 101 && got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Errorf("Sec-WebSocket-Accept: %q", got)
			}
		})
	}
}

func TestHandshakeQueryTooLong(t *testing.T) {
	e := single(t, nil, probes)
	res, _ := shake(t, e, "GET /socket/websocket?a="+strings.Repeat("x", 1_000_000))
	if res.StatusCode != http.StatusRequestURITooLong {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestSubprotocols(t *testing.T) {
	const bearer = "base64url.bearer.phx."
	tests := []struct {
		name   string
		opts   edge.Options
		offer  string
		status int
		chosen string
		token  string // "-" for none
	}{
		{"none wanted", edge.Options{}, "phoenix, x", 101, "", "-"},
		{"listed", edge.Options{Subprotocols: []string{"sip"}}, "mqtt, sip", 101, "sip", "-"},
		{"not listed", edge.Options{Subprotocols: []string{"sip"}}, "mqtt", 403, "", ""},
		{"not offered", edge.Options{Subprotocols: []string{"sip"}}, "", 101, "", "-"},
		{"token", edge.Options{AuthToken: true}, "phoenix, " + bearer + "YWJj", 101, "phoenix", "abc"},
		{"token alone", edge.Options{AuthToken: true}, bearer + "YWJjZA==", 101, "", "abcd"},
		{"no token", edge.Options{AuthToken: true}, "phoenix", 101, "phoenix", "-"},
		{"no header", edge.Options{AuthToken: true}, "", 101, "", "-"},
		{"other", edge.Options{AuthToken: true}, "sip", 403, "", ""},
		{"two tokens", edge.Options{AuthToken: true}, "phoenix, " + bearer + "YQ, " + bearer + "Yg", 101, "phoenix", "-"},
		{"standard alphabet", edge.Options{AuthToken: true}, "phoenix, " + bearer + "+/8", 101, "phoenix", "\xfb\xff"},
		{"URL-safe alphabet", edge.Options{AuthToken: true}, "phoenix, " + bearer + "-_8", 101, "phoenix", "\xfb\xff"},
		{"empty token", edge.Options{AuthToken: true}, "phoenix, " + bearer, 101, "phoenix", ""},
		{"not base64", edge.Options{AuthToken: true}, "phoenix, " + bearer + "!", 500, "", ""},
	}
	ns := newNATS(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := ""
			tt.opts.Connect = func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
				if token = h.Token; !h.HasToken {
					token = "-"
				}
				return edge.Session{}, nil
			}
			e := newEdge(t, newLink(t, ns), &tt.opts, probes)
			var headers []string
			if tt.offer != "" {
				headers = []string{"Sec-WebSocket-Protocol: " + tt.offer}
			}
			res, _ := shake(t, e, "GET /socket/websocket?vsn=2.0.0", headers...)
			got := strings.Join(res.Header.Values("Sec-Websocket-Protocol"), "; ")
			if res.StatusCode != tt.status || got != tt.chosen || token != tt.token {
				t.Errorf("status %d, protocol %q, token %q; want %d, %q, %q", res.StatusCode, got, token, tt.status, tt.chosen, tt.token)
			}
		})
	}
}

// Frames that arrive in the same segment as the handshake are not lost.
func TestFrameWithHandshake(t *testing.T) {
	e := single(t, nil, probes)
	nc, err := net.Dial("tcp", e.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	key := base64.StdEncoding.EncodeToString(make([]byte, 16))
	heartbeat := `[null,"1","phoenix","heartbeat",{}]`
	fmt.Fprintf(nc, "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n%s%s", key, []byte{0x81, 0x80 | byte(len(heartbeat)), 0, 0, 0, 0}, heartbeat)
	c := &bareClient{nc, bufio.NewReader(nc)}
	if _, err := http.ReadResponse(c.r, nil); err != nil {
		t.Fatal(err)
	}
	if got := c.readFrame(t); got != `[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]` {
		t.Error(got)
	}
}
