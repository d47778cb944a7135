package client

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

// A Client is a connection to a Phoenix Channels server that comes back by
// itself. Its methods may be called concurrently, and from callbacks.
type Client struct {
	address string
	opts    Options

	closing context.Context // ended by Close
	close   context.CancelFunc
	now     chan struct{}  // says: try now
	running sync.WaitGroup // all goroutines but those of callbacks
	done    chan struct{}

	mu       sync.Mutex // guards what follows, and what Channel and conn say it guards
	state    State
	states   inbox // calls of OnState
	closed   bool
	alive    int   // goroutines, those of callbacks included
	conn     *conn // nil while there is none
	lastRef  uint64
	pushes   map[protocol.Ref]*push // sent or about to be, and not answered
	channels map[string]*Channel    // by topic; those that are joined or want to be
	unsent   int                    // bytes that wait to be sent
}

// Dial connects to the server at rawURL, such as ws://localhost:4000/socket: the
// path of the socket, with or without /websocket, of the scheme ws, wss, http
// or https.
//
// It returns the first attempt's error: a [*RefusedError] if the server answered
// but with no websocket, else that of the network, TLS or ctx. Once it has
// succeeded, the client reconnects by itself whenever the connection is lost,
// until Close. ctx is not used after Dial has returned.
func Dial(ctx context.Context, rawURL string, o *Options) (*Client, error) {
	opts := o.withDefaults()
	at, err := address(rawURL, opts.Params)
	if err != nil {
		return nil, err
	}
	c := &Client{
		address: at,
		opts:    opts,
		now:     make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	c.closing, c.close = context.WithCancel(context.Background())
	cn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connectedLocked(cn)
	c.goLocked(func() { c.run(cn) })
	return c, nil
}

// Channel returns a channel on topic that is not joined yet.
//
// The join params are any value that [Channel.Push] takes as a payload, or a
// func() any that returns one. It is called for each join: by Join, and after a
// loss as the channel's callbacks are, when they are done with all events that
// came before. So what callbacks note it can use.
func (c *Client) Channel(topic string, params any) *Channel {
	ch := &Channel{client: c, topic: topic, params: params}
	ch.ctx = context.WithValue(c.closing, callbackOf{}, ch)
	return ch
}

// A Status tells what a client is doing.
type Status uint8

const (
	Connected    Status = iota // to the server
	Reconnecting               // waiting to, or trying
	Closed                     // by Close
)

func (s Status) String() string {
	switch s {
	case Connected:
		return "connected"
	case Reconnecting:
		return "reconnecting"
	case Closed:
		return "closed"
	}
	return "status " + strconv.Itoa(int(s))
}

// State is the state of a connection.
type State struct {
	Status Status
	// Err is why there is no connection: what ended it or, after an attempt to
	// reconnect, why that failed.
	Err error
	// Try counts the attempts to reconnect, and Next is when this one begins.
	// It is zero while the attempt is under way.
	Try  int
	Next time.Time
}

// State returns the present state.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *Client) setStateLocked(s State) {
	c.state = s
	if c.opts.OnState != nil {
		c.states.putLocked(c, task{run: func() { c.opts.OnState(s) }})
	}
}

// Reconnect makes a client that waits for its next attempt to connect try now.
// Otherwise it does nothing.
func (c *Client) Reconnect() {
	select {
	case c.now <- struct{}{}:
	default:
	}
}

// Close ends the connection and all channels. It returns when the client's
// goroutines have ended, but does not wait for callbacks that are running, so
// it may be called from one. None begins after it but OnState and OnClose; Done
// tells when the last has returned.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.running.Wait()
		return nil
	}
	c.closed = true
	c.close()
	for _, ch := range c.channels {
		ch.endLocked(ErrClosed)
	}
	for _, p := range c.pushes {
		p.finishLocked(result{err: c.lostLocked(p, ErrClosed)})
	}
	c.setStateLocked(State{Status: Closed, Err: ErrClosed})
	cn := c.conn
	c.mu.Unlock()
	if cn != nil {
		cn.end(ErrClosed, websocket.StatusNormalClosure)
	}
	c.running.Wait()
	return nil
}

// Done is closed after Close, when nothing of the client is running any more.
func (c *Client) Done() <-chan struct{} { return c.done }

// goLocked starts a goroutine that Close waits for. The client is not closed.
func (c *Client) goLocked(f func()) {
	c.alive++
	c.running.Go(func() {
		f()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.endedLocked()
	})
}

// endedLocked counts a goroutine that ends.
func (c *Client) endedLocked() {
	c.alive--
	if c.closed && c.alive == 0 {
		close(c.done)
	}
}

// nextRefLocked returns a ref that was not used yet.
func (c *Client) nextRefLocked() protocol.Ref {
	c.lastRef++
	return protocol.NewRef(strconv.FormatUint(c.lastRef, 10))
}
