package edge

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"
)

// What edges ask each other about long-polling sessions, over [Caller]. Each
// question is answered within half the OwnerTimeout: one that must wait longer
// is asked again, so that an owner that has died is known soon.
//
// A message is a line of JSON, followed by bytes of a body.
type (
	question struct {
		Kind    string `json:"kind"`
		Session string `json:"session"`
		ID      uint64 `json:"id"` // of the GET or POST that asks
		WaitMS  int64  `json:"wait_ms,omitempty"`

		First bool `json:"first,omitempty"` // of askPoll: the GET has just come

		NDJSON bool `json:"ndjson,omitempty"` // of askPost
		Offset int  `json:"offset,omitempty"` // of this part in the POST's body, or in the answer …
		Total  int  `json:"total,omitempty"`  // … which has so many bytes
	}

	reply struct {
		State  pollState `json:"state"`            // to askPoll and askRest
		Rest   int       `json:"rest,omitempty"`   // bytes that did not fit
		Status int       `json:"status,omitempty"` // to askPost and askPosted; 0 if it is not done yet
	}
)

const (
	askPoll   = "poll"   // for messages
	askRest   = "rest"   // for the next part of them
	askPost   = "post"   // to handle a part of a body
	askPosted = "posted" // what came of it
)

// maxPart is how many bytes of a body one message holds: NATS takes 1 MiB unless
// told otherwise.
const maxPart = 384 << 10

func marshal(header any, body []byte) []byte {
	b, _ := json.Marshal(header) // of strings, numbers and bools
	return append(append(b, '\n'), body...)
}

func unmarshal(data []byte, header any) (body []byte, err error) {
	line, body, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return nil, errors.New("no header")
	}
	return body, json.Unmarshal(line, header)
}

// A remoteSession is one that another edge has.
type remoteSession struct {
	lp   *longPoll
	edge string
	id   sessionID
}

// poll implements owner.
func (o *remoteSession) poll(ctx context.Context, get uint64, first bool) ([]byte, pollState) {
	wait := o.patience(ctx)
	// The owner hands its messages out once: an answer is awaited even if the
	// window ends meanwhile, and without one the session is taken to be gone. Its
	// client then resumes.
	var r reply
	messages, err := o.ask(ctx, question{Kind: askPoll, ID: get, First: first, WaitMS: wait}, nil, &r)
	if isUnasked(err) && (ctx.Err() != nil || o.lp.ctx.Err() != nil) {
		return nil, pollAgain // there was no way to the owner all the time, who still has everything
	}
	for err == nil && r.Rest > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nobodyPatience)
		var part []byte
		part, err = o.ask(ctx, question{Kind: askRest, ID: get, Offset: len(messages)}, nil, &r)
		cancel()
		messages = append(messages, part...)
	}
	if err != nil {
		o.lost(err)
		return nil, pollGone
	}
	return messages, r.State
}

// post implements owner.
func (o *remoteSession) post(ctx context.Context, body []byte, ndjson bool) int {
	q := question{Kind: askPost, ID: rand.Uint64(), NDJSON: ndjson, Total: len(body)} //nolint:gosec // a name among the few of one session
	var r reply
	for first := true; first || q.Offset < q.Total && r.Status == 0; first = false {
		part := body[q.Offset:min(q.Offset+maxPart, len(body))]
		q.WaitMS = o.patience(ctx)
		if _, err := o.ask(ctx, q, part, &r); err != nil {
			return o.failed(ctx, err)
		}
		q.Offset += len(part)
	}
	for r.Status == 0 {
		if _, err := o.ask(ctx, question{Kind: askPosted, ID: q.ID, WaitMS: o.patience(ctx)}, nil, &r); err != nil {
			return o.failed(ctx, err)
		}
	}
	return r.Status
}

func (o *remoteSession) failed(ctx context.Context, err error) int {
	if ctx.Err() != nil {
		return 408
	}
	o.lost(err)
	return 410
}

func (o *remoteSession) lost(err error) {
	o.lp.srv.log.Info("long-polling session is lost", "edge", o.edge, "error", err)
}

// patience is how long the owner may wait before it answers.
func (o *remoteSession) patience(ctx context.Context) int64 {
	wait := o.lp.opts.OwnerTimeout / 2
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	return max(1, wait.Milliseconds())
}

// Pauses between attempts to ask over a link that is down: from the first on they
// double up to the last.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// nobodyPatience is how long an owner that is known to live may be out of reach:
// when NATS restarts, edges come back one after the other.
const nobodyPatience = 3 * time.Second

// isUnasked reports whether an error says that the owner never got the question.
func isUnasked(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNobody)
}

// ask asks the owner. While there is no link it tries again until ctx ends; if
// the owner is known to live but cannot be reached, or its answer has been lost,
// for a while: to whoever asks the same again an owner answers the same. An answer
// is awaited for the OwnerTimeout, whatever ctx does.
func (o *remoteSession) ask(ctx context.Context, q question, body []byte, r *reply) ([]byte, error) {
	q.Session = hex.EncodeToString(o.id[:])
	data := marshal(q, body)
	var lost time.Time // since when the owner, and not the link, is
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		answer, err := o.request(ctx, data)
		if err == nil {
			*r = reply{}
			return unmarshal(answer, r)
		}
		if errors.Is(err, ErrUnavailable) {
			lost = time.Time{}
		} else {
			if lost.IsZero() {
				lost = time.Now()
			}
			if !o.lp.opts.Alive(o.edge) || time.Since(lost) > nobodyPatience {
				return nil, err
			}
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // spreads load
		case <-ctx.Done():
			return nil, err
		case <-o.lp.ctx.Done():
			return nil, err
		}
	}
}

