package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A watch tells how it goes while it goes: the timeline, and a line of progress
// now and then.
type watch struct {
	swarm    *swarm
	timeline io.Writer
	progress io.Writer
	ended    chan struct{}
	done     sync.WaitGroup
	once     sync.Once
	err      error // of the timeline; read after done
}

func startWatch(s *swarm, timeline, progress io.Writer) *watch {
	w := &watch{swarm: s, timeline: timeline, progress: progress, ended: make(chan struct{})}
	w.err = s.tally.writeHeader(timeline)
	w.done.Go(w.work)
	return w
}

// stop writes the rest, and returns the timeline's error.
func (w *watch) stop() error {
	w.once.Do(func() {
		close(w.ended)
		w.done.Wait()
		w.write(true)
	})
	return w.err
}

func (w *watch) work() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := time.Now()
	before, _ := w.swarm.tally.totals()
	for {
		select {
		case <-w.ended:
			return
		case now := <-tick.C:
			w.write(false)
			if every := w.swarm.cfg.Progress; every > 0 && now.Sub(told) >= every {
				sum, connected := w.swarm.tally.totals()
				w.tell(now.Sub(told), before, sum, connected)
				before, told = sum, now
			}
		}
	}
}

func (w *watch) write(end bool) {
	if w.err == nil {
		w.err = w.swarm.tally.writeRows(w.timeline, end)
	}
}

// tell writes the line of progress.
func (w *watch) tell(over time.Duration, before, sum [counters]int, connected int) {
	rate := func(c counter) float64 { return float64(sum[c]-before[c]) / over.Seconds() }
	broken := 0
	for _, k := range kinds {
		broken += w.swarm.found.count(k)
	}
	w.say("%d connected; a second: %.0f sent, %.0f acknowledged, %.0f received, %.0f reconnects; %d on their way; %d promises broken",
		connected, rate(sends), rate(acks), rate(receipts), rate(reconnects), w.swarm.missing(), broken)
}

func (w *watch) say(format string, args ...any) {
	fmt.Fprintf(w.progress, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
