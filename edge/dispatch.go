package edge

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

// receive takes a message from the reader. Joins of one connection happen one
// after another, in the order in which they came, as in Phoenix; what concerns
// a topic whose join is still to come waits with it. Everything else, a
// heartbeat above all, is dispatched at once.
func (c *conn) receive(m protocol.Message) {
	c.srv.stats.messagesIn.Add(1)
	c.mu.Lock()
	waits := slices.ContainsFunc(c.joins, func(j protocol.Message) bool { return j.Topic == m.Topic })
	isJoin := m.Event == protocol.EventJoin && m.RawTopic == ""
	if c.ended != nil || !isJoin && !waits {
		c.mu.Unlock()
		c.dispatch(m)
		return
	}
	c.joins = append(c.joins, m)
	first := len(c.joins) == 1
	c.inbox += sizeOf(&m)
	if first {
		c.live++ // until runJoins ends
	}
	c.mu.Unlock()
	if first {
		go c.runJoins()
	}
}

// runJoins works off c.joins. The message in hand stays in the list, so that
// later ones for its topic line up behind it.
func (c *conn) runJoins() {
	defer c.release()
	for {
		c.mu.Lock()
		if len(c.joins) == 0 { // emptied by the connection's end
			c.mu.Unlock()
			return
		}
		m := c.joins[0]
		c.mu.Unlock()

		if m.Event == protocol.EventJoin {
			c.paceJoin()
		}
		c.dispatch(m)
		c.took(-sizeOf(&m))

		c.mu.Lock()
		if len(c.joins) > 0 {
			c.joins = c.joins[1:]
		}
		if len(c.joins) == 0 {
			c.joins = nil
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// paceJoin waits until one more join is within the rate.
func (c *conn) paceJoin() {
	o, now := &c.srv.opts, c.srv.clock()
	each := int64(time.Second) / int64(o.JoinRate)
	burst := each * int64(o.MaxChannels)
	c.paid = max(c.paid, now-burst) + each
	wait := time.Duration(c.paid - now)
	if wait <= 0 {
		return
	}
	c.srv.stats.limits[limitJoinRate].Add(1)
	c.srv.log.Debug("delaying join", c.attrs("by", wait)...)
	time.Sleep(wait) // at most each, since joins come here one by one
}

// dispatch does what Phoenix.Socket.handle_in does (section 3.2 of the
// protocol): the first case that matches.
func (c *conn) dispatch(m protocol.Message) {
	if m.Topic == protocol.TopicPhoenix && m.Event == protocol.EventHeartbeat {
		c.answer(&m, protocol.Null, protocol.StatusOK, emptyObject)
		return
	}
	c.mu.Lock()
	s := c.channels[m.Topic]
	dead := c.ended != nil
	c.mu.Unlock()
	switch {
	case dead:
	case m.Event == protocol.EventJoin:
		c.join(&m, s)
	case s == nil:
		c.unjoined(&m)
	case !m.JoinRef.IsNull() && !m.JoinRef.Equal(s.joinRef):
		// Meant for an earlier incarnation: dropped, as Phoenix does.
		c.srv.stats.stale.Add(1)
	case m.Event == protocol.EventLeave:
		if !s.post(task{kind: taskLeave, message: m}) {
			c.unjoined(&m)
		}
	default:
		if !s.post(task{kind: taskMessage, message: m}) {
			c.unjoined(&m)
		}
	}
}

// unjoined answers a message to a topic that the client has not joined.
func (c *conn) unjoined(m *protocol.Message) {
	if m.Event == protocol.EventLeave {
		c.answer(m, m.JoinRef, protocol.StatusOK, emptyObject)
		return
	}
	c.answer(m, protocol.Null, protocol.StatusError, unmatchedTopic)
}

var (
	unmatchedTopic  = []byte(`{"reason":"unmatched topic"}`)
	tooManyChannels = []byte(`{"reason":"too many channels joined"}`)
	topicTooLong    = []byte(`{"reason":"topic too long"}`)
	crashedJoin     = []byte(`{"reason":"join crashed"}`)
)

// answer replies on behalf of the socket itself. A reply that cannot be
// encoded ends the connection, as it does in Phoenix.
func (c *conn) answer(m *protocol.Message, joinRef protocol.Ref, status string, response []byte) {
	c.answerPayload(m, joinRef, status, Payload{Bytes: response})
}

func (c *conn) answerPayload(m *protocol.Message, joinRef protocol.Ref, status string, p Payload) {
	err := c.push(&protocol.Message{
		Kind: protocol.Reply, JoinRef: joinRef, Ref: m.Ref, Topic: m.Topic, RawTopic: m.RawTopic,
		Event: protocol.EventReply, Status: status, Payload: p.Bytes, Binary: p.Binary,
	})
	if err != nil {
		c.end(websocket.StatusInternalError, fmt.Errorf("answering %s: %w", cut(m.Event), err))
	}
}

// forget frees the topic of s.
func (c *conn) forget(s *Socket) {
	c.mu.Lock()
	if c.channels[s.topic] == s {
		delete(c.channels, s.topic)
	}
	c.mu.Unlock()
}

// errJoinEnded: the connection ended while a join was under way.
var errJoinEnded = errors.New("connection ended during join")
