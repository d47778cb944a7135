package client

import (
	"context"
	"fmt"
	"time"

	"github.com/aristochat/aristochat/protocol"
)

// A Channel is a topic on a client's connection. Its methods may be called
// concurrently, and from callbacks.
//
// Callbacks of a channel are called one at a time, in the order of what the
// server sent; those of different channels run concurrently. They may take
// their time, and push with [Message.Context]: the connection goes on meanwhile,
// and what comes is kept for them (see Options.BacklogBytes). Set them before
// Join.
type Channel struct {
	client *Client
	topic  string
	params any
	ctx    context.Context // of its callbacks

	// Guarded by Client.mu.
	on      map[string][]func(Message)
	onJoin  []func(Reply)
	onError []func(error)
	onClose []func(error)
	inbox   inbox

	phase   phase
	joinRef protocol.Ref // of the join that succeeded last
	joining *push        // the join that is not answered yet
	first   *firstJoin   // while Join waits
	attempt int          // counts attempts to join; an older one is void
	tries   int          // failed attempts in a row
	timer   *time.Timer  // for the next attempt, or for the answer to this one
	waiting []*push      // for the channel to be joined
}

// callbackOf is the key of the channel in the context of its callbacks.
type callbackOf struct{}

// A phase is what a channel is in.
type phase uint8

const (
	idle    phase = iota // not joined, and nobody wants it to be
	wanted               // to be joined as soon as can be
	present              // joined
)

// Topic returns the channel's topic.
func (ch *Channel) Topic() string { return ch.topic }

// On calls f for each event of that name.
func (ch *Channel) On(event string, f func(Message)) {
	ch.client.mu.Lock()
	defer ch.client.mu.Unlock()
	if ch.on == nil {
		ch.on = make(map[string][]func(Message))
	}
	ch.on[event] = append(ch.on[event], f)
}

// OnJoin calls f with the server's reply whenever the channel was joined: the
// first time and again after each loss, before the first event that follows.
func (ch *Channel) OnJoin(f func(Reply)) {
	ch.client.mu.Lock()
	defer ch.client.mu.Unlock()
	ch.onJoin = append(ch.onJoin, f)
}

// OnError calls f when a channel that was joined is no more, or could not be
// joined again. The client goes on trying when f has returned. The error wraps [ErrLost],
// [ErrCrashed], [ErrBehind] or [ErrTimeout], or is a [*ReplyError].
func (ch *Channel) OnError(f func(error)) {
	ch.client.mu.Lock()
	defer ch.client.mu.Unlock()
	ch.onError = append(ch.onError, f)
}

// OnClose calls f when a channel that was joined, or was to be, has ended for
// good: with [ErrEnded], [ErrLeft] or [ErrClosed]. It may be joined again.
func (ch *Channel) OnClose(f func(error)) {
	ch.client.mu.Lock()
	defer ch.client.mu.Unlock()
	ch.onClose = append(ch.onClose, f)
}

// Push sends an event and waits for its reply. The payload is a [Binary], a
// [Payload], a json.RawMessage, nil for {}, or else what encoding/json makes of
// it.
//
// While the channel is not joined, because the connection is lost or Join has
// not returned, the push waits; pushes keep their order. An answer that is not
// ok is a [*ReplyError]. Of other errors those that wrap [ErrUnknown] leave open
// whether the server got it; with the rest it did not.
func (ch *Channel) Push(ctx context.Context, event string, payload any) (Reply, error) {
	return ch.push(ctx, event, payload, false)
}

// Send sends an event and waits only until it is on the network. It is for
// events that the server does not reply to, or whose loss does not matter.
func (ch *Channel) Send(ctx context.Context, event string, payload any) error {
	_, err := ch.push(ctx, event, payload, true)
	return err
}

func (ch *Channel) push(ctx context.Context, event string, payload any, noReply bool) (Reply, error) {
	body, err := payloadOf(payload)
	if err != nil {
		return Reply{}, fmt.Errorf("client: %s on %q: %w", event, ch.topic, err)
	}
	p := &push{channel: ch, event: event, payload: body, noReply: noReply, done: make(chan result, 1)}
	if err := p.check(); err != nil {
		return Reply{}, err
	}
	ctx, cancel := ch.client.bound(ctx)
	defer cancel()
	if err := ch.submit(ctx, p); err != nil {
		return Reply{}, err
	}
	return ch.client.await(ctx, p)
}

// check reports what cannot be written.
func (p *push) check() error {
	probe := *p.message()
	probe.Payload = nil // valid, and long perhaps
	const longest = protocol.Ref(`"18446744073709551615"`)
	probe.JoinRef, probe.Ref = longest, longest
	if _, _, err := protocol.AppendClient(nil, protocol.V2, &probe); err != nil {
		return fmt.Errorf("client: %s on %q: %w", p.event, p.channel.topic, err)
	}
	return nil
}

// submit sends p, or has it wait for the channel.
func (ch *Channel) submit(ctx context.Context, p *push) error {
	c := ch.client
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return fmt.Errorf("client: %s on %q: %w", p.event, ch.topic, ErrClosed)
	case ch.phase == idle:
		return fmt.Errorf("client: %s on %q: %w", p.event, ch.topic, ErrNotJoined)
	case ch.phase == wanted && ctx.Value(callbackOf{}) == ch:
		return fmt.Errorf("client: %s on %q was not sent: %w", p.event, ch.topic, ErrRejoining)
	}
	if err := c.holdLocked(p); err != nil {
		return err
	}
	if ch.phase == wanted {
		ch.waiting = append(ch.waiting, p)
		return nil
	}
	ch.sendLocked(p)
	return nil
}

// sendLocked queues p on the connection, which there is.
func (ch *Channel) sendLocked(p *push) {
	c := ch.client
	p.joinRef, p.ref = ch.joinRef, c.nextRefLocked()
	c.expectLocked(p)
	c.conn.writeLocked(p)
}

// Leave leaves the channel. No callback but OnClose begins afterwards, whether
// there is an error or not: an error says only that the server did not confirm.
func (ch *Channel) Leave(ctx context.Context) error {
	ctx, cancel := ch.client.bound(ctx)
	defer cancel()
	p := ch.leave()
	if p == nil {
		return nil
	}
	_, err := ch.client.await(ctx, p)
	return err
}

// leave ends the channel, and returns the message that says so, nil if there is
// nobody to tell.
func (ch *Channel) leave() *push {
	c := ch.client
	c.mu.Lock()
	defer c.mu.Unlock()
	joinRef := ch.memberLocked()
	if ch.phase == idle {
		return nil
	}
	ch.endLocked(ErrLeft)
	if joinRef.IsNull() {
		return nil
	}
	p := &push{channel: ch, event: protocol.EventLeave, done: make(chan result, 1)}
	ch.sayLeaveLocked(p, joinRef)
	return p
}
