package presence

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var edgeA, edgeB, edgeC = edgeID{'a'}, edgeID{'b'}, edgeID{'c'}

// who is a state in short: each key with its metas in order.
func (s *state) String() string {
	var b strings.Builder
	for _, g := range s.groups() {
		fmt.Fprintf(&b, "%s[", g.key)
		for i, e := range g.metas {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strings.TrimRight(string(e.ref[:]), "\x00"))
		}
		b.WriteString("] ")
	}
	return strings.TrimSpace(b.String())
}

func (c change) String() string {
	names := func(entries []*entry) string {
		var all []string
		for _, e := range entries {
			all = append(all, strings.TrimRight(string(e.ref[:]), "\x00"))
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	return "+" + names(c.joins) + " -" + names(c.leaves)
}

func refOf(s string) (r ref) { copy(r[:], s); return r }

// en is an entry of a key whose slot is that of the ref's number: k.1, k.2 …
func en(key, r string, slot int64) entry {
	return entry{key: key, meta: "{}", ref: refOf(r), slot: slot}
}

func TestMerge(t *testing.T) {
	// Before each: A at version 10 has ann[a1 a2] bob[b1].
	before := func() *state {
		var s state
		s.merge(edgeA, &diff{version: 10, joins: []entry{en("ann", "a2", 2), en("ann", "a1", 1), en("bob", "b1", 1)}})
		return &s
	}
	tests := []struct {
		name    string
		edge    edgeID
		diff    diff
		verdict verdict
		change  string
		after   string
	}{
		{"join", edgeA, diff{version: 11, prev: 10, joins: []entry{en("cid", "c1", 1)}}, applied, "+c1 -", "ann[a1 a2] bob[b1] cid[c1]"},
		{"leave", edgeA, diff{version: 11, prev: 10, leaves: []ref{refOf("a1")}}, applied, "+ -a1", "ann[a2] bob[b1]"},
		{"last leave", edgeA, diff{version: 11, prev: 10, leaves: []ref{refOf("b1")}}, applied, "+ -b1", "ann[a1 a2]"},
		{"update keeps the place", edgeA, diff{version: 11, prev: 10, joins: []entry{en("ann", "a3", 1)}, leaves: []ref{refOf("a1")}}, applied, "+a3 -a1", "ann[a3 a2] bob[b1]"},
		{"again", edgeA, diff{version: 10, prev: 9, joins: []entry{en("cid", "c1", 1)}}, stale, "+ -", "ann[a1 a2] bob[b1]"},
		{"older", edgeA, diff{version: 3, joins: []entry{en("cid", "c1", 1)}}, stale, "+ -", "ann[a1 a2] bob[b1]"},
		{"gap", edgeA, diff{version: 12, prev: 11, joins: []entry{en("cid", "c1", 1)}}, gap, "+ -", "ann[a1 a2] bob[b1]"},
		{"unknown edge, not its first", edgeB, diff{version: 12, prev: 11, joins: []entry{en("cid", "c1", 1)}}, gap, "+ -", "ann[a1 a2] bob[b1]"},
		{"unknown edge, its first", edgeB, diff{version: 5, joins: []entry{en("ann", "a9", 0)}}, applied, "+a9 -", "ann[a9 a1 a2] bob[b1]"},
		{"anew", edgeA, diff{version: 20, joins: []entry{en("bob", "b1", 1), en("bob", "b2", 2)}}, applied, "+b2 -a1 a2", "bob[b1 b2]"},
		{"known ref", edgeA, diff{version: 11, prev: 10, joins: []entry{en("bob", "b1", 1)}}, applied, "+ -", "ann[a1 a2] bob[b1]"},
		{"unknown leave", edgeA, diff{version: 11, prev: 10, leaves: []ref{refOf("x")}}, applied, "+ -", "ann[a1 a2] bob[b1]"},
		{"another's ref", edgeB, diff{version: 1, leaves: []ref{refOf("b1")}}, applied, "+ -", "ann[a1 a2] bob[b1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := before()
			c, v := s.merge(tt.edge, &tt.diff)
			if v != tt.verdict || c.String() != tt.change || s.String() != tt.after {
				t.Errorf("got verdict %d, change %s, state %s\nwant %d, %s, %s", v, c, s, tt.verdict, tt.change, tt.after)
			}
			if v == applied && s.version(tt.edge) != tt.diff.version {
				t.Errorf("got version %d, want %d", s.version(tt.edge), tt.diff.version)
			}
		})
	}
}

func TestReplaceAndDrop(t *testing.T) {
	var s state
	s.merge(edgeA, &diff{version: 10, joins: []entry{en("ann", "a1", 1), en("bob", "b1", 1)}})
	s.merge(edgeB, &diff{version: 99, joins: []entry{en("ann", "a2", 2)}})
	if c := s.replace(edgeA, 9, nil); c.String() != "+ -" {
		t.Errorf("an older answer changed %s", c)
	}
	if c := s.replace(edgeA, 12, []entry{en("bob", "b1", 1), en("cid", "c1", 1)}); c.String() != "+c1 -a1" {
		t.Errorf("replace changed %s", c)
	}
	if got := s.String(); got != "ann[a2] bob[b1] cid[c1]" {
		t.Errorf("got %s", got)
	}
	if c := s.drop(edgeA); c.String() != "+ -b1 c1" || s.version(edgeA) != 0 || s.size != 1 {
		t.Errorf("drop changed %s; version %d, size %d", c, s.version(edgeA), s.size)
	}
	if c := s.drop(edgeC); c.String() != "+ -" {
		t.Errorf("drop of an unknown edge changed %s", c)
	}
}

// Who comes back elsewhere while its edge is on its way out takes its own
// place.
func TestRetire(t *testing.T) {
	var s state
	s.merge(edgeA, &diff{version: 10, joins: []entry{en("ann", "a1", 1), en("ann", "a2", 2), en("bob", "b1", 1)}})
	s.retire(edgeC) // nobody knows it
	s.retire(edgeA)
	s.retire(edgeA)
	c, _ := s.merge(edgeB, &diff{version: 1, joins: []entry{en("ann", "a3", 3), en("cid", "c1", 1)}})
	if c.String() != "+a3 c1 -a1" || s.String() != "ann[a2 a3] bob[b1] cid[c1]" {
		t.Errorf("change %s, state %s", c, &s)
	}
	update := en("ann", "a4", 3)
	update.prev = refOf("a3")
	c, _ = s.merge(edgeB, &diff{version: 2, prev: 1, joins: []entry{update}, leaves: []ref{refOf("a3")}})
	if c.String() != "+a4 -a3" {
		t.Errorf("an update changed %s", c)
	}
	if c := s.drop(edgeA); c.String() != "+ -a2 b1" || s.retired != 0 {
		t.Errorf("change %s, %d retired", c, s.retired)
	}
	c, _ = s.merge(edgeB, &diff{version: 3, prev: 2, joins: []entry{en("bob", "b2", 2)}})
	if c.String() != "+b2 -" {
		t.Errorf("change %s", c)
	}
}

// What an edge on its way out answers, before it has heard who has moved, brings
// nobody back.
func TestMovedStaysMoved(t *testing.T) {
	all := []entry{en("ann", "a1", 1), en("ann", "a2", 2), en("bob", "b1", 1)}
	for _, version := range []uint64{10, 11} {
		var s state
		s.merge(edgeA, &diff{version: 10, joins: all})
		s.retire(edgeA)
		s.merge(edgeB, &diff{version: 5, joins: []entry{en("ann", "a3", 3)}})
		if c := s.replace(edgeA, version, append(slices.Clone(all), en("cid", "c1", 1))); c.String() != "+c1 -" {
			t.Errorf("the answer of version %d changed %s", version, c)
		}
		if got := s.String(); got != "ann[a2 a3] bob[b1] cid[c1]" {
			t.Errorf("got %s after the answer of version %d", got, version)
		}
	}
}

func TestPending(t *testing.T) {
	a, b, c := en("k", "a", 1), en("k", "b", 2), en("k", "c", 3)
	var p pending
	p.add(change{joins: []*entry{&a, &b}})
	p.add(change{joins: []*entry{&c}, leaves: []*entry{&b}}) // b was never told
	if got := p.take(); got.String() != "+a c -" {
		t.Errorf("got %s", got)
	}
	p.add(change{leaves: []*entry{&a, &c}})
	p.add(change{joins: []*entry{&c}}) // c is back
	if got := p.take(); got.String() != "+ -a" {
		t.Errorf("got %s", got)
	}
	if !p.isEmpty() {
		t.Error("not empty after take")
	}
}

// A random history of parts, told in diffs of which some are lost, some come
// twice, and gaps are filled by full answers, leads every listener to the same
// state as the owners have, and the changes on the way add up to it.
func TestStatesConverge(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		edges := []edgeID{edgeA, edgeB, edgeC}
		own := make([]state, len(edges)) // each with its own part only
		unsaid := make([]pending, len(edges))
		var seen state // of somebody who listens
		shown := map[ref]string{}
		show := func(c change) {
			for _, e := range c.joins {
				if _, twice := shown[e.ref]; twice {
					t.Fatalf("seed %d: %x joins twice", seed, e.ref)
				}
				shown[e.ref] = e.key
			}
			for _, e := range c.leaves {
				if _, ok := shown[e.ref]; !ok {
					t.Fatalf("seed %d: %x leaves and was not there", seed, e.ref)
				}
				delete(shown, e.ref)
			}
		}
		clock, refs := uint64(0), 0
		full := func(i int) {
			p := own[i].part(edges[i])
			var entries []entry
			for _, h := range p.entries {
				entries = append(entries, h.entry)
			}
			show(seen.replace(edges[i], p.version, entries))
		}
		for range 300 {
			i := rng.IntN(len(edges))
			p := own[i].part(edges[i])
			refs2 := slices.SortedFunc(maps.Keys(p.entries), func(a, b ref) int { return slices.Compare(a[:], b[:]) })
			var c change
			switch op := rng.IntN(10); {
			case op < 4:
				refs++
				own[i].insert(p, en(fmt.Sprint("k", rng.IntN(5)), fmt.Sprint(refs), int64(refs)), &c)
			case op < 6 && len(refs2) > 0:
				own[i].remove(p, refs2[rng.IntN(len(refs2))], &c)
			case op < 9: // the others are told
				var said []diff
				for _, d := range packed(unsaid[i].take(), p.version, func() uint64 { clock++; return clock }) {
					p.version = d.version
					said = append(said, d, d)
				}
				for _, d := range said {
					if rng.IntN(5) == 0 {
						continue
					}
					c, v := seen.merge(edges[i], &d)
					show(c)
					if v == gap && rng.IntN(2) == 0 {
						full(i)
					}
				}
			default:
				show(seen.drop(edges[i]))
			}
			unsaid[i].add(c)
		}
		for i := range edges { // as at rest: all is said, digests have told what is missing
			p := own[i].part(edges[i])
			for _, d := range packed(unsaid[i].take(), p.version, func() uint64 { clock++; return clock }) {
				p.version = d.version
			}
			full(i)
		}
		var want state
		for i, e := range edges {
			var entries []entry
			for _, h := range own[i].part(e).entries {
				entries = append(entries, h.entry)
			}
			want.replace(e, 1, entries)
		}
		if seen.String() != want.String() || len(shown) != want.size || seen.size != want.size {
			t.Fatalf("seed %d: got %s (%d shown), want %s", seed, &seen, len(shown), &want)
		}
	}
}

