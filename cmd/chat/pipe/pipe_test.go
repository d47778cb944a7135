package pipe_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/cmd/chat/pipe"
	"github.com/aristochat/aristochat/cmd/chat/talk"
)

// A server is one on a network of pipes, whose time synctest knows.
type server struct {
	joins bool // it answers joins
	says  bool // and messages, which everybody hears
	once  bool // it ends the connection after the first message, and is gone

	gone  atomic.Bool
	conns chan net.Conn
	ended chan struct{}
}

func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.ended:
		return nil, net.ErrClosed
	}
}

func (s *server) Close() error   { return nil }
func (s *server) Addr() net.Addr { return &net.UnixAddr{} }

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.gone.Load() {
		return nil, errors.New("the server is gone")
	}
	ours, theirs := net.Pipe()
	select {
	case s.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow()
	for {
		_, frame, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		var m []json.RawMessage // join_ref, ref, topic, event, payload
		if json.Unmarshal(frame, &m) != nil || len(m) != 5 {
			return
		}
		event := string(m[3])
		if event == `"chat_msg"` && s.once {
			s.gone.Store(true)
			return
		}
		if event == `"phx_join"` && !s.joins || event == `"chat_msg"` && !s.says {
			continue
		}
		reply, _ := json.Marshal([]any{m[0], m[1], m[2], "phx_reply", map[string]any{"status": "ok", "response": struct{}{}}})
		frames := [][]byte{reply}
		if event == `"chat_msg"` {
			said, _ := json.Marshal([]any{nil, nil, m[2], m[3], m[4]})
			frames = append(frames, said)
		}
		for _, frame := range frames {
			if ws.Write(context.Background(), websocket.MessageText, frame) != nil {
				return
			}
		}
	}
}

// run pipes in to s, to the end.
func run(t *testing.T, s *server, out io.Writer, in io.Reader) error {
	t.Helper()
	s.conns, s.ended = make(chan net.Conn), make(chan struct{})
	transport := &http.Transport{DialContext: s.dial}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(s) }()
	defer func() {
		close(s.ended)
		transport.CloseIdleConnections()
		_ = srv.Close()
	}()
	p := pipe.New(pipe.Options{Room: "main", User: "ann", Server: "server", Once: true, Out: out, Err: io.Discard})
	session, err := talk.Dial(t.Context(), talk.Config{
		URL:      "ws://server/socket",
		Username: "ann",
		HTTP:     &http.Client{Transport: transport},
		Emit:     p.Emit,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Run(t.Context(), session, in)
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	return err
}

// TestOnceEnds: whatever the server does, and says what it was.
func TestOnceEnds(t *testing.T) {
	for _, tt := range []struct {
		about  string
		server *server
		lines  int
		is     error
		want   string
	}{
		{"it answers", &server{joins: true, says: true}, 1, nil, ""},
		{"no answer to the join", &server{}, 1, pipe.ErrNoWayIn, `the room "main" was not entered within 30s`},
		{"no answer to the message", &server{joins: true}, 1, pipe.ErrNotSent, "1 message was not acknowledged"},
		{"gone", &server{joins: true, once: true}, 1, pipe.ErrNotSent, "1 message was not acknowledged"},
		{"gone, and there is more to say", &server{joins: true, once: true}, 1000, pipe.ErrNotSent,
			"no acknowledgement within 30s: the rest of the input was not sent; 100 messages were not acknowledged"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				err := run(t, tt.server, io.Discard, strings.NewReader(strings.Repeat("hello\n", tt.lines)))
				if !errors.Is(err, tt.is) || err != nil && err.Error() != tt.want {
					t.Errorf("ended with %v, want %q", err, tt.want)
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestInputFails: what could be read is sent, and the rest told of.
func TestInputFails(t *testing.T) {
	for _, tt := range []struct {
		about string
		rest  io.Reader
		want  string
	}{
		{"broken", iotest.ErrReader(errors.New("the disk is broken")), "reading standard input: the disk is broken"},
		{"too long a line", strings.NewReader(strings.Repeat("x", 5<<20)), "a line is longer than 4194304 bytes: it and what follows it was not sent"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := run(t, &server{joins: true, says: true}, io.Discard, io.MultiReader(strings.NewReader("hello\n"), tt.rest))
				if err == nil || err.Error() != tt.want {
					t.Errorf("ended with %v, want %q", err, tt.want)
				}
			})
		})
	}
}

// TestOutputFails: nobody believes to have what was not written, be it the last
// line.
func TestOutputFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := run(t, &server{joins: true, says: true}, fullDisk{}, strings.NewReader("hello\n"))
		if !errors.Is(err, errFull) {
			t.Errorf("ended with %v", err)
		}
	})
}

type fullDisk struct{}

var errFull = errors.New("the disk is full")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
