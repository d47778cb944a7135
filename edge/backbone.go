package edge

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable is returned by a [Backbone] that has no working link: nothing
// was accepted, and the client may try again.
var ErrUnavailable = errors.New("backbone unavailable")

// ErrUnknown is returned by [History.Append] when no acknowledgement came in
// time. The message may or may not be stored; repeating the call with the same
// key is safe.
var ErrUnknown = errors.New("no acknowledgement in time")

// An Event is what travels on a topic.
type Event struct {
	Name    string
	Payload []byte // one JSON value; any bytes if Binary
	Binary  bool
	// Trace is the traceparent (W3C Trace Context) of the span that published
	// it; empty if that is not recorded, or not valid.
	Trace string
}

// A Delivery is an event that came over the backbone.
type Delivery struct {
	Event
	// Seq and At are the store's sequence and time. Both are zero for an event
	// that is not stored.
	Seq uint64
	At  time.Time
	// Lost says that stored events are missing before the next one, for good:
	// the store no longer kept them when this edge wanted to catch up. Such a
	// Delivery is no event.
	Lost bool
}

// A Backbone carries events between the edges of a cluster. Its methods may be
// called concurrently. Events that are not stored are delivered at most once,
// in order for each publisher.
type Backbone interface {
	// Subscribe calls deliver for each event on topic that another edge
	// publishes, and, if stored, for each event that any edge appends, this
	// one included: those in the order of their sequence, each once, without
	// gaps. It returns when the subscription is active: what is published or
	// appended afterwards is delivered. deliver is called one at a time for a
	// subscription, must not block, and must not keep the payload. After
	// unsubscribe returns deliver is not called again; it must not be called
	// from within deliver.
	Subscribe(ctx context.Context, topic string, stored bool, deliver func(Delivery)) (unsubscribe func(), err error)

	// Publish hands e to the other edges that subscribe to topic. It returns
	// once the event is on its way, not once subscribers have it; if there is
	// no link it fails with ErrUnavailable.
	Publish(ctx context.Context, topic string, e Event) error

	// SubscribeControl calls deliver for each PublishControl of the same kind
	// on another edge, whatever its topics. kind is one word of a-z.
	SubscribeControl(ctx context.Context, kind string, deliver func(data []byte)) (unsubscribe func(), err error)

	// PublishControl hands data to all other edges.
	PublishControl(ctx context.Context, kind string, data []byte) error
}

// ErrNobody is returned by [Caller.Request] if no edge of that name answers
// requests: it has ended, or never was.
var ErrNobody = errors.New("no such edge")

// A Caller is a Backbone over which one edge can ask another. Long-polling needs
// it: see [Options].LongPoll.
type Caller interface {
	Backbone

	// Request hands data to the edge of that name and returns its answer. Data
	// and answer are messages of at most half a megabyte. Errors: ErrNobody, at
	// once; ErrUnavailable if there is no link, and nothing was asked; that of
	// ctx if there is no answer in time.
	Request(ctx context.Context, edge string, data []byte) ([]byte, error)

	// Serve calls answer for each request to the edge of that name, in a
	// goroutine of its own. It returns when requests arrive, or if there is no
	// link, at once, or if it stands still, after some seconds; they then arrive
	// once it works. Its ctx ends when stop is
	// called, which returns once the calls under way have. name is of letters
	// and digits.
	Serve(ctx context.Context, name string, answer func(ctx context.Context, data []byte) []byte) (stop func(), err error)
}

// A Stamp is what the store says of a message it accepted.
type Stamp struct {
	Seq uint64    // grows within a topic, not dense
	At  time.Time // the store's clock, UTC
}

// A Query selects stored messages of a topic.
type Query struct {
	// After selects messages with a greater sequence, oldest first.
	After uint64
	// Before, if not zero, selects the newest messages with a smaller
	// sequence; After is then ignored.
	Before uint64
	// Last selects the newest messages; After and Before are then ignored.
	Last bool
	// Limit bounds how many messages are returned. Required.
	Limit int
	// AtLeast is a sequence that the caller knows to be stored: an answer that
	// ends earlier came from a replica that lags, and Read asks again.
	AtLeast uint64
}

// A Page is the answer to a Query. Messages are in the order of their sequence.
type Page struct {
	Messages []Delivery
	// More says that further messages follow (After) or precede (Before,
	// Last) those returned.
	More bool
	// First is the oldest sequence of the topic that is still kept, 0 if none.
	// It is set only if Trimmed is.
	First uint64
	// Trimmed says that messages after Query.After are no longer kept.
	Trimmed bool
}

// A History is a Backbone that keeps messages.
type History interface {
	Backbone

	// Append stores e on topic and returns once the store has acknowledged
	// it. An Append with a key that the store has seen within its duplicate
	// window returns the stamp of the first one and stores nothing. The key
	// is scoped to the topic. Errors: ErrUnavailable (not stored), ErrUnknown
	// (perhaps stored), *Error (refused: too large, the store is full).
	Append(ctx context.Context, topic string, e Event, key string) (Stamp, error)

	// Read returns stored messages. Payloads may be shared and must not be
	// modified. Reads of many callers after the same sequence share one
	// request.
	Read(ctx context.Context, topic string, q Query) (Page, error)

	// Epoch identifies the store's incarnation. Sequences of different epochs
	// must not be compared. It is empty while unknown.
	Epoch() string
}
