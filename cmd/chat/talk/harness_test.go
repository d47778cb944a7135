package talk_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/testserver"
)

// A talker is a session whose events are kept.
type talker struct {
	*talk.Session
	t      *testing.T
	name   string
	mu     sync.Mutex // guards events and rooms
	events []talk.Event
	rooms  map[string]*room.Room // as a user would see them
}

func dial(t *testing.T, addr, user string) *talker {
	t.Helper()
	p := &talker{t: t, name: user, rooms: map[string]*room.Room{}}
	s, err := talk.Dial(t.Context(), talk.Config{
		URL:      "ws://" + addr + "/socket",
		Username: user,
		History:  50,
		Emit:     p.emit,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Session = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func (p *talker) emit(e talk.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	switch e := e.(type) {
	case talk.Joined:
		r := p.rooms[e.Room]
		if r == nil {
			r = room.New(e.Room, p.name)
			p.rooms[e.Room] = r
		}
		for _, m := range e.Past {
			r.Receive(m)
		}
	case talk.Said:
		p.rooms[e.Room].Receive(e.Message)
	}
}

// saw waits for an event that ok accepts, and returns it.
func saw[E talk.Event](p *talker, what string, ok func(E) bool) (found E) {
	p.t.Helper()
	testserver.Await(p.t, fmt.Sprintf("%s to see %s", p.name, what), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range p.events {
			if e, is := e.(E); is && ok(e) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func (p *talker) enter(name string) talk.Joined {
	p.t.Helper()
	p.Join(name)
	return saw(p, "the room", func(e talk.Joined) bool { return e.Room == name })
}

// forget drops the events so far.
func (p *talker) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = nil
}

// list is what was said in a room, in the order of the room.
func (p *talker) list(name string) (bodies []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[name]
	for i := range r.Len() {
		bodies = append(bodies, r.At(i).Body)
	}
	return bodies
}

// reads waits until exactly these were said.
func (p *talker) reads(name string, want ...string) {
	p.t.Helper()
	testserver.Await(p.t, fmt.Sprintf("%s to read %q", p.name, want), func() bool {
		return len(p.list(name)) >= len(want)
	})
	if got := p.list(name); !slices.Equal(got, want) {
		p.t.Fatalf("%s reads %q, want %q", p.name, got, want)
	}
}

// events of one type, so far.
func count[E talk.Event](p *talker) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if _, is := e.(E); is {
			n++
		}
	}
	return n
}
