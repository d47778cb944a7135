package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aristochat/aristochat/client"
)

// A join that was not written yet is not written any more when its channel is
// left: the server would have a member that nobody knows of.
func TestLeaveBeforeJoinIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan struct{})
		asked := 0
		n := onPipes(t, peerHandler(t, func(p *peer) {
			f, _ := p.read()
			p.reply(f, "ok", `{}`)
			<-reads
			p.obey(func(f frame) bool { p.reply(f, "ok", `{}`); return true })
		}))
		c := n.dial(t, client.Options{})
		defer c.Close()
		busy := c.Channel("busy", nil)
		join(t, busy)
		go busy.Send(t.Context(), "large", strings.Repeat("x", 1<<20))
		synctest.Wait() // the writer is stuck in it
		ch := c.Channel("t", func() any { asked++; return nil })
		heard := hear(ch, "e")
		failed := make(chan error, 1)
		go func() {
			_, err := ch.Join(t.Context())
			failed <- err
		}()
		synctest.Wait()
		if asked != 1 || client.Queued(c) != 1 {
			t.Fatalf("params were asked for %d times, %d frames wait, want one and one", asked, client.Queued(c))
		}
		if err := ch.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, client.ErrLeft) {
			t.Errorf("Join: %v, want ErrLeft", err)
		}
		if n := client.Queued(c); n != 0 {
			t.Errorf("%d frames wait, want none", n)
		}
		close(reads)
		push(t, busy, "next", nil)
		if len(heard) > 0 {
			t.Error("heard something of a channel that was left")
		}
	})
}

// RejoinAfter is called as callbacks are: it may call methods.
func TestRejoinAfterMayCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		joins := 0
		n := onPipes(t, peerHandler(t, func(p *peer) {
			for {
				f, ok := p.read()
				if !ok {
					return
				}
				p.reply(f, "ok", `{}`)
				if joins++; joins == 1 {
					p.event(f, "phx_error", `{}`)
				}
			}
		}))
		var c *client.Client
		c = n.dial(t, client.Options{RejoinAfter: func(try int) time.Duration {
			if s := c.State().Status; s != client.Connected {
				t.Errorf("State: %v, want connected", s)
			}
			return time.Duration(try) * time.Minute
		}})
		defer c.Close()
		ch := c.Channel("t", nil)
		again := make(chan time.Time, 10)
		ch.OnJoin(func(client.Reply) { again <- time.Now() })
		join(t, ch)
		first := <-again
		if wait := (<-again).Sub(first); wait != time.Minute {
			t.Errorf("joined again after %v, want %v", wait, time.Minute)
		}
	})
}

// A server that says when to join again is believed.
func TestRejoinWhenTheServerSays(t *testing.T) {
	for _, test := range []struct {
		response string
		least    time.Duration
	}{
		{`{"reason":"unavailable","retry_after_ms":20000}`, 20 * time.Second},
		{`{"reason":"unavailable","retry_after_ms":86400000000000}`, time.Hour}, // no more than for a connection
		{`{"reason":"unavailable","retry_after_ms":-5}`, 0},
		{`{"reason":"unavailable","retry_after_ms":"soon"}`, 0},
		{`"unavailable"`, 0},
	} {
		t.Run(test.response, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				joins := 0
				n := onPipes(t, peerHandler(t, func(p *peer) {
					for {
						f, ok := p.read()
						if !ok {
							return
						}
						if joins++; joins == 2 {
							p.reply(f, "error", test.response)
							continue
						}
						p.reply(f, "ok", `{}`)
						if joins == 1 {
							p.event(f, "phx_error", `{}`)
						}
					}
				}))
				c := n.dial(t, client.Options{})
				defer c.Close()
				ch := c.Channel("t", nil)
				var refused time.Time
				again := make(chan time.Duration, 10)
				ch.OnError(func(err error) {
					if _, ok := errors.AsType[*client.ReplyError](err); ok {
						refused = time.Now()
					}
				})
				ch.OnJoin(func(client.Reply) { again <- time.Since(refused) })
				join(t, ch)
				<-again
				if wait := <-again; wait < test.least || wait > test.least+2*time.Second {
					t.Errorf("joined again after %v, want from %v to two seconds more", wait, test.least)
				}
			})
		})
	}
}

// Join params that cannot be sent are Join's error, and cost no connection.
func TestJoinParamsDoNotFit(t *testing.T) {
	c := dial(t, startLobby(t), nil)
	lobby := c.Channel("lobby:a", nil)
	join(t, lobby)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := c.Channel("lobby:"+strings.Repeat("x", 300), client.Binary("b")).Join(ctx)
	if err == nil || errors.Is(err, client.ErrLost) || errors.Is(err, client.ErrTimeout) {
		t.Errorf("Join: %v, want that the topic is too long for a binary frame", err)
	}
	push(t, lobby, "echo", nil)
	if s := c.State(); s.Status != client.Connected {
		t.Errorf("the client is %v", s.Status)
	}
}

// A server that answers heartbeats is not left.
func TestHeartbeatAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := onPipes(t, peerHandler(t, func(p *peer) { p.obey(func(frame) bool { return true }) }))
		tell, told := states()
		c := n.dial(t, client.Options{OnState: tell})
		defer c.Close()
		time.Sleep(time.Hour)
		until(t, told, client.Connected)
		if len(told) > 0 {
			t.Errorf("the client is %+v", <-told)
		}
	})
}
