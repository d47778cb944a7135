package talk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aristochat/aristochat/client"
	"github.com/aristochat/aristochat/cmd/chat/room"
)

// maxBody bounds the bytes of a body as JSON. A longer frame would cost the
// connection and not only the message (docs/protocol.md: close code 1009 beyond
// 1 MiB); most servers refuse much less.
const maxBody = 1<<20 - 1<<10

// Fits reports whether a message can be sent at all.
func Fits(body string) bool {
	if len(body) < maxBody/6 { // the longest form of a byte is \u001b
		return true
	}
	b, err := json.Marshal(body)
	return err == nil && len(b) <= maxBody
}

// persistence bounds how long a message that the server could not take is
// offered again before its author is asked.
const persistence = 20 * time.Second

// A server stores nothing twice under one id within two minutes of the first
// time. Beyond this, what may have been stored is looked for before it is sent
// again.
const sureNotTwice = 100 * time.Second

// A letter is a message on its way.
type letter struct {
	id, body string
	offered  time.Time     // since when, this time
	arrived  chan struct{} // closed when it was received as everybody does
	there    bool          // it is closed

	// Whether the server may have it: it was sent, and no answer came. Without a
	// doubt first and since are those of the attempt that is being made.
	doubt   bool
	first   time.Time // when it was sent
	since   uint64    // what had been received by then
	entered int       // the stay in which it was sent last
}

// say puts a message into the queue, again if it was not acknowledged.
func (m *member) say(id, body string) {
	if !Fits(body) {
		m.session.notSent(NotSent{Room: m.room, ClientID: id, Reason: fmt.Sprintf("%d bytes are more than fit into a message", len(body))})
		return
	}
	m.mu.Lock()
	l := m.failed[id]
	delete(m.failed, id)
	if l == nil {
		l = &letter{id: id, body: body, arrived: make(chan struct{})}
	}
	l.offered = time.Now()
	l.entered = m.entered // its author knows that it may have arrived
	m.queue = append(m.queue, l)
	m.mu.Unlock()
	m.look()
}

// deliver sends what is in the queue, one after the other, until the stay ends.
func (m *member) deliver() {
	for m.ctx.Err() == nil {
		l := m.next()
		if l == nil {
			select {
			case <-m.wake:
				continue
			case <-m.ctx.Done():
				return
			}
		}
		wait, done := m.attempt(l)
		if done || wait == 0 {
			continue
		}
		select {
		case <-time.After(wait):
		case <-l.arrived:
		case <-m.ctx.Done():
			return
		}
	}
}

// next is the letter whose turn it is, if there is a way for it.
func (m *member) next() *letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 || !m.ready && !m.queue[0].there {
		return nil
	}
	return m.queue[0]
}

// attempt sends l once. It returns true if its fate is decided, else how long
// to wait before the next time; zero if for the room to be entered again.
func (m *member) attempt(l *letter) (wait time.Duration, done bool) {
	entered, lost := m.begin(l)
	if lost {
		return 0, m.fail(l, "the connection was lost while it was sent, and it may have arrived")
	}
	if l.doubt && time.Since(l.first) > sureNotTwice {
		m.lookUp(l)
	}
	if m.isThere(l) {
		return 0, m.succeed(l)
	}
	m.sent(l)
	ctx, cancel := context.WithTimeout(m.ctx, patience)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // the copy is as good as the reply
		select {
		case <-l.arrived:
			cancel()
		case <-stop:
		}
	}()
	_, err := m.channel.Push(ctx, eventMessage, map[string]string{"body": l.body, "client_id": l.id})

	var refused *client.ReplyError
	switch {
	case err == nil, m.isThere(l):
		return 0, m.succeed(l)
	case m.ctx.Err() != nil:
		return 0, true
	case errors.As(err, &refused):
		if refused.Reason() == "unknown" {
			m.doubt(l)
		}
		if wait = retryAfter(refused); wait > 0 && time.Since(l.offered) < persistence {
			return wait, false
		}
		return 0, m.fail(l, reasonOf(refused))
	case errors.Is(err, client.ErrUnknown) && !errors.Is(err, client.ErrTimeout):
		m.doubt(l)
		m.interrupted(entered)
		return 0, false
	case errors.Is(err, client.ErrUnknown):
		m.doubt(l)
		return 0, m.fail(l, "no answer within "+patience.String()+", and it may have arrived")
	}
	if errors.Is(err, client.ErrTimeout) || errors.Is(err, client.ErrLost) || errors.Is(err, client.ErrFull) {
		m.interrupted(entered)
		return 0, false // it never left
	}
	return 0, m.fail(l, err.Error())
}

// begin tells in which stay l is sent, and whether it was sent in an earlier
// one of which nobody can say what became of it.
func (m *member) begin(l *letter) (entered int, lost bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	lost = l.doubt && !l.there && l.entered != m.entered && !m.whole
	return m.entered, lost
}

func (m *member) sent(l *letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !l.doubt {
		l.first, l.since = time.Now(), m.since
	}
	l.entered = m.entered
}

func (m *member) doubt(l *letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.doubt = true
}

// interrupted has the queue wait until the room is entered again.
func (m *member) interrupted(entered int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entered == entered {
		m.ready = false
	}
}

func (m *member) isThere(l *letter) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.there
}

func (m *member) succeed(l *letter) bool {
	m.drop(l, false)
	m.emit(Sent{Room: m.room, ClientID: l.id})
	return true
}

func (m *member) fail(l *letter, reason string) bool {
	m.drop(l, true)
	m.emit(NotSent{Room: m.room, ClientID: l.id, Reason: reason})
	return true
}

// drop takes l out of the queue, and keeps it for another try.
func (m *member) drop(l *letter, keep bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = slices.DeleteFunc(m.queue, func(q *letter) bool { return q == l })
	if keep {
		m.failed[l.id] = l
	}
}

func (m *member) failAll(reason string) {
	m.mu.Lock()
	queue := slices.Clone(m.queue)
	m.mu.Unlock()
	for _, l := range queue {
		m.fail(l, reason)
	}
}

// arrived notes which of the user's messages are among those received.
func (m *member) arrived(messages []room.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range messages {
		if msg.ClientID == "" {
			continue
		}
		delete(m.failed, msg.ClientID)
		for _, l := range m.queue {
			if l.id == msg.ClientID && !l.there {
				l.there = true
				close(l.arrived)
			}
		}
	}
	m.look()
}

// echoed is the id of the message that body is the copy of: the one that is
// being sent now, since they leave one by one.
func (m *member) echoed(body string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) > 0 && !m.queue[0].first.IsZero() && !m.queue[0].there && m.queue[0].body == body {
		return m.queue[0].id
	}
	for id, l := range m.failed {
		if l.doubt && l.body == body {
			return id
		}
	}
	return ""
}
