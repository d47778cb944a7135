package main

import (
	"slices"
	"testing"
)

func TestWaves(t *testing.T) {
	tests := []struct {
		name   string
		curve  []int
		want   []wave
		ratios float64
	}{
		{"none", []int{0, 0, 0}, nil, 0},
		{"flat", []int{0, 0, 50, 50, 50, 0, 0, 0}, []wave{{2, 3, 150, 50, 50, true}}, 1},
		{"steep", []int{300, 0, 0, 100, 0, 0, 0, 0}, []wave{{0, 4, 400, 300, 100, true}}, 3},
		{"two", []int{60, 40, 0, 0, 0, 80, 40, 60}, []wave{{0, 2, 100, 60, 50, true}, {5, 3, 180, 80, 60, true}}, 4.0 / 3},
		{"too few to judge", []int{1, 90, 1}, []wave{{0, 3, 92, 90, 92.0 / 3, false}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := wavesOf(tt.curve)
			if !slices.Equal(got, tt.want) {
				t.Errorf("wavesOf(%v) = %+v, want %+v", tt.curve, got, tt.want)
			}
			if r := steepest(got); r != tt.ratios {
				t.Errorf("the steepest has %v, want %v", r, tt.ratios)
			}
		})
	}
}

func TestBars(t *testing.T) {
	if got, want := bars([]int{0, 1, 40, 80}, 80), " ▁▄█"; got != want {
		t.Errorf("bars = %q, want %q", got, want)
	}
}