func (o *remoteSession) request(ctx context.Context, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.lp.opts.OwnerTimeout)
	defer cancel()
	return o.lp.caller.Request(ctx, o.edge, data)
}

// answer answers another edge's question.
func (lp *longPoll) answer(ctx context.Context, data []byte) []byte {
	var q question
	body, err := unmarshal(data, &q)
	id, idErr := hex.DecodeString(q.Session)
	if err != nil || idErr != nil || len(id) != len(sessionID{}) {
		lp.srv.log.Warn("another edge asks what cannot be understood", "error", errors.Join(err, idErr))
		return marshal(reply{State: pollGone, Status: 410}, nil)
	}
	s := lp.session(sessionID(id))
	if s == nil {
		return marshal(reply{State: pollGone, Status: 410}, nil)
	}
	wait := min(time.Duration(q.WaitMS)*time.Millisecond, lp.opts.OwnerTimeout)
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	switch q.Kind {
	case askPoll:
		return s.answerPoll(ctx, q)
	case askRest:
		return s.answerRest(q)
	case askPost:
		return marshal(reply{Status: s.answerPost(ctx, q, body)}, nil)
	case askPosted:
		return marshal(reply{Status: s.answerPosted(ctx, q)}, nil)
	}
	lp.srv.log.Warn("another edge asks what cannot be understood", "kind", q.Kind)
	return marshal(reply{State: pollGone, Status: 410}, nil)
}

// An answer is what a GET that comes through another edge has been given. It is
// kept until the next one: it may be too large for one message, or get lost.
type answer struct {
	get  uint64
	data []byte
}

func (s *pollSession) answerPoll(ctx context.Context, q question) []byte {
	s.mu.Lock()
	isAgain := s.given.get == q.ID && len(s.given.data) > 0
	s.mu.Unlock()
	if isAgain {
		return s.answerRest(q)
	}
	messages, state := s.poll(ctx, q.ID, q.First)
	if state != pollMessages {
		return marshal(reply{State: state}, nil)
	}
	s.mu.Lock()
	s.given = answer{q.ID, messages}
	s.mu.Unlock()
	return s.answerRest(q)
}

// answerRest gives what fits of an answer, from an offset on.
func (s *pollSession) answerRest(q question) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given.get != q.ID || q.Offset < 0 || q.Offset >= len(s.given.data) {
		return marshal(reply{State: pollGone}, nil)
	}
	rest := s.given.data[q.Offset:]
	part := rest[:min(maxPart, len(rest))]
	return marshal(reply{State: pollMessages, Rest: len(rest) - len(part)}, part)
}

// An upload is a POST that comes through another edge.
type upload struct {
	id     uint64
	data   []byte
	got    int           // bytes, also once data has been handed on
	whole  bool          // data has been handed on: what still comes is a repetition
	done   chan struct{} // closed once status is set
	status int
}

func (s *pollSession) answerPost(ctx context.Context, q question, part []byte) int {
	s.mu.Lock()
	if s.gone {
		s.mu.Unlock()
		return 410
	}
	if q.Offset == 0 && (s.upload == nil || s.upload.id != q.ID) {
		s.upload = &upload{id: q.ID, done: make(chan struct{})}
	}
	u := s.upload
	if u != nil && u.id == q.ID && (u.whole || u.got > q.Offset) { // it came before, and the answer was lost
		whole := u.whole
		s.mu.Unlock()
		if whole {
			return u.wait(ctx)
		}
		return 0
	}
	if u == nil || u.id != q.ID || u.got != q.Offset || int64(q.Offset+len(part)) > s.lp.opts.MaxBody {
		s.mu.Unlock()
		return 408 // another POST has taken its place
	}
	u.data = append(u.data, part...)
	u.got += len(part)
	if u.got < q.Total {
		s.mu.Unlock()
		return 0
	}
	body := u.data
	u.data, u.whole = nil, true
	s.conn.retain()
	s.mu.Unlock()
	go func() {
		defer s.conn.release()
		ctx, cancel := context.WithTimeout(s.conn.ctx, s.lp.opts.Window)
		defer cancel()
		u.status = s.post(ctx, body, q.NDJSON)
		close(u.done)
	}()
	return u.wait(ctx)
}

func (s *pollSession) answerPosted(ctx context.Context, q question) int {
	s.mu.Lock()
	u := s.upload
	s.mu.Unlock()
	if u == nil || u.id != q.ID {
		return 410
	}
	return u.wait(ctx)
}

// wait returns the status, 0 if there is none yet.
func (u *upload) wait(ctx context.Context) int {
	select {
	case <-u.done:
		return u.status
	case <-ctx.Done():
		return 0
	}
}
