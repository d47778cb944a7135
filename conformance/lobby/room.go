package lobby

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aristochat/aristochat/edge"
)

// object is a JSON object whose members stay as the client wrote them.
type object map[string]json.RawMessage

// room is rooms:*, the ancestor's channel with the ancestor's manners: what it
// does not understand crashes it.
type room struct{}

func (room) Join(context.Context, *edge.Socket, edge.Payload) (any, error) { return nil, nil }

func (room) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	var msg object
	if m.Event != "chat_msg" {
		return nil, unknownEvent(m)
	}
	if err := m.Payload.Decode(&msg); err != nil {
		return nil, edge.Crash(err)
	}
	body, ok := msg["body"]
	if !ok {
		return nil, edge.Crash(fmt.Errorf("payload %s has no body", m.Payload.Bytes))
	}
	return nil, crashIf(s.Broadcast(ctx, "chat_msg", map[string]any{"body": body, "username": s.Assigns()}))
}

// unknownEvent is what Elixir does if no clause of handle_in matches.
func unknownEvent(m *edge.Message) error {
	return edge.Crash(fmt.Errorf("no handler for the event %q", m.Event))
}

// crashIf makes an error end the channel, as an exception does in Elixir.
func crashIf(err error) error {
	if err == nil {
		return nil
	}
	return edge.Crash(err)
}
