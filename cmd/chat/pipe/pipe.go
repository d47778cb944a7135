package pipe

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
)

var (
	// ErrRefused is wrapped if the server does not let the user into the room.
	ErrRefused = errors.New("refused")
	// ErrNotSent is wrapped if a message was not acknowledged.
	ErrNotSent = errors.New("not acknowledged")
	// ErrNoWayIn is wrapped if the room could not be entered in time.
	ErrNoWayIn = errors.New("not entered")

	errSilent = errors.New("no answer")
)

const (
	// ahead bounds the messages that were read and not acknowledged yet.
	ahead = 100
	// longestLine bounds the bytes of a line. Servers refuse much less.
	longestLine = 4 << 20
	// stubborn is how long to wait, with Once, for the room, and at the end for
	// an acknowledgement when none comes.
	stubborn = 30 * time.Second
	// copied is how long to wait at the end for the copies of one's own
	// messages, after their acknowledgements.
	copied = 2 * time.Second
)

// Options say what is piped where.
type Options struct {
	Room, User, Server string
	JSON               bool
	Once               bool // end when the input has ended and all is acknowledged
	Out, Err           io.Writer
}

// A Pipe is one room, as lines.
type Pipe struct {
	opts Options

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed and made anew when something of it changes
	room    *room.Room    // knows what was printed
	entered bool
	ended   bool              // the input has
	unread  error             // why it has ended too early
	fatal   error             // why there is nothing more to wait for
	down    bool              // the connection is, and that was told
	waiting map[string]string // bodies by client id, until they are acknowledged
	copies  map[string]bool   // acknowledged, and not printed
	failed  int
	trouble string // that was told of last
}

// New returns a pipe whose Emit is for the session that Run is given.
func New(o Options) *Pipe {
	return &Pipe{
		opts:    o,
		changed: make(chan struct{}),
		room:    room.New(o.Room, o.User),
		waiting: map[string]string{},
		copies:  map[string]bool{},
	}
}

// Run sends lines until in has ended and, with Once, all are acknowledged; else
// until ctx ends. It returns an error that wraps ErrRefused, ErrNoWayIn or
// ErrNotSent, or one of reading or writing. It does not wait for a read that is
// under way.
func (p *Pipe) Run(ctx context.Context, s *talk.Session, in io.Reader) error {
	s.Join(p.opts.Room)
	err := p.enter(ctx)
	if err == nil {
		go p.read(ctx, s, in)
		err = p.until(ctx, func() bool { return p.ended })
	}
	if err == nil {
		err = p.rest(ctx)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, errSilent) { // told to end, or the verdict says it
		err = nil
	}
	return p.verdict(err)
}

// enter waits for the room.
func (p *Pipe) enter(ctx context.Context) error {
	err := p.progress(ctx, func() bool { return p.entered })
	if errors.Is(err, errSilent) {
		err = fmt.Errorf("the room %q was %w within %v", p.opts.Room, ErrNoWayIn, stubborn)
	}
	return err
}

// rest waits for what is still to come once the input has ended.
func (p *Pipe) rest(ctx context.Context) error {
	if !p.opts.Once && !p.failedToRead() {
		return p.until(ctx, func() bool { return false })
	}
	for open := p.open(); open > 0; open = p.open() {
		if err := p.within(ctx, stubborn, func() bool { return len(p.waiting) < open }); err != nil {
			return err
		}
	}
	return p.within(ctx, copied, func() bool { return len(p.copies) == 0 })
}

// progress waits for a condition; with Once not for ever.
func (p *Pipe) progress(ctx context.Context, ok func() bool) error {
	if p.opts.Once {
		return p.within(ctx, stubborn, ok)
	}
	return p.until(ctx, ok)
}

// within waits for a condition, but not for ever: then it returns errSilent.
func (p *Pipe) within(ctx context.Context, d time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errSilent)
	defer cancel()
	return p.until(ctx, ok)
}

// until waits for a condition on what p.mu guards, or until there is nothing to
// wait for.
func (p *Pipe) until(ctx context.Context, ok func() bool) error {
	for {
		p.mu.Lock()
		done, err, changed := ok(), p.fatal, p.changed
		p.mu.Unlock()
		switch {
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *Pipe) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

func (p *Pipe) failedToRead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unread != nil
}

// verdict adds to err what was not read and what was not acknowledged.
func (p *Pipe) verdict(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var unsent error
	switch n := len(p.waiting) + p.failed; n {
	case 0:
	case 1:
		unsent = fmt.Errorf("1 message was %w", ErrNotSent)
	default:
		unsent = fmt.Errorf("%d messages were %w", n, ErrNotSent)
	}
	for _, other := range []error{p.unread, unsent} {
		switch {
		case err == nil:
			err = other
		case other != nil:
			err = fmt.Errorf("%w; %w", err, other) // one line
		}
	}
	return err
}

// read says each line, and waits while too many are not acknowledged.
func (p *Pipe) read(ctx context.Context, s *talk.Session, in io.Reader) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		body := strings.ToValidUTF8(strings.TrimSuffix(lines.Text(), "\r"), "\uFFFD")
		if strings.TrimSpace(body) == "" {
			continue
		}
		err := p.progress(ctx, func() bool { return len(p.waiting) < ahead })
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.stopped(err)
			return
		}
		id := rand.Text()
		p.change(func() { p.waiting[id] = body })
		s.Say(p.opts.Room, id, body)
	}
	p.stopped(lines.Err())
}

// stopped notes that nothing more is read, and why; nil at the end.
func (p *Pipe) stopped(err error) {
	p.change(func() {
		p.ended = true
		switch {
		case errors.Is(err, errSilent):
			p.fatal = fmt.Errorf("no acknowledgement within %v: the rest of the input was not sent", stubborn)
		case errors.Is(err, bufio.ErrTooLong):
			p.unread = fmt.Errorf("a line is longer than %d bytes: it and what follows it was not sent", longestLine)
		case err != nil:
			p.unread = fmt.Errorf("reading standard input: %w", err)
		}
	})
}

// change changes what p.mu guards, and tells who waits.
func (p *Pipe) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}
