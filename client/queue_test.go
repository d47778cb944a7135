package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aristochat/aristochat/client"
)

// A callback pushes, and waits for the reply.
func TestPushFromCallback(t *testing.T) {
	ch := dial(t, startLobby(t), nil).Channel("lobby:a", nil)
	answered := make(chan string, 10)
	ch.OnJoin(func(joined client.Reply) {
		r, err := ch.Push(joined.Context(), "echo", object{"from": "OnJoin"})
		answered <- fmt.Sprint(string(r.Bytes), err)
	})
	ch.On("shout", func(m client.Message) {
		r, err := ch.Push(m.Context(), "echo", object{"from": "On"})
		answered <- fmt.Sprint(string(r.Bytes), err)
	})
	join(t, ch)
	push(t, ch, "shout_reply", nil)
	for _, want := range []string{`{"from":"OnJoin"}<nil>`, `{"from":"On"}<nil>`} {
		if got := await(t, want, answered); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A callback that answers what it hears does not keep its channel from being
// joined again: it is told at once that the answer was not sent.
func TestPushFromCallbackWhileLost(t *testing.T) {
	var life atomic.Int32
	lost := make(chan struct{})
	url := startPeer(t, func(p *peer) {
		f, _ := p.read()
		p.reply(f, "ok", `{}`)
		if life.Add(1) == 1 {
			for range 5 {
				p.event(f, "e", `{}`)
			}
			return
		}
		p.obey(func(f frame) bool { p.reply(f, "ok", `{}`); return true })
	})
	tell, told := states()
	ch := dial(t, url, &client.Options{OnState: tell}).Channel("t", func() any { return nil })
	errs := make(chan error, 10)
	ch.On("e", func(m client.Message) {
		<-lost
		_, err := ch.Push(m.Context(), "answer", nil)
		errs <- err
	})
	join(t, ch)
	until(t, told, client.Reconnecting)
	until(t, told, client.Connected)
	close(lost)
	for range 5 {
		if err := await(t, "a callback", errs); !errors.Is(err, client.ErrRejoining) || errors.Is(err, client.ErrUnknown) {
			t.Errorf("got %v, want ErrRejoining", err)
		}
	}
	push(t, ch, "from elsewhere", nil) // waits
}

// A callback that blocks holds up neither the replies nor other channels, and
// what comes meanwhile is there afterwards, in order.
func TestSlowCallback(t *testing.T) {
	c := dial(t, startLobby(t), nil)
	slow, other := c.Channel("lobby:slow", nil), c.Channel("lobby:other", nil)
	release, entered := make(chan struct{}), make(chan struct{})
	var running atomic.Int32
	var got []int
	all := make(chan struct{})
	const n = 200
	slow.On("shout", func(m client.Message) {
		if running.Add(1) != 1 {
			t.Error("two callbacks at once")
		}
		defer running.Add(-1)
		if len(got) == 0 {
			close(entered)
			<-release
		}
		got = append(got, decode[struct{ N int }](t, m.Payload).N)
		if len(got) == n {
			close(all)
		}
	})
	heard := hear(other, "shout")
	join(t, slow)
	join(t, other)
	for i := range n {
		push(t, slow, "shout_reply", object{"n": i})
	}
	await(t, "the callback", entered)
	push(t, other, "shout_reply", nil)
	await(t, "another channel's callback", heard)
	close(release)
	await(t, "all callbacks", all)
	if !slices.IsSorted(got) {
		t.Errorf("got %v, want them in order", got)
	}
}

// Callbacks that fall behind too far lose the channel, not messages: the client
// leaves, and comes back when they are done with what there was. The params are
// asked for only then.
func TestCallbacksBehind(t *testing.T) {
	s := startChat(t)
	o := user("bob")
	o.BacklogBytes = 8 << 10
	r := newReader(dial(t, s.url(), o), "rooms:lobby")
	release := make(chan struct{})
	r.ch.On("chat_msg", func(client.Message) { <-release })
	behind := make(chan error, 100)
	r.ch.OnError(func(err error) { behind <- err })
	join(t, r.ch)
	ann := dial(t, s.url(), user("ann")).Channel("rooms:lobby", nil)
	join(t, ann)
	var want []string
	for i := range 300 {
		want = append(want, fmt.Sprint(i, strings.Repeat("x", 100)))
		push(t, ann, "chat_msg", object{"body": want[i]})
	}
	close(release)
	if err := await(t, "OnError", behind); !errors.Is(err, client.ErrBehind) {
		t.Errorf("OnError got %v, want ErrBehind", err)
	}
	eventually(t, "bob heard all", func() bool { return len(r.bodies()) >= len(want) })
	if got := r.bodies(); !slices.Equal(got, want) {
		t.Errorf("bob heard %d messages, want %d, in order and once", len(got), len(want))
	}
	push(t, r.ch, "typing", object{"typing": true}) // he is a member
}

// Join params of a join again see all that callbacks were given before.
func TestParamsAfterCallbacks(t *testing.T) {
	params := make(chan string, 10)
	url := startPeer(t, func(p *peer) {
		f, ok := p.read()
		if !ok {
			return
		}
		params <- string(f.payload)
		p.reply(f, "ok", `{}`)
		if string(f.payload) == `{"seen":0}` {
			for range 20 {
				p.event(f, "e", `{}`)
			}
			return // the connection breaks
		}
		p.read()
	})
	tell, told := states()
	var seen atomic.Int32
	ch := dial(t, url, &client.Options{OnState: tell, ReconnectAfter: func(int) time.Duration { return 0 }}).
		Channel("t", func() any { return object{"seen": seen.Load()} })
	back := make(chan struct{})
	ch.On("e", func(client.Message) {
		<-back
		seen.Add(1)
	})
	join(t, ch)
	until(t, told, client.Reconnecting)
	until(t, told, client.Connected)
	close(back)
	for _, want := range []string{`{"seen":0}`, `{"seen":20}`} {
		if got := await(t, want, params); got != want {
			t.Errorf("joined with %s, want %s", got, want)
		}
	}
}

// Pushes made before the channel is joined wait, in order; too many are refused.
func TestPushWaits(t *testing.T) {
	asked, proceed, sent := make(chan bool, 1), make(chan struct{}), make(chan string, 100)
	url := startPeer(t, func(p *peer) {
		for {
			f, ok := p.read()
			if !ok {
				return
			}
			if f.event == "phx_join" {
				asked <- true
				<-proceed
			} else {
				sent <- f.event
			}
			p.reply(f, "ok", `{}`)
		}
	})
	ch := dial(t, url, &client.Options{SendBytes: 2 << 10}).Channel("t", nil)
	if err := ch.Send(t.Context(), "early", nil); !errors.Is(err, client.ErrNotJoined) {
		t.Errorf("push before Join: got %v, want ErrNotJoined", err)
	}
	var pushes sync.WaitGroup
	pushes.Go(func() { join(t, ch) })
	await(t, "the server gets the join, which no longer takes up space", asked)
	order := make(chan string, 100)
	n := 0
	for ; ; n++ {
		event := fmt.Sprint(n)
		failed := make(chan error, 1)
		pushes.Go(func() {
			_, err := ch.Push(t.Context(), event, nil)
			failed <- err
			if err == nil {
				order <- event
			}
		})
		// One after the other, so that there is an order.
		var err error
		full := func() bool {
			select {
			case err = <-failed:
				return true
			default:
				return client.Waiting(ch) > n
			}
		}
		eventually(t, "a push waits or is refused", full)
		if err != nil {
			if !errors.Is(err, client.ErrFull) || errors.Is(err, client.ErrUnknown) {
				t.Errorf("got %v, want ErrFull", err)
			}
			break
		}
	}
	if n != 7 { // of 256 bytes and {}
		t.Errorf("%d pushes wait in 2 KiB, want 7", n)
	}
	close(proceed)
	pushes.Wait()
	for i := range n {
		if got := await(t, "a push", sent); got != fmt.Sprint(i) {
			t.Errorf("push %s was sent as number %d", got, i)
		}
	}
}

// The outcome of what was sent is unknown when the connection breaks. What was
// not sent yet is sent on the next.
func TestPushLost(t *testing.T) {
	var n atomic.Int32
	url := startPeer(t, func(p *peer) {
		life := n.Add(1)
		p.obey(func(f frame) bool {
			if life > 1 {
				p.reply(f, "ok", fmt.Sprintf(`{"life":%d}`, life))
			}
			return life > 1 // the first breaks when it gets a push
		})
	})
	proceed := make(chan struct{})
	ch := dial(t, url, &client.Options{ReconnectAfter: func(int) time.Duration { <-proceed; return 0 }}).Channel("t", nil)
	lost := make(chan error, 1)
	ch.OnError(func(err error) { lost <- err })
	join(t, ch)
	if _, err := ch.Push(t.Context(), "first", nil); !errors.Is(err, client.ErrUnknown) || !errors.Is(err, client.ErrLost) {
		t.Errorf("got %v, want ErrUnknown and ErrLost", err)
	}
	if err := await(t, "OnError", lost); !errors.Is(err, client.ErrLost) {
		t.Errorf("OnError got %v, want ErrLost", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := ch.Push(ctx, "given up", nil)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrTimeout) || errors.Is(err, client.ErrUnknown) ||
		!errors.Is(err, client.ErrLost) || !strings.Contains(err.Error(), "was not sent: timeout: not connected") {
		t.Errorf("got %v, want a timeout of what was not sent, and why there is no connection", err)
	}
	second := make(chan string, 1)
	go func() {
		r, err := ch.Push(t.Context(), "second", nil)
		second <- fmt.Sprint(string(r.Bytes), err)
	}()
	eventually(t, "it waits", func() bool { return client.Waiting(ch) == 1 })
	close(proceed)
	if got, want := await(t, "an answer", second), `{"life":2}<nil>`; got != want {
		t.Errorf("got %s, want the answer of the second connection", got)
	}
}

// A reply that does not come in time.
func TestPushTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := onPipes(t, peerHandler(t, func(p *peer) { p.obey(func(frame) bool { return true }) }))
		c := n.dial(t, client.Options{Timeout: 50 * time.Millisecond})
		defer c.Close()
		ch := c.Channel("t", nil)
		join(t, ch)
		_, err := ch.Push(t.Context(), "e", nil)
		if !errors.Is(err, client.ErrUnknown) || !errors.Is(err, client.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrUnknown, since there was a timeout", err)
		}
		if want := `client: e on "t": outcome unknown: timeout after 50ms`; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ch.Push(ctx, "e", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want Canceled", err)
		}
	})
}

