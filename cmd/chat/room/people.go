package room

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// People are those who are in a room, as far as the server tells.
type People struct {
	// Known says that the server tells who is there.
	Known bool
	// Here are the names, sorted as people read them. In a large room there
	// are none, but their number.
	Here   []string
	Number int
	// Away are those of Here who say so, with what they say.
	Away map[string]string

	typing map[string]time.Time // until when
}

// Set replaces who is here.
func (p *People) Set(names []string, away map[string]string) {
	p.Known = true
	p.Here = slices.Clone(names)
	slices.SortFunc(p.Here, func(a, b string) int {
		if c := strings.Compare(strings.ToLower(a), strings.ToLower(b)); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	p.Number = len(p.Here)
	p.Away = away
}

// Count says how many are in a room that is too large for names.
func (p *People) Count(n int) {
	p.Known, p.Here, p.Away, p.Number = true, nil, nil, n
}

// Typing notes that somebody types until a time, or, if it is zero, no longer.
func (p *People) Typing(name string, until time.Time) {
	if until.IsZero() {
		delete(p.typing, name)
		return
	}
	if p.typing == nil {
		p.typing = map[string]time.Time{}
	}
	if _, known := p.typing[name]; known || len(p.typing) < maxTyping {
		p.typing[name] = until
	}
}

// maxTyping bounds what is kept of those who type: nobody reads more.
const maxTyping = 100

// typed is called when somebody has said what he was typing.
func (p *People) typed(name string) { delete(p.typing, name) }

// WhoTypes are those who are typing now, and when the first of them will count
// as having stopped.
func (p *People) WhoTypes(now time.Time) (names []string, next time.Time) {
	for name, until := range p.typing {
		if !until.After(now) {
			delete(p.typing, name)
			continue
		}
		if next.IsZero() || until.Before(next) {
			next = until
		}
	}
	return slices.Sorted(maps.Keys(p.typing)), next
}
