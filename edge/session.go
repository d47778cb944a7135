package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// A pollSession carries a conn over requests: what the client is to get waits
// here for its next poll, what it sends comes in POSTs. It has no goroutine.
type pollSession struct {
	conn conn
	lp   *longPoll
	id   sessionID
	ip   string
	turn chan struct{} // holds a token while a POST is handled

	mu     sync.Mutex // guards what follows
	queue  []frame
	bytes  int
	getter uint64        // the newest GET, which gets what comes next
	wake   chan struct{} // not nil while that one waits for the queue to fill
	taken  chan struct{} // not nil while someone waits for the queue to empty
	heard  int64         // when a poll last began or ended
	due    int64         // when the getter may have what is queued
	paid   int64         // up to when the rate of requests is used up
	closed bool          // nothing more is queued; what is there may still be polled
	gone   bool
	upload *upload // of the newest POST that comes through another edge
	given  answer  // to the newest GET, if it came through another edge
}

// A pollState is what a poll came to.
type pollState uint8

const (
	pollAgain      pollState = iota // nothing yet, or more at once: ask again
	pollMessages                    // there are messages
	pollSuperseded                  // a newer GET gets what comes next
	pollUnreadable                  // there was a message that is no text
	pollGone                        // there is no such session any more
)

// statusNotText, besides Phoenix's own, is what a POST comes to whose body is
// neither text nor base64.
const statusNotText = 500

// poll returns what is queued, as JSON strings with commas between them. If
// there is nothing it waits until there is, or ctx ends, and says pollAgain:
// what has come stays queued for a client that still asks. get names the GET
// that asks, and first tells its first poll from the others.
func (s *pollSession) poll(ctx context.Context, get uint64, first bool) ([]byte, pollState) {
	s.mu.Lock()
	now := s.conn.srv.clock()
	switch {
	case s.gone:
		s.mu.Unlock()
		return nil, pollGone
	case s.closed && len(s.queue) == 0: // its client has got the last of it
		s.mu.Unlock()
		s.leave()
		return nil, pollGone
	case first:
		s.getter, s.heard, s.due = get, now, s.dueLocked(now)
		s.given = answer{} // its client has it
	case s.getter != get:
		s.mu.Unlock()
		return nil, pollSuperseded
	}
	if len(s.queue) > 0 && s.due <= now && ctx.Err() == nil {
		frames := s.takeLocked()
		s.heard = now
		s.mu.Unlock()
		return s.encode(frames)
	}
	wake := make(chan struct{})
	var due <-chan time.Time
	if len(s.queue) > 0 {
		if s.due > now {
			s.conn.srv.stats.limits[limitPollRate].Add(1)
		}
		t := time.NewTimer(time.Duration(s.due - now))
		defer t.Stop()
		due = t.C
	} else {
		s.wake = wake
	}
	s.mu.Unlock()

	select {
	case <-wake:
	case <-due:
	case <-ctx.Done():
	case <-s.conn.ctx.Done(): // an older GET is not woken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake == wake {
		s.wake = nil
	}
	switch {
	case s.gone:
		return nil, pollGone
	case s.getter != get:
		return nil, pollSuperseded
	}
	s.heard = s.conn.srv.clock()
	return nil, pollAgain
}

// dueLocked returns from when on one more request is within the rate. A second's
// worth of requests may come at once; what goes beyond the window is forgiven.
func (s *pollSession) dueLocked(now int64) int64 {
	second := int64(time.Second)
	s.paid = max(s.paid, now) + second/int64(s.lp.opts.PollRate)
	s.paid = min(s.paid, now+second+int64(s.lp.opts.Window))
	return s.paid - second
}

func (s *pollSession) takeLocked() []frame {
	frames := s.queue
	s.queue, s.bytes = nil, 0
	if s.taken != nil {
		close(s.taken)
		s.taken = nil
	}
	return frames
}

// encode writes messages as they stand in an answer. As in Phoenix, a binary
// one has no form there: one that happens to be text is given as that, any other
// spoils the answer, and with it the session, since the rest is lost too.
func (s *pollSession) encode(frames []frame) ([]byte, pollState) {
	size := 0
	for _, f := range frames {
		size += len(f) + len(f)/4 + 3
	}
	b := make([]byte, 0, size)
	for i, f := range frames {
		message, isBinary := f.message()
		if isBinary && !utf8.Valid(message) {
			s.conn.end(websocket.StatusUnsupportedData, errBinaryPolled)
			return nil, pollUnreadable
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, message)
	}
	s.conn.srv.stats.messagesOut.Add(uint64(len(frames)))
	s.conn.srv.stats.bytesOut.Add(uint64(len(b)))
	return b, pollMessages
}

var errBinaryPolled = errors.New("a binary message cannot be sent over long-polling")

