package presence

import "time"

// Quick makes what takes seconds take less. A busy machine says nothing for a
// second now and then.
func (o Options) Quick() *Options {
	o.DeadAfter = 2500 * time.Millisecond
	o.Grace = 400 * time.Millisecond
	o.digest = 500 * time.Millisecond
	o.linger = 500 * time.Millisecond
	return &o
}

// Linger sets how long a room without channels is followed.
func (o *Options) Linger(d time.Duration) { o.linger = d }
