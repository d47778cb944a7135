package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

// A conn is one websocket.
type conn struct {
	client *Client
	ws     *websocket.Conn
	raw    io.Closer // what ws runs on, if known
	opened time.Time

	// Guarded by Client.mu.
	err       error   // what we ended it for; nil if the server did, or nobody
	out       []*push // to be written
	writing   bool
	heartbeat *time.Timer
	beat      protocol.Ref // of the heartbeat that is not answered yet
}

// connectedLocked makes ws the client's connection.
func (c *Client) connectedLocked(cn *conn) {
	cn.opened = time.Now()
	c.conn = cn
	cn.heartbeat = time.AfterFunc(c.opts.Heartbeat, cn.sendHeartbeat)
	c.setStateLocked(State{Status: Connected})
	for _, ch := range c.channels {
		ch.connectedLocked()
	}
}

// disconnected is called when cn has ended. It returns false after Close.
func (c *Client) disconnected(cn *conn, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cn.heartbeat.Stop()
	if c.closed {
		return false
	}
	c.opts.Logger.Info("connection lost", slog.Any("error", err))
	for _, ch := range c.channels {
		ch.disconnectedLocked(err)
	}
	for _, p := range c.pushes { // of channels that were left
		p.finishLocked(result{err: c.lostLocked(p, err)})
	}
	c.conn = nil
	c.state = State{Status: Reconnecting, Err: err} // wait tells, with the time
	return true
}

// lasted tells a connection from one that a server accepts only to end it.
func (cn *conn) lasted() bool { return time.Since(cn.opened) >= reconnectSteps[len(reconnectSteps)-1] }

// read hands on what comes until the connection ends, and returns why.
func (cn *conn) read() error {
	for {
		kind, frame, err := cn.ws.Read(context.Background())
		if err != nil {
			return cn.cause(err)
		}
		if err := cn.client.receive(cn, kind == websocket.MessageBinary, frame); err != nil {
			cn.end(err, websocket.StatusProtocolError)
		}
	}
}

// cause says why reading failed.
func (cn *conn) cause(err error) error {
	cn.client.mu.Lock()
	ours := cn.err
	cn.client.mu.Unlock()
	var end websocket.CloseError
	switch {
	case ours != nil:
		err = ours
	case errors.As(err, &end):
		err = &CloseError{Code: int(end.Code), Reason: end.Reason}
	case errors.Is(err, websocket.ErrMessageTooBig):
		err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, cn.client.opts.MaxMessage)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errHungUp
	}
	_ = cn.ws.CloseNow() // it has ended
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// end ends the connection. The first reason is the one that counts.
func (cn *conn) end(why error, code websocket.StatusCode) {
	cn.client.mu.Lock()
	if cn.err == nil {
		cn.err = why
	}
	cn.client.mu.Unlock()
	if code == noCode {
		_ = cn.ws.CloseNow()
		return
	}
	if cn.raw != nil { // ws itself would wait for up to ten seconds
		timer := time.AfterFunc(moment, func() { _ = cn.raw.Close() })
		defer timer.Stop()
	}
	_ = cn.ws.Close(code, "")
}

const (
	// noCode is for a connection that carries nothing any more.
	noCode websocket.StatusCode = 0
	// moment is how long a server may take to say goodbye.
	moment = time.Second
)

// receive hands on a frame. An error says that it is none of the protocol's.
func (c *Client) receive(cn *conn, binary bool, frame []byte) error {
	if !binary && !utf8.Valid(frame) {
		return fmt.Errorf("%w: text that is not UTF-8", ErrGarbage)
	}
	m, err := protocol.DecodeServer(protocol.V2, binary, frame)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGarbage, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if m.Event == protocol.EventReply {
		c.replyLocked(cn, &m)
		return nil
	}
	if ch := c.channels[m.Topic]; ch != nil {
		ch.receiveLocked(&m)
	}
	return nil
}

// replyLocked finds what m answers. Nobody waits any more for what timed out.
func (c *Client) replyLocked(cn *conn, m *protocol.Message) {
	if m.Ref == cn.beat && !m.Ref.IsNull() {
		cn.beat = protocol.Null
		return
	}
	p := c.pushes[m.Ref]
	if p == nil || p.noReply {
		return
	}
	r := Reply{Status: m.Status, Payload: Payload{Bytes: m.Payload, Binary: m.Binary}}
	switch {
	case m.Kind != protocol.Reply:
		p.finishLocked(result{err: fmt.Errorf("%w: a reply without a status: %w", ErrGarbage, ErrUnknown)})
	case m.Status != protocol.StatusOK:
		p.finishLocked(result{reply: r, err: &ReplyError{Topic: p.channel.topic, Event: p.event, Reply: r}})
	default:
		p.finishLocked(result{reply: r})
	}
}

// sendHeartbeat is called when a heartbeat is due.
func (cn *conn) sendHeartbeat() {
	c := cn.client
	c.mu.Lock()
	if c.conn != cn || c.closed {
		c.mu.Unlock()
		return
	}
	if !cn.beat.IsNull() {
		c.mu.Unlock()
		cn.end(errHeartbeat, noCode)
		return
	}
	cn.beat = c.nextRefLocked()
	cn.writeLocked(&push{ref: cn.beat, event: protocol.EventHeartbeat})
	cn.heartbeat.Reset(c.opts.Heartbeat)
	c.mu.Unlock()
}

// writeLocked queues p. It never blocks.
func (cn *conn) writeLocked(p *push) {
	cn.out = append(cn.out, p)
	if !cn.writing && !cn.client.closed {
		cn.writing = true
		cn.client.goLocked(cn.write)
	}
}

// write sends what is queued. It runs while there is something.
func (cn *conn) write() {
	c := cn.client
	var buf []byte
	slow := time.AfterFunc(c.opts.Timeout, func() {
		cn.end(fmt.Errorf("server did not read: %w", timeoutError(c.opts.Timeout)), noCode)
	})
	defer slow.Stop()
	for {
		p := cn.next()
		if p == nil {
			return
		}
		frame, binary, err := protocol.AppendClient(buf[:0], protocol.V2, p.message())
		if err != nil {
			// Checked when it was pushed.
			cn.end(fmt.Errorf("encoding: %w", err), noCode)
			return
		}
		kind := websocket.MessageText
		if binary {
			kind = websocket.MessageBinary
		}
		slow.Reset(c.opts.Timeout)
		if err := cn.ws.Write(context.Background(), kind, frame); err != nil {
			cn.writeFailed(err)
			return
		}
		p.written()
		buf = frame
	}
}

// next returns the next push to write, nil if there is none.
func (cn *conn) next() *push {
	c := cn.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(cn.out) == 0 || c.conn != cn || c.closed {
		cn.writing = false
		cn.out = nil
		return nil
	}
	p := cn.out[0]
	cn.out[0] = nil
	cn.out = cn.out[1:]
	p.sentLocked()
	return p
}

// writeFailed ends the connection, but gives the reader a moment to find out
// why: a server that refuses a message closes while we write.
func (cn *conn) writeFailed(err error) {
	time.AfterFunc(moment, func() { cn.end(fmt.Errorf("writing: %w", err), noCode) })
}
