package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/aristochat/aristochat/protocol"
)

// Bounds of what a client may ask for at once. More than a page follows in
// pushes of the event history.
const (
	pageSize     = 200
	defaultLimit = 50
	eventHistory = "history"
)

// A pastRequest is what a client wants of the time before it joined: join
// params of a channel with stored events.
type pastRequest struct {
	History number  `json:"history"` // the newest N
	Since   number  `json:"since"`   // all after this sequence …
	Epoch   *string `json:"epoch"`   // … of this incarnation of the store
}

// A pastReply is what a join's reply then carries besides what Join returned.
type pastReply struct {
	Messages  messages `json:"messages"`
	FirstSeq  uint64   `json:"first_seq"` // where to scroll back from; 0 if there is nothing
	LastSeq   uint64   `json:"last_seq"`  // where to resume: the newest sequence handed out
	Recovered bool     `json:"recovered"` // nothing is missing that was asked for
	Reason    string   `json:"reason,omitempty"`
	Epoch     string   `json:"epoch"`
	More      bool     `json:"more"` // history pushes follow before anything live
}

// Why a client could not be given all that it missed.
const (
	reasonEpochMissing = "epoch missing" // since means nothing without it
	reasonEpochChanged = "epoch changed" // the store was wiped or made anew
	reasonNotKept      = "no longer kept"
)

// messages are stamped payloads.
type messages []json.RawMessage

// past answers the join's wish for history. It runs after s has entered its
// room and before its gate opens: what is read here, and what is held at the
// gate, together leave no gap; what both have is sent once.
func (s *Socket) past(ctx context.Context, response any, m *protocol.Message) (any, error) {
	req, asked, err := parsePast(Payload{m.Payload, m.Binary})
	if err != nil || !asked {
		return response, err
	}
	stats := &s.conn.srv.stats
	if req.since {
		stats.histories[historyResume].Add(1)
	} else {
		stats.histories[historyJoin].Add(1)
	}
	reply := pastReply{Recovered: true, Epoch: s.conn.srv.epoch()}
	if reply.Epoch == "" {
		return nil, ErrUnavailable
	}
	q := Query{Limit: pageSize, AtLeast: s.roomLast()}
	switch {
	case req.since && (req.epoch == "" || req.epoch == reply.Epoch):
		q.After = req.after
		if req.epoch == "" {
			reply.Recovered, reply.Reason = false, reasonEpochMissing
		}
	case req.since:
		q.Last, q.Limit = true, req.limit
		reply.Recovered, reply.Reason = false, reasonEpochChanged
	default:
		q.Last, q.Limit = true, req.limit
	}
	page, err := s.read(ctx, q)
	if err == nil && page.Trimmed && len(page.Messages) == 0 {
		// Nothing follows since, which may never have been.
		q = Query{Last: true, Limit: req.limit, AtLeast: q.AtLeast}
		page, err = s.read(ctx, q)
		page.Trimmed = true
	}
	if err != nil {
		return nil, fmt.Errorf("reading history: %w", err)
	}
	if s.conn.srv.epoch() != reply.Epoch { // whose messages are these?
		return nil, ErrUnavailable
	}
	if page.Trimmed && reply.Recovered {
		reply.Recovered, reply.Reason = false, reasonNotKept
	}
	reply.Messages, reply.FirstSeq, reply.LastSeq = s.stamped(page)
	reply.LastSeq = max(reply.LastSeq, q.AtLeast)
	if !page.Trimmed { // else After may be nothing that ever was
		reply.LastSeq = max(reply.LastSeq, q.After)
	}
	if q.Limit == 0 {
		reply.Messages, reply.FirstSeq = messages{}, 0
	}
	if !q.Last && page.More {
		reply.More = true
		reply.LastSeq = lastSeq(page)
		s.member.more = true
	}
	if req.since {
		stats.resumes[resumeResult(&reply)].Add(1)
	}
	s.member.cursor, s.member.epoch, s.member.asked = reply.LastSeq, reply.Epoch, true
	return merge(response, &reply)
}

