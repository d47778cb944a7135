package talk_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/testserver"
	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/internal/vacant"
)

// TestExplain connects to servers that are none, and reads what a user would.
func TestExplain(t *testing.T) {
	refusing := testserver.Start(t, &testserver.Options{
		Connect: func(context.Context, *edge.Handshake) (edge.Session, error) {
			return edge.Session{}, errors.New("no")
		},
	})
	status := func(code int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, body, code)
		}))
		t.Cleanup(s.Close)
		return "ws" + strings.TrimPrefix(s.URL, "http") + "/socket"
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)

	tests := []struct {
		about, url string
		cause      talk.Cause
		want       string
	}{
		{"nobody there", "ws://" + vacant.Address(t) + "/socket", talk.Unreachable, "nothing listens at HERE (connection refused)"},
		{"no such host", "ws://chat..invalid/socket", talk.Unreachable, "chat..invalid"}, // known without DNS, which may be away
		{"refused", "ws://" + refusing.Addr + "/socket", talk.Denied, "HERE refuses you (403): the token or the user name is not accepted"},
		{"unauthorized", status(401, "token expired"), talk.Denied, "HERE refuses you (401): the token or the user name is not accepted (it says: token expired)"},
		{"another path", "ws://" + refusing.Addr + "/elsewhere", talk.Unreachable, "HERE has no chat at this path (404)"},
		{"a web server", status(200, "<html>welcome</html>"), talk.Unreachable, "HERE is no chat server: it answered 200 OK"},
		{"overloaded", status(503, "starting"), talk.Unreachable, "HERE takes nobody in right now (503 Service Unavailable) (it says: starting)"},
		{"no TLS", "wss://" + plain.Listener.Addr().String() + "/socket", talk.Unreachable, "HERE does not speak TLS: use http:// or ws:// instead of https:// or wss://"},
		{"unknown authority", "wss://" + tlsServer.Listener.Addr().String() + "/socket", talk.Unreachable, "the certificate of HERE is signed by nobody known"},
		{"TLS only", "ws://" + tlsServer.Listener.Addr().String() + "/socket", talk.Unreachable, "HERE is no chat server: it answered 400"},
		{"not HTTP", "ws://" + babbler(t, "SSH-2.0-OpenSSH_9.9\r\n") + "/socket", talk.Unreachable, "HERE does not speak HTTP"},
		{"hangs up", "ws://" + babbler(t, "") + "/socket", talk.Unreachable, "no connection to HERE: server hung up"},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			s, err := talk.Dial(t.Context(), talk.Config{URL: tt.url, Username: "ann", Emit: func(talk.Event) {}})
			if err == nil {
				s.Close()
				t.Fatal("connected")
			}
			got := talk.Explain(err, "HERE")
			if got.Cause != tt.cause || !strings.Contains(got.Text, tt.want) {
				t.Errorf("got cause %d, %q\nwant %d, %q\nof %v", got.Cause, got.Text, tt.cause, tt.want, err)
			}
		})
	}
}

// babbler answers whoever connects with the same words, and hangs up.
func babbler(t *testing.T, words string) string {
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
			_, _ = c.Read(make([]byte, 4096)) // a close with unread bytes would be a reset
			_, _ = c.Write([]byte(words))
			c.Close()
		}
	}()
	return l.Addr().String()
}

// TestGarbage: a websocket server that speaks something else.
func TestGarbage(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		_ = c.Write(r.Context(), websocket.MessageText, []byte("welcome to the \x1b[31mgame"))
		_, _, _ = c.Read(r.Context())
	}))
	t.Cleanup(s.Close)
	ann := dial(t, strings.TrimPrefix(s.URL, "http://"), "ann")
	ann.Join("main")
	e := saw(ann, "what is wrong", func(e talk.Link) bool { return e.Err != nil })
	if got := talk.Explain(e.Err, "HERE"); !strings.Contains(got.Text, "HERE does not speak the chat's protocol") {
		t.Errorf("got %q of %v", got.Text, e.Err)
	}
}
