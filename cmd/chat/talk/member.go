package talk

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aristochat/aristochat/client"
	"github.com/aristochat/aristochat/cmd/chat/room"
)

// patience bounds the wait for one answer of the server, as in phoenix.js.
const patience = 10 * time.Second

// A member is the user's stay in a room.
type member struct {
	session *Session
	room    string
	channel *client.Channel
	ctx     context.Context //nolint:containedctx // ends with the stay, by end
	end     context.CancelFunc
	gone    chan struct{} // closed when the stay has ended
	wake    chan struct{} // for deliver: look again

	mu      sync.Mutex // guards what follows
	entered int        // how often
	ready   bool       // in the room, and nothing is missing that can be had
	whole   bool       // nothing was lost when it was entered last
	modern  bool       // the server knows more than chat_msg
	shy     bool       // it crashed, perhaps of something that it does not know
	epoch   string     // of the server's store; empty if it has none
	since   uint64     // the newest message received
	queue   []*letter
	failed  map[string]*letter
	odd     bool // an unreadable message was told of
}

func newMember(s *Session, name string) *member {
	m := &member{session: s, room: name, gone: make(chan struct{}), wake: make(chan struct{}, 1), failed: map[string]*letter{}}
	m.ctx, m.end = context.WithCancel(s.ctx)
	m.channel = s.client.Channel(topicPrefix+name, func() any { return m.params() })
	m.channel.OnJoin(m.onJoin)
	m.channel.OnError(m.onError)
	m.channel.OnClose(m.onClose)
	m.channel.On(eventMessage, m.onMessage)
	m.channel.On(eventHistory, m.onHistory)
	m.channel.On(eventTyping, m.onTyping)
	m.watch()
	return m
}

// stay enters the room, once the stay before has ended if there was one, and
// leaves it when m.ctx ends.
func (m *member) stay(last *member) {
	defer close(m.gone)
	if last != nil {
		<-last.gone
	}
	m.join()
	<-m.ctx.Done()
	ctx, cancel := context.WithTimeout(m.session.ctx, patience)
	defer cancel()
	_ = m.channel.Leave(ctx) // the server learns it at the latest when the connection ends
}

// join enters the room for the first time; the client does it from then on.
func (m *member) join() {
	for m.ctx.Err() == nil {
		_, err := m.channel.Join(m.ctx)
		var refused *client.ReplyError
		wait := time.Second
		switch {
		case err == nil, m.ctx.Err() != nil, errors.Is(err, client.ErrClosed):
			return
		case errors.As(err, &refused):
			if wait = retryAfter(refused); wait == 0 {
				m.refused(reasonOf(refused))
				return
			}
		case !errors.Is(err, client.ErrTimeout) && !errors.Is(err, client.ErrLost) && !errors.Is(err, client.ErrCrashed):
			m.refused(err.Error())
			return
		}
		m.emit(Trouble{Room: m.room, Text: "cannot enter yet: " + Explain(err, "").Text})
		select {
		case <-time.After(wait):
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *member) refused(reason string) {
	m.end()
	m.failAll("the server does not let you into this room: " + reason)
	m.emit(Refused{Room: m.room, Reason: reason})
}

func (m *member) emit(e Event) { m.session.cfg.Emit(e) }

// params are those of each join: where to resume, or how much of the past to
// begin with.
func (m *member) params() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch == "" {
		return map[string]any{"history": m.session.cfg.History}
	}
	return map[string]any{"since": m.since, "epoch": m.epoch, "history": m.session.cfg.History}
}

func (m *member) onJoin(r client.Reply) {
	var p page
	_ = r.Decode(&p) // what cannot be read is a server without history
	now := time.Now()
	past, unreadable := p.read(now)

	m.mu.Lock()
	m.entered++
	e := Joined{
		Room:  m.room,
		Again: m.entered > 1,
		Keeps: p.Epoch != "",
		Past:  past,
	}
	if e.Again {
		e.Restarted = m.epoch != "" && p.Epoch != "" && m.epoch != p.Epoch
		switch {
		case !e.Keeps:
			e.Lost = "this server keeps no messages"
		case m.epoch != "" && !p.Recovered:
			e.Lost = p.Reason
		}
	}
	if !e.Again || e.Restarted {
		e.Older = e.Keeps && len(past) >= max(1, m.session.cfg.History)
	}
	m.epoch, m.since = p.Epoch, p.LastSeq
	m.modern = m.modern || e.Keeps
	m.whole = e.Keeps && e.Lost == ""
	m.ready = !p.More
	m.mu.Unlock()

	m.emit(e)
	m.arrived(past)
	m.unreadable(unreadable)
	m.look()
}

func (m *member) onError(err error) {
	m.mu.Lock()
	m.ready = false
	if errors.Is(err, client.ErrCrashed) && m.epoch == "" {
		m.modern, m.shy = false, true
	}
	m.mu.Unlock()
	var refused *client.ReplyError
	if errors.As(err, &refused) || errors.Is(err, client.ErrCrashed) || errors.Is(err, client.ErrBehind) {
		m.emit(Trouble{Room: m.room, Text: Explain(err, "").Text + "; trying again"})
	} // what else there is the connection tells, once for all rooms
}

func (m *member) onClose(err error) {
	if errors.Is(err, client.ErrEnded) {
		m.refused("it has ended your stay")
	}
}

func (m *member) onMessage(in client.Message) {
	msg, ok := readMessage(in.Bytes, time.Now())
	if in.Binary || !ok {
		m.unreadable(1)
		return
	}
	m.mu.Lock()
	m.since = max(m.since, msg.Seq)
	m.mu.Unlock()
	m.receive(msg)
}

// onHistory is told the rest of what was missed, page by page.
func (m *member) onHistory(in client.Message) {
	var p page
	if in.Decode(&p) != nil {
		m.unreadable(1)
		return
	}
	messages, unreadable := p.read(time.Now())
	for _, msg := range messages {
		m.receive(msg)
	}
	m.unreadable(unreadable)
	m.mu.Lock()
	m.since = max(m.since, p.LastSeq)
	m.ready = !p.More
	m.mu.Unlock()
	m.look()
}

// receive passes a message on. A server that does not return the sender's id
// gets help: the user's own words are the ones that are on their way.
func (m *member) receive(msg room.Message) {
	if msg.ClientID == "" && msg.Seq == 0 && msg.From == m.session.cfg.Username {
		msg.ClientID = m.echoed(msg.Body)
	}
	m.emit(Said{Room: m.room, Message: msg})
	m.arrived([]room.Message{msg})
}

func (m *member) onTyping(in client.Message) {
	var t struct {
		Username string `json:"username"`
		Typing   bool   `json:"typing"`
		TTL      int64  `json:"ttl_ms"`
	}
	if in.Decode(&t) != nil || t.Username == "" {
		return // nothing is lost
	}
	e := Typing{Room: m.room, User: t.Username}
	if t.Typing {
		ttl := time.Duration(t.TTL) * time.Millisecond
		if ttl <= 0 || ttl > time.Minute {
			ttl = 6 * time.Second
		}
		e.Until = time.Now().Add(ttl)
	}
	m.emit(e)
}

// unreadable tells once of messages that make no sense.
func (m *member) unreadable(n int) {
	m.mu.Lock()
	first := n > 0 && !m.odd
	m.odd = m.odd || n > 0
	m.mu.Unlock()
	if first {
		m.emit(Trouble{Room: m.room, Text: "the server sent a message that makes no sense; it is left out, and so are others like it"})
	}
}

func (m *member) isModern() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.modern
}

// look has deliver look again.
func (m *member) look() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
