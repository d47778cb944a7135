package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aristochat/aristochat/client"
	"github.com/coder/websocket"
)

// A pipeNet is a network of pipes, whose time synctest knows.
type pipeNet struct {
	conns chan net.Conn
	ended chan struct{}
	http  *http.Client
}

func (n *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.ended:
		return nil, net.ErrClosed
	}
}

func (n *pipeNet) Close() error   { return nil }
func (n *pipeNet) Addr() net.Addr { return &net.UnixAddr{} }

// onPipes serves h on a network of pipes, in a bubble.
func onPipes(t *testing.T, h http.Handler) *pipeNet {
	n := &pipeNet{conns: make(chan net.Conn), ended: make(chan struct{})}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case n.conns <- theirs:
			return ours, nil
		case <-n.ended:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	n.http = &http.Client{Transport: transport}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go srv.Serve(n)
	t.Cleanup(func() {
		close(n.ended)
		transport.CloseIdleConnections()
		srv.Close()
	})
	return n
}

// dialPipes connects on the network.
func (n *pipeNet) dial(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	o.HTTPClient, o.Logger = n.http, quiet()
	c, err := client.Dial(t.Context(), "ws://server/socket", &o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A server that is silent is left after a heartbeat without an answer, and
// found again.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := 0
		n := onPipes(t, peerHandler(t, func(p *peer) {
			if life++; life == 1 {
				for {
					_, data, err := p.ws.Read(context.Background())
					if err != nil {
						return
					}
					if want := `[null,"1","phoenix","heartbeat",{}]`; string(data) != want {
						t.Errorf("got %s, want %s", data, want)
					}
				}
			}
			p.read() // answers heartbeats
		}))
		start := time.Now()
		tell, told := states()
		c := n.dial(t, client.Options{OnState: tell})
		defer c.Close()
		until(t, told, client.Connected)
		s := until(t, told, client.Reconnecting)
		if !errors.Is(s.Err, client.ErrLost) || !strings.Contains(s.Err.Error(), "heartbeat was not answered") || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), s.Err)
		}
		until(t, told, client.Connected)
		time.Sleep(time.Hour)
		if s := c.State(); s.Status != client.Connected {
			t.Errorf("an hour later: %+v", s)
		}
	})
}

// The steps of phoenix.js, and that they begin anew only after a connection that
// lasted.
func TestReconnectSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lasts atomic.Int64
		n := onPipes(t, peerHandler(t, func(*peer) { time.Sleep(time.Duration(lasts.Load())) }))
		tell, told := states()
		c := n.dial(t, client.Options{OnState: tell})
		defer c.Close()
		steps := []int64{10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000, 5000, 5000}
		for i, most := range steps {
			s := until(t, told, client.Reconnecting)
			if wait := time.Until(s.Next); s.Try != i+1 || wait < 0 || wait > time.Duration(most)*time.Millisecond {
				t.Errorf("try %d after %v, want number %d within %v ms", s.Try, wait, i+1, most)
			}
			if s = until(t, told, client.Reconnecting); !s.Next.IsZero() || s.Try != i+1 {
				t.Errorf("got %+v, want that it tries", s)
			}
			until(t, told, client.Connected)
		}
		lasts.Store(int64(5 * time.Second))
		until(t, told, client.Reconnecting) // of the last short one
		until(t, told, client.Reconnecting)
		until(t, told, client.Connected)
		if s := until(t, told, client.Reconnecting); s.Try != 1 {
			t.Errorf("try %d after a connection that lasted, want 1", s.Try)
		}
	})
}

// What makes a difference to when the next attempt comes.
func TestReconnectDelay(t *testing.T) {
	refuse := func(status int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if len(header) > 0 {
				w.Header().Set("Retry-After", header[0])
			}
			http.Error(w, "go away", status)
		}
	}
	closing := func(code websocket.StatusCode) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if ws, err := websocket.Accept(w, r, nil); err == nil {
				ws.Close(code, "")
			}
		}
	}
	tests := []struct {
		name        string
		then        http.HandlerFunc // what answers after the first connection
		least, most time.Duration
		err         string
	}{
		{"503", refuse(503), 0, 50 * time.Millisecond, "server answered 503 Service Unavailable: go away"},
		{"503 with seconds", refuse(503, "7"), 7 * time.Second, 9 * time.Second, "503"},
		{"429 with a date", refuse(429, time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC).Format(http.TimeFormat)), 58 * time.Second, 62 * time.Second, "429"},
		{"503 with a year", refuse(503, "31536000"), time.Hour, time.Hour + 2*time.Second, "503"},
		{"503 with nonsense", refuse(503, "soon"), 0, 50 * time.Millisecond, "503"},
		{"403", refuse(403), 15 * time.Second, 30 * time.Second, "403"},
		{"401", refuse(401), 15 * time.Second, 30 * time.Second, "401"},
		{"404", refuse(404), 0, 50 * time.Millisecond, "404"},
		{"1012", closing(1012), 0, 2 * time.Second, "server closed with 1012, it restarts"},
		{"1013", closing(1013), 0, 2 * time.Second, "server closed with 1013, try again later"},
		{"1000", closing(1000), 0, 50 * time.Millisecond, "server closed with 1000, done"},
		{"1009", closing(1009), 0, 50 * time.Millisecond, "server closed with 1009, a message was too large for it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				n := onPipes(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !first {
						tt.then(w, r)
						return
					}
					first = false
					if ws, err := websocket.Accept(w, r, nil); err == nil {
						ws.CloseNow()
					}
				}))
				tell, told := states()
				c := n.dial(t, client.Options{OnState: tell})
				defer c.Close()
				for {
					s := until(t, told, client.Reconnecting)
					if !strings.Contains(s.Err.Error(), tt.err) || s.Next.IsZero() {
						continue // the first loss
					}
					if wait := time.Until(s.Next); wait < tt.least || wait > tt.most {
						t.Errorf("waits %v, want %v to %v", wait, tt.least, tt.most)
					}
					break
				}
				before := time.Now()
				c.Reconnect()
				if s := until(t, told, client.Reconnecting); !s.Next.IsZero() || !time.Now().Equal(before) {
					t.Errorf("Reconnect led to %+v after %v, want an attempt at once", s, time.Since(before))
				}
			})
		})
	}
}

