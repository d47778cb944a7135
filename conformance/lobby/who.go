package lobby

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// username is the key under which a member of lobby:presence… is present.
func username(s *edge.Socket) string {
	name, _ := s.Assigns().(string)
	return name
}

func (l *lobby) track(s *edge.Socket) error {
	return crashIf(l.who.Track(s, username(s), map[string]string{
		"online_at": strconv.FormatInt(time.Now().Unix(), 10),
		"status":    "online",
	}))
}

// update changes the status, and crashes the channel if it is not tracked.
func (l *lobby) update(s *edge.Socket, m *edge.Message) error {
	var payload struct{ Status json.RawMessage }
	if err := m.Payload.Decode(&payload); err != nil {
		return err
	}
	return l.who.UpdateFunc(s, username(s), func(old json.RawMessage) (any, error) {
		return with(edge.Payload{Bytes: old}, "status", payload.Status)
	})
}

func (l *lobby) list(ctx context.Context, s *edge.Socket) (*edge.Reply, error) {
	list, err := l.who.List(ctx, s.Topic())
	if err != nil {
		return nil, edge.Crash(err)
	}
	return edge.OK(list), nil
}