type past struct {
	since bool
	after uint64
	epoch string
	limit int
}

// parsePast reads join params. Params that ask for nothing, or are not an
// object, are the application's.
func parsePast(params Payload) (req past, asked bool, err error) {
	var p pastRequest
	if params.Binary || !params.isObject() {
		return past{}, false, nil
	}
	if err := json.Unmarshal(params.Bytes, &p); err != nil {
		return past{}, false, Refuse(`"epoch" must be a string`)
	}
	req.limit = defaultLimit
	if p.History.given() {
		n, ok := p.History.whole()
		if !ok {
			return past{}, false, Refuse(`"history" must be a whole number from 0`)
		}
		req.limit = int(min(n, pageSize))
	}
	if p.Since.given() {
		n, ok := p.Since.whole()
		if !ok {
			return past{}, false, Refuse(`"since" must be a whole number from 0 to 2^53-1`)
		}
		req.since, req.after = true, n
	}
	if p.Epoch != nil {
		req.epoch = *p.Epoch
	}
	return req, p.History.given() || p.Since.given(), nil
}

// A number is the JSON that a client sent where one is wanted.
type number json.RawMessage

func (n *number) UnmarshalJSON(b []byte) error {
	*n = append((*n)[:0], b...)
	return nil
}

func (n number) given() bool { return len(n) > 0 && string(n) != "null" }

// whole returns what JavaScript can count with, however it is spelled.
func (n number) whole() (uint64, bool) {
	if u, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return u, u < 1<<53
	}
	f, err := strconv.ParseFloat(string(n), 64) // of what is JSON, only numbers parse
	if err != nil || f < 0 || f != math.Trunc(f) || f >= 1<<53 {
		return 0, false
	}
	return uint64(f), true
}

// merge adds the history to the application's response, which must be an
// object.
func merge(response any, reply *pastReply) (any, error) {
	p, err := payloadOf(response)
	if err != nil {
		return nil, err
	}
	members := map[string]json.RawMessage{}
	if p.Binary || json.Unmarshal(p.Bytes, &members) != nil {
		return nil, fmt.Errorf("the response of Join must be an object for history to be added: %w", protocol.ErrPayload)
	}
	added, err := payloadOf(reply)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(added.Bytes, &members); err != nil {
		return nil, err
	}
	return members, nil
}

// read reads. A limit of 0 wants no messages, but to know where to resume.
func (s *Socket) read(ctx context.Context, q Query) (Page, error) {
	q.Limit = max(q.Limit, 1)
	page, err := s.conn.srv.backbone.(History).Read(ctx, s.topic, q)
	if err != nil {
		s.conn.srv.stats.historyFailures.Add(1)
	}
	return page, err
}

// stamped returns a page as clients get it. What is not fit to deliver live is
// not delivered late either; but the bounds are the page's, so that a client
// gets over a page with nothing for it.
func (s *Socket) stamped(page Page) (list messages, first, last uint64) {
	// When a thousand clients come back at once, their pages wait for each other
	// rather than keep the processors from everything else: reads would time out.
	s.conn.srv.pages <- struct{}{}
	defer func() { <-s.conn.srv.pages }()
	list = messages{}
	for i := range page.Messages {
		d := &page.Messages[i]
		if first == 0 {
			first = d.Seq
		}
		last = d.Seq
		p, err := stamp(s.route, d)
		if err != nil {
			continue // logged when it was live
		}
		list = append(list, p)
	}
	return list, first, last
}

func lastSeq(page Page) uint64 { return page.Messages[len(page.Messages)-1].Seq }

