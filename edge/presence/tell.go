package presence

import (
	"context"
	"slices"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// What members are told, and when.
//
// At any time there is a view that all members share: who is there, but for
// what is still untold. A diff leads from one view to the next and goes to all;
// presence_state is the view between two diffs. So whoever has a state and
// applies what follows sees what is true, and nothing is told twice: clients
// before 1.4 would show it twice.
//
// A diff waits for the window since the last one to pass, so that many changes
// cost few frames, and a state waits for the diff with the client's own join.

// changedLocked has the members told, soon.
func (r *room) changedLocked(c change) {
	if c.isEmpty() {
		return
	}
	r.untold.add(c)
	at := time.Now()
	if len(c.joins) == 0 {
		at = at.Add(leaveHold)
	}
	if next := r.told.Add(r.windowLocked()); next.After(at) {
		at = next
	}
	if r.due.IsZero() || at.Before(r.due) {
		r.due = at
		r.wakeLocked(time.Until(at))
	}
}

func (r *room) wakeLocked(in time.Duration) {
	if r.timer == nil {
		r.timer = time.AfterFunc(in, r.tell)
	} else {
		r.timer.Reset(in)
	}
}

// Windows of rooms that never rest, and of those that are counted.
const (
	restless       = 10 // tellings in a row
	restlessWindow = 250 * time.Millisecond
	countWindow    = time.Second
)

func (r *room) windowLocked() time.Duration {
	if r.counting {
		return max(countWindow, r.t.opts.Window)
	}
	w := r.t.opts.Window
	w += w * time.Duration(min(len(r.state.byKey), 500)) / 250
	if r.streak >= restless {
		w = max(w, restlessWindow)
	}
	return w
}

// greet has a client told who is there.
func (r *room) greet(s *edge.Socket) {
	r.mu.Lock()
	r.waiting = append(r.waiting, s)
	now := r.canGreetLocked()
	r.mu.Unlock()
	if now {
		go r.tell() // Fetch may take its time, and the channel has more to do
	}
}

// canGreetLocked reports whether the view is what is true, so that a state need
// not wait. Who is told numbers only waits for nobody.
func (r *room) canGreetLocked() bool {
	return r.ready && !r.telling && (r.counting || r.untold.isEmpty())
}

// A notice is what members are told at once.
type notice struct {
	diff    change
	clear   bool // they are shown nobody from now on
	count   int  // if not negative, how many there are
	all     bool // they are all given the state anew
	waiting []*edge.Socket

	counting bool    // what those who wait are given: a number …
	people   int     // … which is this
	groups   []group // or the state
}

// tell tells the members what is due.
func (r *room) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.telling {
		return // it looks again when it is done
	}
	for r.ready && !r.closed && !r.t.closed.Load() {
		isDue := !r.due.IsZero() && !time.Now().Before(r.due)
		if !isDue && (len(r.waiting) == 0 || !r.canGreetLocked()) {
			if !r.due.IsZero() {
				r.wakeLocked(time.Until(r.due))
			}
			return
		}
		n := r.noticeLocked(isDue)
		r.telling = true
		r.mu.Unlock()
		r.send(&n)
		r.mu.Lock()
		r.telling = false
	}
}

// noticeLocked takes what is to be told.
func (r *room) noticeLocked(isDue bool) notice {
	n := notice{count: -1, people: len(r.state.byKey)}
	limit := r.t.opts.CountAbove
	was := r.counting
	switch {
	case !isDue && r.shown:
	case limit < 0:
	case n.people > limit:
		r.counting = true
	case n.people <= limit*4/5 || !r.shown:
		r.counting = false
	}
	if isDue {
		now := time.Now()
		r.streak++
		if now.Sub(r.told) > 2*r.windowLocked() {
			r.streak = 0
		}
		r.told, r.due = now, time.Time{}
		c := r.untold.take()
		switch {
		case r.counting:
			n.clear = !was && r.shown
			if n.people != r.count || !was {
				n.count, r.count = n.people, n.people
			}
		case was && r.shown:
			n.all = true
		default:
			n.diff = c
		}
	}
	if isDue || r.counting || r.untold.isEmpty() {
		n.waiting, r.waiting = r.waiting, nil
		r.shown = r.shown || isDue || len(n.waiting) > 0
	}
	n.counting = r.counting
	if !n.counting && (n.all || len(n.waiting) > 0) {
		n.groups = r.state.groups()
	}
	return n
}

// send tells members of a notice. One of a room is sent at a time.
func (r *room) send(n *notice) {
	if !n.diff.isEmpty() {
		b := append([]byte(nil), `{"joins":`...)
		b = r.appendList(b, grouped(n.diff.joins))
		b = append(b, `,"leaves":`...)
		b = r.appendList(b, grouped(n.diff.leaves))
		r.broadcast(eventDiff, append(b, '}'))
	}
	if n.clear {
		r.broadcast(eventState, []byte("{}"))
	}
	if n.count >= 0 {
		r.broadcast(eventCount, countPayload(n.count))
	}
	if !n.all && len(n.waiting) == 0 {
		return
	}
	state := []byte("{}")
	if !n.counting {
		state = r.appendList(nil, n.groups)
	}
	if n.all {
		r.broadcast(eventState, state)
	}
	for _, s := range n.waiting {
		// It fails if the channel has ended meanwhile.
		_ = s.Push(eventState, edge.Payload{Bytes: state})
		if n.counting {
			_ = s.Push(eventCount, edge.Payload{Bytes: countPayload(n.people)})
		}
	}
}

func (r *room) broadcast(event string, payload []byte) {
	if err := r.t.srv.BroadcastLocal(r.topic, event, edge.Payload{Bytes: payload}); err != nil {
		r.t.log.Warn("presence cannot be told to some members", "room", r.topic, "event", event, "error", err)
	}
}

// appendList writes groups as clients see them.
func (r *room) appendList(b []byte, groups []group) []byte {
	if r.t.opts.Fetch == nil {
		return appendGroups(b, groups)
	}
	list, err := marshal(r.t.fetched(context.Background(), r.topic, groups))
	if err != nil {
		r.t.log.Error("what was fetched for presences has no JSON", "room", r.topic, "error", err)
		return appendGroups(b, groups)
	}
	return append(b, list...)
}

func countPayload(n int) []byte {
	b, _ := marshal(struct { // a number
		Count int `json:"count"`
	}{n})
	return slices.Clip(b)
}