// appendQuoted appends text as a JSON string.
func appendQuoted(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, c := range text {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		if c < 0x20 {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	return append(append(dst, text[from:]...), '"')
}

// post handles the messages of a POST, one after another. The status is that of
// the answer's body.
func (s *pollSession) post(ctx context.Context, body []byte, ndjson bool) int {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return 408
	}
	s.mu.Lock()
	now := s.conn.srv.clock()
	due := s.dueLocked(now)
	s.mu.Unlock()
	if due > now {
		s.conn.srv.stats.limits[limitPollRate].Add(1)
		select {
		case <-time.After(time.Duration(due - now)):
		case <-ctx.Done():
			return 408
		case <-s.conn.ctx.Done():
		}
	}
	s.conn.srv.stats.bytesIn.Add(uint64(len(body)))
	entries, err := entriesOf(body, ndjson)
	if err != nil {
		s.conn.srv.log.Info("refusing body", s.conn.attrs("error", err)...)
		return statusNotText
	}
	for _, e := range entries {
		if s.conn.isEnded() {
			return 410
		}
		if !s.handle(e) {
			return 410
		}
		s.conn.waitForInbox(ctx.Done())
		if ctx.Err() != nil {
			return 408
		}
	}
	return 200
}

// handle receives a message, or ends the session if it is none.
func (s *pollSession) handle(e entry) bool {
	switch {
	case int64(len(e.data)) > s.conn.srv.opts.MaxMessage:
		s.conn.srv.stats.limits[limitMessage].Add(1)
		s.conn.end(websocket.StatusMessageTooBig, fmt.Errorf("%w: it has %d bytes", websocket.ErrMessageTooBig, len(e.data)))
		return false
	case !e.binary && !utf8.Valid(e.data):
		s.conn.end(websocket.StatusInvalidFramePayloadData, errors.New("invalid UTF-8"))
		return false
	}
	m, err := s.conn.decode(e.binary, e.data)
	if err != nil {
		s.conn.end(websocket.StatusInternalError, err)
		return false
	}
	s.conn.receive(m)
	return true
}

// send implements transport.
func (s *pollSession) send(f frame, _ int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.gone {
		return true
	}
	o := &s.lp.opts
	if len(s.queue) >= o.QueueFrames || s.bytes+len(f) > o.QueueBytes && s.bytes > 0 {
		return false
	}
	s.queue = append(s.queue, f)
	s.bytes += len(f)
	s.wakeLocked()
	return true
}

func (s *pollSession) wakeLocked() {
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// close implements transport. As in Phoenix, what is queued is lost: the next
// poll says that the session is gone. But for a server that drains: that should
// cost nobody anything, and the next poll gets what is queued.
func (s *pollSession) close(code websocket.StatusCode) {
	s.mu.Lock()
	s.closed = code == websocket.StatusServiceRestart && len(s.queue) > 0
	stays := s.closed
	s.mu.Unlock()
	if !stays {
		s.leave()
	}
}

// discard implements transport.
func (s *pollSession) discard(websocket.StatusCode) { s.leave() }

// hangUp implements transport.
func (s *pollSession) hangUp() { s.leave() }

func (s *pollSession) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	why := dropGone
	if s.conn.slowed.Load() {
		why = dropSlow
	}
	s.conn.srv.stats.dropped[why].Add(uint64(len(s.takeLocked())))
	s.wakeLocked()
	s.upload, s.given = nil, answer{}
	go s.finish()
}

func (s *pollSession) finish() {
	srv := s.conn.srv
	defer srv.wg.Done()
	s.lp.forget(s)
	s.conn.stopChannels(errSlow) // any other reason has been given by now
	s.conn.waitForChannels()
	srv.remove(&s.conn)
}

// wait implements transport.
func (s *pollSession) wait(timeout time.Duration) {
	s.mu.Lock()
	if len(s.queue) == 0 {
		s.mu.Unlock()
		return
	}
	if s.taken == nil {
		s.taken = make(chan struct{})
	}
	taken := s.taken
	s.mu.Unlock()
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-taken:
	case <-t.C:
	}
}

// inspect implements transport: only polls show that a client is there.
func (s *pollSession) inspect(now int64) (_ int64, bytes int) {
	s.mu.Lock()
	bytes = s.bytes
	idle := !s.gone && now-s.heard > int64(s.lp.opts.Window)*3/2
	s.mu.Unlock()
	if idle {
		s.conn.end(websocket.StatusGoingAway, errIdle)
	}
	return 0, bytes
}

// An entry is one message of a POST, in memory of its own.
type entry struct {
	data   []byte
	binary bool
}

// maxEntries bounds how many messages of a POST are handled; what follows them
// is ignored, as in Phoenix.
const maxEntries = 100

// entriesOf takes a body apart. In one that is ndjson a line that begins with [
// is text, any other the base64 of a binary message; an empty one, after a final
// newline for instance, is nothing. Any other body is one text.
func entriesOf(body []byte, ndjson bool) ([]entry, error) {
	if !ndjson {
		return []entry{{data: body}}, nil
	}
	var entries []entry
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		line = bytes.TrimRight(line, "\r") // encoding/base64 would pass over them
		if len(line) == 0 {
			continue
		}
		if len(entries) == maxEntries {
			break
		}
		if line[0] == '[' {
			entries = append(entries, entry{data: bytes.Clone(line)})
			continue
		}
		data, err := decodeBase64(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is neither a message nor base64: %w", len(entries)+1, err)
		}
		entries = append(entries, entry{data, true})
	}
	return entries, nil
}
