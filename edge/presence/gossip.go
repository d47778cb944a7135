package presence

import (
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// A peer is another edge.
type peer struct {
	name string
	last time.Time // when it was heard
	gone bool      // it said goodbye
	done bool      // and its users have been forgotten
}

// A digest is what another edge says of all its rooms, as far as it was heard.
type digest struct {
	clock, next uint64
	seen        map[uint64]struct{}
}

// listen begins to hear what concerns no room.
func (t *Tracker) listen() {
	for word, hear := range map[string]func(p *packet, answer func([]byte) error){
		wordBeat:   func(p *packet, _ func([]byte) error) { t.hearBeat(p) },
		wordBye:    func(p *packet, _ func([]byte) error) { t.hearBye(p.edge) },
		wordDigest: func(p *packet, _ func([]byte) error) { t.hearDigest(p) },
		wordNeed + hex.EncodeToString(t.self[:]): func(p *packet, answer func([]byte) error) {
			t.hearNeed(p.text, answer)
		},
	} {
		stop, err := t.net.Listen(word, "", func(data []byte, answer func([]byte) error) {
			if p := t.hear(data); p != nil {
				hear(p, answer)
			}
		})
		if err != nil {
			t.log.Error("presence of other edges cannot be followed", "error", err)
			continue
		}
		t.stops = append(t.stops, stop)
	}
	t.stops = append(t.stops, t.net.OnResync(func() { token(t.resync) }))
}

// say hands a packet to the other edges.
func (t *Tracker) say(word, topic string, p *packet) {
	p.edge = t.self
	// Without a link nobody hears it: they notice by the versions.
	if err := t.net.Say(word, topic, p.encode()); err != nil {
		t.log.Debug("presence cannot be told to other edges", "word", word, "room", topic, "error", err)
	}
}

// hear reads a packet and notes that who sent it lives. It returns nil for what
// is of no interest.
func (t *Tracker) hear(data []byte) *packet {
	p, err := decodePacket(data)
	if err != nil {
		t.stats.invalid.Add(1)
		t.log.Warn("dropping what is not a packet of presence", "error", err)
		return nil
	}
	if p.edge == t.self || t.closed.Load() {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	from := t.peers[p.edge]
	if from == nil {
		from = &peer{name: hex.EncodeToString(p.edge[:4])}
		t.peers[p.edge] = from
		// It may have been there, out of reach, and think the same of us.
		token(t.announce)
	}
	if from.gone {
		return nil
	}
	if p.kind == kindBeat && p.text != "" {
		from.name = p.text
	}
	from.last = time.Now()
	return p
}

// hearBeat takes the users of an edge that drains to be on their way.
func (t *Tracker) hearBeat(p *packet) {
	if p.kind == kindLeaving {
		t.retire(p.edge)
	}
}

// retire has whoever joins elsewhere take the place of an entry of this edge.
func (t *Tracker) retire(e edgeID) {
	for _, r := range t.all() {
		r.mu.Lock()
		r.state.retire(e)
		r.mu.Unlock()
	}
}

// hearBye keeps an edge's users for the grace.
func (t *Tracker) hearBye(e edgeID) {
	t.mu.Lock()
	p := t.peers[e] // hear has seen to it
	p.gone, p.last = true, time.Now()
	t.mu.Unlock()
	delete(t.digests, e)
	for _, r := range t.all() {
		r.mu.Lock()
		r.state.retire(e)
		delete(r.repairs, e)
		r.mu.Unlock()
	}
	t.log.Info("another edge ends, its users are expected elsewhere", "edge", p.name)
}

// hearDigest compares the versions of an edge with those known here.
func (t *Tracker) hearDigest(p *packet) {
	d := t.digests[p.edge]
	switch {
	case p.index == 0:
		d = &digest{clock: p.clock, seen: make(map[uint64]struct{}, len(p.rooms))}
		t.digests[p.edge] = d
	case d == nil || d.clock != p.clock || d.next != p.index: // a packet was lost
		delete(t.digests, p.edge)
		d = &digest{}
	}
	d.next++
	t.mu.Lock()
	found := make(map[*room]uint64)
	for _, rv := range p.rooms {
		if d.seen != nil {
			d.seen[rv.hash] = struct{}{}
		}
		if r := t.byHash[rv.hash]; r != nil {
			found[r] = rv.version
		}
	}
	t.mu.Unlock()
	spread := time.Duration(len(found)) * repairPace
	for r, version := range found {
		r.mu.Lock()
		if version > r.state.version(p.edge) {
			r.repairLocked(p.edge, version, spread)
		}
		r.mu.Unlock()
	}
	if p.more || d.seen == nil {
		return
	}
	delete(t.digests, p.edge)
	for _, r := range t.all() {
		if _, ok := d.seen[r.hash]; ok {
			continue
		}
		// It has nobody there any more; but for what it said later than this.
		r.mu.Lock()
		if v := r.state.version(p.edge); v != 0 && v <= d.clock {
			r.heardLocked(r.state.drop(p.edge))
		}
		r.mu.Unlock()
	}
}

// hearNeed answers another edge that wants our part of one room.
func (t *Tracker) hearNeed(topic string, answer func([]byte) error) {
	if answer == nil {
		return
	}
	t.mu.Lock()
	r := t.rooms[topic]
	t.mu.Unlock()
	if r != nil {
		r.question(answer)
		return
	}
	none := packet{kind: kindFull, edge: t.self, diff: diff{version: t.tick()}}
	_ = answer(none.encode()) // who does not hear it asks again
}

// run does what has to be done now and then, until Close.
func (t *Tracker) run() {
	beats := time.NewTimer(0)
	digests := time.NewTimer(jitter(t.opts.digest))
	sweep := time.NewTicker(max(time.Millisecond, min(t.opts.DeadAfter, t.opts.Grace)/16))
	defer beats.Stop()
	defer digests.Stop()
	defer sweep.Stop()
	soon := time.NewTimer(time.Hour)
	defer soon.Stop()
	last := time.Now()
	for {
		select {
		case <-t.quit:
			return
		case <-beats.C:
			if t.leaving.Load() {
				t.leave()
			} else {
				t.say(wordBeat, "", &packet{kind: kindBeat, text: t.name()})
			}
			beats.Reset(jitter(t.opts.DeadAfter / 4))
		case <-digests.C:
			t.sayDigest()
			digests.Reset(jitter(t.opts.digest))
		case <-t.announce:
			soon.Reset(upTo(t.opts.DeadAfter / 16))
		case <-soon.C:
			t.sayDigest()
		case <-t.resync:
			t.catchUp()
		case now := <-sweep.C:
			if now.Sub(last) > t.opts.DeadAfter/2 { // it was we who slept
				t.freeze()
			}
			last = now
			t.sweep(now)
		}
	}
}

// upTo is a random wait: edges should not speak all at once.
func upTo(d time.Duration) time.Duration {
	return rand.N(d + 1) //nolint:gosec // a wait, not a secret
}

// jitter is about d, and never more.
func jitter(d time.Duration) time.Duration { return d*9/10 + upTo(d/10) }

// work does the jobs of those who must not block, until Close.
func (t *Tracker) work() {
	for {
		select {
		case <-t.quit:
			return
		case job := <-t.jobs:
			job()
		}
	}
}

// later has a job done. If there are too many it is not: who waits for it has
// other ways to notice what is missing.
func (t *Tracker) later(job func()) {
	select {
	case t.jobs <- job:
	default:
		t.stats.unanswered.Add(1)
		t.log.Warn("too much to do for presence, a question goes unanswered")
	}
}

// freeze gives all edges time to be heard again, after this one has not heard
// anybody.
func (t *Tracker) freeze() {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.thaw = now.Add(t.opts.DeadAfter)
}

// sweep forgets the users of edges that are dead, or have said goodbye and
// been given time, and rooms without channels.
func (t *Tracker) sweep(now time.Time) {
	if !t.net.Connected() {
		t.freeze()
	}
	var dead []edgeID
	var idle []*room
	t.mu.Lock()
	for id, p := range t.peers {
		silent := now.Sub(p.last)
		switch {
		case p.gone && !p.done && silent >= t.opts.Grace:
			p.done = true
			dead = append(dead, id)
		case p.gone && silent >= time.Hour: // nothing of it is on its way any more
			delete(t.peers, id)
		case !p.gone && silent >= t.opts.DeadAfter && now.After(t.thaw):
			t.stats.dead.Add(1)
			t.log.Warn("another edge is silent, its users are taken to be gone", "edge", p.name, "silent", silent)
			delete(t.peers, id)
			dead = append(dead, id)
		}
	}
	rooms := t.rooms
	if now.Sub(t.looked) < t.opts.linger/8 {
		rooms = nil
	} else {
		t.looked = now
	}
	for _, r := range rooms {
		r.mu.Lock()
		if len(r.channels) == 0 && now.Sub(r.idle) >= t.opts.linger && r.ready {
			delete(t.rooms, r.topic)
			delete(t.byHash, r.hash)
			idle = append(idle, r)
		}
		r.mu.Unlock()
	}
	t.mu.Unlock()
	for _, r := range idle {
		r.close()
	}
	if len(dead) == 0 {
		return
	}
	for _, r := range t.all() {
		r.mu.Lock()
		for _, id := range dead {
			delete(r.repairs, id)
			r.heardLocked(r.state.drop(id))
		}
		r.mu.Unlock()
	}
}

// catchUp follows a time in which something may have been missed.
func (t *Tracker) catchUp() {
	t.freeze()
	t.sayDigest()
	rooms := t.all()
	spread := time.Duration(len(rooms)) * repairPace
	for _, r := range rooms {
		time.AfterFunc(upTo(spread), r.askAgain)
	}
}

// sayDigest tells the versions of all rooms in which this edge has, or had,
// somebody.
func (t *Tracker) sayDigest() {
	const perPacket = packetBytes / 16
	clock := t.clock.Load() // before: what comes later is not missing
	var all []roomVersion
	for _, r := range t.all() {
		r.mu.Lock()
		if v := r.state.version(t.self); v != 0 {
			all = append(all, roomVersion{r.hash, v})
		}
		r.mu.Unlock()
	}
	for i := uint64(0); ; i++ {
		n := min(len(all), perPacket)
		t.say(wordDigest, "", &packet{kind: kindDigest, clock: clock, index: i, more: n < len(all), rooms: all[:n]})
		if all = all[n:]; len(all) == 0 {
			return
		}
	}
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
