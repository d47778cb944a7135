package edge_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/coder/websocket"
)

// refused dials and wants to be told to come again later.
func refused(t *testing.T, e *edgeServer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, res, err := websocket.Dial(ctx, e.url("/socket/websocket?vsn=2.0.0"), nil)
	if err == nil {
		ws.CloseNow()
		t.Error("a client was let in")
		return
	}
	if res == nil {
		t.Errorf("got %v", err)
		return
	}
	wantBusy(t, res)
}

func wantBusy(t *testing.T, res *http.Response) {
	t.Helper()
	after, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != http.StatusServiceUnavailable || err != nil || after < 1 || after > 11 ||
		res.Header.Get("Access-Control-Expose-Headers") != "Retry-After" {
		t.Errorf("got %d %v, want 503 and a Retry-After", res.StatusCode, res.Header)
	}
}

// A server that is full says so, and takes others once somebody has gone.
func TestFull(t *testing.T) {
	e := single(t, longPoll(func(o *edge.Options) { o.MaxSockets = 2 }), probes)
	p := newPoller(t, e) // counts, too
	c := e.v2(t)
	if err := e.Ready(); !errors.Is(err, edge.ErrFull) {
		t.Errorf("Ready = %v, want ErrFull", err)
	}
	refused(t, e)
	res, _ := request(t, e, "GET", pollPath, "")
	wantBusy(t, res)
	if origin := res.Header.Get("Access-Control-Allow-Origin"); origin != "*" {
		t.Errorf("pages of other origins cannot read the refusal: %q", origin)
	}
	p.send(beat) // who is there stays
	p.want(beatReply)
	c.silent()
	if st := e.Stats(); st.Handshakes["full"] != 2 || st.Sockets != 2 || st.Handshakes["ok"] != 2 {
		t.Errorf("%+v", st)
	}
	c.ws.CloseNow()
	eventually(t, "there is a place", func() bool { return e.Ready() == nil })
	e.v2(t).silent()
}

// Handshakes beyond the rate wait, and none fails.
func TestHandshakesWait(t *testing.T) {
	e := single(t, longPoll(func(o *edge.Options) { o.AdmitRate = 20 }), probes) // two at once
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if i%4 == 0 {
				newPoller(t, e)
			} else {
				e.v2(t)
			}
		})
	}
	wg.Wait()
	if d := time.Since(began); d < 650*time.Millisecond {
		t.Errorf("it took %v to let 16 clients in", d)
	}
	eventually(t, "all are counted", func() bool { return e.Stats().Handshakes["ok"] == 16 })
	// Up to 14 had to, fewer on a machine that is slow to ask.
	if st := e.Stats(); st.Limits["admit_rate"] == 0 || st.Waiting != 0 || st.Handshakes["crowded"] != 0 {
		t.Errorf("%+v", st)
	}
}

// Who would have to wait for too long is told at once.
func TestHandshakesRefused(t *testing.T) {
	e := single(t, &edge.Options{AdmitRate: 0.01, AdmitWait: time.Minute}, probes)
	e.v2(t)
	began := time.Now()
	for range 3 {
		refused(t, e)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
	if st := e.Stats(); st.Handshakes["crowded"] != 3 || st.Waiting != 0 {
		t.Errorf("%+v", st)
	}
}

// Who waits is sent away when the server begins to drain; who gives up is
// forgotten.
func TestHandshakesGivenUp(t *testing.T) {
	e := single(t, &edge.Options{AdmitRate: 0.01, AdmitWait: 10 * time.Minute}, probes)
	c := e.v2(t)
	ctx, giveUp := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if ws, _, err := websocket.Dial(ctx, e.url("/socket/websocket?vsn=2.0.0"), nil); err == nil {
			ws.CloseNow()
			t.Error("a client was let in that had given up")
		}
	})
	wg.Go(func() { refused(t, e) })
	eventually(t, "both wait", func() bool { return e.Stats().Waiting == 2 })
	giveUp()
	eventually(t, "one waits", func() bool { return e.Stats().Waiting == 1 })
	go c.wantClose(websocket.StatusServiceRestart)
	if err := e.Drain(t.Context(), nil); err != nil {
		t.Error(err)
	}
	wg.Wait()
	refused(t, e)
	if err := e.Ready(); !errors.Is(err, edge.ErrDraining) {
		t.Errorf("Ready = %v, want ErrDraining", err)
	}
}

// While nobody can take its clients a drain waits; once they have gone by
// themselves it has nothing to wait for.
func TestDrainOfTheGone(t *testing.T) {
	for name, within := range map[string]time.Duration{"no deadline": 0, "deadline": time.Hour} {
		t.Run(name, func(t *testing.T) {
			e := single(t, nil, probes)
			clients := []*client{e.v2(t), e.v2(t)}
			ctx := t.Context()
			if within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, within)
				defer cancel()
			}
			full := make(chan struct{}, 1)
			drained := make(chan error, 1)
			go func() {
				drained <- e.Drain(ctx, func() float64 {
					select {
					case full <- struct{}{}:
					default:
					}
					return 0
				})
			}()
			<-full
			for _, c := range clients {
				c.ws.CloseNow()
			}
			select {
			case err := <-drained:
				if err != nil || e.Stats().Drained != 0 {
					t.Errorf("it ended with %v, and closed %d", err, e.Stats().Drained)
				}
			case <-time.After(patience):
				t.Error("it waits for nobody")
				if err := e.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Drains and Shutdowns at the same time end together, and every client is told
// once, whatever its transport.
func TestDrainTwice(t *testing.T) {
	for range 5 {
		e := single(t, longPoll(func(o *edge.Options) { o.AwaitAnswers(patience) }), probes)
		const sockets, sessions = 20, 20
		var reading sync.WaitGroup
		for range sockets {
			c := e.v2(t)
			c.join("1", "t:x")
			reading.Go(func() {
				if _, err := c.tryRead(); websocket.CloseStatus(err) != websocket.StatusServiceRestart {
					t.Errorf("a client was closed with %v", err)
				}
			})
		}
		for range sessions {
			newPoller(t, e).join("1", "t:x")
		}
		var ending sync.WaitGroup
		for _, end := range []func() error{
			func() error { return e.Drain(t.Context(), nil) },
			func() error { return e.Drain(t.Context(), func() float64 { return 0 }) },
			func() error { return e.Shutdown(t.Context()) },
		} {
			ending.Go(func() {
				if err := end(); err != nil {
					t.Error(err)
				}
			})
		}
		ending.Wait()
		reading.Wait()
		if st := e.Stats(); st.Ended["drained"] != sockets+sessions || sumOf(st.Ended) != sockets+sessions || st.Sockets != 0 || st.Channels != 0 || st.DrainCut != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// A session of a server that drains is polled empty before it ends, through
// whichever edge.
func TestLongPollDrainFlushes(t *testing.T) {
	edges := cluster(t, 2)
	p := newPoller(t, edges[0])
	p.join("1", "t:x")
	quick := newPoller(t, edges[0]) // nothing waits for it
	if err := edges[0].Broadcast(t.Context(), "t:x", "bc", nil); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- edges[0].Drain(t.Context(), nil) }()
	eventually(t, "both have been told", func() bool { return edges[0].Stats().Drained == 2 })
	p.edges, quick.edges = edges[1:], edges[1:]
	if got := p.post(beat); got != 410 {
		t.Errorf("POST: %d, want 410", got)
	}
	p.want(`[null,null,"t:x","bc",{}]`)
	for _, p := range []*poller{p, quick} {
		p.begin() // 410, and a session on the other edge
		p.join("2", "t:x")
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
