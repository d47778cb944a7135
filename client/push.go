package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/aristochat/aristochat/protocol"
)

// A push is a message on its way to the server, and the wait for its reply.
type push struct {
	channel *Channel // nil of a heartbeat
	event   string
	payload Payload
	noReply bool // nobody waits for a reply
	done    chan result

	// Guarded by Client.mu. A push waits for its channel (ref is null), then
	// for its turn on the connection, then for its reply.
	joinRef protocol.Ref
	ref     protocol.Ref
	sent    bool
	ended   bool
	cost    int // what it takes of Client.unsent

	// then is called with the result, under Client.mu, by joins.
	then func(result)
}

type result struct {
	reply Reply
	err   error
}

func (p *push) message() *protocol.Message {
	topic := protocol.TopicPhoenix
	if p.channel != nil {
		topic = p.channel.topic
	}
	return &protocol.Message{
		JoinRef: p.joinRef,
		Ref:     p.ref,
		Topic:   topic,
		Event:   p.event,
		Payload: p.payload.Bytes,
		Binary:  p.payload.Binary,
	}
}

// overhead is what a push takes beside its payload, roughly.
const overhead = 256

// holdLocked counts p against Options.SendBytes.
func (c *Client) holdLocked(p *push) error {
	cost := overhead + len(p.payload.Bytes)
	if c.unsent > 0 && c.unsent+cost > c.opts.SendBytes {
		return fmt.Errorf("client: %s on %q: %w", p.event, p.channel.topic, ErrFull)
	}
	p.cost = cost
	c.unsent += cost
	return nil
}

func (p *push) releaseLocked() {
	if p.channel != nil {
		p.channel.client.unsent -= p.cost
		p.cost = 0
	}
}

// sentLocked is called before p is written.
func (p *push) sentLocked() {
	p.sent = true
	p.releaseLocked()
}

// written is called when p was written.
func (p *push) written() {
	if p.noReply {
		p.channel.client.mu.Lock()
		defer p.channel.client.mu.Unlock()
		p.finishLocked(result{})
	}
}

// finishLocked ends the wait. Only the first result counts.
func (p *push) finishLocked(r result) {
	if p.ended {
		return
	}
	p.ended = true
	p.releaseLocked()
	c := p.channel.client
	if c.pushes[p.ref] == p {
		delete(c.pushes, p.ref)
	}
	if c.conn != nil && !p.sent {
		c.conn.out = slices.DeleteFunc(c.conn.out, func(q *push) bool { return q == p })
	}
	if p.then != nil {
		p.then(r)
	}
	if p.done != nil {
		p.done <- r
	}
}

// lostLocked is the error of a push that will get no reply because of err.
func (c *Client) lostLocked(p *push, err error) error {
	if p.sent {
		return fmt.Errorf("client: %s on %q: %w: %w", p.event, p.channel.topic, ErrUnknown, err)
	}
	return fmt.Errorf("client: %s on %q was not sent: %w", p.event, p.channel.topic, err)
}

// await returns p's result, or gives up when ctx ends.
func (c *Client) await(ctx context.Context, p *push) (Reply, error) {
	select {
	case r := <-p.done:
		return r.reply, r.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.ended {
		p.channel.waiting = slices.DeleteFunc(p.channel.waiting, func(q *push) bool { return q == p })
		err := cause(ctx)
		if c.conn == nil && !p.sent {
			err = fmt.Errorf("%w: not connected: %w", err, c.state.Err)
		}
		p.finishLocked(result{err: c.lostLocked(p, err)})
	}
	r := <-p.done
	return r.reply, r.err
}

// bound gives ctx a deadline if it has none.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.opts.Timeout, timeoutError(c.opts.Timeout))
}

// cause says why ctx ended.
func cause(ctx context.Context) error {
	err := context.Cause(ctx)
	if err == context.DeadlineExceeded { //nolint:errorlint // a cause that wraps it says more
		return timeoutError(0)
	}
	return err
}
