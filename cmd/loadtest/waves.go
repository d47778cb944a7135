package main

import "time"

// A wave is a time in which clients came back: what a deploy or the loss of an
// edge looks like to those that stay.
type wave struct {
	Begin      float64 `json:"begin"`   // seconds since the start
	Seconds    int     `json:"seconds"` // from the first reconnect to the last, whole ones
	Reconnects int     `json:"reconnects"`
	Max        int     `json:"max"` // in one second
	Mean       float64 `json:"mean"`
	Judged     bool    `json:"judged"` // large enough for --flat
}

// waveEnd is how many seconds without a reconnect end a wave. A drain is paced
// in less than that, and from one edge's drain to the next more passes.
const waveEnd = 3

// waveMin is how many reconnects a wave must have to be judged: of fewer,
// chance alone makes a second with twice the mean.
const waveMin = 100

// wavesOf finds the waves in the reconnects of each second.
func wavesOf(reconnects []int) []wave {
	var all []wave
	quiet := waveEnd
	for i, n := range reconnects {
		if n == 0 {
			quiet++
			continue
		}
		if quiet >= waveEnd {
			all = append(all, wave{Begin: float64(i)})
		}
		w := &all[len(all)-1]
		quiet = 0
		w.Seconds = i - int(w.Begin) + 1
		w.Reconnects += n
		w.Max = max(w.Max, n)
		w.Mean = float64(w.Reconnects) / float64(w.Seconds)
		w.Judged = w.Reconnects >= waveMin
	}
	return all
}

// ratio is how far the wave's highest second stands above its mean.
func (w wave) ratio() float64 { return float64(w.Max) / w.Mean }

// steepest is the highest ratio of the waves that are judged, 0 without any.
func steepest(all []wave) (r float64) {
	for _, w := range all {
		if w.Judged {
			r = max(r, w.ratio())
		}
	}
	return r
}

// index is the second that a time is in.
func index(start, at time.Time) int { return int(at.Sub(start) / time.Second) }
