package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Status is what an edge says of itself. Rates are a second, over about the
// time since it said the last one.
type Status struct {
	ID      string    `json:"id"`             // of this life of the edge: edge.Server.ID
	Name    string    `json:"name,omitempty"` // of the machine or pod, for people
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started"`

	Sockets  int64 `json:"sockets"`
	Channels int64 `json:"channels"`
	Rooms    int64 `json:"rooms"`

	MaxSockets int64   `json:"max_sockets,omitempty"` // 0 if there is no bound
	AdmitRate  float64 `json:"admit_rate,omitempty"`  // sockets a second that it lets in; 0 if there is no bound
	Waiting    int64   `json:"waiting,omitempty"`     // clients that wait to be let in
	Draining   bool    `json:"draining,omitempty"`    // it takes no new clients, or soon none
	Gone       bool    `json:"gone,omitempty"`        // it ends; there is no other status after this

	MessagesIn  float64 `json:"messages_in"`  // from clients
	MessagesOut float64 `json:"messages_out"` // to clients, that have left
}

// Bounds of what is taken for a status.
const (
	maxStatus = 4 << 10 // bytes
	maxText   = 128     // bytes of one
	maxNumber = 1e12    // what a terminal has a column for, and a sum can hold
)

// parse reads a status that another edge says, or any other program.
func parse(data []byte) (s Status, err error) {
	if len(data) > maxStatus {
		return s, fmt.Errorf("status of %d bytes", len(data))
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("status: %w", err)
	}
	if s.ID == "" {
		return s, errors.New("status without id")
	}
	for _, text := range []string{s.ID, s.Name, s.Version} {
		if !printable(text) {
			return s, fmt.Errorf("status with %.*q, which cannot be shown", maxText, text)
		}
	}
	for _, n := range []float64{
		float64(s.Sockets), float64(s.Channels), float64(s.Rooms), float64(s.MaxSockets), float64(s.Waiting),
		s.AdmitRate, s.MessagesIn, s.MessagesOut,
	} {
		if n < 0 || n > maxNumber {
			return s, fmt.Errorf("status of %q with the number %g", s.ID, n)
		}
	}
	return s, nil
}

// printable reports whether a terminal can show a text as it is.
func printable(s string) bool {
	if len(s) > maxText || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// shown makes a text printable.
func shown(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			r = '?'
		}
		if len(b)+utf8.RuneLen(r) > maxText {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}

func (s *Status) encode() []byte {
	b, _ := json.Marshal(s) // texts and finite numbers
	return b
}
