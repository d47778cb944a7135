package presence

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// A room is what this edge knows of one topic: who is there, which of its
// channels look on, and what has yet to be told, to them and to other edges.
type room struct {
	t     *Tracker
	topic string
	hash  uint64

	opened chan struct{} // closed once ready

	// Held while this edge says something of the room, so that versions leave
	// in their order; comes before mu.
	speaking sync.Mutex

	mu       sync.Mutex // guards what follows
	state    state
	channels map[*edge.Socket]*channel
	idle     time.Time // since when there are no channels
	closed   bool
	stops    []func()

	// What other edges have not been told.
	unsaid pending
	saying bool // a timer will say it

	// What members have not been told: see tell.go.
	untold   pending
	waiting  []*edge.Socket // for presence_state
	ready    bool           // the other edges have answered, or did not in time
	shown    bool           // some member has been told something
	telling  bool
	told     time.Time // when members were told last
	due      time.Time // when they will be; zero if there is nothing to tell
	timer    *time.Timer
	streak   int // how often in a row there was no rest between
	counting bool
	count    int // that members were told last

	repairs map[edgeID]*repair

	sorted   []string // keys, as of sortedAt
	sortedAt time.Time
}

func newRoom(t *Tracker, topic string) *room {
	h := fnv.New64a()
	_, _ = h.Write([]byte(topic))
	return &room{
		t: t, topic: topic, hash: h.Sum64(),
		opened:   make(chan struct{}),
		channels: make(map[*edge.Socket]*channel),
		idle:     time.Now(),
	}
}

// open begins to follow what other edges say, then asks who is there. It must
// not listen to questions before its own: nobody would be known as nobody.
func (r *room) open() {
	t := r.t
	stopDiffs, err := t.net.Listen(wordDiff, r.topic, r.hearDiff)
	if err != nil {
		t.log.Error("presence of other edges cannot be followed", "room", r.topic, "error", err)
		r.answered()
		return
	}
	r.ask(r.answered)
	stopQuestions, err := t.net.Listen(wordAsk, r.topic, func(_ []byte, answer func([]byte) error) { r.question(answer) })
	if err != nil {
		t.log.Error("presence cannot be told to other edges", "room", r.topic, "error", err)
		stopQuestions = func() {}
	}
	r.mu.Lock()
	closed := r.closed
	r.stops = []func(){stopDiffs, stopQuestions}
	r.mu.Unlock()
	if closed {
		stopDiffs()
		stopQuestions()
		return
	}
	// What was listened to or asked may not have reached all servers yet.
	time.AfterFunc(time.Second, r.askAgain)
}

