package fleet

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// MemberOptions tune a [Member]. A nil *MemberOptions is valid.
type MemberOptions struct {
	// Name is for people. If empty, the host's.
	Name string
	// Version of the program.
	Version string
}

// A Member says to the other edges how this one is. Its methods may be called
// concurrently.
type Member struct {
	table *Table
	srv   *edge.Server
	name  string
	opts  MemberOptions

	began   time.Time
	leaving atomic.Bool
	last    atomic.Pointer[float64] // pace since then that was not infinite
	changed chan struct{}           // holds a token if something is to be said now
	quit    chan struct{}
	once    sync.Once
	done    sync.WaitGroup

	// Of the one goroutine that speaks.
	counted time.Time  // when rates were last taken
	was     edge.Stats // then
	in, out float64    // messages a second
}

// Join has a server's status said until its Shutdown begins.
func (t *Table) Join(srv *edge.Server, o *MemberOptions) *Member {
	m := &Member{table: t, srv: srv, began: time.Now(), changed: make(chan struct{}, 1), quit: make(chan struct{})}
	if o != nil {
		m.opts = *o
	}
	if m.name = shown(m.opts.Name); m.name == "" {
		host, _ := os.Hostname() // "" is a name, too
		m.name = shown(host)
	}
	m.counted = m.began
	m.done.Go(m.run)
	srv.OnDrain(m.Leave)
	srv.OnShutdown(m.close)
	return m
}

// Leave says that this edge is about to drain, so that no other one counts on
// it. Drain does it too; an edge that goes on for a while before calls it first.
func (m *Member) Leave() {
	if !m.leaving.Swap(true) {
		m.hurry()
	}
}

// Pace returns how many sockets a second the other edges can take from this one,
// for [edge.Server.Drain]. Once this edge leaves, others that fall silent are not
// taken to be gone: what they could bear last still counts.
func (m *Member) Pace() float64 {
	pace := share(m.srv.ID(), m.table.Edges(), m.table.opts.Every)
	switch {
	case !m.leaving.Load():
	case !math.IsInf(pace, 1):
		m.last.Store(&pace)
	case m.last.Load() != nil:
		return *m.last.Load()
	}
	return pace
}

// close says that this edge ends.
func (m *Member) close() {
	m.once.Do(func() {
		close(m.quit)
		m.done.Wait()
		s := m.status(time.Now())
		s.Gone = true
		m.say(&s)
	})
}

func (m *Member) hurry() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// run says the status every now and then, and when another edge should not have
// to wait for it.
func (m *Member) run() {
	every := m.table.opts.Every
	due := time.NewTimer(0)
	defer due.Stop()
	look := time.NewTicker(every / 8)
	defer look.Stop()
	full := false
	for {
		select {
		case <-m.quit:
			return
		case <-look.C:
			if isFull := errors.Is(m.srv.Ready(), edge.ErrFull); isFull == full {
				continue
			}
			full = !full
		case <-m.changed:
		case <-due.C:
		}
		due.Reset(every*3/4 + rand.N(every/4+1)) //nolint:gosec // edges should not speak all at once
		now := time.Now()
		s := m.status(now)
		m.say(&s)
	}
}

func (m *Member) say(s *Status) {
	m.table.note(*s)
	ctx, cancel := context.WithTimeout(context.Background(), m.table.opts.Every)
	defer cancel()
	if err := m.table.backbone.PublishControl(ctx, kind, s.encode()); err != nil {
		// Without a link nobody hears it, and the next one is soon.
		m.table.opts.Logger.Debug("cannot tell the other edges how this one is", "error", err)
	}
}

func (m *Member) status(now time.Time) Status {
	st := m.srv.Stats()
	o := m.srv.Limits()
	s := Status{
		ID: m.srv.ID(), Name: m.name, Version: shown(m.opts.Version), Started: m.began.UTC().Truncate(time.Second),
		Sockets: st.Sockets, Channels: st.Channels, Rooms: int64(st.Rooms),
		MaxSockets: int64(o.MaxSockets), AdmitRate: o.AdmitRate, Waiting: st.Waiting,
		Draining: m.leaving.Load() || st.Draining,
	}
	// What is said out of turn has no time behind it of which to take a rate.
	if past := now.Sub(m.counted); past >= m.table.opts.Every/2 {
		m.in = float64(st.MessagesIn-m.was.MessagesIn) / past.Seconds()
		m.out = float64(st.MessagesOut-m.was.MessagesOut) / past.Seconds()
		m.counted, m.was = now, st
	}
	s.MessagesIn, s.MessagesOut = m.in, m.out
	return s
}
