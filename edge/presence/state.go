package presence

import (
	"maps"
	"slices"
)

// An entry is one meta of one key. It never changes: an update is another entry
// in its place.
type entry struct {
	key  string
	meta string // a JSON object without phx_ref and phx_ref_prev
	ref  ref
	prev ref   // of the entry that it replaced; zero if it replaced none
	slot int64 // its place among the metas of the key, which updates keep
}

// A state is who is in one room: for each edge the part that only that edge may
// change, and all parts together by key. It knows no time and no network.
type state struct {
	parts map[edgeID]*part
	byKey map[string]*held
	size  int // entries

	retired int // parts
}

// A part is the entries of one edge, as of a version.
type part struct {
	version uint64
	entries map[ref]*held
	retired bool             // see retire
	moved   map[ref]struct{} // entries whose place was taken by ones elsewhere
}

// A held entry is in a part and in the list of its key.
type held struct {
	entry
	part *part
	next *held // of the same key, by slot
}

// A change is what became of a state. A ref is in it at most once.
type change struct{ joins, leaves []*entry }

func (c *change) isEmpty() bool { return len(c.joins)+len(c.leaves) == 0 }

// version returns that of an edge's part, 0 if nothing is known of it.
func (s *state) version(e edgeID) uint64 {
	if p := s.parts[e]; p != nil {
		return p.version
	}
	return 0
}

func (s *state) part(e edgeID) *part {
	p := s.parts[e]
	if p == nil {
		if s.parts == nil {
			s.parts = make(map[edgeID]*part)
			s.byKey = make(map[string]*held)
		}
		p = &part{entries: make(map[ref]*held)}
		s.parts[e] = p
	}
	return p
}

// A verdict says what merge made of a diff.
type verdict int

const (
	applied verdict = iota
	stale           // nothing new
	gap             // something between the known version and this diff is missing
)

// merge applies a diff. One that begins at version 0 tells all there is.
func (s *state) merge(e edgeID, d *diff) (change, verdict) {
	known := s.version(e)
	switch {
	case d.version <= known:
		return change{}, stale
	case d.prev == 0:
		return s.replace(e, d.version, d.joins), applied
	case d.prev != known:
		return change{}, gap
	}
	var c change
	p := s.part(e)
	for _, r := range d.leaves {
		s.remove(p, r, &c)
	}
	for i := range d.joins {
		s.insert(p, d.joins[i], &c)
	}
	p.version = d.version
	return c, applied
}

// replace makes entries all there is of an edge, unless more is known already.
func (s *state) replace(e edgeID, version uint64, entries []entry) change {
	var c change
	if version < s.version(e) {
		return c
	}
	p := s.part(e)
	p.version = version
	stays := make(map[ref]struct{}, len(entries))
	for i := range entries {
		stays[entries[i].ref] = struct{}{}
	}
	for r := range p.entries {
		if _, ok := stays[r]; !ok {
			s.remove(p, r, &c)
		}
	}
	for i := range entries {
		s.insert(p, entries[i], &c)
	}
	return c
}

// drop forgets an edge.
func (s *state) drop(e edgeID) change {
	var c change
	p := s.parts[e]
	if p == nil {
		return c
	}
	for r := range p.entries {
		s.remove(p, r, &c)
	}
	if p.retired {
		s.retired--
	}
	delete(s.parts, e)
	return c
}

// retire marks an edge as one that drains, or has said goodbye: a key
// that joins elsewhere takes the place of one of its entries there, in the same
// change, so that who moves never appears to leave. The entry does not come back:
// its edge may not have heard of the move yet, and answer somebody with all that
// it has.
func (s *state) retire(e edgeID) {
	if p := s.parts[e]; p != nil && !p.retired {
		p.retired = true
		s.retired++
	}
}