// catchUp pushes the pages that did not fit into the join's reply, then opens
// the gate. If more came meanwhile than the gate could hold, that is read too.
func (s *Socket) catchUp(ctx context.Context) error {
	q := Query{After: s.member.cursor, Limit: pageSize, AtLeast: s.roomLast()}
	for {
		page, err := s.read(ctx, q)
		if err != nil {
			return fmt.Errorf("reading history: %w", err)
		}
		if page.Trimmed { // the next join's reply says so
			return errors.New("what the client was to catch up with is no longer kept")
		}
		list, first, last := s.stamped(page)
		if len(list) > 0 {
			if err := s.Push(eventHistory, historyPage{list, first, last, page.More, ""}); err != nil {
				return err
			}
			// A client that reads slowly gets its past at its own pace.
			s.conn.transport.wait(s.conn.srv.opts.OutboxAge)
		}
		if len(page.Messages) > 0 {
			q.After = lastSeq(page)
		}
		if page.More {
			continue
		}
		if s.openGateAt(max(q.After, q.AtLeast)) {
			return nil
		}
		q.AtLeast = s.roomLast()
	}
}

// A historyPage is a push of the event history, and the reply to one.
type historyPage struct {
	Messages messages `json:"messages"`
	FirstSeq uint64   `json:"first_seq"`
	LastSeq  uint64   `json:"last_seq"`
	More     bool     `json:"more"`
	Epoch    string   `json:"epoch,omitempty"`
}

// scrollBack answers the event history: {"before": SEQ, "limit": N}.
func (s *Socket) scrollBack(ctx context.Context, p Payload) (*Reply, error) {
	var req struct {
		Before number `json:"before"`
		Limit  number `json:"limit"`
	}
	if err := p.Decode(&req); err != nil {
		return nil, err
	}
	s.conn.srv.stats.histories[historyScroll].Add(1)
	q := Query{Last: !req.Before.given(), Limit: defaultLimit}
	if req.Before.given() {
		n, ok := req.Before.whole()
		if !ok || n == 0 {
			return nil, Refuse(`"before" must be a whole number from 1 to 2^53-1`)
		}
		q.Before = n
	}
	if req.Limit.given() {
		n, ok := req.Limit.whole()
		if !ok || n == 0 {
			return nil, Refuse(`"limit" must be a whole number from 1`)
		}
		q.Limit = int(min(n, pageSize))
	}
	page, err := s.read(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("reading history: %w", err)
	}
	list, first, last := s.stamped(page)
	return OK(historyPage{list, first, last, page.More, s.conn.srv.epoch()}), nil
}

// Append stores an event on the channel's topic and returns once the store has
// acknowledged it; see [History]. The key, if not empty, makes a repetition
// harmless: within two minutes the same key on the same topic gives the first
// stamp again. It should be made from the user and what the user's client chose.
func (s *Socket) Append(ctx context.Context, event string, payload any, key string) (Stamp, error) {
	if err := s.open(); err != nil {
		return Stamp{}, fmt.Errorf("appending %q: %w", event, err)
	}
	return s.conn.srv.append(ctx, s.route, s.topic, event, payload, key)
}

// append stores an event that the route says is stored.
func (srv *Server) append(ctx context.Context, rt *route, topic, event string, payload any, key string) (Stamp, error) {
	p, err := payloadOf(payload)
	if err != nil {
		return Stamp{}, err
	}
	switch {
	case !rt.stores(event):
		return Stamp{}, fmt.Errorf("appending %q: the channel does not declare it as stored", event)
	case p.Binary:
		return Stamp{}, fmt.Errorf("appending %q: %w", event, errBinaryStored)
	case !p.isObject():
		return Stamp{}, fmt.Errorf("appending %q: %w", event, protocol.ErrPayload)
	}
	ctx, span := srv.publishSpan(ctx, topic, event)
	stamp, err := srv.backbone.(History).Append(ctx, topic, Event{Name: event, Payload: p.Bytes, Trace: traceParent(ctx)}, key)
	if err == nil && span.IsRecording() {
		span.SetAttributes(attrSeq.Int64(int64(stamp.Seq)))
	}
	endSpan(span, err)
	return stamp, err
}
