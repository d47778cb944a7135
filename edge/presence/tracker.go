package presence

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aristochat/aristochat/edge"
)

// Errors of a [Tracker]. They may be returned from a handler: the client then
// reads what is wrong, as it does of those that tell of a bound.
var (
	ErrTracked    error = &edge.Error{Reason: "already tracked"}
	ErrNotTracked error = &edge.Error{Reason: "not tracked"}
	ErrEnded      error = &edge.Error{Reason: "channel has ended"}
)

// A Tracker knows who is here, on all edges. Its methods may be called
// concurrently.
type Tracker struct {
	srv  *edge.Server
	net  Network
	opts Options
	log  *slog.Logger

	self  edgeID
	mint  mint
	clock atomic.Uint64 // of versions
	stats stats

	quit     chan struct{} // closed by Close
	resync   chan struct{} // holds a token if something may have been missed
	announce chan struct{} // holds a token if others should hear our versions soon
	jobs     chan func()   // what takes longer than hearing may
	tasks    sync.WaitGroup
	closed   atomic.Bool
	leaving  atomic.Bool // the server drains
	stops    []func()

	digests map[edgeID]*digest // being read; of who hears alone

	mu     sync.Mutex // guards what follows, and comes before room.mu
	rooms  map[string]*room
	byHash map[uint64]*room
	peers  map[edgeID]*peer
	thaw   time.Time // before which nobody is taken for dead
	looked time.Time // when idle rooms were last looked for
}

// New returns the Tracker of a server, whose backbone must be a [Network]. One
// is enough for a server. It ends when the server's Shutdown begins.
func New(srv *edge.Server, o *Options) *Tracker {
	net, ok := srv.Backbone().(Network)
	if !ok {
		panic(fmt.Sprintf("presence: the server's backbone, a %T, is no presence.Network", srv.Backbone()))
	}
	t := &Tracker{
		srv: srv, net: net, opts: o.withDefaults(), log: srv.Logger(),
		quit:     make(chan struct{}),
		resync:   make(chan struct{}, 1),
		announce: make(chan struct{}, 1),
		jobs:     make(chan func(), 4096),
		digests:  make(map[edgeID]*digest),
		rooms:    make(map[string]*room),
		byHash:   make(map[uint64]*room),
		peers:    make(map[edgeID]*peer),
	}
	_, _ = rand.Read(t.self[:]) // never fails
	t.mint.edge = t.self
	t.clock.Store(uint64(time.Now().UnixMicro()))
	t.listen()
	t.tasks.Go(t.run)
	t.tasks.Go(t.work)
	srv.OnDrain(t.leave)
	srv.OnShutdown(t.Close)
	return t
}

// tick returns the next version. All of an edge are different, and grow.
func (t *Tracker) tick() uint64 { return t.clock.Add(1) }

// leave has all edges, this one too, take those who join elsewhere from now on
// for users of this one. It is said again and again, to edges and of rooms that
// are new.
func (t *Tracker) leave() {
	t.leaving.Store(true)
	t.say(wordBeat, "", &packet{kind: kindLeaving})
	t.retire(t.self)
}

// Close says goodbye to the other edges, which take the users of this one to be
// on their way to another, and ends the Tracker: what it is told from now on
// changes nothing. The server's Shutdown calls it.
func (t *Tracker) Close() {
	if t.closed.Swap(true) {
		return
	}
	t.say(wordBye, "", &packet{kind: kindBye})
	close(t.quit)
	for _, stop := range t.stops {
		stop()
	}
	t.mu.Lock()
	rooms := t.rooms
	t.rooms, t.byHash = map[string]*room{}, map[uint64]*room{}
	t.mu.Unlock()
	for _, r := range rooms {
		r.close()
	}
	t.tasks.Wait()
}

// Watch has the client told who is here: by presence_state once its channel has
// joined, and presence_diff from then on. The other methods that take a Socket
// do the same; Watch is for channels that look on.
func (t *Tracker) Watch(s *edge.Socket) error {
	_, _, err := t.enter(s)
	return err
}

// Track makes key present on the channel's topic, with a meta: a value that is
// a JSON object, {} if nil. It stays until the channel ends. A channel may track
// several keys, and a key may be tracked by several channels: it then has as
// many metas.
func (t *Tracker) Track(s *edge.Socket, key string, meta any) error {
	m, err := t.checked(meta)
	if err != nil {
		return err
	}
	if len(key) > maxKey || !utf8.ValidString(key) {
		t.stats.limits[limitKeyBytes].Add(1)
		return edge.Refuse(fmt.Sprintf("presence key is not a text of at most %d bytes", maxKey))
	}
	r, c, err := t.enter(s)
	if err != nil {
		return err
	}
	return r.track(c, key, m)
}

// Update changes the meta that the channel tracks for key. Clients see it as
// one change. It fails with [ErrNotTracked] if there is none.
func (t *Tracker) Update(s *edge.Socket, key string, meta any) error {
	return t.UpdateFunc(s, key, func(json.RawMessage) (any, error) { return meta, nil })
}

// UpdateFunc is Update with what f makes of the old meta.
func (t *Tracker) UpdateFunc(s *edge.Socket, key string, f func(old json.RawMessage) (any, error)) error {
	r, c, err := t.enter(s)
	if err != nil {
		return err
	}
	for {
		old := r.tracked(c, key)
		if old == nil {
			return ErrNotTracked
		}
		meta, err := f(json.RawMessage(old.meta))
		if err != nil {
			return err
		}
		m, err := t.checked(meta)
		if err != nil {
			return err
		}
		if done, err := r.update(c, old, m); done || err != nil {
			return err
		}
	}
}

