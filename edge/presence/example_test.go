package presence_test

import (
	"context"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/presence"
)

// lounge is a channel whose members see each other.
type lounge struct{ who *presence.Tracker }

func (l *lounge) Join(_ context.Context, s *edge.Socket, _ edge.Payload) (any, error) {
	return nil, l.who.Track(s, s.ID(), map[string]any{"online_at": time.Now().Unix()})
}

func (l *lounge) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	switch m.Event {
	case "away":
		if err := l.who.Update(s, s.ID(), map[string]any{"status": "away"}); err != nil {
			return nil, err
		}
		return edge.OK(nil), nil
	case presence.EventList:
		return l.who.Handle(ctx, s, m)
	}
	return nil, edge.Refuse("unknown event")
}

func ExampleTracker() {
	var srv *edge.Server // from edge.New, over a backbone.Link

	who := presence.New(srv, nil)
	srv.Channel("lounge:*", func() edge.Channel { return &lounge{who} })
}