// Frames of an older join are not for the newer.
func TestStaleJoinRef(t *testing.T) {
	url := startPeer(t, func(p *peer) {
		p.obey(func(f frame) bool {
			stale := f
			stale.joinRef = "0"
			p.event(stale, "e", `{"stale":true}`)
			p.event(stale, "phx_error", `{}`)
			p.event(stale, "phx_close", `{}`)
			p.event(f, "e", `{"n":1}`)
			p.send(`[null,null,"t","e",{"n":2}]`)
			p.send(`[null,null,"elsewhere","e",{}]`)
			p.send(`["9","9","t","phx_reply",{"status":"ok","response":{}}]`) // to nothing
			p.reply(f, "ok", `{}`)
			p.reply(f, "error", `{}`) // the first counts
			return true
		})
	})
	ch := dial(t, url, nil).Channel("t", nil)
	heard := hear(ch, "e")
	ch.OnError(func(err error) { t.Error("OnError:", err) })
	join(t, ch)
	push(t, ch, "go", nil)
	push(t, ch, "go", nil)
	for _, want := range []string{`{"n":1}`, `{"n":2}`, `{"n":1}`, `{"n":2}`} {
		if m := await(t, want, heard); string(m.Bytes) != want || m.Topic != "t" {
			t.Errorf("heard %s, want %s", m.Bytes, want)
		}
	}
}

