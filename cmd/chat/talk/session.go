package talk

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/aristochat/aristochat/client"
)

// Config says who talks where.
type Config struct {
	URL      string // of the socket, such as ws://localhost:4000/socket
	Username string
	Token    string       // sent if not empty
	HTTP     *http.Client // does the handshake; nil for http.DefaultClient
	// History is how many old messages to ask for when a room is entered.
	History int
	// Emit is told of everything that happens. It may be called concurrently,
	// but never by a method of the Session that takes no context: the caller may
	// be who Emit waits for. It must not call Close.
	Emit func(Event)
	// Logger hears what only somebody who looks for a fault wants to know. If
	// nil, nobody does.
	Logger *slog.Logger
}

// A Session is a user's connection to a server. Its methods may be called
// concurrently and do not block, if they do not take a context.
type Session struct {
	cfg     Config
	client  *client.Client
	ctx     context.Context //nolint:containedctx // that of the session's goroutines, ended by Close
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex         // guards what follows
	members map[string]*member // the last in each room; some have left
	closed  bool
}

// Dial connects. The first failure to do so is its error, which [Explain] puts
// into words; after that the session reconnects by itself until Close.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Session{cfg: cfg, members: map[string]*member{}}
	s.ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
	c, err := client.Dial(ctx, cfg.URL, &client.Options{
		Params:     url.Values{"username": {cfg.Username}},
		Token:      cfg.Token,
		HTTPClient: cfg.HTTP,
		OnState:    s.onState,
		Logger:     cfg.Logger,
	})
	if err != nil {
		s.end()
		return nil, err
	}
	s.client = c
	return s, nil
}

func (s *Session) onState(st client.State) {
	switch st.Status {
	case client.Connected:
		s.cfg.Emit(Link{Up: true})
	case client.Reconnecting:
		s.cfg.Emit(Link{Err: st.Err, Next: st.Next})
	case client.Closed:
	}
}

// Reconnect has the next attempt to connect begin now.
func (s *Session) Reconnect() { s.client.Reconnect() }

// Join enters a room, and goes on trying until it is in, refused, or left.
// [Joined] or [Refused] tells.
func (s *Session) Join(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.members[room]
	if s.closed || last != nil && last.ctx.Err() == nil {
		return
	}
	m := newMember(s, room)
	s.members[room] = m
	s.running.Go(func() { m.stay(last) })
	s.running.Go(func() { m.deliver() })
}

// Leave leaves a room. It may be entered again at once.
func (s *Session) Leave(room string) {
	if m := s.member(room); m != nil {
		m.end()
	}
}

// member is the user in a room, nil if he is not there.
func (s *Session) member(room string) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.members[room]; m != nil && m.ctx.Err() == nil {
		return m
	}
	return nil
}

// start runs f, which ends when s.ctx does, unless the session is closed.
func (s *Session) start(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Go(f)
	}
}

// Say sends a message under an id that is new, or, to send it again, that of
// the first time. Messages of a room leave in order, one after the other has
// been acknowledged. [Sent] or [NotSent] tells.
func (s *Session) Say(room, clientID, body string) {
	m := s.member(room)
	if m == nil {
		s.notSent(NotSent{Room: room, ClientID: clientID, Reason: "you are not in this room"})
		return
	}
	m.say(clientID, body)
}

// notSent tells of what was not even tried.
func (s *Session) notSent(e NotSent) {
	s.start(func() { s.cfg.Emit(e) })
}

// Typing tells the others that the user types, or no longer does, if the server
// knows such a thing.
func (s *Session) Typing(room string, on bool) {
	m := s.member(room)
	if m == nil || !m.isModern() {
		return
	}
	s.start(func() {
		ctx, cancel := context.WithTimeout(s.ctx, time.Second)
		defer cancel()
		_ = m.channel.Send(ctx, "typing", map[string]bool{"typing": on}) // too late is as good as never
	})
}

// Close leaves and disconnects. No event comes after it.
func (s *Session) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	err := s.client.Close()
	s.running.Wait()
	<-s.client.Done()
	if err != nil {
		return fmt.Errorf("closing the connection: %w", err)
	}
	return nil
}
