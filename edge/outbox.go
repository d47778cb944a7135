package edge

import (
	"cmp"
	"net"
	"slices"
	"sync"
	"time"
)

// An outbox is the one ordered queue of what a client is to get. Frames are
// shared with other clients' outboxes. There is a goroutine only while there is
// something to write, and whatever has queued up meanwhile leaves in one call.
// Until start is called everything waits.
type outbox struct {
	max   int    // bytes that may wait
	stats *stats // counts what leaves and what is dropped

	mu      sync.Mutex // guards what follows
	conn    net.Conn   // nil until start
	queue   []queued
	bytes   int
	writing bool
	since   int64         // when the oldest frame that is being written was queued
	closed  bool          // a close frame is queued or was; nothing follows it
	closing int64         // since when only the client's answer to it is awaited; 0 if it is not yet
	idle    chan struct{} // not nil while someone waits for the queue to empty
}

type queued struct {
	frame frame
	at    int64
}

// Bounds of one write call. The first keeps the age of what waits honest: a
// frame counts as waiting until the call that writes it returns.
const (
	batchBytes  = 64 << 10
	batchFrames = 256
)

// add queues a frame. It reports false if the client has too much waiting;
// the frame is then not queued. What comes after the close frame is ignored.
func (o *outbox) add(f frame, now int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	if o.bytes+len(f) > o.max && o.bytes > 0 {
		return false
	}
	o.pushLocked(f, now)
	return true
}

func (o *outbox) pushLocked(f frame, now int64) {
	o.queue = append(o.queue, queued{f, now})
	o.bytes += len(f)
	o.startLocked()
}

func (o *outbox) startLocked() {
	if !o.writing && o.conn != nil && len(o.queue) > 0 {
		o.writing = true
		go o.write(o.conn)
	}
}

// start gives the connection to write to.
func (o *outbox) start(c net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn = c
	o.startLocked()
}

// hangUp ends the TCP connection, whatever waits.
func (o *outbox) hangUp() {
	o.mu.Lock()
	c := o.conn
	o.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// close queues a close frame behind all else.
func (o *outbox) close(code int) { o.closeWith(closeFrame(code)) }

func (o *outbox) closeWith(f frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		o.pushLocked(f, nanotime())
	}
}

// discard drops what waits and queues a close frame in its place. A frame that
// is half written stays whole.
func (o *outbox) discard(code int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.dropLocked(dropSlow)
	o.closed = true
	o.closing = nanotime() // it may never leave
	o.pushLocked(closeFrame(code), o.closing)
}

// abort drops what waits; the link is gone.
func (o *outbox) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLocked(dropGone)
	o.closed = true
	o.closing = cmp.Or(o.closing, nanotime())
}

func (o *outbox) dropLocked(why int) {
	n := 0
	for _, q := range o.queue {
		n += q.frame.messages()
	}
	o.stats.dropped[why].Add(uint64(n))
	o.queue, o.bytes = nil, 0
}

// closeWrite tells the client that nothing follows, if the connection can.
func (o *outbox) closeWrite() {
	o.mu.Lock()
	c := o.conn
	o.mu.Unlock()
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}

// oldest says when the oldest frame that the client's kernel has not taken was
// queued, and since when only the answer to a close frame is awaited; 0 for
// neither. bytes is what is queued.
func (o *outbox) oldest() (waiting, closing int64, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.since != 0:
		waiting = o.since
	case len(o.queue) > 0:
		waiting = o.queue[0].at
	}
	return waiting, o.closing, o.bytes
}

// wait returns when everything is written, or after the time-out.
func (o *outbox) wait(timeout time.Duration) {
	o.mu.Lock()
	if !o.writing {
		o.mu.Unlock()
		return
	}
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	idle := o.idle // shared: a page of history and the end of the connection may be awaited at once
	o.mu.Unlock()
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}

// A batch is what one call writes.
type batch struct {
	frames   [][]byte
	sending  net.Buffers // frames, as far as they have not been written
	messages int         // that the frames are
	bytes    int
	since    int64 // when the oldest was queued
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// write sends until the queue is empty, then ends.
func (o *outbox) write(c net.Conn) {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	for o.take(b) {
		if err := b.writeTo(c); err != nil {
			o.stats.dropped[dropGone].Add(uint64(b.messages))
			o.abort() // the reader meets the same error
			continue
		}
		o.stats.sent(b.messages, b.bytes, b.since)
	}
}

// take moves the frames of the next call into b. It reports false if there are
// none.
func (o *outbox) take(b *batch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(b.frames)
	b.frames = b.frames[:0]
	b.messages = 0
	n, size := 0, 0
	for n < len(o.queue) && n < batchFrames && size < batchBytes {
		b.frames = append(b.frames, o.queue[n].frame)
		size += len(o.queue[n].frame)
		b.messages += o.queue[n].frame.messages()
		n++
	}
	if n == 0 {
		o.writing, o.since, o.bytes = false, 0, 0
		if o.closed {
			o.closing = cmp.Or(o.closing, nanotime())
		}
		if cap(o.queue) > idleQueue {
			o.queue = nil
		}
		if o.idle != nil {
			close(o.idle)
			o.idle = nil
		}
		return false
	}
	o.since = o.queue[0].at
	b.bytes, b.since = size, o.since
	o.bytes -= size
	left := copy(o.queue, o.queue[n:])
	clear(o.queue[left:])
	o.queue = o.queue[:left]
	return true
}

// idleQueue is how much room an empty queue may keep.
const idleQueue = 4

// writeTo sends the frames in one call: one write for one frame, a vectored
// write on TCP. Elsewhere, on TLS for instance, a vectored write would be as
// many writes as frames, so they are put together first.
func (b *batch) writeTo(c net.Conn) error {
	var err error
	if len(b.frames) == 1 {
		_, err = c.Write(b.frames[0])
		return err
	}
	if _, ok := c.(*net.TCPConn); ok {
		b.sending = b.frames
		_, err = b.sending.WriteTo(c)
		return err
	}
	_, err = c.Write(slices.Concat(b.frames...))
	return err
}

var started = time.Now()

// nanotime is a monotonic clock; 0 stands for never.
func nanotime() int64 { return int64(time.Since(started)) + 1 }
