package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aristochat/aristochat/protocol"
)

// A room is what this edge knows of one topic: its members here, and the one
// subscription that serves them all.
type room struct {
	topic  string
	refs   int           // guarded by Server.roomsMu
	opened chan struct{} // closed once the subscription is active or has failed
	err    error         // of the subscription; set before opened is closed
	close  func()

	mu      sync.Mutex // guards what follows
	members []*Socket
	last    uint64 // sequence of the newest stored event that members were given …
	epoch   string // … and the store's epoch then
}

// A member is a Socket's place in its room.
type member struct {
	room *room
	at   int // its index among the members, plus one; 0 if it is not there
	open bool
	held []heldFrame // what came before the gate was open
	size int         // bytes held
	lost bool        // more came than can be held

	cursor uint64 // sequence up to which the client has been given the past …
	epoch  string // … of this store
	more   bool   // the past goes on beyond the cursor
	asked  bool   // the client asked for its past
}

type heldFrame struct {
	frame frame
	seq   uint64 // 0 if the event is not stored
	epoch string // of the store
	at    int64
}

// subscribeTimeout bounds how long a join waits for its subscription.
const subscribeTimeout = 5 * time.Second

// enterRoom makes s a member. When it returns the room's subscription is
// active; frames are held back until the gate opens.
func (s *Socket) enterRoom(ctx context.Context) error {
	srv := s.conn.srv
	srv.roomsMu.Lock()
	r := srv.rooms[s.topic]
	first := r == nil
	if first {
		r = &room{topic: s.topic, opened: make(chan struct{})}
		srv.rooms[s.topic] = r
	}
	r.refs++
	srv.roomsMu.Unlock()

	if first {
		// Others wait for it too, so this client's end must not cancel it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), subscribeTimeout)
		rt := s.route // not s, which need not live as long as the room
		r.close, r.err = srv.backbone.Subscribe(ctx, r.topic, len(rt.stored) > 0, func(d Delivery) { srv.deliver(rt, r, d) })
		cancel()
		close(r.opened)
	}
	<-r.opened
	if r.err != nil {
		srv.exit(r)
		return fmt.Errorf("subscribing to %q: %w", s.topic, r.err)
	}
	r.mu.Lock()
	r.members = append(r.members, s)
	s.member = member{room: r, at: len(r.members)}
	r.mu.Unlock()
	return nil
}

// exit gives up one reference; the last one ends the subscription. A room
// whose subscription failed makes way at once, so that the next join tries
// again.
func (srv *Server) exit(r *room) {
	srv.roomsMu.Lock()
	r.refs--
	if (r.refs == 0 || r.err != nil) && srv.rooms[r.topic] == r {
		delete(srv.rooms, r.topic)
	}
	last := r.refs == 0
	srv.roomsMu.Unlock()
	if last && r.err == nil {
		r.close()
	}
}

// leaveRoom undoes enterRoom. It may be called more than once.
func (s *Socket) leaveRoom() {
	r := s.member.room
	if r == nil {
		return
	}
	r.mu.Lock()
	at := s.member.at
	if at == 0 {
		r.mu.Unlock()
		return
	}
	end := len(r.members) - 1
	moved := r.members[end]
	r.members[at-1] = moved
	moved.member.at = at
	r.members[end] = nil
	r.members = r.members[:end]
	s.member.at, s.member.held = 0, nil
	r.mu.Unlock()
	s.conn.srv.exit(r)
}

// roomLast returns the newest stored sequence that the room's members have, 0
// if it is of another store than today's.
func (s *Socket) roomLast() uint64 {
	r := s.member.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epoch != s.conn.srv.epoch() {
		return 0
	}
	return r.last
}

// epoch returns the history's epoch, "" without one.
func (srv *Server) epoch() string {
	if h, ok := srv.backbone.(History); ok {
		return h.Epoch()
	}
	return ""
}

// openGateAt sends what was held back, but for stored events that the client
// has already, and lets what follows pass. It reports false, and holds on, if
// stored events were lost that can still be read.
func (s *Socket) openGateAt(cursor uint64) bool {
	r := s.member.room
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &s.member
	held, lost := m.held, m.lost
	m.held, m.size, m.lost = nil, 0, false
	if lost {
		if m.asked && r.last > cursor {
			return false
		}
		s.conn.slow(slowJoin)
	}
	for _, h := range held {
		if h.seq == 0 || h.seq > cursor || h.epoch != m.epoch {
			s.conn.send(h.frame, h.at)
		}
	}
	m.open, m.cursor = true, cursor
	return true
}

