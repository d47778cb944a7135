package edge

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Options tune a Server. A nil *Options is valid.
type Options struct {
	// Path is where the socket is mounted; the websocket is at Path +
	// "/websocket", long-polling at Path + "/longpoll". If empty, "/socket".
	Path string

	// Connect decides whether a client may connect, and who it is. It runs
	// before the upgrade. If nil, everybody may, with the zero Session.
	Connect func(ctx context.Context, h *Handshake) (Session, error)

	// RefuseConnect answers when Connect fails. If nil, the answer is status
	// 403 with an empty body, as in Phoenix.
	RefuseConnect func(w http.ResponseWriter, r *http.Request, err error)

	// ErrorPage answers what is no refusal but an error: a query that cannot
	// be decoded (400, 414), a panic in Connect (500), another path (404), a
	// session that has too much under way at once (429), a server that is full,
	// drains, or has too many clients waiting (503, with Retry-After). If nil,
	// the body is the status's text.
	ErrorPage func(w http.ResponseWriter, r *http.Request, status int)

	// CheckOrigin decides which web pages may connect. It is asked only if
	// there is an Origin header. If nil, SameHost("").
	CheckOrigin OriginCheck

	// LongPoll serves clients that cannot have a websocket. If nil, it is off,
	// as in Phoenix.
	LongPoll *LongPoll

	// AuthToken lets clients send a token as a subprotocol, or when they
	// long-poll in a header, as phoenix.js does with its option authToken. It
	// is up to Connect to verify it.
	AuthToken bool

	// Subprotocols lists what may be negotiated, best first. If empty (and
	// without AuthToken) the client's offer is ignored.
	Subprotocols []string

	// Compress accepts permessage-deflate.
	Compress bool

	// IdleTimeout bounds how long a client may send nothing, counted from the
	// last bytes received. If zero, 60 s, as in Phoenix.
	IdleTimeout time.Duration

	// MaxMessage bounds the bytes of a message from a client. If zero,
	// 1 MiB.
	MaxMessage int64

	// MaxChannels bounds the channels of a connection. If zero, 100, as in
	// Phoenix.
	MaxChannels int

	// JoinRate bounds the joins of a connection in a second, after as many as
	// MaxChannels at once; further ones wait their turn. A topic that nobody
	// else is on costs the edge a subscription. If zero, 50.
	JoinRate int

	// OutboxBytes and OutboxAge bound what waits for a client that reads
	// slowly, beyond what the kernel takes. Past either the client is closed
	// with code 1013, upon which it reconnects. If zero, 4 MiB and 60 s.
	OutboxBytes int
	OutboxAge   time.Duration

	// Tracer records spans: connect, join, push, publish and deliver, the
	// latter on every edge that has members. The backbone carries what ties
	// them together. If nil, nothing is traced.
	Tracer trace.Tracer

	// MaxSockets bounds the connections of this server. Beyond it clients are
	// refused with status 503 and Retry-After, and Ready fails. If zero, there
	// is no bound.
	MaxSockets int

	// AdmitRate is how many connections a second are let in, AdmitWait how long
	// a client that comes sooner may have to wait; who would have to wait for
	// longer is refused with status 503 and Retry-After. If AdmitRate is zero
	// everybody is let in at once. If AdmitWait is zero, 2 s: phoenix.js tries
	// long-polling where a websocket takes more than 2.5.
	AdmitRate float64
	AdmitWait time.Duration

	// Logger is for what operators should know. If nil, slog.Default().
	Logger *slog.Logger

	// closeTimeout bounds how long a client may take to answer a close frame.
	closeTimeout time.Duration

	// lastWord bounds how long connections that are cut off are given for what
	// is being written to them, the close frame above all.
	lastWord time.Duration
	// handlerTimeout bounds how long handlers may go on after the connection
	// has ended.
	handlerTimeout time.Duration
}

func (o *Options) withDefaults() (d Options) {
	if o != nil {
		d = *o
	}
	d.Path = cmp.Or(d.Path, "/socket")
	if d.Connect == nil {
		d.Connect = func(context.Context, *Handshake) (Session, error) { return Session{}, nil }
	}
	if d.RefuseConnect == nil {
		d.RefuseConnect = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusForbidden) }
	}
	if d.ErrorPage == nil {
		d.ErrorPage = func(w http.ResponseWriter, _ *http.Request, status int) {
			http.Error(w, http.StatusText(status), status)
		}
	}
	if d.CheckOrigin == nil {
		d.CheckOrigin = SameHost("")
	}
	d.Subprotocols = slices.Clone(d.Subprotocols)
	d.IdleTimeout = cmp.Or(d.IdleTimeout, time.Minute)
	d.MaxMessage = cmp.Or(d.MaxMessage, 1<<20)
	d.MaxChannels = cmp.Or(d.MaxChannels, 100)
	d.JoinRate = cmp.Or(d.JoinRate, 50)
	d.OutboxBytes = cmp.Or(d.OutboxBytes, 4<<20)
	d.OutboxAge = cmp.Or(d.OutboxAge, time.Minute)
	d.AdmitWait = cmp.Or(d.AdmitWait, 2*time.Second)
	d.Logger = cmp.Or(d.Logger, slog.Default())
	d.closeTimeout = cmp.Or(d.closeTimeout, 2*time.Second)
	d.lastWord = cmp.Or(d.lastWord, 250*time.Millisecond)
	d.handlerTimeout = cmp.Or(d.handlerTimeout, 5*time.Second)
	if d.LongPoll != nil {
		d.LongPoll = d.LongPoll.withDefaults(&d)
	}
	return d
}

