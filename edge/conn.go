package edge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

// A conn is one client's connection, whatever carries it: who the client is, the
// channels that it has joined, and what waits for them.
type conn struct {
	srv       *Server
	transport transport
	version   protocol.Version
	deflate   bool
	session   Session
	serial    uint64 // names the connection in the log

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	slowed atomic.Bool // whether it is closed since its client does not read
	paid   int64       // up to when the rate of joins is used up; of runJoins alone
	cut    atomic.Bool // whether it is cut off since its client does not leave

	mu       sync.Mutex         // guards what follows
	channels map[string]*Socket // by topic
	live     int                // channels not yet terminated, and other goroutines at work for it
	why      error              // for which it is being closed by us; nil if it is not
	ended    error              // why the connection ends; nil while it lives
	joins    []protocol.Message // what waits for a join before it, oldest first
	inbox    int                // bytes that wait for a handler
	resume   chan struct{}      // not nil while the transport waits for the inbox to empty
	gone     chan struct{}      // not nil while waitForChannels waits for them
}

// A transport carries a conn's messages to the client. It hands what the client
// sends to the conn's receive, one message at a time, and once the client has
// gone it stops the channels, waits for them and removes the conn.
//
// Its methods may be called concurrently, and with locks held: they must not
// call back, but for inspect.
type transport interface {
	// send queues a frame. It reports false, and queues nothing, if the client
	// has too much waiting. What comes after close is ignored.
	send(f frame, now int64) bool
	// close ends the connection in order, with a code that says why.
	close(code websocket.StatusCode)
	// discard is close without what is queued.
	discard(code websocket.StatusCode)
	// hangUp ends the connection at once.
	hangUp()
	// wait returns when nothing is queued, or after the time-out.
	wait(timeout time.Duration)
	// inspect is called now and then, in place of timers: it ends the
	// connection if it is time for that. It says for how long the oldest
	// frame has waited, if that is known, and how many bytes are queued.
	inspect(now int64) (oldest int64, bytes int)
}

// Bounds on what may wait for the handlers of one connection. Beyond the first
// the transport pauses, so that TCP holds the client back; intercepted
// broadcasts, which nothing holds back, may come up to the second.
const (
	inboxBytes    = 1 << 20
	maxInboxBytes = 8 << 20
	inboxMessage  = 256 // what a waiting message costs besides its bytes
)

// init makes the conn of a session.
func (c *conn) init(srv *Server, t transport, v protocol.Version, session Session) {
	c.srv, c.transport, c.version, c.session = srv, t, v, session
	c.serial = srv.serials.Add(1)
	// A request's context would end with its handler.
	c.ctx, c.cancel = context.WithCancel(context.Background())
}

// connected notes that the client is there.
func (c *conn) connected(transport string) {
	c.srv.stats.handshakes[handshakeOK].Add(1)
	c.srv.log.Info("connected", c.attrs("transport", transport, "version", int(c.version))...)
}

// left is stopChannels for a client that has gone, if not by itself then since
// it was sent away.
func (c *conn) left() {
	if c.stopChannels(ErrClosed) && errors.Is(c.ended, ErrClosed) { // which never changes again
		c.srv.log.Info("client left", c.attrs()...)
	}
}

// decode reads a frame. Version 1 takes a binary frame for text.
func (c *conn) decode(isBinary bool, data []byte) (protocol.Message, error) {
	if isBinary && c.version == protocol.V1 && !utf8.Valid(data) {
		return protocol.Message{}, errors.New("invalid UTF-8")
	}
	m, err := protocol.DecodeClient(c.version, isBinary, data)
	if err == nil && len(data) > 2*sizeOf(&m) {
		// Little of the frame was of use; the rest must not wait with it.
		m.JoinRef, m.Ref = cloneRef(m.JoinRef), cloneRef(m.Ref)
		m.Topic, m.RawTopic = strings.Clone(m.Topic), strings.Clone(m.RawTopic)
		m.Event, m.RawEvent = strings.Clone(m.Event), strings.Clone(m.RawEvent)
		m.Payload = bytes.Clone(m.Payload)
	}
	return m, err
}

// sizeOf is what a message costs that waits for a handler.
func sizeOf(m *protocol.Message) int {
	return inboxMessage + len(m.Payload) + len(m.JoinRef) + len(m.Ref) +
		len(m.Topic) + len(m.RawTopic) + len(m.Event) + len(m.RawEvent)
}

