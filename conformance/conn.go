package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one websocket of a case, seen from the client.
type conn struct {
	net    net.Conn
	events chan event    // what arrived, in order; the reader puts it here
	done   chan struct{} // closed when nobody takes events any more

	out      []byte       // frames of consecutive send steps; they leave in one write
	closing  atomic.Bool  // a close frame was sent, or is about to be
	lastSent atomic.Int64 // nanoseconds since began

	ended bool   // the end of the connection was taken from events
	late  []want // optional frames that may still come
}

// An event is a frame, or the end of the connection.
type event struct {
	frame Frame // inflated, if it was compressed
	err   error
	idle  time.Duration // since the client's last bytes
}

func (e event) String() string {
	switch {
	case e.err == nil:
		return e.frame.String()
	case e.isEOF():
		return "the end of the connection"
	}
	return e.err.Error()
}

func (e event) isEOF() bool {
	return errors.Is(e.err, io.EOF) || errors.Is(e.err, syscall.ECONNRESET)
}

// newConn takes over a connection after its handshake, which was sent at a time
// since began.
func newConn(c net.Conn, r *bufio.Reader, sent time.Duration) *conn {
	ws := &conn{net: c, events: make(chan event, 64), done: make(chan struct{})}
	ws.lastSent.Store(int64(sent))
	go ws.read(r)
	return ws
}

func (c *conn) read(r *bufio.Reader) {
	var in inflater
	for {
		f, err := readFrame(r)
		idle := time.Since(began) - time.Duration(c.lastSent.Load())
		if err == nil && f.RSV == rsv1 && f.Fin && (f.Opcode == opText || f.Opcode == opBinary) {
			f.Data, err = in.inflate(f.Data)
		}
		if err == nil && f.Opcode == opClose && !c.closing.Swap(true) {
			answer := Frame{Opcode: opClose, Fin: true, Masked: true, Data: f.Data[:min(2, len(f.Data))]}
			c.write(appendFrame(nil, answer))
		}
		select {
		case c.events <- event{f, err, idle}:
		case <-c.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// queue adds a frame to those that flush sends.
func (c *conn) queue(f Frame) {
	if f.Opcode == opClose {
		c.closing.Store(true)
	}
	c.out = appendFrame(c.out, f)
}

func (c *conn) flush() {
	if len(c.out) > 0 {
		c.write(c.out)
		c.out = nil
	}
}

// began is where a clock begins that nobody sets.
var began = time.Now()

// write sends b. It does not report an error: the server may have closed the
// connection by now, and what it sent before tells more.
func (c *conn) write(b []byte) {
	c.lastSent.Store(int64(time.Since(began)))
	_ = c.net.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.net.Write(b)
}

// next takes the event that comes next.
func (c *conn) next(ctx context.Context) (event, error) {
	if c.ended {
		return event{}, errors.New("the connection had ended before")
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case e := <-c.events:
		c.ended = e.err != nil
		return e, nil
	case <-timeout.C:
		return event{}, fmt.Errorf("got nothing for %s", patience)
	case <-ctx.Done():
		return event{}, context.Cause(ctx)
	}
}

// poll takes an event that has arrived already.
func (c *conn) poll() (event, bool) {
	select {
	case e := <-c.events:
		c.ended = e.err != nil
		return e, true
	default:
		return event{}, false
	}
}

func (c *conn) drop() {
	close(c.done)
	_ = c.net.Close()
}