// sweepEvery is often enough for the shortest of the times that the sweep
// watches, within a twentieth of it.
func (o *Options) sweepEvery() time.Duration {
	shortest := min(o.IdleTimeout, o.OutboxAge, o.closeTimeout)
	if o.LongPoll != nil {
		shortest = min(shortest, o.LongPoll.Window)
	}
	return max(10*time.Millisecond, min(time.Second, shortest/20))
}

// LongPoll tunes long-polling. Its zero value is valid for an edge that is alone.
//
// A session belongs to the edge that began it. Any edge with the same Secret
// takes its requests, and asks the owner over the backbone; there is no need for
// a load balancer that knows who belongs where.
//
// A binary message that the server pushes has no form in long-polling, and ends
// the session, unless its bytes happen to be text. Phoenix has it so.
type LongPoll struct {
	// Secret signs the tokens of sessions. All edges of a cluster must have
	// the same, of at least 16 bytes nobody can guess. If empty, a random one:
	// then only the edge that began a session knows it.
	Secret []byte

	// Window is how long a poll waits for something to come. A session ends
	// when no poll came for half as long again. If zero, 10 s, as in Phoenix.
	Window time.Duration

	// OwnerTimeout bounds how long the edge that has a session may take to
	// answer another; then the session counts as gone. If zero, 2 s, as in
	// Phoenix.
	OwnerTimeout time.Duration

	// Alive reports whether the edge of that [Server.ID] is known to live; package
	// fleet knows. Its sessions then do not count as gone while it has lost NATS
	// for some seconds. If nil, none is.
	Alive func(edge string) bool

	// SessionsPerUser and SessionsPerIP bound the sessions on this edge of
	// clients with the same Session.ID, if they have one, and with the same
	// address. If zero, 100 and 10,000; if negative there is no bound.
	SessionsPerUser int
	SessionsPerIP   int

	// ClientIP returns a client's address. If nil, it is that of the
	// connection: behind a proxy that is the proxy's.
	ClientIP func(*http.Request) string

	// QueueFrames and QueueBytes bound what waits for a session's next poll.
	// Past either the session ends, and its client begins anew. If zero,
	// 10,000 and Options.OutboxBytes.
	QueueFrames int
	QueueBytes  int

	// MaxBody bounds the bytes of a POST, and of all that a session has under
	// way at one edge. If zero, 8,000,000, as in Phoenix.
	MaxBody int64

	// PollRate bounds the requests of a session in a second, on average. More
	// are answered later, not refused. If zero, 50.
	PollRate int
}

func (o *LongPoll) withDefaults(all *Options) *LongPoll {
	d := *o
	d.Secret = slices.Clone(d.Secret)
	d.Window = cmp.Or(d.Window, 10*time.Second)
	d.OwnerTimeout = cmp.Or(d.OwnerTimeout, 2*time.Second)
	if d.Alive == nil {
		d.Alive = func(string) bool { return false }
	}
	d.SessionsPerUser = cmp.Or(d.SessionsPerUser, 100)
	d.SessionsPerIP = cmp.Or(d.SessionsPerIP, 10_000)
	if d.ClientIP == nil {
		d.ClientIP = remoteIP
	}
	d.QueueFrames = cmp.Or(d.QueueFrames, 10_000)
	d.QueueBytes = cmp.Or(d.QueueBytes, all.OutboxBytes)
	d.MaxBody = cmp.Or(d.MaxBody, 8_000_000)
	d.PollRate = cmp.Or(d.PollRate, 50)
	return &d
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Stored marks events of a channel as kept in the history. A broadcast of one
// is acknowledged by the store, reaches every member in the store's order, with
// "seq" and "at" added to its payload, and can be asked for by who joins later:
// by the join params "history" and "since", and by the event "history", which
// the server answers itself. The backbone must be a [History].
func Stored(events ...string) ChannelOption {
	return func(rt *route) { rt.stored = append(rt.stored, events...) }
}

// Check has stored events examined before they reach a member. Other programs
// may publish to the store; an event for which check returns an error is logged
// and not delivered. Events that Socket.Broadcast stores are not checked before.
func Check(check func(Event) error) ChannelOption {
	return func(rt *route) { rt.check = check }
}
