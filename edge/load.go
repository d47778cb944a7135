package edge

import (
	"errors"
	"io"
	"sync/atomic"
)

// A load is what a long-polling session has under way at this edge.
type load struct {
	session  sessionID
	requests int          // guarded by longPoll.mu
	bytes    atomic.Int64 // of POSTs, as far as they have been read
}

// maxRequests bounds what a session has under way at once. A client needs two, a
// poll and a POST, and one or two that it has given up.
const maxRequests = 8

var (
	errTooManyRequests = errors.New("too many requests at once")
	errTooManyBytes    = errors.New("too many bytes at once")
)

// take adds a request to what a session has under way, and returns that; nil if
// it is too much. done undoes it.
func (lp *longPoll) take(id sessionID) *load {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	l := lp.loads[id]
	if l == nil {
		l = &load{session: id}
		lp.loads[id] = l
	}
	if l.requests == maxRequests {
		return nil
	}
	l.requests++
	return l
}

func (lp *longPoll) done(l *load) {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	if l.requests--; l.requests == 0 {
		delete(lp.loads, l.session)
	}
}

// A bodyReader reads a POST. It fails with errTooManyBytes once all POSTs of the
// session together have more bytes than one may have.
type bodyReader struct {
	io.Reader
	load *load
	most int64
	read int64
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += int64(n)
	if b.load.bytes.Add(int64(n)) > b.most {
		return n, errTooManyBytes
	}
	return n, err
}

// done is called when the POST has been handled.
func (b *bodyReader) done() { b.load.bytes.Add(-b.read) }