func TestPackedFitsPackets(t *testing.T) {
	var c change
	for i := range 5000 {
		e := en(fmt.Sprint("key", i), fmt.Sprint(i), int64(i))
		e.meta = `{"x":"` + strings.Repeat("x", i%500) + `"}`
		c.joins = append(c.joins, &e)
		old := en(e.key, fmt.Sprint("o", i), e.slot)
		c.leaves = append(c.leaves, &old)
	}
	gone := en("gone", "gone", 7)
	c.leaves = append(c.leaves, &gone)
	clock := uint64(100)
	diffs := packed(c, 100, func() uint64 { clock++; return clock })
	if len(diffs) < 3 {
		t.Fatalf("got %d diffs, want several", len(diffs))
	}
	prev, joins, leaves := uint64(100), 0, 0
	for _, d := range diffs {
		p := packet{kind: kindDiff, diff: d}
		if n := len(p.encode()); n > packetBytes+1024 || len(d.joins)+len(d.leaves) > packetEntries {
			t.Errorf("a packet has %d bytes and %d entries", n, len(d.joins)+len(d.leaves))
		}
		if d.prev != prev {
			t.Errorf("diff follows %d, want %d", d.prev, prev)
		}
		prev = d.version
		joins += len(d.joins)
		leaves += len(d.leaves)
		for i, e := range d.joins {
			if want := refOf("o" + strings.TrimRight(string(e.ref[:]), "\x00")); d.leaves[i] != want {
				t.Fatalf("%x stands apart from what it replaces", e.ref)
			}
		}
	}
	if joins != 5000 || leaves != 5001 {
		t.Errorf("got %d joins and %d leaves", joins, leaves)
	}
	if packed(change{}, 0, nil) != nil {
		t.Error("nothing makes a diff")
	}
}

func TestMint(t *testing.T) {
	m, o := mint{edge: edgeA}, mint{edge: edgeB}
	seen := map[ref]bool{}
	last := int64(0)
	for range 10_000 {
		for _, m := range []*mint{&m, &o} {
			r, _ := m.next()
			if seen[r] {
				t.Fatalf("%s twice", r)
			}
			seen[r] = true
		}
		r, at := m.next()
		if at <= last || len(r.String()) != 16 {
			t.Fatalf("ref %s at %d, after %d", r, at, last)
		}
		last = at
	}
}
