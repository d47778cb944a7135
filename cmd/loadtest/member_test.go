package main

import (
	"maps"
	"testing"
	"time"

	"github.com/aristochat/aristochat/client"
)

// What a member was told last is where it resumes, be it a join's reply, a page
// or a message; and what it got before it entered is out of order.
func TestMemberResumes(t *testing.T) {
	s := newSwarm(&config{Sockets: 1, Rooms: 1, Resume: true})
	m, l := s.members[0], s.rooms[0]
	since := func(want uint64) {
		t.Helper()
		if got, _ := m.params().(map[string]any); !maps.Equal(got, map[string]any{"since": want, "epoch": "e"}) {
			t.Errorf("joins with %v, want to resume from %d", got, want)
		}
	}
	payload := func(json string) client.Payload { return client.Payload{Bytes: []byte(json)} }

	if got, _ := m.params().(map[string]any); !maps.Equal(got, map[string]any{"history": 0}) {
		t.Errorf("joins first with %v, want no history", got)
	}
	m.enters(client.Reply{Payload: payload(`{"messages":[],"last_seq":99,"epoch":"e","recovered":true}`)})
	since(99)
	m.hears(client.Message{Payload: payload(`{"body":"somebody else's","seq":120}`)})
	since(120)
	m.ends(client.ErrLost)
	m.enters(client.Reply{Payload: payload(`{"messages":[],"last_seq":150,"epoch":"e","recovered":true,"more":true}`)})
	since(150)
	m.catchesUp(client.Message{Payload: payload(`{"messages":[],"last_seq":180}`)})
	since(180)

	l.receive(0, l.send(0, time.Now()), 99)
	if want := (map[kind]int{disorder: 1}); !maps.Equal(s.found.counts, want) {
		t.Errorf("found %v, want %v: 99 is from before it entered", s.found.counts, want)
	}
}
