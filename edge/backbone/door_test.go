package backbone_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/aristochat/aristochat/embedded"
)

// A door stands between a link and its server, and is shut at first. Shutting
// it cuts the connections.
type door struct {
	*embedded.Server

	// late, if set, is by how much the connection of that number hears late.
	late func(n int) time.Duration

	still sync.RWMutex // while it is locked nobody hears anything

	mu     sync.Mutex // guards what follows
	opened bool
	conns  []net.Conn
	n      int
}

func (d *door) InProcessConn() (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.opened {
		return nil, errors.New("door is shut")
	}
	c, err := d.Server.InProcessConn()
	if err != nil {
		return nil, err
	}
	d.conns = append(d.conns, c)
	if d.late != nil {
		if by := d.late(d.n); by > 0 {
			c = newLateConn(c, by)
		}
	}
	d.n++
	return &stillConn{c, &d.still}, nil
}

// A stillConn hands out nothing while its door stands still.
type stillConn struct {
	net.Conn
	still *sync.RWMutex
}

func (c *stillConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.still.RLock()
	defer c.still.RUnlock()
	return n, err
}

// A lateConn hands out what it reads some time after it came, but takes it at
// full speed.
type lateConn struct {
	net.Conn
	by     time.Duration
	chunks chan chunk
	rest   []byte
}

type chunk struct {
	due  time.Time
	data []byte
}

func newLateConn(c net.Conn, by time.Duration) *lateConn {
	l := &lateConn{Conn: c, by: by, chunks: make(chan chunk, 1<<16)}
	go func() {
		defer close(l.chunks)
		for {
			p := make([]byte, 32<<10)
			n, err := c.Read(p)
			if err != nil {
				return
			}
			l.chunks <- chunk{time.Now().Add(by), p[:n:n]}
		}
	}()
	return l
}

func (c *lateConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		next, ok := <-c.chunks
		if !ok {
			return 0, io.EOF
		}
		time.Sleep(time.Until(next.due))
		c.rest = next.data
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (d *door) open() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = true
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = false
	for _, c := range d.conns {
		c.Close()
	}
	d.conns = nil
}
