package main

import (
	"strings"
	"testing"

	"github.com/aristochat/aristochat/internal/command"
)

func TestVerdict(t *testing.T) {
	steep := []wave{{Seconds: 10, Reconnects: 200, Max: 50, Mean: 20, Judged: true}}
	tests := []struct {
		name string
		r    report
		cfg  config
		code int // 0: kept
		says string
	}{
		{"kept", report{}, config{}, 0, ""},
		{"lost", report{Broken: map[kind]int{loss: 2}}, config{}, exitBroken, "2 deliveries of acknowledged messages lost"},
		{"lost, tolerated", report{Broken: map[kind]int{loss: 2}}, config{MaxLoss: 2}, 0, ""},
		{"twice", report{Broken: map[kind]int{duplicate: 1}}, config{MaxLoss: 2}, exitBroken, "1 duplicates"},
		{"order", report{Broken: map[kind]int{disorder: 1, mismatch: 1}}, config{MaxDisorder: 1}, exitBroken, "2 out of order"},
		{"not recovered", report{Broken: map[kind]int{notRecovered: 1}}, config{}, exitBroken, "1 joins not recovered"},
		{"steep, not judged", report{Waves: steep}, config{}, 0, ""},
		{"steep", report{Waves: steep}, config{Flat: 2}, exitSteep, "2.5 times the mean"},
		{"steep, tolerated", report{Waves: steep}, config{Flat: 2.5}, 0, ""},
		{"nothing acknowledged", report{Counts: map[string]int{"sent": 9}}, config{Rate: 1}, exitFailure, "no message was acknowledged"},
		{"something acknowledged", report{Counts: map[string]int{"sent": 9, "acked": 1}}, config{Rate: 1}, 0, ""},
		{"nothing to be sent", report{}, config{}, 0, ""},
		{"lost and steep", report{Waves: steep, Broken: map[kind]int{loss: 1}}, config{Flat: 2}, exitBroken, "lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.r.verdict(&tt.cfg)
			if err == nil {
				if tt.code != 0 {
					t.Errorf("all is well, want exit code %d", tt.code)
				}
				return
			}
			if command.ExitCode(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("ended with %v, want exit code %d and %q", err, tt.code, tt.says)
			}
		})
	}
}
