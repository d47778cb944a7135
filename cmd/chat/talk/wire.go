package talk

import (
	"encoding/json"
	"time"

	"github.com/aristochat/aristochat/client"
	"github.com/aristochat/aristochat/cmd/chat/room"
)

// topicPrefix is in front of the name of a room.
const topicPrefix = "rooms:"

// Events, as docs/protocol.md has them.
const (
	eventMessage  = "chat_msg"
	eventTyping   = "typing"
	eventHistory  = "history"
	eventCount    = "presence_count"
	eventState    = "presence_state"
	eventPresence = "presence_list"
)

// A page is messages of the past: a join's reply, a history push, or the reply
// to a history request.
type page struct {
	Messages  []json.RawMessage `json:"messages"`
	LastSeq   uint64            `json:"last_seq"`
	Epoch     string            `json:"epoch"` // empty if the server keeps nothing
	Recovered bool              `json:"recovered"`
	Reason    string            `json:"reason"`
	More      bool              `json:"more"`
}

func (p *page) read(now time.Time) (messages []room.Message, unreadable int) {
	for _, raw := range p.Messages {
		if m, ok := readMessage(raw, now); ok {
			messages = append(messages, m)
		} else {
			unreadable++
		}
	}
	return messages, unreadable
}

// readMessage reads a chat_msg. What is not a string where one belongs, as
// the ancestor passes it on, is shown as its JSON. It reports false if there is
// no body.
func readMessage(raw json.RawMessage, now time.Time) (room.Message, bool) {
	var in struct {
		Body     json.RawMessage `json:"body"`
		Username json.RawMessage `json:"username"`
		ClientID json.RawMessage `json:"client_id"`
		Seq      json.RawMessage `json:"seq"`
		At       json.RawMessage `json:"at"`
	}
	if json.Unmarshal(raw, &in) != nil || len(in.Body) == 0 {
		return room.Message{}, false
	}
	m := room.Message{Body: stringOr(in.Body), From: stringOr(in.Username), ClientID: stringOr(in.ClientID), At: now}
	if json.Unmarshal(in.Seq, &m.Seq) != nil {
		m.Seq = 0
	}
	var at time.Time
	if json.Unmarshal(in.At, &at) == nil && !at.IsZero() {
		m.At = at
	}
	return m, true
}

// stringOr is a JSON string's text; of any other value, its JSON; nothing of
// null.
func stringOr(raw json.RawMessage) string {
	var s *string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	if s == nil {
		return ""
	}
	return *s
}

// retryAfter is what a refusal says about trying again: zero if it does not.
func retryAfter(e *client.ReplyError) time.Duration {
	var in struct {
		MS int64 `json:"retry_after_ms"`
	}
	if e.Decode(&in) != nil || in.MS <= 0 {
		return 0
	}
	return min(time.Duration(in.MS)*time.Millisecond, patience)
}
