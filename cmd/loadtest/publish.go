package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aristochat/aristochat/client"
)

// Bounds of sending one message.
const (
	pushTimeout = 10 * time.Second
	// What was sent first more than two minutes ago is stored twice if it is
	// sent again: the server forgets the client_id.
	giveUpAfter = 100 * time.Second
	retryPause  = 200 * time.Millisecond
)

type outgoing struct {
	Body     string `json:"body"`
	ClientID string `json:"client_id"`
}

// publish sends a message that is due at a time, and sends it again until it is
// acknowledged, refused, or too old.
func (m *member) publish(ctx context.Context, at time.Time) {
	t := m.swarm.tally
	t.add(sends)
	i := m.room.send(m.index, at)
	msg := outgoing{bodyOf(m.swarm.run, i, m.swarm.cfg.Size), fmt.Sprintf("%s-%d-%d", m.swarm.run, m.index, i.n)}
	for {
		stamp, pause, err := m.push(ctx, msg)
		if err == nil {
			m.room.ack(i, stamp)
			t.acknowledged(at)
			return
		}
		t.because("push: " + reasonOf(err))
		if pause < 0 || ctx.Err() != nil || time.Since(at)+pause > giveUpAfter {
			m.room.giveUp(i)
			t.add(failures)
			return
		}
		wait(ctx, pause)
		t.add(retries)
	}
}

// push tries once. After an error it returns how long to wait before the next
// try, a negative time if there should be none.
func (m *member) push(ctx context.Context, msg outgoing) (seq uint64, pause time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	reply, err := m.channel.Push(ctx, "chat_msg", msg)
	if err == nil {
		var ok struct {
			Seq uint64 `json:"seq"`
		}
		if err := reply.Decode(&ok); err != nil {
			return 0, -1, err
		}
		return ok.Seq, 0, nil
	}
	refused, ok := errors.AsType[*client.ReplyError](err)
	switch {
	case ok:
	case errors.Is(err, client.ErrUnknown) && !m.swarm.history.Load():
		return 0, -1, err // nobody would know the repetition for one
	case errors.Is(err, client.ErrNotJoined):
		return 0, -1, err // the server ended the channel, and nobody joins it again
	default:
		return 0, 0, err // the next try waits for the connection
	}
	var again struct {
		After *int64 `json:"retry_after_ms"`
	}
	if refused.Decode(&again) != nil || again.After == nil {
		return 0, -1, err
	}
	return 0, max(time.Duration(*again.After)*time.Millisecond, retryPause), err
}
