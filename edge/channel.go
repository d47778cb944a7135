package edge

import (
	"context"

	"github.com/aristochat/aristochat/protocol"
)

// A Channel is what an application does on a topic. The server makes one value
// for each join, so its fields are the state of one member. Its methods are
// called one at a time, in the order in which messages arrive; those of
// different channels run concurrently.
//
// A method that panics ends the channel: the client gets phx_error, the stack
// is logged, the connection and its other channels live on.
type Channel interface {
	// Join decides whether the client may join s.Topic(). The response, {} if
	// nil, is part of the ok reply. An *[Error] refuses the join and is what
	// the client reads; for any other error it reads "join crashed".
	//
	// Nothing can be pushed from within Join, since the reply comes first:
	// use [Socket.Do] for what follows it.
	Join(ctx context.Context, s *Socket, params Payload) (response any, err error)

	// Handle answers a message. A nil Reply sends none (the client does not
	// wait for one, or [Message.Defer] was called). An *[Error] is the error
	// reply; [Stop] and [Crash] end the channel, after the reply if there is
	// one; [ErrUnavailable] and [ErrUnknown] tell the client to try again; any
	// other error is logged and the client reads "internal error". Where an
	// error makes a reply it takes the place of the one returned with it, so
	// that OK(nil), s.Broadcast(…) says what is true.
	Handle(ctx context.Context, s *Socket, m *Message) (*Reply, error)
}

// A Terminator is a Channel that wants to know of its end. Terminate is the
// last method called, once, whatever the end was, unless Join failed. What it
// pushes reaches the client if the connection is still open.
type Terminator interface {
	Terminate(s *Socket, reason error)
}

// An Interceptor is a Channel that sees some broadcasts before its client does,
// to change or drop them: for each it pushes what its client shall get. It costs
// an encoding for each member, where other broadcasts are encoded once. Stored
// events (see [Stored]) are the same for all and are not intercepted.
type Interceptor interface {
	// Intercepts is called by many goroutines and must be quick.
	Intercepts(event string) bool
	HandleOut(ctx context.Context, s *Socket, event string, payload Payload) error
}

// A Reply answers a message.
type Reply struct {
	// Status is what the client's hooks are named after: "ok" or "error", or
	// one that the client knows.
	Status string
	// Response is any value that encoding/json can encode, a [Payload] or
	// [Binary]. Nil is {}.
	Response any
}

// OK returns a Reply with the status ok.
func OK(response any) *Reply { return &Reply{protocol.StatusOK, response} }

// A Message is what a client pushed to a channel.
type Message struct {
	Event   string
	Payload Payload

	socket *Socket
	ref    protocol.Ref
}

// Defer keeps the right to reply after Handle has returned. It fails if the
// message has no ref, so that no reply could find its way.
func (m *Message) Defer() (*Deferred, error) {
	if m.ref.IsNull() {
		return nil, errNoRef
	}
	return &Deferred{m.socket, m.ref}, nil
}

// Deferred is a reply still to come. Its method may be called from any
// goroutine, any number of times; clients take the first.
type Deferred struct {
	socket *Socket
	ref    protocol.Ref
}

// Reply sends r. It fails if the channel has ended or r cannot be encoded.
func (d *Deferred) Reply(r *Reply) error { return d.socket.reply(d.ref, r) }
