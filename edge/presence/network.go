package presence

// A Network carries what edges say to each other about presence; see
// backbone.Link, which is one. A word says what it is about, a topic, if not
// empty, of which room. hear is called one at a time for all that is heard,
// must not block, and must not keep data.
type Network interface {
	// Say hands data to the other edges that listen. It is delivered at most
	// once, in order for each speaker, and fails without a link.
	Say(word, topic string, data []byte) error

	// Listen calls hear for what others say, or ask: answer is then not nil,
	// and may be called later and often.
	Listen(word, topic string, hear func(data []byte, answer func(data []byte) error)) (stop func(), err error)

	// Ask is Say to those who may answer. If nobody listens hear is called
	// once, with ok false.
	Ask(word, topic string, data []byte, hear func(data []byte, ok bool)) (stop func(), err error)

	// OnResync calls f, which must not block, when something may have been
	// missed.
	OnResync(f func()) (stop func())

	// Connected reports whether there is a link.
	Connected() bool
}

// The words, and what is said with them.
const (
	wordBeat   = "hb"  // an edge lives
	wordBye    = "bye" // an edge is about to end
	wordDiff   = "d"   // what changed in a room; with the topic
	wordAsk    = "q"   // who has somebody in a room? with the topic
	wordNeed   = "n."  // the same, asked of one edge, whose id follows
	wordDigest = "dg"  // versions of all rooms of an edge
)