// Close may be called from a callback. None follows but OnClose and OnState, and
// no goroutine stays.
func TestCloseFromCallback(t *testing.T) {
	url := startPeer(t, func(p *peer) {
		f, _ := p.read()
		p.reply(f, "ok", `{}`)
		for range 100 {
			p.event(f, "e", `{}`)
		}
		p.read()
	})
	tell, told := states()
	c := dial(t, url, &client.Options{OnState: tell})
	ch := c.Channel("t", nil)
	calls, closed := 0, 0
	ch.On("e", func(client.Message) {
		calls++
		c.Close()
	})
	ch.OnClose(func(error) { closed++ })
	join(t, ch)
	await(t, "Done", c.Done())
	if calls != 1 || closed != 1 {
		t.Errorf("%d events and %d closes, want one of each", calls, closed)
	}
	if s := until(t, told, client.Closed); !errors.Is(s.Err, client.ErrClosed) || c.State() != s {
		t.Errorf("got %+v, want closed", s)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	c.Reconnect() // does nothing
	noGoroutines(t)
}

// Close does not wait for a server that does not answer.
func TestCloseSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit := make(chan struct{})
		n := onPipes(t, peerHandler(t, func(*peer) { <-quit }))
		defer close(quit)
		c := n.dial(t, client.Options{})
		start := time.Now()
		c.Close()
		if took := time.Since(start); took > time.Second { // the websocket's own patience is 5 s
			t.Errorf("Close took %v", took)
		}
		<-c.Done()
	})
}

