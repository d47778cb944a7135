package room

import (
	"slices"
	"sort"
	"time"
)

// A Room holds entries in the order of the server: a message that comes late
// takes the place that it would have had.
type Room struct {
	Name   string
	User   string // whose messages are one's own
	People People

	// Older says that there may be messages before the first. Whoever lists
	// them asks the server with Oldest.
	Older bool

	entries []*Entry
	pending []*Entry // of one's own, in the order of writing
	era     int
	oldest  uint64 // the smallest Seq of this era, 0 if there is none
	newest  uint64
	ids     map[identity]*Entry // those in entries
}

// An identity is that of a message which was sent more than once: its sender
// calls it the same each time.
type identity struct{ from, id string }

// New returns an empty room as user sees it.
func New(name, user string) *Room {
	return &Room{Name: name, User: user, ids: map[identity]*Entry{}}
}

// Len is the number of entries, those that are not sent yet included.
func (r *Room) Len() int { return len(r.entries) + len(r.pending) }

// At returns the entry i of Len. What is not sent yet stands at the end.
func (r *Room) At(i int) *Entry {
	if i < len(r.entries) {
		return r.entries[i]
	}
	return r.pending[i-len(r.entries)]
}

// Index is where e stands, or -1.
func (r *Room) Index(e *Entry) int {
	for i := r.Len() - 1; i >= 0; i-- {
		if r.At(i) == e {
			return i
		}
	}
	return -1
}

// Oldest is the Seq before which older messages are to be asked for, or 0.
func (r *Room) Oldest() uint64 { return r.oldest }

// Receive adds a message where it belongs and returns its entry, or nil if the
// room has it already.
func (r *Room) Receive(m Message) *Entry {
	if i := r.place(m.Seq); m.Seq > 0 && i < len(r.entries) && r.entries[i].Kind == Said && r.entries[i].Seq == m.Seq && r.entries[i].era == r.era {
		return nil
	}
	who := identity{m.From, m.ClientID}
	if m.ClientID != "" {
		if twin := r.ids[who]; twin != nil && twin.Body == m.Body {
			return nil // sent twice, where the server does not notice
		}
	}
	e := r.settle(m)
	if e == nil {
		e = &Entry{Message: m, Mine: m.From == r.User}
	}
	r.insert(e)
	if m.ClientID != "" {
		r.ids[who] = e
	}
	r.People.typed(m.From)
	return e
}

// settle takes the pending entry that m is the arrival of.
func (r *Room) settle(m Message) *Entry {
	i := r.waiting(m.ClientID)
	if i < 0 {
		return nil
	}
	e := r.pending[i]
	r.pending = slices.Delete(r.pending, i, i+1)
	e.Message, e.State, e.Reason = m, Arrived, ""
	return e
}

func (r *Room) waiting(clientID string) int {
	if clientID == "" {
		return -1
	}
	return slices.IndexFunc(r.pending, func(e *Entry) bool { return e.ClientID == clientID })
}

// place is the index of the first entry of this era whose rank is seq or more.
func (r *Room) place(seq uint64) int {
	return sort.Search(len(r.entries), func(i int) bool { return !r.entries[i].before(r.era, seq) })
}

// insert puts e behind what came before it.
func (r *Room) insert(e *Entry) {
	e.era, e.rank = r.era, e.Seq
	if e.Seq == 0 {
		e.rank = r.newest
		r.entries = append(r.entries, e)
		return
	}
	if r.oldest == 0 || e.Seq < r.oldest {
		r.oldest = e.Seq
	}
	i := len(r.entries)
	if e.Seq <= r.newest {
		i = r.place(e.Seq)
	}
	r.newest = max(r.newest, e.Seq)
	r.entries = slices.Insert(r.entries, i, e)
}

// Past adds a page of older messages, and whether there are more before it. It
// returns how many were new.
func (r *Room) Past(page []Message, more bool) (added int) {
	fresh := make([]*Entry, 0, len(page))
	for _, m := range page {
		if m.Seq == 0 || r.oldest > 0 && m.Seq >= r.oldest {
			continue // it overlaps, or comes from no store
		}
		e := &Entry{Message: m, Mine: m.From == r.User, era: r.era, rank: m.Seq}
		if m.ClientID != "" {
			r.ids[identity{m.From, m.ClientID}] = e
		}
		fresh = append(fresh, e)
	}
	r.Older = more
	if len(fresh) == 0 {
		return 0
	}
	r.entries = slices.Insert(r.entries, r.place(fresh[0].Seq), fresh...)
	r.oldest = fresh[0].Seq
	r.newest = max(r.newest, fresh[len(fresh)-1].Seq)
	return len(fresh)
}

// Tell adds a notice, or a gap, behind what is there.
func (r *Room) Tell(kind Kind, body string, at time.Time) *Entry {
	e := &Entry{Message: Message{Body: body, At: at}, Kind: kind}
	r.insert(e)
	return e
}

// Restart begins a new era: the server's store is another one, and what comes
// has sequences of its own.
func (r *Room) Restart() {
	r.era++
	r.oldest, r.newest = 0, 0
}

// Trim forgets the oldest entries but the last keep; they can be asked for
// again if the server has them.
func (r *Room) Trim(keep int) {
	n := len(r.entries) - keep
	if n <= 0 {
		return
	}
	for _, e := range r.entries[:n] {
		if who := (identity{e.From, e.ClientID}); r.ids[who] == e {
			delete(r.ids, who)
		}
	}
	r.entries = slices.Delete(r.entries, 0, n)
	r.oldest = 0
	for _, e := range r.entries {
		if e.era == r.era && e.Seq > 0 {
			r.oldest, r.Older = e.Seq, true
			break
		}
	}
}
