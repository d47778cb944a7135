package client

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// A Presence is the list of who is on a channel, as Phoenix.Presence keeps it:
// under each key, such as a user, a meta for each of its connections. Its
// methods may be called concurrently.
//
// It follows phoenix.js (presence.js): after each join diffs wait for the
// state, and who was there before a lost connection and still is appears
// neither to leave nor to join. Unlike phoenix.js it does not tell again of a
// meta that it knows. On a server without presence the list stays empty.
type Presence struct {
	channel *Channel
	do      PresenceHandlers

	pending []presenceDiff // diffs that came before the state; used by callbacks only
	synced  bool           // the state came; the same

	mu   sync.Mutex // guards list
	list map[string]PresenceEntry
}

// PresenceHandlers are called as callbacks of the channel are. Each may be nil.
type PresenceHandlers struct {
	// Join tells of new metas of a key. before is the key's entry until now,
	// without metas if the key was not there.
	Join func(key string, before, joined PresenceEntry)
	// Leave tells of metas that are gone. after is what is left of the key's
	// entry, without metas if the key is gone too.
	Leave func(key string, after, left PresenceEntry)
	// State is called when the list is there and whenever it changed, after
	// Join and Leave.
	State func()
}

// A PresenceEntry is what is known of one key. It must not be modified.
type PresenceEntry struct {
	Metas []PresenceMeta
	// Raw is the entry as the server wrote it when the key joined last, with
	// what it may have beside metas.
	Raw json.RawMessage
}

// A PresenceMeta is one connection, for example.
type PresenceMeta struct {
	Ref  string // its identity
	Prev string // the identity of the one whose place it took, if it did
	// Raw is the whole meta.
	Raw json.RawMessage
}

// Decode unmarshals the meta into v.
func (m PresenceMeta) Decode(v any) error { return json.Unmarshal(m.Raw, v) }

// UnmarshalJSON implements [json.Unmarshaler].
func (m *PresenceMeta) UnmarshalJSON(raw []byte) error {
	var refs struct {
		Ref  string `json:"phx_ref"`
		Prev string `json:"phx_ref_prev"`
	}
	if err := json.Unmarshal(raw, &refs); err != nil {
		return err
	}
	*m = PresenceMeta{Ref: refs.Ref, Prev: refs.Prev, Raw: slices.Clone(raw)}
	return nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (e *PresenceEntry) UnmarshalJSON(raw []byte) error {
	var entry struct{ Metas []PresenceMeta }
	if err := json.Unmarshal(raw, &entry); err != nil {
		return err
	}
	*e = PresenceEntry{Metas: entry.Metas, Raw: slices.Clone(raw)}
	return nil
}

type presenceState map[string]PresenceEntry

type presenceDiff struct {
	Joins  presenceState
	Leaves presenceState
}

// NewPresence keeps the list of who is on ch. It must be called before ch is
// joined.
func NewPresence(ch *Channel, do PresenceHandlers) *Presence {
	p := &Presence{channel: ch, do: do, list: make(map[string]PresenceEntry)}
	ch.OnJoin(func(Reply) { p.synced, p.pending = false, nil })
	ch.On("presence_state", p.onState)
	ch.On("presence_diff", p.onDiff)
	return p
}

// List returns who is there.
func (p *Presence) List() map[string]PresenceEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.list)
}

// Get returns the entry of a key, without metas if it is not there.
func (p *Presence) Get(key string) PresenceEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[key]
}

func (p *Presence) onState(m Message) {
	var state presenceState
	if err := m.Decode(&state); err != nil {
		p.garbage(m, err)
		return
	}
	p.apply(p.difference(state))
	p.synced = true
	for _, diff := range p.pending {
		p.apply(diff)
	}
	p.pending = nil
	p.changed()
}

// maxPending is how many diffs wait for a state. A server sends it at once.
const maxPending = 10_000

func (p *Presence) onDiff(m Message) {
	var diff presenceDiff
	if err := m.Decode(&diff); err != nil {
		p.garbage(m, err)
		return
	}
	if p.synced {
		p.apply(diff)
		p.changed()
		return
	}
	if len(p.pending) == maxPending {
		p.garbage(m, fmt.Errorf("%d diffs without a presence_state", maxPending))
		p.pending = nil
	}
	p.pending = append(p.pending, diff)
}

func (p *Presence) garbage(m Message, err error) {
	p.channel.client.opts.Logger.Warn("presence is not of the known form",
		slog.String("topic", m.Topic), slog.String("event", m.Event), slog.Any("error", err))
}

func (p *Presence) changed() {
	if p.do.State != nil {
		p.do.State()
	}
}

// difference returns what makes the list the new state.
func (p *Presence) difference(state presenceState) presenceDiff {
	diff := presenceDiff{Joins: presenceState{}, Leaves: presenceState{}}
	list := p.List()
	for key, old := range list {
		old.Metas = without(old.Metas, state[key].Metas)
		if _, stays := state[key]; !stays || len(old.Metas) > 0 {
			diff.Leaves[key] = old
		}
	}
	for key, entry := range state {
		entry.Metas = without(entry.Metas, list[key].Metas)
		if _, known := list[key]; !known || len(entry.Metas) > 0 {
			diff.Joins[key] = entry
		}
	}
	return diff
}

// apply makes the changes of diff, joins first, and tells of each.
func (p *Presence) apply(diff presenceDiff) {
	for key, joined := range diff.Joins {
		before := p.Get(key)
		now := joined
		now.Metas = slices.Concat(without(before.Metas, joined.Metas), joined.Metas)
		p.set(key, now)
		joined.Metas = without(joined.Metas, before.Metas)
		if p.do.Join != nil && len(joined.Metas) > 0 {
			p.do.Join(key, before, joined)
		}
	}
	for key, left := range diff.Leaves {
		after, ok := p.lookup(key)
		if !ok {
			continue
		}
		after.Metas = without(after.Metas, left.Metas)
		p.set(key, after)
		if p.do.Leave != nil {
			p.do.Leave(key, after, left)
		}
	}
}

func (p *Presence) lookup(key string) (PresenceEntry, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.list[key]
	return e, ok
}

// set replaces an entry; one without metas is gone.
func (p *Presence) set(key string, e PresenceEntry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(e.Metas) == 0 {
		delete(p.list, key)
		return
	}
	p.list[key] = e
}

// without returns the metas whose refs are not among those of others.
func without(metas, others []PresenceMeta) []PresenceMeta {
	var left []PresenceMeta
	for _, m := range metas {
		if !slices.ContainsFunc(others, func(o PresenceMeta) bool { return o.Ref == m.Ref }) {
			left = append(left, m)
		}
	}
	return left
}
