package talk

import (
	"time"

	"github.com/aristochat/aristochat/cmd/chat/room"
)

// An Event is something that happened, one of the types below. None of the text
// in it is fit for a terminal.
type Event any

// A Link says how the connection is doing.
type Link struct {
	Up   bool
	Err  error     // why it is not
	Next time.Time // when the next attempt begins; zero while one is under way
}

// Joined says that a room was entered, or entered again after the connection
// was lost.
type Joined struct {
	Room  string
	Again bool
	// Keeps says that the server remembers what is said. Without it there is
	// no past, and what was said during an interruption is lost.
	Keeps bool
	// Past are the newest messages or, Again, those that were missed. If there
	// are more of the latter, they follow as Said.
	Past []room.Message
	// Older says that there are messages before Past.
	Older bool
	// Lost, if it is not empty, is why not all that was missed can be had.
	Lost string
	// Restarted says that the server has another store than before.
	Restarted bool
}

// Refused says that the server does not let the user into a room, or that it
// ended the user's stay for good.
type Refused struct {
	Room   string
	Reason string
}

// Said is a message.
type Said struct {
	Room    string
	Message room.Message
}

// Sent says that the room has a message of the user's.
type Sent struct {
	Room     string
	ClientID string
}

// NotSent says that a message of the user's was not acknowledged.
type NotSent struct {
	Room     string
	ClientID string
	Reason   string
}

// Typing says that somebody types until a time, or no longer if it is zero.
type Typing struct {
	Room  string
	User  string
	Until time.Time
}

// Here says who is in a room.
type Here struct {
	Room  string
	Names []string
	Away  map[string]string // what those say who are away
}

// Counted says how many are in a room that is too large for names.
type Counted struct {
	Room   string
	Number int
}

// Trouble is what a user should know of a room and can do nothing about.
type Trouble struct {
	Room string
	Text string
}