// A mass restart is no storm: a thousand clients closed with 1012 at once come
// back spread over two seconds.
func TestNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 300
		var at []time.Time
		comes := make(chan time.Time, 2*clients)
		restart := make(chan struct{})
		n := onPipes(t, peerHandler(t, func(p *peer) {
			select { // before anybody knows that this one is here, and says restart
			case <-restart:
				comes <- time.Now()
				p.read()
			default:
				comes <- time.Now()
				<-restart
				p.ws.Close(websocket.StatusServiceRestart, "")
			}
		}))
		for range clients {
			defer n.dial(t, client.Options{}).Close()
		}
		for range clients {
			<-comes
		}
		close(restart)
		for range clients {
			at = append(at, <-comes)
		}
		slices.SortFunc(at, time.Time.Compare)
		busiest := 0
		for i := range at { // in any tenth of a second
			j, _ := slices.BinarySearchFunc(at, at[i].Add(100*time.Millisecond), time.Time.Compare)
			busiest = max(busiest, j-i)
		}
		if busiest > clients/5 { // 15 on average
			t.Errorf("%d of %d came within 100 ms", busiest, clients)
		}
	})
}

// A channel that crashes, is refused or gets no answer is joined again, by the
// steps of phoenix.js.
func TestRejoinSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []int64{1, 2, 5, 10, 10}
		type event struct {
			at   time.Time
			name string
			ref  string
		}
		events := make(chan event, 100)
		n := onPipes(t, peerHandler(t, func(p *peer) {
			joins := 0
			for {
				f, ok := p.read()
				if !ok {
					return
				}
				events <- event{time.Now(), f.event, f.joinRef}
				switch f.event {
				case "phx_leave":
					p.reply(f, "ok", `{}`)
				case "phx_join":
					joins++
					switch joins {
					case 1:
						p.reply(f, "ok", `{}`)
						time.Sleep(time.Second)
						p.event(f, "phx_error", `{"reason":"channel_crash"}`)
					case 2, 3:
						p.reply(f, "error", `{"reason":"not now"}`)
					case 4, 5: // no answer
					default:
						p.reply(f, "ok", `{}`)
					}
				}
			}
		}))
		c := n.dial(t, client.Options{})
		defer c.Close()
		ch := c.Channel("t", nil)
		failed := make(chan error, 100)
		joined := make(chan client.Reply, 100)
		ch.OnError(func(err error) { failed <- err })
		ch.OnJoin(func(r client.Reply) { joined <- r })
		join(t, ch)
		<-joined
		if e := <-events; e.name != "phx_join" || e.ref != "1" {
			t.Errorf("got %+v, want a join", e)
		}
		refs := map[string]bool{"1": true}
		for i, most := range steps {
			err := <-failed
			lost := time.Now()
			switch i {
			case 0:
				if !errors.Is(err, client.ErrCrashed) {
					t.Errorf("failed with %v, want ErrCrashed", err)
				}
			case 1, 2:
				if refused, ok := errors.AsType[*client.ReplyError](err); !ok || refused.Reason() != "not now" {
					t.Errorf("failed with %v, want a refusal", err)
				}
			default:
				if !errors.Is(err, client.ErrTimeout) {
					t.Errorf("failed with %v, want a timeout", err)
				}
				if e := <-events; e.name != "phx_leave" || !refs[e.ref] {
					t.Errorf("got %+v, want a leave of what was not answered", e)
				}
			}
			e := <-events
			if wait := e.at.Sub(lost); e.name != "phx_join" || refs[e.ref] || wait < 0 || wait > time.Duration(most)*time.Second {
				t.Errorf("after the failure number %d came %+v after %v, want a join with a new ref within %d s", i+1, e, wait, most)
			}
			refs[e.ref] = true
		}
		<-joined
	})
}

// Join tries on while the connection comes and goes, until its context ends.
func TestJoinWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := 0
		n := onPipes(t, peerHandler(t, func(p *peer) {
			if life++; life == 2 { // breaks when it gets the join
				p.read()
				return
			}
			p.obey(func(frame) bool { return false })
		}))
		c := n.dial(t, client.Options{})
		defer c.Close()
		ch := c.Channel("a", nil)
		join(t, ch)
		_ = ch.Send(t.Context(), "break", nil)
		asked := 0
		second := c.Channel("b", func() any { asked++; return nil })
		time.Sleep(time.Nanosecond)
		join(t, second)
		if asked == 0 {
			t.Error("params were not asked for")
		}
		third := c.Channel("c", func() any { return make(chan int) })
		if _, err := third.Join(t.Context()); err == nil || !strings.Contains(err.Error(), "encoding payload") {
			t.Errorf("got %v, want an error of params that have no JSON", err)
		}
	})
}
