package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

// A conn is one client's connection. coder/websocket reads from it; everything
// that is written, its control frames included, goes through the outbox.
//
// To coder/websocket it is the net.Conn beneath: Read notes when bytes came,
// Write queues, Close does nothing, since the reader decides when the
// connection has been flushed and ends.
type conn struct {
	net.Conn
	srv     *Server
	ws      *websocket.Conn
	version protocol.Version
	deflate bool
	session Session
	serial  uint64 // names the connection in the log

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	lastRead atomic.Int64 // nanoseconds on the server's clock

	outbox outbox

	mu       sync.Mutex         // guards what follows
	channels map[string]*Socket // by topic
	live     int                // channels not yet terminated, and other goroutines at work for it
	ended    error              // why the connection ends; nil while it lives
	joins    []protocol.Message // what waits for a join before it, oldest first
	inbox    int                // bytes that wait for a handler
	resume   chan struct{}      // not nil while the reader waits for the inbox to empty
	gone     chan struct{}      // not nil while finish waits for them
}

// Bounds on what may wait for the handlers of one connection. Beyond the first
// the reader pauses, so that TCP holds the client back; intercepted broadcasts,
// which nothing holds back, may come up to the second.
const (
	inboxBytes    = 1 << 20
	maxInboxBytes = 8 << 20
	inboxMessage  = 256 // what a waiting message costs besides its bytes
)

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.lastRead.Store(c.srv.clock())
	}
	return n, err
}

// Write takes a control frame from coder/websocket, whole. Its close frames
// have reasons; ours, like Phoenix's, have none.
func (c *conn) Write(p []byte) (int, error) {
	switch isClose := p[0] == finBit|opClose; {
	case isClose && len(p) >= 4:
		c.outbox.close(answerCode(int(p[2])<<8 | int(p[3])))
	case isClose:
		c.outbox.closeWith(frame{finBit | opClose, 0})
	default:
		c.send(bytes.Clone(p), c.srv.clock())
	}
	return len(p), nil
}

// answerCode is the code with which a client's close frame is answered. Those
// that only a server sends are an error, as in Bandit and Cowboy.
func answerCode(code int) int {
	if code >= 1012 && code < 3000 {
		return int(websocket.StatusProtocolError)
	}
	return code
}

func (c *conn) Close() error { return nil }

// serve reads until the connection ends.
func (c *conn) serve() {
	defer c.srv.wg.Done()
	err := c.read()
	c.finish(err)
}

// read handles messages until the client closes, the link fails, or the client
// breaks the protocol.
func (c *conn) read() error {
	for {
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		data, err := readMessage(r)
		if err != nil {
			return err
		}
		if c.isEnded() {
			continue // only the client's close frame is still awaited
		}
		isBinary := kind == websocket.MessageBinary
		if !isBinary && !utf8.Valid(data) {
			c.end(websocket.StatusInvalidFramePayloadData, errors.New("invalid UTF-8"))
			continue
		}
		m, err := c.decode(isBinary, data)
		if err != nil {
			c.end(websocket.StatusInternalError, err)
			continue
		}
		c.receive(m)
		c.waitForInbox()
	}
}

// decode reads a frame. Version 1 takes a binary frame for text.
func (c *conn) decode(isBinary bool, data []byte) (protocol.Message, error) {
	if isBinary && c.version == protocol.V1 && !utf8.Valid(data) {
		return protocol.Message{}, errors.New("invalid UTF-8")
	}
	return protocol.DecodeClient(c.version, isBinary, data)
}

var readBuffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 4<<10)) }}

// readMessage returns a message in memory of its own, just large enough.
func readMessage(r io.Reader) ([]byte, error) {
	b := readBuffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= 64<<10 {
			b.Reset()
			readBuffers.Put(b)
		}
	}()
	if _, err := b.ReadFrom(r); err != nil {
		return nil, err
	}
	return bytes.Clone(b.Bytes()), nil
}

// end begins the end: what is queued leaves, then a close frame with the code,
// and the channels are told. The reader goes on until the client answers it or
// the sweep loses patience.
func (c *conn) end(code websocket.StatusCode, reason error) {
	c.outbox.close(int(code)) // first: what channels say at their end does not count any more
	if c.stopChannels(reason) {
		c.srv.log.Info("closing connection", c.attrs("code", int(code), "reason", reason.Error())...)
	}
}

// stopChannels marks the connection as ended and terminates its channels. It
// reports whether this call was the first.
func (c *conn) stopChannels(reason error) bool {
	c.mu.Lock()
	if c.ended != nil {
		c.mu.Unlock()
		return false
	}
	c.ended = reason
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

// finish is called by the reader when nothing more can be read as messages.
func (c *conn) finish(err error) {
	var op *net.OpError
	switch {
	case websocket.CloseStatus(err) != -1: // coder/websocket has answered it
		c.stopChannels(ErrClosed)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.As(err, &op), errors.Is(err, io.ErrUnexpectedEOF):
		c.stopChannels(ErrClosed)
		c.outbox.abort()
	case errors.Is(err, websocket.ErrMessageTooBig):
		c.end(websocket.StatusMessageTooBig, err)
		c.linger()
	default:
		c.end(websocket.StatusProtocolError, err)
		c.linger()
	}
	c.outbox.wait(c.srv.opts.closeTimeout)
	_ = c.Conn.Close()
	_ = c.ws.CloseNow()
	c.waitForChannels()
	c.srv.remove(c)
}

// linger lets a client that still sends read our close frame: closing at once
// would reset the connection and with it what the client has not read yet.
func (c *conn) linger() {
	c.outbox.wait(c.srv.opts.closeTimeout)
	c.outbox.closeWrite()
	_ = c.SetReadDeadline(time.Now().Add(c.srv.opts.closeTimeout))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, 64<<20))
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

// waitForInbox pauses the reader while too much waits for handlers.
func (c *conn) waitForInbox() {
	for {
		c.mu.Lock()
		if c.inbox <= inboxBytes || c.ended != nil {
			c.mu.Unlock()
			return
		}
		resume := make(chan struct{})
		c.resume = resume
		c.mu.Unlock()
		<-resume
		c.lastRead.Store(c.srv.clock()) // it was we who did not read
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
		c.slow("handlers cannot keep up with broadcasts")
	}
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
	if !c.outbox.add(f, now) {
		c.slow("too many bytes queued")
	}
}

// slow ends a connection whose client does not read.
func (c *conn) slow(what string) {
	c.mu.Lock()
	first := c.ended == nil
	c.mu.Unlock()
	if !first {
		return
	}
	c.srv.stats.slowClients.Add(1)
	c.srv.log.Warn("closing slow client", c.attrs("what", what)...)
	c.outbox.discard(int(websocket.StatusTryAgainLater))
	// Its channels' locks may be held by whoever called send.
	go c.stopChannels(errSlow)
}

func (c *conn) attrs(more ...any) []any {
	return append([]any{slog.Uint64("socket", c.serial), slog.String("id", c.session.ID)}, more...)
}
