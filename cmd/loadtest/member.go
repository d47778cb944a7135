package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/aristochat/aristochat/client"
)

// A member is one client in one room. It comes back by itself whenever its
// connection is lost, resumes where it was, and tells the ledger what it gets.
type member struct {
	swarm  *swarm
	room   *ledger
	index  int // in the room
	number int // in the swarm
	name   string

	client  *client.Client
	channel *client.Channel
	busy    atomic.Bool // it waits for an acknowledgement

	// Used by the channel's callbacks only, which the client calls one at a
	// time, and evaluates the join params among them.
	joined bool
	cursor uint64    // seq of the last message received
	epoch  string    // empty: the server keeps no history
	lost   time.Time // when it was cut off; zero: it is in the room

	connected, before bool // used by OnState only: now, and ever
}

// A page is a join's reply or a push of the event history.
type page struct {
	Messages  []chatMsg `json:"messages"`
	LastSeq   uint64    `json:"last_seq"`
	Epoch     string    `json:"epoch"`
	Recovered bool      `json:"recovered"`
	Reason    string    `json:"reason"`
}

type chatMsg struct {
	Body string `json:"body"`
	Seq  uint64 `json:"seq"`
}

// start connects and joins, and tries until it succeeds or ctx ends.
func (m *member) start(ctx context.Context) error {
	var why error // the last one that is not ctx's end
	for try := 1; ; try++ {
		err := m.enter(ctx)
		if err == nil {
			m.swarm.tally.add(joins)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", m.name, cmp.Or(why, err))
		}
		why = err
		m.swarm.tally.add(dialsFailed)
		m.swarm.tally.because("first join: " + reasonOf(err))
		wait(ctx, client.Reconnect(try))
	}
}

func (m *member) enter(ctx context.Context) error {
	if m.client == nil {
		c, err := client.Dial(ctx, m.swarm.servers.address(), &client.Options{
			Params:     url.Values{"username": {m.name}},
			HTTPClient: &http.Client{Transport: m.swarm.servers.visitor(m.number)},
			OnState:    m.state,
			Logger:     slog.New(slog.DiscardHandler), // the report counts what it would say
		})
		if err != nil {
			return err
		}
		m.client = c
		m.channel = c.Channel("rooms:"+m.room.room, m.params)
		m.channel.OnJoin(m.enters)
		m.channel.OnError(m.ends)
		m.channel.On("chat_msg", m.hears)
		m.channel.On("history", m.catchesUp)
	}
	_, err := m.channel.Join(ctx)
	return err
}

// close ends the client. Nothing is received afterwards.
func (m *member) close() {
	if m.client != nil {
		_ = m.client.Close()
		<-m.client.Done()
	}
}

// params of a join: where the member has got to.
func (m *member) params() any {
	if m.joined && m.epoch != "" && m.swarm.cfg.Resume {
		return map[string]any{"since": m.cursor, "epoch": m.epoch}
	}
	return map[string]any{"history": 0} // nothing, but where the room is
}

// enters is told of each join that succeeded.
func (m *member) enters(r client.Reply) {
	var p page
	if err := r.Decode(&p); err != nil {
		m.swarm.tally.because("join: " + err.Error())
		return
	}
	first := !m.joined
	m.joined = true
	if p.Epoch != "" {
		m.swarm.history.Store(true)
	}
	switch {
	case first:
		m.room.enter(m.index, p.LastSeq)
	case p.Epoch == "": // no history: what was missed is missed
	case !m.swarm.cfg.Resume:
		m.room.skip(m.index, p.LastSeq)
	case !p.Recovered:
		m.room.found(notRecovered, m.index, id{}, m.cursor, p.Reason)
		if p.Epoch != m.epoch {
			m.room.enter(m.index, 0) // sequences begin anew
		}
	}
	m.epoch = p.Epoch
	m.take(&p)
	if !first {
		m.swarm.tally.back(m.lost)
		m.lost = time.Time{}
	}
}

func (m *member) catchesUp(msg client.Message) {
	var p page
	if err := msg.Decode(&p); err != nil {
		m.swarm.tally.because("history: " + err.Error())
		return
	}
	m.take(&p)
}

// take receives a page of the past.
func (m *member) take(p *page) {
	for i := range p.Messages {
		m.receive(&p.Messages[i], true)
	}
	m.cursor = p.LastSeq
}

// hears is told of each message.
func (m *member) hears(msg client.Message) {
	var in chatMsg
	if err := json.Unmarshal(msg.Bytes, &in); err != nil {
		m.swarm.tally.because("chat_msg: " + err.Error())
		return
	}
	m.receive(&in, false)
	m.cursor = in.Seq
}

func (m *member) receive(in *chatMsg, byResuming bool) {
	i, ours := parseBody(m.swarm.run, in.Body)
	if !ours {
		return
	}
	if at := m.room.receive(m.index, i, in.Seq); !at.IsZero() {
		m.swarm.tally.received(at, byResuming)
	}
}

// state is told of the connection.
func (m *member) state(s client.State) {
	t := m.swarm.tally
	switch {
	case s.Status == client.Connected:
		t.connect(+1)
		if m.before {
			t.add(reconnects)
		}
		m.connected, m.before = true, true
	case m.connected:
		t.connect(-1)
		m.connected = false
		if s.Status == client.Reconnecting {
			t.add(closeCounter(s.Err))
			t.because("connection: " + reasonOf(s.Err))
		}
	case s.Status == client.Reconnecting && !s.Next.IsZero(): // a further attempt: the one before failed
		t.add(dialsFailed)
		t.because("connecting again: " + reasonOf(s.Err))
	}
}

// ends is told when the member is no longer in the room.
func (m *member) ends(err error) {
	if m.lost.IsZero() {
		m.lost = time.Now()
	}
	if !errors.Is(err, client.ErrLost) { // else OnState is told as well
		m.swarm.tally.because("channel: " + reasonOf(err))
	}
}