// close ends what open began.
func (r *room) close() {
	r.mu.Lock()
	r.closed = true
	stops := r.stops
	r.stops = nil
	if r.timer != nil {
		r.timer.Stop()
	}
	r.answeredLocked()
	r.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// answered lets the members be told who is there.
func (r *room) answered() {
	r.mu.Lock()
	r.answeredLocked()
	r.mu.Unlock()
	r.tell()
}

func (r *room) answeredLocked() {
	if !r.ready {
		r.ready = true
		close(r.opened)
	}
}

// own returns the part of this edge.
func (r *room) ownLocked() *part { return r.state.part(r.t.self) }

func (r *room) track(c *channel, key, meta string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &r.t.opts
	switch {
	case r.channels[c.socket] != c:
		return ErrEnded
	case c.find(key) >= 0:
		return ErrTracked
	case len(c.tracked) >= o.MaxKeys:
		r.t.stats.limits[limitKeys].Add(1)
		return edge.Refuse(fmt.Sprintf("a channel may track %d presence keys", o.MaxKeys))
	case r.state.count(key) >= o.MaxMetas:
		r.t.stats.limits[limitMetas].Add(1)
		return edge.Refuse(fmt.Sprintf("present %d times already", o.MaxMetas))
	case !c.allow(o):
		r.t.stats.limits[limitRate].Add(1)
		return errTooFast
	}
	e := entry{key: key, meta: meta}
	e.ref, e.slot = r.t.mint.next()
	c.tracked = append(c.tracked, r.putLocked(e, nil))
	return nil
}

var errTooFast = edge.Refuse("too many presence changes, try again later")

func (c *channel) find(key string) int {
	return slices.IndexFunc(c.tracked, func(e *entry) bool { return e.key == key })
}

// tracked returns what the channel tracks for key, or nil.
func (r *room) tracked(c *channel, key string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := c.find(key); i >= 0 {
		return c.tracked[i]
	}
	return nil
}

// update puts a meta in the place of old. It reports false if old is not what
// is there any more.
func (r *room) update(c *channel, old *entry, meta string) (done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(c.tracked, old)
	switch {
	case r.channels[c.socket] != c:
		return false, ErrEnded
	case i < 0:
		return false, nil
	case !c.allow(&r.t.opts):
		r.t.stats.limits[limitRate].Add(1)
		return false, errTooFast
	}
	e := entry{key: old.key, meta: meta, prev: old.ref, slot: old.slot}
	e.ref, _ = r.t.mint.next()
	c.tracked[i] = r.putLocked(e, old)
	return true, nil
}

func (r *room) untrack(c *channel, key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := c.find(key)
	if i < 0 || r.channels[c.socket] != c {
		return nil
	}
	if !c.allow(&r.t.opts) {
		r.t.stats.limits[limitRate].Add(1)
		return errTooFast
	}
	e := c.tracked[i]
	c.tracked = slices.Delete(c.tracked, i, i+1)
	r.takeLocked(e)
	return nil
}

// end forgets a channel and what it tracks: if its server drains after the
// grace, since the user is on the way to another edge.
func (r *room) end(s *edge.Socket, reason error) {
	if r.t.closed.Load() { // the users are on their way to other edges
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.channels[s]
	delete(r.channels, s)
	if len(r.channels) == 0 {
		r.idle = time.Now()
	}
	switch {
	case c == nil:
	case errors.Is(reason, edge.ErrDraining):
		time.AfterFunc(r.t.opts.Grace, func() { r.expire(c.tracked) })
	default:
		r.takeLocked(c.tracked...)
	}
}

// expire takes entries away whose users did not come back elsewhere.
func (r *room) expire(entries []*entry) {
	if r.t.closed.Load() { // other edges have been told, and see to it
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takeLocked(entries...)
}

// putLocked adds an entry of this edge, in the place of old if not nil.
func (r *room) putLocked(e entry, old *entry) *entry {
	var in, out change
	own := r.ownLocked()
	if old != nil {
		r.state.remove(own, old.ref, &out)
	}
	r.state.insert(own, e, &in)
	r.unsaidLocked(change{joins: in.joins, leaves: out.leaves}) // in.leaves are other edges'
	r.changedLocked(change{joins: in.joins, leaves: append(out.leaves, in.leaves...)})
	return in.joins[0]
}

// takeLocked removes entries of this edge.
func (r *room) takeLocked(entries ...*entry) {
	var out change
	for _, e := range entries {
		r.state.remove(r.ownLocked(), e.ref, &out)
	}
	r.unsaidLocked(out)
	r.changedLocked(out)
}

// page returns the groups of up to limit keys behind after.
func (r *room) page(after string, limit int) (groups []group, count int, next *string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Sorting 50,000 keys takes too long to do it for each of many who leaf
	// through them.
	if len(r.state.byKey) < 1000 || time.Since(r.sortedAt) > time.Second {
		r.sorted = slices.Sorted(maps.Keys(r.state.byKey))
		r.sortedAt = time.Now()
	}
	i := 0
	if len(r.sorted) > 0 && r.sorted[0] == "" {
		limit++ // a page that ends with the empty key would be followed by itself
	}
	if after != "" {
		var found bool
		if i, found = slices.BinarySearch(r.sorted, after); found {
			i++
		}
	}
	bytes := 0
	for ; i < len(r.sorted) && len(groups) < limit && bytes < pageBytes; i++ {
		if g := r.state.group(r.sorted[i]); len(g.metas) > 0 {
			for _, e := range g.metas {
				bytes += e.size()
			}
			groups = append(groups, g)
		}
	}
	if i < len(r.sorted) {
		last := r.sorted[i-1]
		next = &last
	}
	return groups, len(r.state.byKey), next
}
