package presence

import (
	"encoding/hex"
	"sync"
	"time"
)

// unsaidLocked has the other edges told of a change of this edge's part.
func (r *room) unsaidLocked(c change) {
	if c.isEmpty() {
		return
	}
	r.unsaid.add(c)
	if !r.saying {
		r.saying = true
		time.AfterFunc(r.t.opts.batch, func() {
			r.speaking.Lock()
			defer r.speaking.Unlock()
			r.speak()
		})
	}
}

// speak tells the other edges what they have not been told. Its caller holds
// speaking.
func (r *room) speak() {
	if r.t.closed.Load() {
		return
	}
	r.mu.Lock()
	r.saying = false
	own := r.ownLocked()
	diffs := packed(r.unsaid.take(), own.version, r.t.tick)
	if n := len(diffs); n > 0 {
		own.version = diffs[n-1].version
	}
	r.mu.Unlock()
	for _, d := range diffs {
		r.t.say(wordDiff, r.topic, &packet{kind: kindDiff, diff: d})
	}
}

// hearDiff takes what another edge says of the room.
func (r *room) hearDiff(data []byte, _ func([]byte) error) {
	p := r.t.hear(data)
	if p == nil || p.kind != kindDiff {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, verdict := r.state.merge(p.edge, &p.diff)
	r.heardLocked(c)
	if verdict == gap {
		r.repairLocked(p.edge, p.diff.version, gapSpread)
	}
}

// heardLocked has the members told of a change elsewhere. Before the room is
// ready nobody has been told anything, and there is nothing to correct.
func (r *room) heardLocked(c change) {
	if r.ready {
		r.changedLocked(c)
	}
}

// question answers who asks for this edge's part of the room.
func (r *room) question(answer func([]byte) error) {
	if answer == nil {
		return
	}
	r.t.later(func() { r.answer(answer) })
}

func (r *room) answer(answer func([]byte) error) {
	r.speaking.Lock()
	defer r.speaking.Unlock()
	if r.t.closed.Load() {
		return
	}
	r.speak() // what is answered is a version that others know
	r.mu.Lock()
	own := r.ownLocked()
	version := own.version
	entries := make([]entry, 0, len(own.entries))
	for _, h := range own.entries {
		entries = append(entries, h.entry)
	}
	r.mu.Unlock()
	if version == 0 { // newer than what it was when the room was open before
		version = r.t.tick()
	}
	for _, part := range chunks(entries) {
		p := packet{kind: kindFull, edge: r.t.self, total: uint64(len(entries)), diff: diff{version: version, joins: part}}
		if answer(p.encode()) != nil {
			return // no link; who asks, asks again
		}
	}
}

// A question is one that was asked, and its answers as far as they came.
type question struct {
	room *room

	mu    sync.Mutex // guards what follows
	done  func()     // called once it is known what can be known; then nil
	quiet *time.Timer
	last  *time.Timer
	parts map[edgeID]diff // of edges that have not said all
	stop  func()
}

// ask asks all edges who is in the room, and calls done when they have
// answered. Later answers count too.
func (r *room) ask(done func()) { r.pose(wordAsk, r.topic, done) }

func (r *room) askAgain() {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if !closed && !r.t.closed.Load() {
		r.ask(func() {})
	}
}

func (r *room) pose(word, topic string, done func()) {
	q := &question{room: r, done: done, parts: make(map[edgeID]diff)}
	want := packet{kind: kindWant, edge: r.t.self, text: r.topic}
	q.mu.Lock()
	stop, err := r.t.net.Ask(word, topic, want.encode(), q.hear)
	if err != nil {
		q.mu.Unlock()
		done() // there is no link: when there is, everything is asked again
		return
	}
	q.stop = stop
	q.quiet = time.AfterFunc(firstAnswer, q.finish)
	q.last = time.AfterFunc(lastAnswer, q.end)
	q.mu.Unlock()
}

// end hears no more answers. Edges of whose answer something was lost are asked
// again.
func (q *question) end() {
	q.mu.Lock()
	q.quiet.Stop()
	q.last.Stop()
	q.mu.Unlock()
	q.stop()
	q.mu.Lock()
	parts := q.parts
	q.parts = nil
	q.mu.Unlock()
	q.room.mu.Lock()
	for e, d := range parts {
		q.room.repairLocked(e, d.version, gapSpread)
	}
	q.room.mu.Unlock()
	q.finish()
}

func (q *question) finish() {
	q.mu.Lock()
	done := q.done
	q.done = nil
	q.mu.Unlock()
	if done != nil {
		done()
	}
}

func (q *question) hear(data []byte, ok bool) {
	if !ok {
		go q.end() // members may be told, which can take a while
		return
	}
	p := q.room.t.hear(data)
	if p == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.kind != kindFull || q.parts == nil {
		return
	}
	d := p.diff
	d.joins = append(q.parts[p.edge].joins, d.joins...)
	if uint64(len(d.joins)) < p.total {
		q.parts[p.edge] = d
	} else {
		delete(q.parts, p.edge)
		q.room.full(p.edge, &d)
	}
	if len(q.parts) == 0 {
		q.quiet.Reset(nextAnswer)
	} else {
		q.quiet.Stop() // somebody has more to say
	}
}

// full takes all that an edge has in the room.
func (r *room) full(e edgeID, d *diff) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heardLocked(r.state.replace(e, d.version, d.joins))
}

// A repair is to be asked of an edge of whose part something is missing.
type repair struct {
	wanted uint64 // a version that it is known to have
	armed  bool
	last   time.Time
}

const (
	gapSpread   = 20 * time.Millisecond
	repairPace  = 500 * time.Microsecond // a room, if there is something to repair in many
	repairEvery = time.Second            // at most, a room and edge
)

// repairLocked asks an edge for its part of the room, soon, and not too often.
func (r *room) repairLocked(e edgeID, wanted uint64, spread time.Duration) {
	rp := r.repairs[e]
	if rp == nil {
		if r.repairs == nil {
			r.repairs = make(map[edgeID]*repair)
		}
		rp = &repair{}
		r.repairs[e] = rp
	}
	rp.wanted = max(rp.wanted, wanted)
	if rp.armed {
		return
	}
	rp.armed = true
	wait := upTo(spread)
	if next := time.Until(rp.last.Add(repairEvery)); next > wait {
		wait = next
	}
	time.AfterFunc(wait, func() { r.repair(e) })
}

func (r *room) repair(e edgeID) {
	r.mu.Lock()
	rp := r.repairs[e]
	if rp == nil || r.closed || r.t.closed.Load() {
		r.mu.Unlock()
		return
	}
	rp.armed = false
	if r.state.version(e) >= rp.wanted {
		delete(r.repairs, e)
		r.mu.Unlock()
		return
	}
	rp.last = time.Now()
	r.mu.Unlock()
	r.pose(wordNeed+hex.EncodeToString(e[:]), "", func() {})
}
