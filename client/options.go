package client

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// Options tune a Client. A nil *Options is valid.
type Options struct {
	// Params are sent in the query, as phoenix.js does with its option params.
	Params url.Values

	// Token is sent as a subprotocol, as phoenix.js does with its option
	// authToken. If it is empty none is sent.
	Token string

	// RefreshToken is asked for the token before each attempt to connect, if
	// it is not nil; Token is then not used. Its error is that of the attempt.
	// Close waits for it and for ReconnectAfter: either may call it only with
	// go, and should return when the context ends.
	RefreshToken func(context.Context) (string, error)

	// HTTPClient does the handshake: its transport has the TLS configuration
	// and the proxy. If nil, http.DefaultClient.
	HTTPClient *http.Client

	// Header is sent with the handshake.
	Header http.Header

	// Timeout bounds each attempt to connect, each write, and each join, push
	// and leave whose context has no deadline. If zero, 10 s, as in phoenix.js.
	Timeout time.Duration

	// Heartbeat is how often a heartbeat is sent. If one is not answered when
	// the next is due the connection counts as lost. If zero, 30 s, as in
	// phoenix.js.
	Heartbeat time.Duration

	// ReconnectAfter is how long to wait before the given attempt to connect,
	// counted from 1, and RejoinAfter the same for joining a channel again.
	// If nil, each waits a random time below the steps of phoenix.js: see
	// [Reconnect] and [Rejoin]. A server that asks for more time gets it.
	// RejoinAfter is called as the channel's callbacks are.
	ReconnectAfter func(try int) time.Duration
	RejoinAfter    func(try int) time.Duration

	// OnState is told whenever the state of the connection changes, in order
	// and one at a time. It may call methods of the Client.
	OnState func(State)

	// MaxMessage bounds the bytes of a message from the server. A larger one
	// ends the connection. If zero, 32 MiB.
	MaxMessage int64

	// SendBytes bounds what waits to be sent, for a connection, for a join, or
	// for a server that reads slowly. Past it pushes fail with [ErrFull]. If
	// zero, 4 MiB.
	SendBytes int

	// BacklogBytes bounds the events of one channel that wait for its
	// callbacks. Past it the client leaves the channel, and joins it again
	// when the callbacks have caught up. If zero, 16 MiB.
	BacklogBytes int

	// Logger is for what goes wrong. If nil, slog.Default().
	Logger *slog.Logger
}

func (o *Options) withDefaults() (d Options) {
	if o != nil {
		d = *o
	}
	d.HTTPClient = cmp.Or(d.HTTPClient, http.DefaultClient)
	d.Timeout = cmp.Or(d.Timeout, 10*time.Second)
	d.Heartbeat = cmp.Or(d.Heartbeat, 30*time.Second)
	if d.ReconnectAfter == nil {
		d.ReconnectAfter = Reconnect
	}
	if d.RejoinAfter == nil {
		d.RejoinAfter = Rejoin
	}
	d.MaxMessage = cmp.Or(d.MaxMessage, 32<<20)
	d.SendBytes = cmp.Or(d.SendBytes, 4<<20)
	d.BacklogBytes = cmp.Or(d.BacklogBytes, 16<<20)
	d.Logger = cmp.Or(d.Logger, slog.Default())
	return d
}

const ms = time.Millisecond

// The steps of phoenix.js (socket.js, constructor).
var (
	reconnectSteps = []time.Duration{10 * ms, 50 * ms, 100 * ms, 150 * ms, 200 * ms, 250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 5000 * ms}
	rejoinSteps    = []time.Duration{1000 * ms, 2000 * ms, 5000 * ms, 10000 * ms}
)

// Reconnect returns a random time of at most 10, 50, 100, 150, 200, 250, 500,
// 1000, 2000 and then 5000 ms. It is the default of Options.ReconnectAfter.
func Reconnect(try int) time.Duration { return jitter(step(reconnectSteps, try)) }

// Rejoin returns a random time of at most 1, 2, 5 and then 10 s. It is the
// default of Options.RejoinAfter.
func Rejoin(try int) time.Duration { return jitter(step(rejoinSteps, try)) }

func step(steps []time.Duration, try int) time.Duration {
	return steps[min(max(try, 1), len(steps))-1]
}

// jitter returns a random time of at most d, so that clients which lost the
// same server do not come back in the same moment.
func jitter(d time.Duration) time.Duration {
	return rand.N(d + 1) //nolint:gosec // G404: spreads load, guards no secret
}