// What came before the server ended the channel is told before that it did.
func TestEndsInOrder(t *testing.T) {
	url := startPeer(t, func(p *peer) {
		p.obey(func(f frame) bool {
			for range 50 {
				p.event(f, "e", `{}`)
			}
			p.event(f, "phx_close", `{}`)
			p.send(`[null,null,"other","after that",{}]`)
			return true
		})
	})
	c := dial(t, url, nil)
	ch, other := c.Channel("t", nil), c.Channel("other", nil)
	heard := 0
	closed, ended := make(chan int, 1), make(chan struct{})
	ch.On("e", func(client.Message) {
		<-ended // so that all wait
		heard++
	})
	ch.OnClose(func(error) { closed <- heard })
	other.On("after that", func(client.Message) { close(ended) })
	join(t, ch)
	join(t, other)
	if err := ch.Send(t.Context(), "end", nil); err != nil {
		t.Fatal(err)
	}
	if n := await(t, "OnClose", closed); n != 50 {
		t.Errorf("OnClose came after %d of 50 events", n)
	}
}

// A push that is under way when its channel is left is answered all the same.
func TestLeaveDuringPush(t *testing.T) {
	got := make(chan bool)
	url := startPeer(t, func(p *peer) {
		var held frame
		for {
			f, ok := p.read()
			switch {
			case !ok:
				return
			case f.event == "phx_leave":
				p.reply(held, "ok", `{"held":true}`)
			case f.event == "hold":
				held = f
				close(got)
				continue
			}
			p.reply(f, "ok", `{}`)
		}
	})
	ch := dial(t, url, nil).Channel("t", nil)
	join(t, ch)
	answered := make(chan string, 1)
	go func() {
		r, err := ch.Push(t.Context(), "hold", nil)
		answered <- fmt.Sprint(string(r.Bytes), err)
	}()
	await(t, "the server has it", got)
	if err := ch.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := await(t, "a reply", answered), `{"held":true}<nil>`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Close ends what is under way: a wait for the next attempt, joins, pushes.
func TestCloseWhileReconnecting(t *testing.T) {
	url := startPeer(t, func(p *peer) {
		f, _ := p.read()
		p.reply(f, "ok", `{}`)
	})
	tell, told := states()
	c := dial(t, url, &client.Options{OnState: tell, ReconnectAfter: func(int) time.Duration { return time.Hour }})
	ch := c.Channel("t", nil)
	join(t, ch)
	until(t, told, client.Reconnecting)
	failed := make(chan error, 2)
	go func() { _, err := ch.Push(t.Context(), "e", nil); failed <- err }()
	go func() { _, err := c.Channel("u", nil).Join(t.Context()); failed <- err }()
	eventually(t, "both wait", func() bool { return client.Waiting(ch) == 1 && client.Channels(c) == 2 })
	c.Close()
	for range 2 {
		if err := await(t, "an error", failed); !errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrUnknown) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
	await(t, "Done", c.Done())
	noGoroutines(t)
}

// noGoroutines waits until none of the package's is left.
func noGoroutines(t *testing.T) {
	t.Helper()
	var stacks string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "aristochat/client.(") {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", stacks)
}
