// Package logsample keeps a log readable while something goes wrong a thousand
// times a second. A [Handler] passes on the first few lines of each message in a
// second, and when the second is over says how many it left out.
package logsample

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options tune a Handler. A nil *Options is valid.
type Options struct {
	// PerSecond is how many lines with the same level and message pass in a
	// second. If zero, 10.
	PerSecond int
}

// A Handler is an [slog.Handler] in front of another. Lines below INFO all pass:
// who asks for them wants them. What is left out is counted, and said when the
// second is over: line is the message, lines how many.
type Handler struct {
	next  slog.Handler
	state *state // of this Handler and all that WithAttrs and WithGroup made of it
}

type state struct {
	perSecond int
	root      slog.Handler // as New was given it: what is left out has no attributes
	levels    [len(levelNames)]atomic.Uint64
	leftOut   atomic.Uint64

	mu      sync.Mutex // guards what follows
	seconds map[key]*second
}

// A key is what makes two lines the same.
type key struct {
	level   slog.Level
	message string
}

// A second is what came of one message since it came first.
type second struct {
	passed, leftOut int
}

// maxKeys bounds the messages that are told apart. Ours are constants; but
// libraries write what strangers do into theirs.
const maxKeys = 1000

// New returns a Handler that passes lines on to next.
func New(next slog.Handler, o *Options) *Handler {
	s := &state{perSecond: 10, root: next, seconds: make(map[key]*second)}
	if o != nil && o.PerSecond != 0 {
		s.perSecond = o.PerSecond
	}
	return &Handler{next, s}
}

// Enabled implements [slog.Handler].
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler].
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.next.WithAttrs(attrs), h.state}
}

// WithGroup implements [slog.Handler].
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.next.WithGroup(name), h.state}
}

// Handle implements [slog.Handler].
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	h.state.levels[levelOf(r.Level)].Add(1)
	if r.Level >= slog.LevelInfo && !h.state.passes(key{r.Level, r.Message}) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (s *state) passes(k key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.seconds[k]
	if sec == nil {
		if len(s.seconds) >= maxKeys {
			k.message = "" // all others together
			sec = s.seconds[k]
		}
		if sec == nil {
			sec = &second{}
			s.seconds[k] = sec
			time.AfterFunc(time.Second, func() { s.end(k) })
		}
	}
	if sec.passed < s.perSecond {
		sec.passed++
		return true
	}
	sec.leftOut++
	s.leftOut.Add(1)
	return false
}

// end says what was left out of a second that is over.
func (s *state) end(k key) {
	s.mu.Lock()
	sec := s.seconds[k]
	delete(s.seconds, k)
	s.mu.Unlock()
	if sec != nil {
		s.tell(k, sec.leftOut)
	}
}

func (s *state) tell(k key, n int) {
	if n == 0 {
		return
	}
	r := slog.NewRecord(time.Now(), k.level, "left out more lines like one before", 0)
	r.AddAttrs(slog.String("line", k.message), slog.Int("lines", n))
	_ = s.root.Handle(context.Background(), r) // a log that cannot be written has nowhere to say so
}

// Flush says what was left out up to now: call it before the program ends.
func (h *Handler) Flush() {
	s := h.state
	s.mu.Lock()
	seconds := s.seconds
	s.seconds = make(map[key]*second)
	s.mu.Unlock()
	for k, sec := range seconds {
		s.tell(k, sec.leftOut)
	}
}

// levelNames are those by which lines are counted.
var levelNames = [...]string{"debug", "info", "warn", "error"}

func levelOf(l slog.Level) int {
	switch {
	case l < slog.LevelInfo:
		return 0
	case l < slog.LevelWarn:
		return 1
	case l < slog.LevelError:
		return 2
	}
	return 3
}

// Lines returns how many lines came, by level: debug, info, warn, error. Those
// left out are among them.
func (h *Handler) Lines() map[string]uint64 {
	m := make(map[string]uint64, len(levelNames))
	for i, name := range levelNames {
		m[name] = h.state.levels[i].Load()
	}
	return m
}

// LeftOut returns how many lines were left out.
func (h *Handler) LeftOut() uint64 { return h.state.leftOut.Load() }
