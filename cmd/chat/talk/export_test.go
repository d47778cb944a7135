package talk

import "time"

// SayLate sends a message of which, for all that is known, a first attempt was
// made long ago: longer than the server would notice that it is the same.
func (s *Session) SayLate(room, id, body string) {
	m := s.member(room)
	l := &letter{id: id, body: body, arrived: make(chan struct{}), doubt: true, first: time.Now().Add(-time.Hour)}
	m.mu.Lock()
	m.failed[id] = l
	m.mu.Unlock()
	m.say(id, body)
}