// Untrack undoes Track. It does nothing if the channel does not track the key.
func (t *Tracker) Untrack(s *edge.Socket, key string) error {
	r, c, err := t.enter(s)
	if err != nil {
		return err
	}
	return r.untrack(c, key)
}

// List returns who is on a topic, whether or not it has members here.
func (t *Tracker) List(ctx context.Context, topic string) (List, error) {
	r, err := t.await(ctx, topic)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	groups := r.state.groups()
	r.mu.Unlock()
	return t.fetched(ctx, topic, groups), nil
}

// A Page is a part of a list, in the order of the keys.
type Page struct {
	Presences List `json:"presences"`
	// Count is how many keys there are in all.
	Count int `json:"count"`
	// Next, if not nil, asks for the following page.
	Next *string `json:"next"`
}

// Bounds of a page.
const (
	defaultPage = 50
	maxPage     = 100
	pageBytes   = 64 << 10
)

// Page returns up to limit keys that stand behind the key after, or the first
// ones if it is empty. If limit is not positive, it is 50.
func (t *Tracker) Page(ctx context.Context, topic, after string, limit int) (*Page, error) {
	r, err := t.await(ctx, topic)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = defaultPage
	}
	groups, count, next := r.page(after, min(limit, maxPage))
	return &Page{t.fetched(ctx, topic, groups), count, next}, nil
}

// Count returns how many keys and metas a topic has.
func (t *Tracker) Count(ctx context.Context, topic string) (keys, metas int, err error) {
	r, err := t.await(ctx, topic)
	if err != nil {
		return 0, 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.state.byKey), r.state.size, nil
}

// Handle answers the event presence_list, {"after": KEY, "limit": N}, with a
// [Page]: for clients of rooms so large that they are told numbers only.
func (t *Tracker) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	var in struct {
		After string `json:"after"`
		Limit int    `json:"limit"`
	}
	if err := m.Payload.Decode(&in); err != nil {
		return nil, edge.Refuse(`payload must be {"after": KEY, "limit": N}, both optional`)
	}
	page, err := t.Page(ctx, s.Topic(), in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return edge.OK(page), nil
}

// EventList is the event that [Tracker.Handle] answers.
const EventList = "presence_list"

// fetchTimeout bounds what Fetch may take while members wait.
const fetchTimeout = 5 * time.Second

// fetched is groups as clients see them.
func (t *Tracker) fetched(ctx context.Context, topic string, groups []group) (list List) {
	list = listOf(groups)
	if t.opts.Fetch == nil || len(list) == 0 {
		return list
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var err error
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		err = t.opts.Fetch(ctx, topic, list)
	}()
	if err != nil {
		t.log.Error("fetching presences failed", "room", topic, "error", err)
		list = listOf(groups)
	}
	return list
}

func (t *Tracker) checked(meta any) (string, error) {
	m, err := metaOf(meta)
	if err != nil {
		return "", err
	}
	if limit := min(t.opts.MaxMeta, maxMetaBytes); len(m) > limit {
		t.stats.limits[limitMetaBytes].Add(1)
		return "", edge.Refuse(fmt.Sprintf("presence meta is longer than %d bytes", limit))
	}
	return m, nil
}

// A channel is what a room knows of one that looks on or tracks.
type channel struct {
	socket  *edge.Socket
	tracked []*entry

	tokens float64 // changes that it may make at once …
	at     time.Time
}

// allow takes a token.
func (c *channel) allow(o *Options) bool {
	now := time.Now()
	c.tokens = min(c.tokens+now.Sub(c.at).Seconds()*o.Rate, float64(o.Burst))
	c.at = now
	if c.tokens < 1 {
		return false
	}
	c.tokens--
	return true
}

// enter returns the room of a channel's topic. The first time it has the
// client told who is there, and the room told of the channel's end.
func (t *Tracker) enter(s *edge.Socket) (*room, *channel, error) {
	t.mu.Lock()
	if t.closed.Load() {
		t.mu.Unlock()
		return nil, nil, edge.ErrUnavailable
	}
	r, isNew := t.roomLocked(s.Topic())
	r.mu.Lock()
	c := r.channels[s]
	first := c == nil
	if first {
		c = &channel{socket: s, tokens: float64(t.opts.Burst), at: time.Now()}
		r.channels[s] = c
	}
	r.mu.Unlock()
	t.mu.Unlock()
	if isNew {
		r.open()
	}
	if first {
		s.OnEnd(func(reason error) { r.end(s, reason) })
		s.Do(func(context.Context) error { r.greet(s); return nil })
	}
	return r, c, nil
}

// await returns the room of a topic once it is known who is there.
func (t *Tracker) await(ctx context.Context, topic string) (*room, error) {
	t.mu.Lock()
	if t.closed.Load() {
		t.mu.Unlock()
		return nil, edge.ErrUnavailable
	}
	r, isNew := t.roomLocked(topic)
	t.mu.Unlock()
	if isNew {
		r.open()
	}
	select {
	case <-r.opened:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *Tracker) roomLocked(topic string) (r *room, isNew bool) {
	if r := t.rooms[topic]; r != nil {
		return r, false
	}
	r = newRoom(t, topic)
	t.rooms[topic] = r
	t.byHash[r.hash] = r
	return r, true
}

// all returns the rooms that are open.
func (t *Tracker) all() []*room {
	t.mu.Lock()
	defer t.mu.Unlock()
	rooms := make([]*room, 0, len(t.rooms))
	for _, r := range t.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}

// name is how logs call this edge.
func (t *Tracker) name() string { return cmp.Or(t.opts.Name, fmt.Sprintf("%x", t.self[:4])) }
