package fleet_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
)

// logged counts the lines of a log by their text.
type logged struct {
	mu    sync.Mutex // guards what follows
	lines map[string]int
}

func (l *logged) logger() *slog.Logger { return slog.New(l) }

func (l *logged) want(t *testing.T, message string, times int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := l.lines[message]; got != times {
		t.Errorf("the log says %q %d times, want %d: %v", message, got, times, l.lines)
	}
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines = make(map[string]int)
	}
	l.lines[r.Message]++
	return nil
}

func (l *logged) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *logged) WithGroup(string) slog.Handler { return l }
