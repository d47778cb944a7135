package presence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"
)

// A List is who is here, by key: what clients get as presence_state.
type List map[string]*Item

// An Item is the presences of one key. In JSON the members of Extra stand
// beside "metas".
type Item struct {
	Metas []json.RawMessage // oldest first, each with its phx_ref
	Extra map[string]any
}

// MarshalJSON implements [json.Marshaler].
func (i *Item) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(i.Extra)+1)
	maps.Copy(members, i.Extra)
	members["metas"] = i.Metas
	return marshal(members)
}

// Events that clients know.
const (
	eventState = "presence_state"
	eventDiff  = "presence_diff"
	eventCount = "presence_count"
)

// appendGroups writes {"KEY":{"metas":[…]},…}.
func appendGroups(b []byte, groups []group) []byte {
	b = append(b, '{')
	for i, g := range groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, g.key)
		b = append(b, `:{"metas":[`...)
		for j, e := range g.metas {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendMeta(b, e)
		}
		b = append(b, "]}"...)
	}
	return append(b, '}')
}

// appendMeta writes a meta with its refs.
func appendMeta(b []byte, e *entry) []byte {
	b = append(b, e.meta[:len(e.meta)-1]...)
	if len(e.meta) > len("{}") {
		b = append(b, ',')
	}
	b = append(b, `"phx_ref":"`...)
	b = append(b, e.ref.String()...)
	if e.prev != (ref{}) {
		b = append(b, `","phx_ref_prev":"`...)
		b = append(b, e.prev.String()...)
	}
	return append(b, `"}`...)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := marshal(s) // a string
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// listOf is groups as the application sees them.
func listOf(groups []group) List {
	list := make(List, len(groups))
	for _, g := range groups {
		item := &Item{Metas: make([]json.RawMessage, len(g.metas))}
		for i, e := range g.metas {
			item.Metas[i] = appendMeta(nil, e)
		}
		list[g.key] = item
	}
	return list
}

// marshal is json.Marshal but for <, > and &, which stay as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// metaOf returns what the application tracks as an entry has it.
func metaOf(v any) (string, error) {
	if v == nil {
		return "{}", nil
	}
	b, err := marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding meta: %w", err)
	}
	var compact bytes.Buffer // a json.RawMessage may have spaces
	if err := json.Compact(&compact, b); err != nil {
		return "", fmt.Errorf("encoding meta: %w", err)
	}
	b = compact.Bytes()
	if b[0] != '{' {
		return "", errors.New("a meta must be a JSON object")
	}
	if bytes.Contains(b, []byte("phx_ref")) || bytes.Contains(b, []byte(`\u`)) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(b, &members); err != nil {
			return "", fmt.Errorf("encoding meta: %w", err)
		}
		delete(members, "phx_ref")
		delete(members, "phx_ref_prev")
		if b, err = marshal(members); err != nil {
			return "", fmt.Errorf("encoding meta: %w", err)
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}

// Bounds of what another edge may say, whatever its own options are.
const (
	maxKey       = 256
	maxMetaBytes = 64 << 10
)

// acceptable reports whether an entry from another edge can be shown to
// clients.
func acceptable(e *entry) bool {
	return len(e.key) <= maxKey && utf8.ValidString(e.key) &&
		len(e.meta) >= 2 && len(e.meta) <= maxMetaBytes &&
		strings.HasPrefix(e.meta, "{") && strings.HasSuffix(e.meta, "}") &&
		utf8.ValidString(e.meta) && json.Valid([]byte(e.meta))
}
