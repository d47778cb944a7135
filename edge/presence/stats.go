package presence

import "sync/atomic"

// Stats are what a Tracker holds now, and counts since it began.
type Stats struct {
	Rooms   int `json:"rooms"`   // followed
	Edges   int `json:"edges"`   // others that live
	Keys    int `json:"keys"`    // of all rooms followed: a user in two rooms counts twice
	Metas   int `json:"metas"`   // of all edges, in the rooms followed
	Largest int `json:"largest"` // keys of the room that has most

	Dead       uint64            `json:"dead"`       // other edges that fell silent without a goodbye
	Invalid    uint64            `json:"invalid"`    // packets dropped because they are none
	Unanswered uint64            `json:"unanswered"` // questions of other edges for which there was no time
	Limits     map[string]uint64 `json:"limits"`     // changes refused, by the bound that they met
}

type stats struct {
	dead, invalid, unanswered atomic.Uint64
	limits                    [len(limits)]atomic.Uint64
}

// Bounds that a change may meet: those of Options, and of a key's length.
const (
	limitKeys = iota
	limitMetas
	limitMetaBytes
	limitKeyBytes
	limitRate
)

var limits = [...]string{"keys", "metas", "meta_bytes", "key_bytes", "rate"}

// Stats returns the counts. It looks at each room.
func (t *Tracker) Stats() Stats {
	c := &t.stats
	st := Stats{
		Dead: c.dead.Load(), Invalid: c.invalid.Load(), Unanswered: c.unanswered.Load(),
		Limits: make(map[string]uint64, len(limits)),
	}
	for i, name := range limits {
		st.Limits[name] = c.limits[i].Load()
	}
	for _, r := range t.all() {
		r.mu.Lock()
		keys, metas := len(r.state.byKey), r.state.size
		r.mu.Unlock()
		st.Rooms++
		st.Keys += keys
		st.Metas += metas
		st.Largest = max(st.Largest, keys)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		if !p.gone {
			st.Edges++
		}
	}
	return st
}
