package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// A websocketConn carries a conn over a websocket. coder/websocket reads from
// it; everything that is written, its control frames included, goes through the
// outbox.
//
// To coder/websocket it is the net.Conn beneath: Read notes when bytes came,
// Write queues, Close does nothing, since the reader decides when the
// connection has been flushed and ends.
type websocketConn struct {
	net.Conn
	conn     conn
	ws       *websocket.Conn
	lastRead atomic.Int64 // nanoseconds on the server's clock
	outbox   outbox
}

func (c *websocketConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.conn.srv.stats.bytesIn.Add(uint64(n))
		c.lastRead.Store(c.conn.srv.clock())
	}
	return n, err
}

// Write takes a control frame from coder/websocket, whole. Its close frames
// have reasons; ours, like Phoenix's, have none.
func (c *websocketConn) Write(p []byte) (int, error) {
	switch isClose := p[0] == finBit|opClose; {
	case isClose && len(p) >= 4:
		c.outbox.close(answerCode(int(p[2])<<8 | int(p[3])))
	case isClose:
		c.outbox.closeWith(frame{finBit | opClose, 0})
	default:
		c.conn.send(bytes.Clone(p), c.conn.srv.clock())
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

func (c *websocketConn) Close() error { return nil }

// serve reads until the connection ends.
func (c *websocketConn) serve() {
	defer c.conn.srv.wg.Done()
	err := c.read()
	c.finish(err)
}

// read handles messages until the client closes, the link fails, or the client
// breaks the protocol.
func (c *websocketConn) read() error {
	for {
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		data, err := readMessage(r)
		if err != nil {
			return err
		}
		if c.conn.isEnded() {
			continue // only the client's close frame is still awaited
		}
		isBinary := kind == websocket.MessageBinary
		if !isBinary && !utf8.Valid(data) {
			c.conn.end(websocket.StatusInvalidFramePayloadData, errors.New("invalid UTF-8"))
			continue
		}
		m, err := c.conn.decode(isBinary, data)
		if err != nil {
			c.conn.end(websocket.StatusInternalError, err)
			continue
		}
		c.conn.receive(m)
		if c.conn.waitForInbox(nil) {
			c.lastRead.Store(c.conn.srv.clock()) // it was we who did not read
		}
	}
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

// finish is called by the reader when nothing more can be read as messages.
func (c *websocketConn) finish(err error) {
	var op *net.OpError
	switch {
	case websocket.CloseStatus(err) != -1: // coder/websocket has answered it
		c.conn.left()
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.As(err, &op), errors.Is(err, io.ErrUnexpectedEOF):
		c.conn.left()
		c.outbox.abort()
	case errors.Is(err, websocket.ErrMessageTooBig):
		c.conn.srv.stats.limits[limitMessage].Add(1)
		c.conn.end(websocket.StatusMessageTooBig, err)
		c.linger()
	default:
		c.conn.end(websocket.StatusProtocolError, err)
		c.linger()
	}
	c.outbox.wait(c.conn.srv.opts.closeTimeout)
	_ = c.Conn.Close()
	_ = c.ws.CloseNow()
	c.conn.waitForChannels()
	c.conn.srv.remove(&c.conn)
}

// linger lets a client that still sends read our close frame: closing at once
// would reset the connection and with it what the client has not read yet.
func (c *websocketConn) linger() {
	c.outbox.wait(c.conn.srv.opts.closeTimeout)
	c.outbox.closeWrite()
	_ = c.SetReadDeadline(time.Now().Add(c.conn.srv.opts.closeTimeout))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, 64<<20))
}

// send implements transport.
func (c *websocketConn) send(f frame, now int64) bool { return c.outbox.add(f, now) }

// close implements transport: what is queued leaves, then a close frame. The
// reader goes on until the client answers it or the sweep loses patience.
func (c *websocketConn) close(code websocket.StatusCode) { c.outbox.close(int(code)) }

// discard implements transport.
func (c *websocketConn) discard(code websocket.StatusCode) { c.outbox.discard(int(code)) }

// hangUp implements transport: the reader takes it from here.
func (c *websocketConn) hangUp() { c.outbox.hangUp() }

// wait implements transport.
func (c *websocketConn) wait(timeout time.Duration) { c.outbox.wait(timeout) }

// inspect implements transport: nothing came from the client, nothing leaves to
// it, or it does not answer a close frame.
func (c *websocketConn) inspect(now int64) (oldest int64, bytes int) {
	srv := c.conn.srv
	waiting, closing, bytes := c.outbox.oldest()
	if waiting != 0 {
		oldest = now - waiting
	}
	switch {
	case closing != 0:
		if now-closing > int64(srv.opts.closeTimeout) {
			c.hangUp()
		}
	case waiting != 0 && now-waiting > int64(srv.opts.OutboxAge):
		if c.conn.isEnded() { // slow has nothing to say any more
			c.hangUp()
		}
		c.conn.slow(slowAge)
	case c.conn.isEnded(): // what is queued is leaving
	case now-c.lastRead.Load() > int64(srv.opts.IdleTimeout) && !c.conn.paused():
		c.conn.end(websocket.StatusProtocolError, errIdle)
	}
	return oldest, bytes
}
