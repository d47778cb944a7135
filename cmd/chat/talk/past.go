package talk

import (
	"context"
	"errors"
	"time"

	"github.com/aristochat/aristochat/cmd/chat/room"
)

// pageSize is how many messages are asked for at once.
const pageSize = 100

// Past returns the newest messages before one, or of all if it is 0, in order,
// and whether there are more before them.
func (s *Session) Past(ctx context.Context, name string, before uint64) (messages []room.Message, more bool, err error) {
	m := s.member(name)
	if m == nil {
		return nil, false, errors.New("you are not in this room")
	}
	return m.past(ctx, before)
}

func (m *member) past(ctx context.Context, before uint64) ([]room.Message, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	params := map[string]uint64{"limit": pageSize}
	if before > 0 {
		params["before"] = before
	}
	reply, err := m.channel.Push(ctx, eventHistory, params)
	if err != nil {
		return nil, false, err
	}
	var p page
	if err := reply.Decode(&p); err != nil {
		return nil, false, err
	}
	messages, unreadable := p.read(time.Now())
	m.unreadable(unreadable)
	return messages, p.More, nil
}

// lookUp finds out whether l has arrived after all.
func (m *member) lookUp(l *letter) {
	m.mu.Lock()
	keeps := m.epoch != ""
	m.mu.Unlock()
	before := uint64(0)
	for keeps {
		messages, more, err := m.past(m.ctx, before)
		if err != nil || len(messages) == 0 {
			return
		}
		for _, msg := range messages {
			if msg.ClientID == l.id { // in a gap, so nobody was told where it stands
				m.emit(Said{Room: m.room, Message: msg})
			}
		}
		m.arrived(messages)
		before = messages[0].Seq
		if !more || before <= l.since || m.isThere(l) {
			return
		}
	}
}
