package presence

import (
	"cmp"
	"context"
	"time"
)

// Options tune a [Tracker]. A nil *Options is valid.
type Options struct {
	// Fetch adds to what clients see of each key: it is called with what a
	// list, or the joins and the leaves of a diff, are about to tell, and may
	// set the Extra of each item. If it fails, clients see the metas alone. It
	// runs outside of channels, for one room at a time in order.
	Fetch func(ctx context.Context, topic string, list List) error

	// Window is how long changes of a small room are collected before its
	// members are told of them, unless there was none for so long. It grows
	// with the room, to three times at 500 keys. If zero, 100 ms.
	Window time.Duration

	// CountAbove is how many keys a room may have before its members are told
	// their number instead of who they are. If zero, 500; if negative, any
	// number.
	CountAbove int

	// MaxMetas bounds the metas of one key, MaxMeta the bytes of one as JSON,
	// MaxKeys the keys that one channel may track. If zero, 16, 1 KiB and 8.
	MaxMetas int
	MaxMeta  int
	MaxKeys  int

	// Rate bounds the changes that one channel may make a second, Burst how
	// many at once. If zero, 5 and 10.
	Rate  float64
	Burst int

	// DeadAfter is how long another edge may say nothing before its users are
	// gone. Edges say something four times as often; all must agree. If zero,
	// 8 s.
	DeadAfter time.Duration

	// Grace is how long a user whose edge was drained or shut down is taken to
	// be on the way to another one. If zero, 5 s: some of it passes while the
	// other one lets in those who came before.
	Grace time.Duration

	// Name is how other edges call this one in their logs.
	Name string

	batch  time.Duration // for which changes are collected before other edges are told
	digest time.Duration // between digests
	linger time.Duration // for which a room without channels is followed
}

// leaveHold is how long a leave waits for a join of the same user, who comes
// back at once when a page is loaded again: both are then one diff.
const leaveHold = 25 * time.Millisecond

// Bounds of questions: how long to wait for the first answer, for another one,
// and for the rest of one that is long.
const (
	firstAnswer = 250 * time.Millisecond
	nextAnswer  = 10 * time.Millisecond
	lastAnswer  = 2 * time.Second
)

func (o *Options) withDefaults() (d Options) {
	if o != nil {
		d = *o
	}
	d.Window = cmp.Or(d.Window, 100*time.Millisecond)
	d.CountAbove = cmp.Or(d.CountAbove, 500)
	d.MaxMetas = cmp.Or(d.MaxMetas, 16)
	d.MaxMeta = cmp.Or(d.MaxMeta, 1<<10)
	d.MaxKeys = cmp.Or(d.MaxKeys, 8)
	d.Rate = cmp.Or(d.Rate, 5)
	d.Burst = cmp.Or(d.Burst, 10)
	d.DeadAfter = cmp.Or(d.DeadAfter, 8*time.Second)
	d.Grace = cmp.Or(d.Grace, 5*time.Second)
	d.batch = cmp.Or(d.batch, 25*time.Millisecond)
	d.digest = cmp.Or(d.digest, 30*time.Second)
	d.linger = cmp.Or(d.linger, 30*time.Second)
	return d
}
