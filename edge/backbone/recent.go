package backbone

import (
	"container/list"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// recent keeps the newest messages of the topics that are followed, within one
// bound of bytes over all of them. A topic in which nothing happens makes way
// for one in which something does.
type recent struct {
	limit int

	mu    sync.Mutex // guards what follows, and all rings
	bytes int
	order list.List // of *ring, the one touched last in front
}

// A ring holds all messages of one topic with base < seq <= end that are fit
// to be delivered.
// Until there is a first one, end is 0 and base means nothing.
type ring struct {
	base, end uint64
	whole     bool // the store has none that precede
	messages  []edge.Delivery
	place     *list.Element // in recent.order; nil if it is empty
}

const (
	ringMessages = 256
	// ringOverhead is what a message costs besides its payload: its headers
	// share the payload's memory.
	ringOverhead = 400
)

func cost(d edge.Delivery) int { return len(d.Payload) + ringOverhead }

// reset empties a ring that from now on knows what comes after base.
func (r *recent) reset(g *ring, base uint64, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(g.messages) > 0 {
		r.dropLocked(g)
	}
	g.base, g.end, g.whole = base, base, whole
}

// add appends the message after end. ok is false if it is one that nobody
// should see: then only the end moves.
func (r *recent) add(g *ring, d edge.Delivery, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.end == 0 {
		g.base = d.Seq - 1
	}
	g.end = d.Seq
	if !ok {
		return
	}
	g.messages = append(g.messages, d)
	r.bytes += cost(d)
	r.touchLocked(g)
	for len(g.messages) > ringMessages {
		r.dropLocked(g)
	}
	r.fitLocked()
}

// extend prepends. The messages are all there are after base and up to end,
// and whole says that the store has none that precede.
func (r *recent) extend(g *ring, base, end uint64, whole bool, messages []edge.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.end == 0 || base >= g.base || end < g.base {
		return
	}
	n := sort.Search(len(messages), func(i int) bool { return messages[i].Seq > g.base })
	messages = messages[:n]
	if tooMany := n + len(g.messages) - ringMessages; tooMany > 0 {
		base, whole = messages[tooMany-1].Seq, false
		messages = messages[tooMany:]
	}
	g.base, g.whole = base, whole
	if len(messages) == 0 {
		return
	}
	g.messages = slices.Concat(messages, g.messages)
	for _, d := range messages {
		r.bytes += cost(d)
	}
	r.touchLocked(g)
	r.fitLocked()
}

func (r *recent) touchLocked(g *ring) {
	if g.place == nil {
		g.place = r.order.PushFront(g)
	} else {
		r.order.MoveToFront(g.place)
	}
}

func (r *recent) fitLocked() {
	for r.bytes > r.limit {
		r.dropLocked(r.order.Back().Value.(*ring))
	}
}

func (r *recent) dropLocked(g *ring) {
	d := g.messages[0]
	g.messages[0] = edge.Delivery{}
	g.messages = g.messages[1:]
	g.base, g.whole = d.Seq, false
	r.bytes -= cost(d)
	if len(g.messages) == 0 {
		g.messages = nil
		r.order.Remove(g.place)
		g.place = nil
	}
}

// read answers a query if the ring reaches far enough. A topic with most
// messages may have had more.
func (r *recent) read(g *ring, q edge.Query, most int64) (page edge.Page, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.AtLeast > g.end {
		return page, false
	}
	messages := g.messages
	from := func(seq uint64) int {
		return sort.Search(len(messages), func(i int) bool { return messages[i].Seq >= seq })
	}
	switch {
	case q.Last || q.Before != 0:
		if !q.Last {
			messages = messages[:from(q.Before)]
		}
		// Whether more precede can only be told from one that does.
		if len(messages) <= q.Limit && !g.whole {
			return page, false
		}
		page.More = len(messages) > q.Limit
		messages = messages[max(0, len(messages)-q.Limit):]
	case g.end != 0 && g.base <= q.After && q.After <= g.end, q.After == 0 && g.whole && (most <= 0 || most > ringMessages):
		messages = messages[from(q.After+1):]
		page.More = len(messages) > q.Limit
		messages = messages[:min(len(messages), q.Limit)]
	default:
		return page, false
	}
	page.Messages = slices.Clone(messages)
	return page, true
}

// at returns when a message was stored.
func (r *recent) at(g *ring, seq uint64) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := sort.Search(len(g.messages), func(i int) bool { return g.messages[i].Seq >= seq })
	if i == len(g.messages) || g.messages[i].Seq != seq {
		return time.Time{}, false
	}
	return g.messages[i].At, true
}
