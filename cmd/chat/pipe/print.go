package pipe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// line is what is printed as JSON.
type line struct {
	Type     string     `json:"type"`
	Room     string     `json:"room"`
	Username *string    `json:"username,omitempty"`
	Body     *string    `json:"body,omitempty"`
	At       *time.Time `json:"at,omitempty"`
	Seq      uint64     `json:"seq,omitempty"`
	ClientID string     `json:"client_id,omitempty"`
	Own      *bool      `json:"own,omitempty"`
	Reason   string     `json:"reason,omitempty"`
}

func messageLine(name string, m room.Message, own bool) line {
	at := m.At.UTC()
	return line{Type: "message", Room: name, Username: &m.From, Body: &m.Body, At: &at, Seq: m.Seq, ClientID: m.ClientID, Own: &own}
}

// marshal is a value as one line of JSON that a terminal obeys nothing of:
// encoding/json leaves some control characters as they are.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Appendf(nil, "{\"type\":\"error\",\"reason\":%q}\n", err.Error()) // a mistake of ours
	}
	raw := b.String()
	var out strings.Builder
	for _, r := range raw {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			fmt.Fprintf(&out, "\\u%04x", r)
			continue
		}
		out.WriteRune(r)
	}
	return []byte(out.String())
}

// plain is a message as one line for people.
func plain(m room.Message, loc *time.Location) []byte {
	body := strings.ReplaceAll(text.Body(m.Body), "\n", " ⏎ ")
	return fmt.Appendf(nil, "%s %s: %s\n", m.At.In(loc).Format("15:04:05"), text.Sender(m.From), body)
}
