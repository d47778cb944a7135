package presence

import (
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// An edgeID names an edge from its start to its end; the next start is another
// edge.
type edgeID [16]byte

// A ref is the identity of one meta, in the whole cluster.
type ref [12]byte

// String is what clients see.
func (r ref) String() string { return base64.URLEncoding.EncodeToString(r[:]) }

// A mint makes refs as Phoenix does: of the time in nanoseconds, and of who
// made it.
type mint struct {
	edge edgeID
	last atomic.Int64
}

// next returns a ref and its time, both of which no other has on this edge.
func (m *mint) next() (r ref, at int64) {
	for {
		last := m.last.Load()
		at = max(time.Now().UnixNano(), last+1)
		if m.last.CompareAndSwap(last, at) {
			break
		}
	}
	binary.BigEndian.PutUint64(r[:], uint64(at))
	copy(r[8:], m.edge[:4])
	return r, at
}
