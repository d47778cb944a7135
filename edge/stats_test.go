package edge

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

func TestEndReasons(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{ErrClosed, "client"},
		{errIdle, "idle"},
		{errSlow, "slow"},
		{fmt.Errorf("%w: soon", ErrDraining), "drained"},
		{ErrDisconnected, "disconnected"},
		{fmt.Errorf("%w: it has 9 bytes", websocket.ErrMessageTooBig), "too_big"},
		{errors.New("invalid UTF-8"), "error"},
	} {
		if got := endReasons[endReason(tt.err)]; got != tt.want {
			t.Errorf("%v counts as %s, want %s", tt.err, got, tt.want)
		}
	}
}

// A stored event that seems to come before it was stored counts as zero; only
// where the clocks are far apart somebody should know.
func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s stats
		now := time.Now()
		for _, ago := range []time.Duration{time.Second, 0, -20 * time.Millisecond, -time.Second} {
			s.delivered(now.Add(-ago))
		}
		if got := s.delivery.Snapshot(); got.Count != 4 || got.Sum != time.Second {
			t.Errorf("%d deliveries took %v, want 4 and 1s", got.Count, got.Sum)
		}
		if n := s.clockSkew.Load(); n != 1 {
			t.Errorf("%d were far too early, want 1", n)
		}
	})
}

func TestAlive(t *testing.T) {
	srv := &Server{}
	srv.stats.lastSweep.Store(srv.clock())
	if err := srv.Alive(); err != nil {
		t.Errorf("just swept: %v", err)
	}
	srv.stats.lastSweep.Store(srv.clock() - int64(2*stallTime))
	if err := srv.Alive(); err == nil {
		t.Error("it has not swept for two minutes, and counts as alive")
	}
	srv.draining = true
	if err := srv.Alive(); err != nil {
		t.Errorf("while it drains: %v", err)
	}
}

// What each write to a client pays for being counted.
func BenchmarkSent(b *testing.B) {
	var s stats
	b.ReportAllocs()
	for b.Loop() {
		s.sent(1, 120, nanotime())
	}
}
