package fleet

import (
	"math"
	"time"
)

const (
	// headroom is the part of the rate that is for clients that move: others
	// come as well.
	headroom = 0.8
	// unknownRate stands for the rate of an edge that names none, sockets a
	// second: what one core bears with ease.
	unknownRate = 200
)

// share returns how many sockets a second the other edges can take from the one
// that is called self: its part, if others drain too. 0 if all are full, +Inf if
// there is nobody else.
func share(self string, edges []Edge, every time.Duration) float64 {
	total, takers, drainers := 0.0, 0, 1
	for i := range edges {
		switch e := &edges[i]; {
		case e.ID == self:
		case !e.Draining:
			takers++
			total += e.bears(every)
		case e.Sockets > 0:
			drainers++
		}
	}
	if takers == 0 {
		return math.Inf(1)
	}
	return total / float64(drainers)
}

// bears returns how many sockets a second an edge can take until it says its next
// status.
func (s *Status) bears(every time.Duration) float64 {
	rate := s.AdmitRate
	if rate == 0 {
		rate = unknownRate
	}
	rate *= headroom
	if s.MaxSockets > 0 {
		free := max(0, s.MaxSockets-s.Sockets-s.Waiting)
		rate = min(rate, float64(free)/every.Seconds())
	}
	return rate
}
