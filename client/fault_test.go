package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aristochat/aristochat/client"
	"github.com/aristochat/aristochat/internal/vacant"
	"github.com/coder/websocket"
)

func TestAddress(t *testing.T) {
	params := url.Values{"username": {"ann & bob"}, "a[b]": {"1"}}
	for in, want := range map[string]string{
		"ws://h:4000/socket":                "ws://h:4000/socket/websocket?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0",
		"http://h/socket/":                  "ws://h/socket/websocket?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0",
		"https://h/socket/websocket":        "wss://h/socket/websocket?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0",
		"WSS://h/socket/websocket/":         "wss://h/socket/websocket/?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0",
		"ws://[::1]:4000":                   "ws://[::1]:4000/websocket?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0",
		"ws://h/s?x=1&vsn=1.0.0&username=u": "ws://h/s/websocket?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0&x=1",
		"ws://h/s#fragment":                 "ws://h/s/websocket?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0",
		"ws://h/room%2Fone":                 "ws://h/room%2Fone/websocket?a%5Bb%5D=1&username=ann+%26+bob&vsn=2.0.0",
	} {
		if got, err := client.Address(in, params); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"localhost:4000": "must begin with ws://",
		"ftp://h/socket": "must begin with ws://",
		"":               "must begin with ws://",
		"ws:///socket":   "has no host",
		"ws://:4000":     "has no host",
		"ws://h:port/":   "port",
		"ws://h/s?a=%zz": "invalid URL escape",
		"://":            "address",
	} {
		if _, err := client.Dial(t.Context(), in, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", in, err, want)
		}
	}
}

// answers serves what is written there, to whatever comes.
func answers(t *testing.T, what string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c)) // which must not come after the answer
			_, _ = io.WriteString(c, what)
			c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	return "ws://" + l.Addr().String() + "/socket"
}

