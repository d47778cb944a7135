package backbone_test

import (
	"errors"
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
		c = &lateConn{c, d.late(d.n)}
	}
	d.n++
	return c, nil
}

type lateConn struct {
	net.Conn
	by time.Duration
}

func (c *lateConn) Read(p []byte) (int, error) {
	time.Sleep(c.by)
	return c.Conn.Read(p)
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
