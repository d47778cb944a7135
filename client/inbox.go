package client

// An inbox runs tasks one at a time, in order. It has a goroutine only while
// there is something to do. Client.mu guards it.
type inbox struct {
	tasks   []task
	bytes   int // of the tasks that wait
	running bool
}

type task struct {
	run  func()
	size int
}

// putLocked adds a task. It never blocks: who puts looks at bytes.
func (in *inbox) putLocked(c *Client, t task) {
	in.tasks = append(in.tasks, t)
	in.bytes += t.size
	if !in.running {
		in.running = true
		c.alive++
		go in.work(c)
	}
}

// clearLocked drops what waits.
func (in *inbox) clearLocked() { in.tasks, in.bytes = nil, 0 }

// work defers nothing: a callback that panics shall end the program as it would
// anywhere else.
func (in *inbox) work(c *Client) {
	c.mu.Lock()
	for len(in.tasks) > 0 {
		t := in.tasks[0]
		in.tasks[0] = task{}
		in.tasks = in.tasks[1:]
		in.bytes -= t.size
		c.mu.Unlock()
		t.run()
		c.mu.Lock()
	}
	in.tasks = nil // an idle inbox keeps no memory
	in.running = false
	c.endedLocked()
	c.mu.Unlock()
}
