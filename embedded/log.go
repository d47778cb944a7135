package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// natsLog hands the server's log to slog.
type natsLog struct {
	log *slog.Logger

	mu    sync.Mutex // guards first
	first error
}

func (l *natsLog) Noticef(format string, v ...any) {
	level := slog.LevelDebug
	// The server cuts a connection off and calls it a notice.
	if strings.Contains(format, "Slow Consumer") {
		level = slog.LevelWarn
	}
	l.logf(level, format, v...)
}

func (l *natsLog) Warnf(format string, v ...any)  { l.logf(slog.LevelWarn, format, v...) }
func (l *natsLog) Errorf(format string, v ...any) { l.logf(slog.LevelError, format, v...) }
func (l *natsLog) Debugf(format string, v ...any) { l.logf(slog.LevelDebug, format, v...) }
func (l *natsLog) Tracef(format string, v ...any) { l.logf(slog.LevelDebug, format, v...) }

// Fatalf is called by Start, which then gives up without another word: the
// error is kept for whoever waits, who also reports it.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = fmt.Errorf(format, v...)
	}
}

func (l *natsLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

func (l *natsLog) logf(level slog.Level, format string, v ...any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, strings.TrimSpace(fmt.Sprintf(format, v...)))
	}
}
