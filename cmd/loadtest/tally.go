package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// A counter is something that is counted for each second.
type counter int

const (
	joins        counter = iota // a member's first join
	reconnects                  // a connection after a lost one
	rejoins                     // a join after a lost connection, or an ended channel
	closedLater                 // 1012: the edge shuts down
	closedAway                  // 1001: told to disconnect
	closedSlow                  // 1013: read too slowly
	closedOther                 // any other close code
	closedBroken                // no close frame: cut, reset, or a heartbeat that was not answered
	dialsFailed                 // attempts to connect that failed
	sends                       // messages that were to be sent
	acks                        // … acknowledged
	retries                     // … sent again, with the same client_id
	failures                    // … given up
	receipts                    // deliveries of messages, repetitions not counted
	resumed                     // … of which came with the answer to a join
	late                        // messages that were due while every member waited for an answer
	counters
)

var counterNames = [counters]string{
	"joins", "reconnects", "rejoins", "closed_1012", "closed_1001", "closed_1013", "closed_other", "closed_broken", "dials_failed",
	"sent", "acked", "retried", "given_up", "received", "resumed", "not_sent",
}

// A second of the run.
type second struct {
	connected        int // at its end
	n                [counters]int
	live50, live99   time.Duration // from sending to receiving, without what came by resuming
	acked50, acked99 time.Duration // from sending to the acknowledgement
}

// A tally counts what happens, second by second. Its methods may be called
// concurrently.
type tally struct {
	start time.Time

	mu        sync.Mutex // guards all below
	rows      []second   // the last one is this second
	connected int
	written   int // rows
	reasons   map[string]int
	live      latencies // of this second
	acked     latencies
	all       struct{ live, resumed, acked, away latencies }
}

func newTally(start time.Time) *tally {
	t := &tally{start: start, rows: make([]second, 1), reasons: map[string]int{}, live: newLatencies(), acked: newLatencies()}
	t.all.live, t.all.resumed, t.all.acked, t.all.away = newLatencies(), newLatencies(), newLatencies(), newLatencies()
	return t
}

// rowLocked returns this second, after closing those before.
func (t *tally) rowLocked(now time.Time) *second {
	for i := index(t.start, now); len(t.rows) <= i; {
		t.closeRowLocked()
		t.rows = append(t.rows, second{})
	}
	return &t.rows[len(t.rows)-1]
}

func (t *tally) closeRowLocked() {
	row := &t.rows[len(t.rows)-1]
	row.connected = t.connected
	if t.live.h.TotalCount() > 0 {
		row.live50, row.live99 = t.live.at(50), t.live.at(99)
		t.live.h.Reset()
	}
	if t.acked.h.TotalCount() > 0 {
		row.acked50, row.acked99 = t.acked.at(50), t.acked.at(99)
		t.acked.h.Reset()
	}
}

// add counts something.
func (t *tally) add(c counter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rowLocked(time.Now()).n[c]++
}

// because counts why something failed.
func (t *tally) because(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.reasons[reason]; !known && len(t.reasons) >= 50 {
		reason = "others"
	}
	t.reasons[reason]++
}

// connect counts connections: +1 or -1.
func (t *tally) connect(delta int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rowLocked(time.Now())
	t.connected += delta
}

// received counts a delivery of what was to be sent at a time.
func (t *tally) received(at time.Time, byResuming bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	row := t.rowLocked(now)
	row.n[receipts]++
	if byResuming {
		row.n[resumed]++
		t.all.resumed.record(now.Sub(at))
		return
	}
	t.live.record(now.Sub(at))
	t.all.live.record(now.Sub(at))
}

// acknowledged counts an acknowledgement of what was to be sent at a time.
func (t *tally) acknowledged(at time.Time) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rowLocked(now).n[acks]++
	t.acked.record(now.Sub(at))
	t.all.acked.record(now.Sub(at))
}

// back counts a member that is in its room again, after it was cut off at a
// time.
func (t *tally) back(lost time.Time) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rowLocked(now).n[rejoins]++
	t.all.away.record(now.Sub(lost))
}

// totals returns all counts so far, and how many are connected.
func (t *tally) totals() (sum [counters]int, connected int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rows {
		for c, n := range t.rows[i].n {
			sum[c] += n
		}
	}
	return sum, t.connected
}

// curve returns one counter's value of each second.
func (t *tally) curve(c counter) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]int, len(t.rows))
	for i := range t.rows {
		out[i] = t.rows[i].n[c]
	}
	return out
}

// writeHeader and writeRows write the timeline: a line for each second that
// has ended and was not written yet, and at the end for the last one too.
func (t *tally) writeHeader(w io.Writer) error {
	head := append([]string{"second", "time", "connected"}, counterNames[:]...)
	return writeCSV(w, [][]string{append(head, "delivery_p50_ms", "delivery_p99_ms", "ack_p50_ms", "ack_p99_ms")})
}

func (t *tally) writeRows(w io.Writer, end bool) error {
	return writeCSV(w, t.lines(end))
}

func (t *tally) lines(end bool) (lines [][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rowLocked(time.Now())
	until := len(t.rows) - 1
	if end {
		t.closeRowLocked()
		until++
	}
	for ; t.written < until; t.written++ {
		row := &t.rows[t.written]
		at := t.start.Add(time.Duration(t.written) * time.Second)
		line := []string{strconv.Itoa(t.written), at.UTC().Format(time.RFC3339), strconv.Itoa(row.connected)}
		for _, n := range row.n {
			line = append(line, strconv.Itoa(n))
		}
		for _, d := range []time.Duration{row.live50, row.live99, row.acked50, row.acked99} {
			line = append(line, fmt.Sprintf("%.2f", millis(d)))
		}
		lines = append(lines, line)
	}
	return lines
}

func writeCSV(w io.Writer, lines [][]string) error {
	c := csv.NewWriter(w)
	if err := c.WriteAll(lines); err != nil {
		return fmt.Errorf("--timeline: %w", err)
	}
	return nil
}