// has reports whether the client got a stored event before it came here: where
// it was before, the cluster may be further than this edge.
func (m *member) has(seq uint64, epoch string) bool {
	return seq != 0 && seq <= m.cursor && epoch == m.epoch
}

// broadcast sends an event to a topic, whether or not it has members here.
func (srv *Server) broadcast(ctx context.Context, rt *route, topic, event string, payload any, except *Socket) error {
	if rt != nil && rt.stores(event) {
		if except != nil {
			return fmt.Errorf("broadcasting %q: a stored event goes to all", event)
		}
		_, err := srv.append(ctx, rt, topic, event, payload, "")
		return err
	}
	p, err := payloadOf(payload)
	if err != nil {
		return err
	}
	if !p.isObject() {
		return fmt.Errorf("broadcasting %q: %w", event, protocol.ErrPayload)
	}
	ctx, span := srv.publishSpan(ctx, topic, event)
	e := Event{Name: event, Payload: p.Bytes, Binary: p.Binary, Trace: traceParent(ctx)}
	// As in Phoenix, the others are sent the event before the members here.
	err = srv.backbone.Publish(ctx, topic, e)
	endSpan(span, err)
	if err != nil {
		return fmt.Errorf("broadcasting %q: %w", event, err)
	}
	return srv.sendLocal(topic, e, except)
}

// deliver takes an event from the backbone. Members with whom something is
// wrong are dealt with one by one; the others have got theirs.
func (srv *Server) deliver(rt *route, r *room, d Delivery) {
	if d.Lost {
		r.reset(srv)
		return
	}
	if d.Seq != 0 {
		stamped, err := stamp(rt, &d)
		if err != nil {
			srv.stats.invalid.Add(1)
			srv.log.Warn("dropping invalid stored event", "room", r.topic, "seq", d.Seq, "error", err)
			return
		}
		d.Payload = stamped
	}
	span := srv.deliverySpan(r.topic, &d)
	err := r.send(srv, &d, nil)
	endSpan(span, err)
	if d.Seq != 0 {
		srv.stats.delivered(d.At)
	}
	if err != nil {
		srv.log.Warn("cannot deliver to some members", "room", r.topic, "event", d.Name, "error", err)
	}
}

// reset ends the channels of a room that has a hole: their clients join again,
// and the reply to that says what is missing.
func (r *room) reset(srv *Server) {
	srv.log.Warn("stored events are lost to this edge, its members must join again", "room", r.topic)
	r.mu.Lock()
	members := slices.Clone(r.members)
	r.mu.Unlock()
	for _, s := range members {
		s.Do(func(context.Context) error { return Crash(errLost) })
	}
}

var errLost = errors.New("stored events are no longer kept")

// send gives an event to the members here: the same bytes to all who speak the
// same version. The error tells of members for whom it cannot be encoded.
func (r *room) send(srv *Server, d *Delivery, except *Socket) error {
	b := broadcast{message: protocol.Message{
		Kind: protocol.Broadcast, Topic: r.topic, Event: d.Name, Payload: d.Payload, Binary: d.Binary,
	}}
	now := srv.clock()
	var intercepted *task
	var failed error
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.Seq != 0 {
		r.last, r.epoch = d.Seq, srv.epoch()
	}
	if len(r.members) == 0 {
		return nil
	}
	for _, s := range r.members {
		if s == except {
			continue
		}
		if d.Seq == 0 && s.intercepts(d.Name) {
			if intercepted == nil {
				// Handlers run later; the backbone's payload is only lent.
				kept := append([]byte(nil), d.Payload...)
				intercepted = &task{kind: taskOut, message: protocol.Message{Event: d.Name, Payload: kept, Binary: d.Binary}}
			}
			s.post(*intercepted)
			continue
		}
		f, err := b.frame(s.conn.version, s.conn.deflate)
		if err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		switch {
		case !s.member.open:
			s.hold(heldFrame{f, d.Seq, r.epoch, now}, srv.opts.OutboxBytes)
		case !s.member.has(d.Seq, r.epoch):
			s.conn.send(f, now)
		}
	}
	srv.stats.fanOut.Observe(time.Duration(srv.clock() - now))
	return failed
}

// hold keeps a frame until the gate opens.
func (s *Socket) hold(h heldFrame, limit int) {
	m := &s.member
	if m.size+len(h.frame) > limit {
		m.held, m.lost = nil, true
	}
	if !m.lost {
		m.held = append(m.held, h)
		m.size += len(h.frame)
	}
}
