package talk

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/aristochat/aristochat/client"
)

// watch tells who is in the room, if the server does.
func (m *member) watch() {
	var who *client.Presence
	m.channel.On(eventState, func(client.Message) { m.knowsMore() })
	who = client.NewPresence(m.channel, client.PresenceHandlers{State: func() {
		list := who.List()
		away := map[string]string{}
		for name, entry := range list {
			if status := statusOf(entry); status != "" {
				away[name] = status
			}
		}
		m.emit(Here{Room: m.room, Names: slices.Collect(maps.Keys(list)), Away: away})
	}})
	m.channel.On(eventCount, func(in client.Message) {
		var count struct {
			Count int `json:"count"`
		}
		if in.Decode(&count) == nil {
			m.knowsMore()
			m.emit(Counted{Room: m.room, Number: max(0, count.Count)})
		}
	})
}

// knowsMore notes that the server is no mere chat_msg.
func (m *member) knowsMore() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.modern = !m.shy
}

// statusOf is what somebody's newest connection says of itself, "online" left
// out.
func statusOf(e client.PresenceEntry) string {
	if len(e.Metas) == 0 {
		return ""
	}
	var meta struct {
		Status json.RawMessage `json:"status"`
	}
	if e.Metas[len(e.Metas)-1].Decode(&meta) != nil || len(meta.Status) == 0 {
		return ""
	}
	if s := stringOr(meta.Status); s != "online" {
		return s
	}
	return ""
}

// mostNames bounds the names that Who returns.
const mostNames = 1000

// Who returns the names of those in a room of any size, at most mostNames, and
// how many there are.
func (s *Session) Who(ctx context.Context, name string) (names []string, count int, err error) {
	m := s.member(name)
	if m == nil {
		return nil, 0, errors.New("you are not in this room")
	}
	if !m.isModern() {
		return nil, 0, errors.New("this server does not tell who is there")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	after := ""
	for len(names) < mostNames {
		params := map[string]any{"limit": pageSize}
		if after != "" {
			params["after"] = after
		}
		reply, err := m.channel.Push(ctx, eventPresence, params)
		if err != nil {
			return nil, 0, err
		}
		var page struct {
			Presences map[string]json.RawMessage `json:"presences"`
			Count     int                        `json:"count"`
			Next      *string                    `json:"next"`
		}
		if err := reply.Decode(&page); err != nil {
			return nil, 0, err
		}
		names = slices.AppendSeq(names, maps.Keys(page.Presences))
		count = page.Count
		if page.Next == nil || *page.Next == after || len(page.Presences) == 0 {
			break
		}
		after = *page.Next
	}
	slices.Sort(names)
	return names, max(count, len(names)), nil
}
