package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aristochat/aristochat/protocol"
)

// A firstJoin is a call of Join that waits.
type firstJoin struct {
	again chan struct{} // says: the connection is there (again)
	done  chan result
}

// Join joins the channel and returns the server's reply. If the server refuses
// it is a [*ReplyError]. After an error the channel is not joined and Join may
// be called again; after success the client joins it again by itself whenever
// it is lost, until Leave, Close, or until the server closes it for good.
//
// Events may reach callbacks before Join returns. What must come before the
// first of them belongs in OnJoin.
func (ch *Channel) Join(ctx context.Context) (Reply, error) {
	c := ch.client
	ctx, cancel := c.bound(ctx)
	defer cancel()
	first, err := ch.begin()
	if err != nil {
		return Reply{}, fmt.Errorf("client: joining %q: %w", ch.topic, err)
	}
	for {
		select {
		case <-first.again:
			ch.try(first)
		case r := <-first.done:
			return r.reply, r.err
		case <-ctx.Done():
			return ch.giveUp(ctx, first)
		}
	}
}

// begin claims the topic.
func (ch *Channel) begin() (*firstJoin, error) {
	c := ch.client
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, ErrClosed
	case c.channels[ch.topic] != nil:
		return nil, ErrJoined
	}
	if c.channels == nil {
		c.channels = make(map[string]*Channel)
	}
	c.channels[ch.topic] = ch
	ch.phase, ch.tries, ch.joinRef = wanted, 0, protocol.Null
	ch.first = &firstJoin{again: make(chan struct{}, 1), done: make(chan result, 1)}
	if c.conn != nil {
		ch.first.again <- struct{}{}
	}
	return ch.first, nil
}

// try sends a join for Join, in its goroutine.
func (ch *Channel) try(first *firstJoin) {
	c := ch.client
	c.mu.Lock()
	ch.attempt++
	attempt := ch.attempt
	c.mu.Unlock()
	params, err := ch.evaluate()
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.first != first || ch.attempt != attempt {
		return
	}
	if err != nil {
		ch.failedLocked(err)
		return
	}
	ch.sendJoinLocked(params)
}

// giveUp ends a Join whose context has ended.
func (ch *Channel) giveUp(ctx context.Context, first *firstJoin) (Reply, error) {
	c := ch.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.first == first {
		err := fmt.Errorf("client: joining %q: %w", ch.topic, cause(ctx))
		if c.conn == nil {
			err = fmt.Errorf("client: joining %q: %w: not connected: %w", ch.topic, cause(ctx), c.state.Err)
		}
		ch.retractLocked()
		ch.failedLocked(err)
	}
	r := <-first.done
	return r.reply, r.err
}

// evaluate returns the join params of now, if they can be sent.
func (ch *Channel) evaluate() (Payload, error) {
	params := ch.params
	if f, ok := params.(func() any); ok {
		params = f()
	}
	payload, err := payloadOf(params)
	if err != nil {
		return Payload{}, fmt.Errorf("client: joining %q: %w", ch.topic, err)
	}
	return payload, (&push{channel: ch, event: protocol.EventJoin, payload: payload}).check()
}

// rejoinLocked joins again, when the callbacks are done with what came before:
// the params may depend on it.
func (ch *Channel) rejoinLocked() {
	c := ch.client
	ch.stopTimerLocked()
	ch.attempt++
	attempt := ch.attempt
	ch.inbox.putLocked(c, task{run: func() {
		params, err := ch.evaluate()
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case ch.attempt != attempt || ch.phase != wanted || c.conn == nil:
		case err != nil:
			ch.failedLocked(err)
		default:
			ch.sendJoinLocked(params)
			ch.timer = time.AfterFunc(c.opts.Timeout, func() { ch.unanswered(attempt) })
		}
	}})
}

func (ch *Channel) sendJoinLocked(params Payload) {
	c := ch.client
	if c.conn == nil {
		return // it will be said when it is there
	}
	p := &push{channel: ch, event: protocol.EventJoin, payload: params}
	p.ref = c.nextRefLocked()
	p.joinRef = p.ref
	p.then = func(r result) {
		if ch.joining != p {
			return
		}
		ch.joining = nil
		if r.err != nil {
			ch.failedLocked(r.err)
			return
		}
		ch.joinedLocked(p.joinRef, r.reply)
	}
	ch.joining = p
	c.expectLocked(p)
	c.conn.writeLocked(p)
}

