package lobby

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/presence"
)

// lobby is lobby:*. Its topic decides what a join does, the event what a
// message does.
type lobby struct {
	server *edge.Server
	who    *presence.Tracker
}

func (l *lobby) Join(_ context.Context, s *edge.Socket, params edge.Payload) (any, error) {
	switch s.Topic() {
	case "lobby:forbidden":
		return nil, edge.Refuse("forbidden")
	case "lobby:errstring":
		return nil, &edge.Error{Response: "plain"}
	case "lobby:crash":
		panic("join crashes on demand")
	case "lobby:exit", "lobby:badreturn":
		return nil, errors.New("join fails on demand")
	case "lobby:binreply":
		return edge.Binary{1, 2, 3}, nil
	case "lobby:greeter":
		s.Do(func(context.Context) error {
			return s.Push("greeting", map[string]any{"hello": s.Assigns()})
		})
		return nil, nil
	}
	if strings.HasPrefix(s.Topic(), "lobby:presence") {
		s.Do(func(context.Context) error { return l.track(s) })
		return nil, nil
	}
	return map[string]any{"welcome": s.Topic(), "params": echoed(params)}, nil
}

// echoed is a payload as a member of a reply: the value that an application
// decodes, not the text that the client wrote. Bytes have no JSON.
type echoed edge.Payload

func (e echoed) MarshalJSON() ([]byte, error) {
	if e.Binary {
		return nil, errors.New("binary params cannot be echoed in JSON")
	}
	return firstKeys(e.Bytes)
}

var errOnDemand = errors.New("on demand")

func (l *lobby) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	switch m.Event {
	case "echo":
		return edge.OK(m.Payload), nil
	case "echo_error":
		return &edge.Reply{Status: "error", Response: m.Payload}, nil
	case "echo_custom":
		return &edge.Reply{Status: "custom", Response: m.Payload}, nil
	case "reply_ok":
		return edge.OK(nil), nil
	case "reply_error":
		return &edge.Reply{Status: "error"}, nil
	case "noreply":
		return nil, nil
	case "reply_later":
		return nil, l.replyLater(m)

	case "shout":
		return nil, crashIf(s.Broadcast(ctx, "shout", m.Payload))
	case "shout_reply":
		return okUnless(s.Broadcast(ctx, "shout", m.Payload))
	case "whisper":
		return okUnless(s.BroadcastFrom(ctx, "whisper", m.Payload))
	case "send_intercepted":
		return nil, crashIf(s.Broadcast(ctx, "intercepted", m.Payload))
	case "send_filtered":
		return nil, l.broadcastFiltered(ctx, s, m)
	case "kick":
		return l.kick(ctx, m)
	case "broadcast_to":
		return l.broadcastTo(ctx, m)

	case "push_me":
		return nil, crashIf(s.Push("pushed", m.Payload))
	case "push_later":
		s.Do(func(context.Context) error { return crashIf(s.Push("pushed", m.Payload)) })
		return edge.OK(nil), nil
	case "push_bin":
		return nil, crashIf(s.Push("bin", edge.Binary{0x00, 0x01, 0xfe, 0xff}))

	case "update":
		return okUnless(l.update(s, m))
	case "untrack":
		return okUnless(l.who.Untrack(s, username(s)))
	case "list":
		return l.list(ctx, s)

	case "whoami":
		return edge.OK(map[string]any{"username": s.Assigns(), "topic": s.Topic(), "id": s.ID()}), nil
	case "sleep":
		return sleep(ctx, m)

	case "stop":
		return nil, edge.Stop(nil)
	case "stop_reply":
		return edge.OK(m.Payload), edge.Stop(nil)
	case "stop_shutdown":
		return edge.OK(nil), edge.Stop(errors.New("shutdown"))
	case "stop_shutdown_reason":
		return nil, edge.Stop(fmt.Errorf("shutdown: %w", errOnDemand))
	case "stop_bad", "exit_normal", "bad_return": // Go knows the first of these only
		return nil, edge.Crash(errOnDemand)
	case "crash":
		panic("handler crashes on demand")
	case "bad_reply":
		return edge.OK(make(chan int)), nil // has no JSON
	}
	return nil, unknownEvent(m)
}

// okUnless replies ok, or crashes the channel if there was an error.
func okUnless(err error) (*edge.Reply, error) {
	if err != nil {
		return nil, edge.Crash(err)
	}
	return edge.OK(nil), nil
}

func (l *lobby) replyLater(m *edge.Message) error {
	deferred, err := m.Defer()
	if err != nil {
		return edge.Crash(err)
	}
	payload := m.Payload
	time.AfterFunc(50*time.Millisecond, func() {
		_ = deferred.Reply(edge.OK(payload)) // fails if the channel has ended
	})
	return nil
}

func (l *lobby) broadcastFiltered(ctx context.Context, s *edge.Socket, m *edge.Message) error {
	payload, err := with(m.Payload, "from", s.Assigns())
	if err != nil {
		return edge.Crash(err)
	}
	return crashIf(s.Broadcast(ctx, "filtered", payload))
}

func (l *lobby) kick(ctx context.Context, m *edge.Message) (*edge.Reply, error) {
	var payload struct{ User string }
	if err := m.Payload.Decode(&payload); err != nil {
		return nil, edge.Crash(err)
	}
	return okUnless(l.server.Broadcast(ctx, "users:"+payload.User, "disconnect", nil))
}

func (l *lobby) broadcastTo(ctx context.Context, m *edge.Message) (*edge.Reply, error) {
	var payload struct {
		Topic, Event string
		Payload      json.RawMessage
	}
	if err := m.Payload.Decode(&payload); err != nil {
		return nil, edge.Crash(err)
	}
	return okUnless(l.server.Broadcast(ctx, payload.Topic, payload.Event, payload.Payload))
}

func sleep(ctx context.Context, m *edge.Message) (*edge.Reply, error) {
	var payload struct{ MS int }
	if err := m.Payload.Decode(&payload); err != nil {
		return nil, edge.Crash(err)
	}
	select {
	case <-time.After(time.Duration(payload.MS) * time.Millisecond):
		return edge.OK(map[string]int{"slept": payload.MS}), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Intercepts implements [edge.Interceptor].
func (l *lobby) Intercepts(event string) bool { return event == "intercepted" || event == "filtered" }

// HandleOut implements [edge.Interceptor].
func (l *lobby) HandleOut(_ context.Context, s *edge.Socket, event string, payload edge.Payload) error {
	switch event {
	case "intercepted":
		out, err := with(payload, "to", s.Assigns())
		if err != nil {
			return edge.Crash(err)
		}
		return crashIf(s.Push(event, out))
	case "filtered":
		var from struct{ From any }
		if err := payload.Decode(&from); err != nil {
			return edge.Crash(err)
		}
		if reflect.DeepEqual(from.From, s.Assigns()) {
			return nil
		}
		return crashIf(s.Push(event, payload))
	}
	return nil
}

// with is a payload with one more member.
func with(p edge.Payload, key string, value any) (map[string]any, error) {
	var members object
	if err := p.Decode(&members); err != nil {
		return nil, err
	}
	out := make(map[string]any, len(members)+1)
	for k, v := range members {
		out[k] = v
	}
	out[key] = value
	return out, nil
}