// insert adds an entry, unless it is there.
func (s *state) insert(p *part, e entry, c *change) {
	if _, moved := p.moved[e.ref]; moved || p.entries[e.ref] != nil {
		return
	}
	if s.retired > 0 && !p.retired && e.prev == (ref{}) {
		for h := s.byKey[e.key]; h != nil; h = h.next {
			if h.part.retired {
				if h.part.moved == nil {
					h.part.moved = make(map[ref]struct{})
				}
				h.part.moved[h.ref] = struct{}{}
				s.remove(h.part, h.ref, c)
				break
			}
		}
	}
	h := &held{entry: e, part: p}
	p.entries[e.ref] = h
	s.size++
	if first := s.byKey[e.key]; first == nil || h.before(first) {
		h.next = first
		s.byKey[e.key] = h
	} else {
		at := first
		for at.next != nil && at.next.before(h) {
			at = at.next
		}
		h.next, at.next = at.next, h
	}
	c.joins = append(c.joins, &h.entry)
}

func (h *held) before(o *held) bool {
	if h.slot != o.slot {
		return h.slot < o.slot
	}
	return string(h.ref[:]) < string(o.ref[:])
}

// remove takes an entry away, if it is there.
func (s *state) remove(p *part, r ref, c *change) {
	h := p.entries[r]
	if h == nil {
		return
	}
	delete(p.entries, r)
	s.size--
	if first := s.byKey[h.key]; first != h {
		for first.next != h {
			first = first.next
		}
		first.next = h.next
	} else if h.next != nil {
		s.byKey[h.key] = h.next
	} else {
		delete(s.byKey, h.key)
	}
	h.next = nil // the change outlives its neighbours
	c.leaves = append(c.leaves, &h.entry)
}

// count returns how many metas a key has.
func (s *state) count(key string) int {
	n := 0
	for h := s.byKey[key]; h != nil; h = h.next {
		n++
	}
	return n
}

// A group is a key and its metas in their order.
type group struct {
	key   string
	metas []*entry
}

// groups returns all that there is, by key.
func (s *state) groups() []group {
	all := make([]group, 0, len(s.byKey))
	for _, key := range slices.Sorted(maps.Keys(s.byKey)) {
		all = append(all, s.group(key))
	}
	return all
}

func (s *state) group(key string) group {
	g := group{key: key}
	for h := s.byKey[key]; h != nil; h = h.next {
		g.metas = append(g.metas, &h.entry)
	}
	return g
}

// A pending is a change that grows until it is told: what came and went
// meanwhile is not in it.
type pending struct{ joins, leaves map[ref]*entry }

func (p *pending) isEmpty() bool { return len(p.joins)+len(p.leaves) == 0 }

func (p *pending) add(c change) {
	if p.joins == nil && !c.isEmpty() {
		p.joins, p.leaves = make(map[ref]*entry), make(map[ref]*entry)
	}
	for _, e := range c.leaves {
		if p.joins[e.ref] != nil {
			delete(p.joins, e.ref)
		} else {
			p.leaves[e.ref] = e
		}
	}
	for _, e := range c.joins {
		if p.leaves[e.ref] != nil {
			delete(p.leaves, e.ref)
		} else {
			p.joins[e.ref] = e
		}
	}
}

// take returns what is pending, oldest first, and begins anew.
func (p *pending) take() change {
	c := change{joins: bySlot(p.joins), leaves: bySlot(p.leaves)}
	*p = pending{}
	return c
}

func bySlot(m map[ref]*entry) []*entry {
	if len(m) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Values(m), func(a, b *entry) int {
		if a.slot != b.slot {
			if a.slot < b.slot {
				return -1
			}
			return 1
		}
		return slices.Compare(a.ref[:], b.ref[:])
	})
}

// grouped returns entries by key, in the order in which the keys first stand.
func grouped(entries []*entry) []group {
	at := make(map[string]int, len(entries))
	var all []group
	for _, e := range entries {
		i, ok := at[e.key]
		if !ok {
			i = len(all)
			at[e.key] = i
			all = append(all, group{key: e.key})
		}
		all[i].metas = append(all[i].metas, e)
	}
	return all
}
