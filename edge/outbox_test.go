package edge

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// A gatedConn blocks each write until the test lets it pass, and records it.
type gatedConn struct {
	net.Conn
	gate chan struct{}

	mu     sync.Mutex
	writes [][]byte
}

func (c *gatedConn) Write(p []byte) (int, error) {
	<-c.gate
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, bytes.Clone(p))
	return len(p), nil
}

// What queues up while a write is under way leaves in one call, in order.
func TestOutboxCoalesces(t *testing.T) {
	c := &gatedConn{gate: make(chan struct{})}
	o := &outbox{max: 1 << 20, stats: &stats{}}
	for i := range 3 { // before there is a connection
		o.add(frame{byte(i)}, 1)
	}
	o.start(c)
	c.gate <- struct{}{}
	o.wait(patience)
	o.add(frame{3}, 1)
	for i := 4; i < 100; i++ { // the first of them may still join frame 3
		o.add(frame{byte(i)}, 1)
	}
	close(c.gate)
	o.wait(patience)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.writes) > 3 {
		t.Errorf("100 frames left in %d writes, want 3", len(c.writes))
	}
	for i, b := range bytes.Join(c.writes, nil) {
		if int(b) != i {
			t.Fatalf("frame %d is %d", i, b)
		}
	}
	if goroutine := o.writing; goroutine {
		t.Error("a writer is left with nothing to write")
	}
}

const patience = 20 * time.Second

func TestOutboxBound(t *testing.T) {
	c := &gatedConn{gate: make(chan struct{})}
	o := &outbox{max: 10, stats: &stats{}}
	o.start(c)
	if !o.add(make(frame, 100), 1) {
		t.Error("a frame larger than the bound was refused by an empty queue")
	}
	// The first may be waiting or be under way; then ten bytes fit.
	c.gate <- struct{}{}
	o.wait(patience)
	if !o.add(make(frame, 8), 7) || o.add(make(frame, 100), 8) && o.add(make(frame, 8), 9) {
		t.Error("108 bytes wait behind a bound of 10")
	}
	if waiting, closing, _ := o.oldest(); waiting != 7 || closing != 0 {
		t.Errorf("oldest: %d, %d; want 7, 0", waiting, closing)
	}
	o.discard(1013)
	o.add(frame{1}, 10) // ignored
	if _, closing, _ := o.oldest(); closing == 0 {
		t.Error("no close frame is queued")
	}
	close(c.gate)
	o.wait(patience)
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.writes[len(c.writes)-1]; !bytes.Equal(last, []byte{0x88, 2, 3, 0xf5}) {
		t.Errorf("the last write is % x, want close 1013", last)
	}
}

// Whoever finds a client slow first says so; what others do after that takes
// nothing back.
func TestOutboxDiscardsOnce(t *testing.T) {
	for _, first := range []func(o *outbox){
		func(o *outbox) { o.discard(1013) },
		func(o *outbox) { o.close(1013) },
	} {
		o := &outbox{max: 100, stats: &stats{}}
		o.add(frame{1}, 1)
		first(o)
		o.discard(1001)
		o.add(frame{2}, 1)
		if last := o.queue[len(o.queue)-1].frame; !bytes.Equal(last, closeFrame(1013)) {
			t.Errorf("the queue ends in % x, want close 1013", last)
		}
	}
}
