package room

import "time"

// A Message is what somebody said, as the server passed it on. None of its
// text is fit for a terminal.
type Message struct {
	Seq      uint64    // its place in the room; 0 if the server keeps no history
	At       time.Time // when it was stored, else when it was received
	From     string
	Body     string
	ClientID string // what the sender's client called it; may be empty
}

// A Kind says what an entry is.
type Kind uint8

const (
	Said   Kind = iota // a message
	Notice             // of the client to its user
	Gap                // messages are missing here
)

// A State says how far a message of one's own has come.
type State uint8

const (
	Arrived State = iota // the room has it; so have all messages of others
	Sending              // not acknowledged yet
	Failed               // Entry.Reason says why
)

// An Entry is one thing in a room's list.
type Entry struct {
	Message
	Kind   Kind
	Mine   bool
	State  State
	Reason string // of a message that failed

	era  int    // which store Seq is of: sequences of two say nothing about each other
	rank uint64 // its Seq, or that of the message it stands behind
}

// before is the order of entries; those of the same rank stay as they came.
func (e *Entry) before(era int, rank uint64) bool {
	if e.era != era {
		return e.era < era
	}
	return e.rank < rank
}
