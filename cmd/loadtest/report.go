package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aristochat/aristochat/internal/command"
)

// A report is what was seen. Times of waves and of the curve are seconds since
// Started.
type report struct {
	Run     string    `json:"run"`
	Started time.Time `json:"started"` // the first client
	Talked  float64   `json:"talked_s"`
	Sockets int       `json:"sockets"`
	Rooms   int       `json:"rooms"`
	History bool      `json:"history"` // the server keeps it
	Resume  bool      `json:"resume"`

	Counts   map[string]int `json:"counts"` // as in the timeline, of the whole run
	Reasons  map[string]int `json:"reasons"`
	Live     summary        `json:"delivery"`         // from when a message was due to when each member had it
	Resumed  summary        `json:"delivery_resumed"` // … of those that came with the answer to a join
	Acked    summary        `json:"ack"`              // … to when its publisher knew that it is stored
	Away     summary        `json:"away"`             // from losing a connection to being in the room again
	Waves    []wave         `json:"waves"`
	Curve    []int          `json:"reconnects"` // of each second
	Broken   map[kind]int   `json:"broken"`
	Examples []finding      `json:"examples,omitempty"`
	Verdict  string         `json:"verdict"`
}

func newReport(s *swarm, talked time.Duration) *report {
	t := s.tally
	r := &report{
		Run: s.run, Started: t.start, Talked: talked.Seconds(), Sockets: s.cfg.Sockets, Rooms: s.cfg.Rooms,
		History: s.history.Load(), Resume: s.cfg.Resume,
		Counts: map[string]int{}, Curve: t.curve(reconnects),
	}
	sum, _ := t.totals()
	for c, n := range sum {
		r.Counts[counterNames[c]] = n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Reasons = maps.Clone(t.reasons)
	r.Live, r.Resumed, r.Acked, r.Away = t.all.live.summary(), t.all.resumed.summary(), t.all.acked.summary(), t.all.away.summary()
	r.Waves = wavesOf(r.Curve)
	r.Broken, r.Examples = s.found.all()
	r.Verdict = "promises were kept"
	if s.cfg.Flat > 0 && steepest(r.Waves) == 0 {
		r.Verdict += "; no wave was large enough for --flat"
	}
	if err := r.verdict(s.cfg); err != nil {
		r.Verdict = err.Error()
	}
	return r
}

// verdict is an error if a promise was broken beyond what cfg tolerates, or none
// was put to the test.
func (r *report) verdict(cfg *config) error {
	var wrong []string
	over := func(n, most int, what string) {
		if n > most {
			wrong = append(wrong, fmt.Sprintf("%d %s, want at most %d", n, what, most))
		}
	}
	over(r.Broken[loss], cfg.MaxLoss, "deliveries of acknowledged messages lost")
	over(r.Broken[duplicate], cfg.MaxDuplicates, "duplicates")
	over(r.Broken[disorder]+r.Broken[mismatch], cfg.MaxDisorder, "out of order")
	over(r.Broken[notRecovered], cfg.MaxNotRecovered, "joins not recovered")
	if wrong != nil {
		return command.Fail(exitBroken, errors.New("promises were broken: "+strings.Join(wrong, "; ")))
	}
	if cfg.Rate > 0 && r.Counts[counterNames[acks]] == 0 {
		return errors.New("no message was acknowledged, so no promise was put to the test")
	}
	if most := steepest(r.Waves); cfg.Flat > 0 && most > cfg.Flat {
		return command.Fail(exitSteep, fmt.Errorf("reconnects were not flat: the most in a second are %.1f times the mean of their wave, want at most %g", most, cfg.Flat))
	}
	return nil
}

func (r *report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := io.WriteString(w, r.String())
	return err
}

func (r *report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-20s"+format+"\n", append([]any{name}, args...)...)
	}
	n := func(c counter) int { return r.Counts[counterNames[c]] }

	line("run", "%s, %d clients in %d rooms, %.0f s", r.Run, r.Sockets, r.Rooms, r.Talked)
	line("messages", "%d sent, %d acknowledged, %d given up, %d sent again; %d not sent, since all clients waited",
		n(sends), n(acks), n(failures), n(retries), n(late))
	line("deliveries", "%d, %d of them by resuming", n(receipts), n(resumed))
	line("delivery", "%v", r.Live)
	line("  by resuming", "%v", r.Resumed)
	line("acknowledgement", "%v", r.Acked)
	line("away", "%v", r.Away)
	line("connections lost", "%d: %d with 1012, %d with 1001, %d with 1013, %d with another code, %d without",
		n(closedLater)+n(closedAway)+n(closedSlow)+n(closedOther)+n(closedBroken),
		n(closedLater), n(closedAway), n(closedSlow), n(closedOther), n(closedBroken))
	line("came back", "%d; %d attempts to connect failed", n(reconnects), n(dialsFailed))
	for i, w := range r.Waves {
		name := ""
		if i == 0 {
			name = "waves of reconnects"
		}
		line(name, "from second %.0f: %d in %d s, at most %d in one, %.1f times the mean  %s",
			w.Begin, w.Reconnects, w.Seconds, w.Max, w.ratio(), bars(r.Curve[int(w.Begin):][:w.Seconds], w.Max))
	}
	for i, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		name := ""
		if i == 0 {
			name = "what went wrong"
		}
		line(name, "%6d  %s", r.Reasons[reason], reason)
	}
	if !r.History {
		line("history", "the server keeps none: what is said while a client is away is lost")
	}
	for i, k := range kinds {
		name := ""
		if i == 0 {
			name = "promises broken"
		}
		line(name, "%6d  %s", r.Broken[k], k)
	}
	for _, f := range r.Examples {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	line("verdict", "%s", r.Verdict)
	return b.String()
}

// bars draws a curve in one line, a sign for each second.
func bars(curve []int, top int) string {
	const most = 120
	if len(curve) > most {
		return ""
	}
	steps := []rune("▁▂▃▄▅▆▇█")
	out := make([]rune, len(curve))
	for i, n := range curve {
		out[i] = ' '
		if n > 0 {
			out[i] = steps[(n*len(steps)-1)/top]
		}
	}
	return string(out)
}