func TestDialRefused(t *testing.T) {
	handler := func(h http.HandlerFunc) string {
		hs := httptest.NewServer(h)
		t.Cleanup(hs.Close)
		return hs.URL
	}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	silent := answersNothing(t)
	s := startChat(t)

	tests := []struct {
		name, url string
		status    int // of a RefusedError
		want      string
	}{
		{"refused", handler(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "token has\nexpired", http.StatusForbidden)
		}), 403, "client: server answered 403 Forbidden: token has expired"},
		{"an HTML page", handler(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!doctype html>\n<h1>Welcome to the hotel</h1>"+strings.Repeat("<p>", 1000))
		}), 200, "client: server answered 200 and no websocket: <!doctype html> <h1>Welcome to the hotel</h1><p>"},
		{"another path", "ws://" + s.addr + "/elsewhere", 404, "client: server answered 404 Not Found"},
		{"a name that is refused", s.url() + "?username=" + strings.Repeat("x", 300), 403, "client: server answered 403 Forbidden"},
		{"not HTTP", answers(t, "SSH-2.0-OpenSSH_9.9\r\n"), 0, "malformed HTTP"},
		{"a wrong accept", answers(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"), 0, "Sec-WebSocket-Accept"},
		{"another upgrade", answers(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: mqtt\r\n\r\n"), 0, "Upgrade"},
		{"nothing at all", answers(t, ""), 0, "client: connecting: server hung up"},
		{"nobody listens", "ws://" + vacant.Address(t), 0, "refused"},
		{"no such host", "ws://nowhere..invalid/socket", 0, "nowhere..invalid"}, // known without DNS, which may be away
		{"silence", silent, 0, "client: connecting: timeout after 300ms"},
		{"unknown authority", secure.URL, 0, "certificate"},
		{"TLS to a plain server", "wss://" + s.addr + "/socket", 0, "HTTP response to HTTPS client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := &client.Options{Params: url.Values{"secret": {"s3cret"}}, Logger: quiet(), Timeout: patience}
			if tt.name == "silence" {
				o.Timeout = 300 * time.Millisecond
			}
			_, err := client.Dial(t.Context(), tt.url, o)
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(tt.want)) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v tells the params", err)
			}
			if len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is no line to show to people", err)
			}
			refused, ok := errors.AsType[*client.RefusedError](err)
			if ok != (tt.status != 0) || ok && refused.Status != tt.status {
				t.Errorf("got %#v, want status %d", refused, tt.status)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Dial(ctx, s.url(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

// answersNothing accepts and is silent.
func answersNothing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "ws://" + l.Addr().String() + "/socket"
}

// A server that is trusted, over TLS.
func TestTLS(t *testing.T) {
	hs := httptest.NewTLSServer(peerHandler(t, func(p *peer) { p.obey(func(frame) bool { return true }) }))
	t.Cleanup(hs.Close)
	header := http.Header{"X-Who": {"ann"}}
	c := dial(t, hs.URL, &client.Options{HTTPClient: hs.Client(), Header: header})
	join(t, c.Channel("t", nil))
}

// What a token looks like on the wire, and that a server may ignore it.
func TestTokenOnTheWire(t *testing.T) {
	asked := make(chan string, 10)
	var answer atomic.Bool
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Sec-WebSocket-Protocol")
		o := &websocket.AcceptOptions{Subprotocols: []string{"phoenix"}}
		if !answer.Load() {
			o.Subprotocols = nil
		}
		if ws, err := websocket.Accept(w, r, o); err == nil {
			ws.Close(websocket.StatusNormalClosure, "")
		}
	}))
	t.Cleanup(hs.Close)
	n := 0
	o := &client.Options{
		RefreshToken:   func(context.Context) (string, error) { n++; return fmt.Sprint("token", n), nil },
		ReconnectAfter: func(int) time.Duration { return time.Hour },
	}
	tell, told := states()
	o.OnState = tell
	c := dial(t, hs.URL, o)
	until(t, told, client.Reconnecting)
	answer.Store(true)
	c.Reconnect()
	for _, want := range []string{"phoenix,base64url.bearer.phx.dG9rZW4x", "phoenix,base64url.bearer.phx.dG9rZW4y"} {
		if got := await(t, "a handshake", asked); got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	}
}

// Frames that are no messages end the connection, and say so.
func TestGarbage(t *testing.T) {
	tests := map[string]func(p *peer){
		"not JSON":      func(p *peer) { p.send(`hello`) },
		"an object":     func(p *peer) { p.send(`{"topic":"t"}`) },
		"too short":     func(p *peer) { p.send(`[null,null,"t","e"]`) },
		"empty":         func(p *peer) { p.send(``) },
		"not UTF-8":     func(p *peer) { p.send("[null,null,\"t\",\"e\",{\"x\":\"\xff\"}]") },
		"binary":        func(p *peer) { p.ws.Write(context.Background(), websocket.MessageBinary, []byte{9, 9, 9}) },
		"short binary":  func(p *peer) { p.ws.Write(context.Background(), websocket.MessageBinary, []byte{0, 255, 1, 1}) },
		"broken JSON":   func(p *peer) { p.send(`[null,null,"t","e",{"x":}]`) },
		"a bare number": func(p *peer) { p.send(`7`) },
	}
	for name, garbage := range tests {
		t.Run(name, func(t *testing.T) {
			closed := make(chan websocket.StatusCode, 10)
			url := startPeer(t, func(p *peer) {
				f, _ := p.read()
				p.reply(f, "ok", `{}`)
				garbage(p)
				_, _, err := p.ws.Read(context.Background())
				closed <- websocket.CloseStatus(err)
			})
			tell, told := states()
			c := dial(t, url, &client.Options{OnState: tell, ReconnectAfter: func(int) time.Duration { return time.Hour }})
			ch := c.Channel("t", nil)
			lost := make(chan error, 1)
			ch.OnError(func(err error) { lost <- err })
			join(t, ch)
			s := until(t, told, client.Reconnecting)
			if !errors.Is(s.Err, client.ErrGarbage) || !errors.Is(s.Err, client.ErrLost) {
				t.Errorf("got %v, want ErrGarbage", s.Err)
			}
			if err := await(t, "OnError", lost); !errors.Is(err, client.ErrGarbage) {
				t.Errorf("OnError got %v, want ErrGarbage", err)
			}
			if code := await(t, "the server sees a close", closed); code != websocket.StatusProtocolError {
				t.Errorf("closed with %d, want 1002", code)
			}
		})
	}
}

// A reply that is none fails the push that it is for, at once.
func TestGarbageReply(t *testing.T) {
	url := startPeer(t, func(p *peer) {
		p.obey(func(f frame) bool {
			p.send(`["1",` + quote(f.ref) + `,"t","phx_reply",{"hello":1}]`)
			return true
		})
	})
	ch := dial(t, url, nil).Channel("t", nil)
	join(t, ch)
	if _, err := ch.Push(t.Context(), "e", nil); !errors.Is(err, client.ErrGarbage) || !errors.Is(err, client.ErrUnknown) {
		t.Errorf("got %v, want ErrGarbage and ErrUnknown", err)
	}
}

func TestTooLarge(t *testing.T) {
	large := `{"x":"` + strings.Repeat("x", 5<<20) + `"}`
	url := startPeer(t, func(p *peer) {
		p.obey(func(f frame) bool {
			p.reply(f, "ok", large)
			return true
		})
	})
	ch := dial(t, url, nil).Channel("t", nil)
	join(t, ch)
	if r := push(t, ch, "e", nil); len(r.Bytes) != len(large) {
		t.Errorf("got %d bytes, want %d", len(r.Bytes), len(large))
	}
	tell, told := states()
	ch = dial(t, url, &client.Options{MaxMessage: 1 << 20, OnState: tell, ReconnectAfter: func(int) time.Duration { return time.Hour }}).Channel("t", nil)
	join(t, ch)
	if _, err := ch.Push(t.Context(), "e", nil); !errors.Is(err, client.ErrUnknown) || !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if s := until(t, told, client.Reconnecting); !errors.Is(s.Err, client.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", s.Err)
	}
}

// A message that is too large for the server: it closes with 1009.
func TestServerRefusesSize(t *testing.T) {
	s := startChat(t)
	tell, told := states()
	o := user("ann")
	o.OnState = tell
	c := dial(t, s.url(), o)
	ch := c.Channel("rooms:lobby", nil)
	join(t, ch)
	for range 3 {
		until(t, told, client.Connected)
		_, err := ch.Push(t.Context(), "chat_msg", object{"body": strings.Repeat("x", 4<<20)})
		end, ok := errors.AsType[*client.CloseError](err)
		if !errors.Is(err, client.ErrUnknown) || !ok || end.Code != 1009 {
			t.Errorf("got %v, want ErrUnknown with 1009", err)
		}
	}
	push(t, ch, "chat_msg", object{"body": "short"})
}

// A server that does not read is found out, and what it did not get is sent to
// the next.
func TestServerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var life atomic.Int32
		blocked, reading := make(chan struct{}), make(chan struct{})
		n := onPipes(t, peerHandler(t, func(p *peer) {
			f, _ := p.read()
			p.reply(f, "ok", `{}`)
			if life.Add(1) == 1 {
				_, r, _ := p.ws.Reader(context.Background())
				_, _ = r.Read(make([]byte, 1))
				close(reading)
				<-blocked
				return
			}
			p.obey(func(f frame) bool { p.reply(f, "ok", `{"life":2}`); return true })
		}))
		defer close(blocked)
		c := n.dial(t, client.Options{Timeout: time.Second})
		defer c.Close()
		ch := c.Channel("t", nil)
		join(t, ch)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		failed := make(chan error, 1)
		go func() {
			_, err := ch.Push(ctx, "e", object{"x": strings.Repeat("x", 1<<20)}) // more than the server's buffer
			failed <- err
		}()
		<-reading // some of it has arrived
		if r, err := ch.Push(ctx, "e", nil); err != nil || string(r.Bytes) != `{"life":2}` {
			t.Errorf("what waited for its turn: got %s, %v, want the answer of the next connection", r.Bytes, err)
		}
		if err := <-failed; !errors.Is(err, client.ErrUnknown) || !errors.Is(err, client.ErrLost) ||
			!strings.Contains(err.Error(), "server did not read: timeout after 1s") {
			t.Errorf("the push that was being written: got %v, want ErrUnknown", err)
		}
	})
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"server answered 403 Forbidden":                    &client.RefusedError{Status: 403},
		"server answered 599: a � b":                       &client.RefusedError{Status: 599, Body: "a \xff\n\tb"},
		"server closed with 4999: bye":                     &client.CloseError{Code: 4999, Reason: "bye"},
		`joining "t" was refused: no`:                      &client.ReplyError{Topic: "t", Event: "phx_join", Reply: reply("error", `{"reason":"no"}`)},
		`e on "t" was refused: plain`:                      &client.ReplyError{Topic: "t", Event: "e", Reply: reply("error", `"plain"`)},
		`e on "t" was answered custom {"x":1}`:             &client.ReplyError{Topic: "t", Event: "e", Reply: reply("custom", `{"x":1}`)},
		`e on "t" was answered custom`:                     &client.ReplyError{Topic: "t", Event: "e", Reply: client.Reply{Status: "custom", Payload: client.Payload{Bytes: []byte{1}, Binary: true}}},
		`e on "t" was answered error {"reason":{"a":"b"}}`: &client.ReplyError{Topic: "t", Event: "e", Reply: reply("error", `{"reason":{"a":"b"}}`)},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func reply(status, response string) client.Reply {
	return client.Reply{Status: status, Payload: client.Payload{Bytes: []byte(response)}}
}
