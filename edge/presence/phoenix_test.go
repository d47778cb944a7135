package presence_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A view is what a client shows, by the algorithm of phoenix.js: presence.js of
// 1.8, or of 1.2 if old.
type view struct {
	old     bool
	state   people
	synced  bool   // presence_state came since the join
	pending []diff // what came before it

	vanished map[string]int // how often a key was there and then not
	count    int            // of the last presence_count
}

type people map[string]*person

type person struct {
	Metas []meta `json:"metas"`
	Extra string `json:"extra"`
}

type meta struct {
	N       int    `json:"n"`
	Ref     string `json:"phx_ref"`
	RefPrev string `json:"phx_ref_prev"`
}

type diff struct {
	Joins  people `json:"joins"`
	Leaves people `json:"leaves"`
}

func newView(old bool) *view { return &view{old: old, state: people{}, vanished: map[string]int{}} }

// rejoin begins a new join_ref. What was known is kept until the state comes.
func (v *view) rejoin() { v.synced, v.pending = false, nil }

// take takes a message.
func (v *view) take(event string, payload []byte) error {
	switch event {
	case "presence_state":
		var state people
		if err := json.Unmarshal(payload, &state); err != nil {
			return err
		}
		v.synced = true
		v.syncState(state)
		for _, d := range v.pending {
			v.syncDiff(d)
		}
		v.pending = nil
	case "presence_diff":
		var d diff
		if err := json.Unmarshal(payload, &d); err != nil {
			return err
		}
		if d.Joins == nil || d.Leaves == nil {
			return fmt.Errorf("a diff needs joins and leaves: %s", payload)
		}
		for key, p := range d.Joins {
			for _, m := range p.Metas {
				if l := d.Leaves[key]; l != nil && l.has(m.Ref) {
					return fmt.Errorf("ref %s joins and leaves in one diff", m.Ref)
				}
			}
		}
		if !v.synced && !v.old {
			v.pending = append(v.pending, d)
			return nil
		}
		v.syncDiff(d)
	case "presence_count":
		var c struct{ Count int }
		if err := json.Unmarshal(payload, &c); err != nil {
			return err
		}
		v.count = c.Count
	}
	return nil
}

func (p *person) has(ref string) bool {
	return slices.ContainsFunc(p.Metas, func(m meta) bool { return m.Ref == ref })
}

func (p *person) without(o *person) *person {
	c := *p
	c.Metas = slices.DeleteFunc(slices.Clone(p.Metas), func(m meta) bool { return o.has(m.Ref) })
	return &c
}

func (v *view) syncState(state people) {
	d := diff{Joins: people{}, Leaves: people{}}
	for key, p := range v.state {
		if state[key] == nil {
			d.Leaves[key] = p
		}
	}
	for key, p := range state {
		current := v.state[key]
		if current == nil {
			d.Joins[key] = p
			continue
		}
		if joined := p.without(current); len(joined.Metas) > 0 {
			d.Joins[key] = joined
		}
		if left := current.without(p); len(left.Metas) > 0 {
			d.Leaves[key] = left
		}
	}
	v.syncDiff(d)
}

func (v *view) syncDiff(d diff) {
	for key, p := range d.Joins {
		joined := *p
		if current := v.state[key]; current != nil {
			if !v.old {
				current = current.without(p)
			}
			joined.Metas = slices.Concat(current.Metas, p.Metas)
		}
		v.state[key] = &joined
	}
	for key, left := range d.Leaves {
		current := v.state[key]
		if current == nil {
			continue
		}
		current = current.without(left)
		v.state[key] = current
		if len(current.Metas) == 0 {
			delete(v.state, key)
			v.vanished[key]++
		}
	}
}

// String lists keys and their metas, without regard to their order.
func (p people) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s:", key)
		metas := slices.SortedFunc(slices.Values(p[key].Metas), func(a, b meta) int { return cmp.Compare(a.Ref, b.Ref) })
		for _, m := range metas {
			fmt.Fprintf(&b, " %d/%s", m.N, m.Ref)
		}
		b.WriteString("\n")
	}
	return b.String()
}
