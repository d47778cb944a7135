package client

import (
	"log/slog"
	"slices"

	"github.com/aristochat/aristochat/protocol"
)

// expectLocked has the reply to p find it.
func (c *Client) expectLocked(p *push) {
	if c.pushes == nil {
		c.pushes = make(map[protocol.Ref]*push)
	}
	c.pushes[p.ref] = p
}

// receiveLocked takes what the server sent to the topic, replies excepted. What
// belongs to another join is dropped, as phoenix.js does (channel.js, isMember).
func (ch *Channel) receiveLocked(m *protocol.Message) {
	current := ch.joinRef
	if ch.joining != nil {
		current = ch.joining.joinRef
	}
	if !m.JoinRef.IsNull() && m.JoinRef != emptyRef && m.JoinRef != current {
		return
	}
	switch {
	case m.Event == protocol.EventClose:
		ch.endLocked(ErrEnded)
	case m.Event == protocol.EventError:
		ch.crashedLocked()
	case ch.phase == present:
		ch.eventLocked(m)
	}
}

const emptyRef = protocol.Ref(`""`) // what binary frames have for null

// eventLocked queues an event for its callbacks.
func (ch *Channel) eventLocked(m *protocol.Message) {
	callbacks := ch.on[m.Event]
	if len(callbacks) == 0 {
		return
	}
	c := ch.client
	size := overhead + len(m.Payload)
	if ch.inbox.bytes > 0 && ch.inbox.bytes+size > c.opts.BacklogBytes {
		ch.behindLocked()
		return
	}
	msg := Message{Topic: m.Topic, Event: m.Event, Payload: Payload{Bytes: m.Payload, Binary: m.Binary}, ctx: ch.ctx}
	ch.inbox.putLocked(c, task{size: size, run: func() {
		for _, f := range callbacks {
			f(msg)
		}
	}})
}

// behindLocked leaves a channel whose callbacks do not keep up. It is joined
// again after them.
func (ch *Channel) behindLocked() {
	c := ch.client
	joinRef := ch.joinRef
	ch.loseLocked(ErrBehind)
	ch.errorLocked(ErrBehind)
	c.opts.Logger.Warn("callbacks do not keep up, leaving until they do", slog.String("topic", ch.topic), slog.Int("bytes", ch.inbox.bytes))
	ch.sayLeaveLocked(&push{channel: ch, event: protocol.EventLeave}, joinRef)
	ch.rejoinLocked()
}

// crashedLocked is called for phx_error.
func (ch *Channel) crashedLocked() {
	if ch.joining != nil {
		ch.joining.finishLocked(result{err: ErrCrashed})
		return
	}
	if ch.phase == present {
		ch.loseLocked(ErrCrashed)
		ch.againLocked(ErrCrashed)
	}
}

// connectedLocked is called when the connection is there again.
func (ch *Channel) connectedLocked() {
	ch.tries = 0
	if ch.first == nil {
		ch.rejoinLocked()
		return
	}
	select {
	case ch.first.again <- struct{}{}:
	default:
	}
}

// disconnectedLocked is called when the connection is lost.
func (ch *Channel) disconnectedLocked(err error) {
	was := ch.phase
	ch.stopTimerLocked()
	if p := ch.joining; p != nil {
		ch.joining = nil
		p.finishLocked(result{})
	}
	ch.attempt++
	ch.loseLocked(err)
	if was == present {
		ch.errorLocked(err)
	}
}

// loseLocked makes a channel that is joined one that wants to be. Pushes that
// were not sent wait for that, the others will get no reply.
func (ch *Channel) loseLocked(err error) {
	c := ch.client
	if ch.phase != present {
		return
	}
	ch.phase, ch.joinRef = wanted, protocol.Null
	var unsent []*push
	if c.conn != nil {
		unsent = slices.DeleteFunc(slices.Clone(c.conn.out), func(p *push) bool { return p.channel != ch || p.ended })
		c.conn.out = slices.DeleteFunc(c.conn.out, func(p *push) bool { return p.channel == ch })
	}
	for _, p := range unsent {
		delete(c.pushes, p.ref)
		p.ref = protocol.Null
	}
	ch.waiting = append(unsent, ch.waiting...)
	ch.failPushesLocked(err)
}

// failPushesLocked fails what was sent and will get no reply. A Send that is
// being written waits for none: how the writing ends is its result.
func (ch *Channel) failPushesLocked(err error) {
	c := ch.client
	for _, p := range c.pushes {
		if p.channel == ch && p.event != protocol.EventLeave && !(p.noReply && p.sent) {
			p.finishLocked(result{err: c.lostLocked(p, err)})
		}
	}
}

// endLocked ends the channel for good.
func (ch *Channel) endLocked(err error) {
	if ch.phase == idle {
		return
	}
	if p := ch.joining; p != nil {
		ch.joining = nil
		p.finishLocked(result{}) // it is not written any more
	}
	if first := ch.first; first != nil {
		ch.first = nil
		first.done <- result{err: err}
	}
	ch.forgetLocked(err)
	if err != ErrEnded { //nolint:errorlint // it is that very value: what came before is still to be told
		ch.inbox.clearLocked()
	}
	for _, f := range ch.onClose {
		ch.callLocked(func() { f(err) })
	}
}

// forgetLocked makes the channel one that was never joined.
func (ch *Channel) forgetLocked(err error) {
	c := ch.client
	ch.stopTimerLocked()
	ch.attempt++
	ch.phase = idle
	delete(c.channels, ch.topic)
	waiting := ch.waiting
	ch.waiting = nil
	for _, p := range waiting {
		p.finishLocked(result{err: c.lostLocked(p, err)})
	}
	if err != ErrLeft { //nolint:errorlint // that very value: what is before the leave will be answered
		ch.failPushesLocked(err)
	}
}

func (ch *Channel) errorLocked(err error) {
	for _, f := range ch.onError {
		ch.callLocked(func() { f(err) })
	}
}

func (ch *Channel) callLocked(f func()) { ch.inbox.putLocked(ch.client, task{run: f}) }
