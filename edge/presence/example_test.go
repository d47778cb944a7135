package presence_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
	"github.com/aristochat/aristochat/embedded"
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
	ctx := context.Background()
	nats, err := embedded.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer nats.Shutdown()
	link, err := backbone.Connect(ctx, &backbone.Options{Server: nats, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer link.Close(ctx)
	srv, err := edge.New(link, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown(ctx)

	who := presence.New(srv, nil)
	srv.Channel("lounge:*", func() edge.Channel { return &lounge{who} })

	list, err := who.List(ctx, "lounge:main")
	fmt.Println(len(list), err)
	// Output: 0 <nil>
}
