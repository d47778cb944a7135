package fleet

import (
	"math"
	"testing"
	"time"
)

func TestShare(t *testing.T) {
	self := Edge{Status: Status{ID: "self", Sockets: 1000, AdmitRate: 100, Draining: true}}
	other := func(change func(*Status)) Edge {
		s := Status{ID: "other", Sockets: 1000, AdmitRate: 100}
		change(&s)
		return Edge{Status: s}
	}
	idle := other(func(*Status) {})
	tests := map[string]struct {
		others []Edge
		want   float64
	}{
		"nobody":                 {nil, math.Inf(1)},
		"one":                    {[]Edge{idle}, 80},
		"three":                  {[]Edge{idle, idle, idle}, 240},
		"one that says no rate":  {[]Edge{other(func(s *Status) { s.AdmitRate = 0 })}, 160},
		"one is full":            {[]Edge{idle, other(func(s *Status) { s.MaxSockets = 1000 })}, 80},
		"all are full":           {[]Edge{other(func(s *Status) { s.MaxSockets = 900 })}, 0},
		"almost full":            {[]Edge{other(func(s *Status) { s.MaxSockets, s.Waiting = 1030, 10 })}, 10},
		"another one drains":     {[]Edge{idle, other(func(s *Status) { s.Draining = true })}, 40},
		"another one is drained": {[]Edge{idle, other(func(s *Status) { s.Draining, s.Sockets = true, 0 })}, 80},
		"all drain":              {[]Edge{other(func(s *Status) { s.Draining = true })}, math.Inf(1)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := share("self", append(tt.others, self), 2*time.Second); math.Abs(got-tt.want) > 1e-9 && got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