// joinedLocked is called when the server has said ok.
func (ch *Channel) joinedLocked(joinRef protocol.Ref, reply Reply) {
	ch.stopTimerLocked()
	ch.phase, ch.joinRef, ch.tries = present, joinRef, 0
	for _, f := range ch.onJoin {
		told := reply
		told.ctx = ch.ctx
		ch.callLocked(func() { f(told) })
	}
	if first := ch.first; first != nil {
		ch.first = nil
		first.done <- result{reply: reply}
	}
	waiting := ch.waiting
	ch.waiting = nil
	for _, p := range waiting {
		ch.sendLocked(p)
	}
}

// failedLocked is called when a join failed: for good if it is the first, else
// until the next try.
func (ch *Channel) failedLocked(err error) {
	if first := ch.first; first != nil {
		ch.first = nil
		ch.forgetLocked(err)
		first.done <- result{err: err}
		return
	}
	ch.againLocked(err)
}

// againLocked tells of a channel that is lost, and joins it again after a while.
func (ch *Channel) againLocked(err error) {
	c := ch.client
	ch.errorLocked(err)
	ch.tries++
	c.opts.Logger.Warn("channel lost, joining again", slog.String("topic", ch.topic), slog.Int("try", ch.tries), slog.Any("error", err))
	ch.attempt++
	attempt, try := ch.attempt, ch.tries
	ch.stopTimerLocked()
	ch.callLocked(func() { // as a callback: RejoinAfter is not ours
		delay := max(c.opts.RejoinAfter(try), retryAfterOf(err))
		c.mu.Lock()
		defer c.mu.Unlock()
		if ch.attempt == attempt && ch.phase == wanted {
			ch.timer = time.AfterFunc(delay, func() { ch.rejoin(attempt) })
		}
	})
}

// rejoin is called when it is time to join again.
func (ch *Channel) rejoin(attempt int) {
	c := ch.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.attempt == attempt && ch.phase == wanted && c.conn != nil {
		ch.rejoinLocked()
	}
}

// retryAfterOf is how long a refusal says to wait: retry_after_ms of our server.
// It is zero if it does not.
func retryAfterOf(err error) time.Duration {
	var in struct {
		MS int64 `json:"retry_after_ms"`
	}
	refused, ok := errors.AsType[*ReplyError](err)
	if !ok || refused.Decode(&in) != nil {
		return 0
	}
	return time.Duration(min(max(in.MS, 0), longestWait.Milliseconds())) * time.Millisecond
}

// unanswered is called when a join again got no answer in time.
func (ch *Channel) unanswered(attempt int) {
	c := ch.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.attempt != attempt || ch.joining == nil {
		return
	}
	ch.retractLocked()
	ch.againLocked(fmt.Errorf("client: joining %q: %w", ch.topic, timeoutError(c.opts.Timeout)))
}

// retractLocked takes a join back that is not answered: the server may be at it.
func (ch *Channel) retractLocked() {
	p := ch.joining
	if p == nil {
		return
	}
	ch.joining = nil
	sent := p.sent
	p.finishLocked(result{})
	if sent && ch.client.conn != nil {
		ch.sayLeaveLocked(&push{channel: ch, event: protocol.EventLeave}, p.joinRef)
	}
}

// sayLeaveLocked tells the server that the channel of joinRef is left.
func (ch *Channel) sayLeaveLocked(p *push, joinRef protocol.Ref) {
	c := ch.client
	p.joinRef, p.ref = joinRef, c.nextRefLocked()
	if p.done != nil {
		c.expectLocked(p)
	}
	c.conn.writeLocked(p)
}

// memberLocked returns the join_ref under which the server has us, or may have.
func (ch *Channel) memberLocked() protocol.Ref {
	switch {
	case ch.client.conn == nil:
		return protocol.Null
	case ch.phase == present:
		return ch.joinRef
	case ch.joining != nil && ch.joining.sent:
		return ch.joining.joinRef
	}
	return protocol.Null
}

func (ch *Channel) stopTimerLocked() {
	if ch.timer != nil {
		ch.timer.Stop()
		ch.timer = nil
	}
}