// end begins the end: the transport closes, and the channels are told.
func (c *conn) end(code websocket.StatusCode, reason error) {
	c.mu.Lock()
	first := c.why == nil && c.ended == nil
	if first {
		c.why = reason // even if the client answers, and has gone, before we go on
	}
	c.mu.Unlock()
	c.transport.close(code) // before: what channels say at their end does not count any more
	c.stopChannels(reason)
	if !first {
		return
	}
	level := slog.LevelInfo
	if errors.Is(reason, ErrDraining) { // a drain has lines of its own
		level = slog.LevelDebug
	}
	c.srv.log.Log(c.ctx, level, "closing connection", c.attrs("code", int(code), "reason", reason.Error())...)
}

// stopChannels marks the connection as ended and terminates its channels, for
// the reason unless end has given another. It reports whether this call was the
// first.
func (c *conn) stopChannels(reason error) bool {
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		return false
	}
	reason = cmp.Or(c.why, reason)
	c.ended = reason
	c.srv.stats.ended[endReason(reason)].Add(1)
	channels := c.channels
	c.channels = nil
	c.joins = nil
	if c.resume != nil {
		close(c.resume)
		c.resume = nil
	}
	c.mu.Unlock()
	for _, s := range channels {
		s.post(task{kind: taskEnd, err: reason})
	}
	return true
}

func (c *conn) isEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended != nil
}

// retain makes finish wait for a release.
func (c *conn) retain() {
	c.mu.Lock()
	c.live++
	c.mu.Unlock()
}

func (c *conn) release() {
	c.mu.Lock()
	c.live--
	if c.live == 0 && c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
	c.mu.Unlock()
}

// waitForChannels returns when every channel has been terminated, and nothing
// else is at work for the connection.
func (c *conn) waitForChannels() {
	defer c.cancel()
	c.mu.Lock()
	if c.live == 0 {
		c.mu.Unlock()
		return
	}
	gone := make(chan struct{})
	c.gone = gone
	c.mu.Unlock()
	// What the client sent before it went is still handled, in due time.
	t := time.AfterFunc(c.srv.opts.handlerTimeout, c.cancel)
	defer t.Stop()
	<-gone
}

// waitForInbox pauses the one goroutine that receives while too much waits for
// handlers, until done is closed. It reports whether it had to wait.
func (c *conn) waitForInbox(done <-chan struct{}) (waited bool) {
	for {
		c.mu.Lock()
		if c.inbox <= inboxBytes || c.ended != nil {
			c.mu.Unlock()
			return waited
		}
		resume := make(chan struct{})
		c.resume = resume
		c.mu.Unlock()
		c.srv.stats.limits[limitInbox].Add(1)
		waited = true
		select {
		case <-resume:
		case <-done:
			return true
		}
	}
}

// took notes that n bytes wait for a handler, or if negative no longer do.
func (c *conn) took(n int) {
	c.mu.Lock()
	c.inbox += n
	flooded := c.inbox > maxInboxBytes
	if c.resume != nil && c.inbox <= inboxBytes/2 {
		close(c.resume)
		c.resume = nil
	}
	c.mu.Unlock()
	if flooded {
		c.slow(slowInbox)
	}
}

// paused reports whether it is we who do not read.
func (c *conn) paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resume != nil
}

// push encodes m for this client alone and queues it.
func (c *conn) push(m *protocol.Message) error {
	f, err := frameOf(c.version, c.deflate, m)
	if err != nil {
		return err
	}
	c.send(f, c.srv.clock())
	return nil
}

// send queues a frame; a client that does not read fast enough is closed.
func (c *conn) send(f frame, now int64) {
	if !c.transport.send(f, now) {
		c.srv.stats.dropped[dropSlow].Add(uint64(f.messages()))
		c.slow(slowBytes)
	}
}

// slow ends a connection whose client does not read.
func (c *conn) slow(why int) {
	c.mu.Lock()
	first := c.why == nil && c.ended == nil
	if first {
		c.why = errSlow // as in end
	}
	c.mu.Unlock()
	if !first {
		return
	}
	c.slowed.Store(true)
	c.srv.stats.slow[why].Add(1)
	c.srv.log.Warn("closing slow client", c.attrs("reason", slowTexts[why])...)
	c.transport.discard(websocket.StatusTryAgainLater)
	// Its channels' locks may be held by whoever called send.
	go c.stopChannels(errSlow)
}

func (c *conn) attrs(more ...any) []any {
	return append([]any{slog.Uint64("socket", c.serial), slog.String("user", c.session.ID)}, more...)
}

// maxLogged bounds what a log line repeats of what a stranger chose, in bytes.
const maxLogged = 200

// cut returns what a log line may repeat of s.
func cut(s string) string {
	if len(s) <= maxLogged {
		return s
	}
	return strings.ToValidUTF8(s[:maxLogged], "") + "…"
}
