package fleet_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// logged keeps when the lines of a log were written, by their text.
type logged struct {
	mu    sync.Mutex // guards what follows
	lines map[string][]time.Time
}

// since returns when a line was written, counted from then.
func (l *logged) since(began time.Time, message string) (at []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.lines[message] {
		at = append(at, t.Sub(began))
	}
	return at
}

func (l *logged) logger() *slog.Logger { return slog.New(l) }

func (l *logged) want(t *testing.T, message string, times int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := len(l.lines[message]); got != times {
		t.Errorf("the log says %q %d times, want %d", message, got, times)
	}
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines = make(map[string][]time.Time)
	}
	l.lines[r.Message] = append(l.lines[r.Message], r.Time)
	return nil
}

func (l *logged) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *logged) WithGroup(string) slog.Handler { return l }
