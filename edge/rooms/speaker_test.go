package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A speaker says things in a room and repeats each, with its client_id, until
// it is acknowledged. It is what a good client does.
type speaker struct {
	name  string
	topic string
	addrs []string // of edges; where it is no longer welcome it goes to the next
	drops float64  // how often it hangs up without waiting for the acknowledgement

	c       *client
	acked   []message // in the order in which it said them
	retries int
	drain   func([]frame) // gets what came meanwhile, if not nil
}

// say returns once the message is acknowledged.
func (s *speaker) say(ctx context.Context, body string) error {
	for hangUp := rand.Float64() < s.drops; ; hangUp = false {
		ack, err := s.try(ctx, body, hangUp)
		if err == nil {
			s.acked = append(s.acked, message{Body: body, Username: s.name, Seq: ack.Seq, At: ack.At})
			return nil
		}
		if _, no := errors.AsType[*refused](err); no {
			return fmt.Errorf("%s: %w", body, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.retries++
	}
}

func (s *speaker) try(ctx context.Context, body string, hangUp bool) (ack stamp, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if s.c != nil && s.drain != nil {
			s.drain(s.c.queue)
			s.c.queue = nil
		}
		var again *later
		if err != nil && s.c != nil && !errors.As(err, &again) {
			_ = s.c.ws.CloseNow()
			s.c = nil
			s.addrs = append(s.addrs[1:], s.addrs[0])
		}
	}()
	if s.c == nil {
		if s.c, err = dial(ctx, s.addrs[0], v2(s.name)); err != nil {
			return ack, pause(ctx, err, 20*time.Millisecond)
		}
		if _, err = s.c.tryJoin(ctx, s.topic, `{}`); err != nil {
			if no := (*refused)(nil); errors.As(err, &no) { // it says unavailable, or the test will never end
				err = errors.New(no.response)
			}
			return ack, pause(ctx, err, 20*time.Millisecond)
		}
	}
	ref, err := s.c.send(ctx, "chat_msg", chat(body, body))
	if err != nil {
		return ack, err
	}
	if hangUp {
		return ack, errors.New("hung up")
	}
	r, err := s.c.await(ctx, ref)
	if err != nil {
		return ack, err
	}
	if r.Status == "ok" {
		return ack, json.Unmarshal(r.Response, &ack)
	}
	var why struct {
		Reason string
		Retry  int `json:"retry_after_ms"`
	}
	if err := json.Unmarshal(r.Response, &why); err != nil || why.Retry == 0 || why.Reason != "unavailable" && why.Reason != "unknown" {
		return ack, &refused{string(r.Response)}
	}
	return ack, pause(ctx, &later{why.Reason}, time.Duration(why.Retry)*time.Millisecond)
}

// later says that the same message can be sent again on the same connection.
type later struct{ reason string }

func (l *later) Error() string { return l.reason }

// pause waits as a client would, and returns err.
func pause(ctx context.Context, err error, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return err
}

// A listener keeps its cursor, and resumes from it on whichever edge.
type listener struct {
	topic, epoch string
	since        uint64
	got          []message
	visits       int
	broken       error // a promise that was not kept
}

// visit joins, and listens until it is enough, ctx ends or the connection does.
func (l *listener) visit(ctx context.Context, addr, name string, enough func() bool) error {
	c, err := dial(ctx, addr, v2(name))
	if err != nil {
		return err
	}
	defer func() { _ = c.ws.CloseNow() }()
	p, err := c.tryJoin(ctx, l.topic, fmt.Sprintf(`{"since":%d,"epoch":%q}`, l.since, l.epoch))
	if err != nil {
		return err
	}
	l.visits++
	if !p.Recovered || p.Epoch != l.epoch {
		l.fault("joined with since %d: recovered %v %q, epoch %s", l.since, p.Recovered, p.Reason, p.Epoch)
	}
	l.takePage(p)
	for _, f := range c.queue { // a join's reply comes first
		l.fault("%v before the join's reply", f)
	}
	for !enough() && l.broken == nil {
		f, err := c.read(ctx)
		if err != nil {
			return err
		}
		switch f.Event {
		case "chat_msg":
			var m message
			if err := json.Unmarshal(f.Payload, &m); err != nil {
				l.fault("%v: %v", f, err)
			}
			l.take(m)
		case "history":
			var p page
			if err := json.Unmarshal(f.Payload, &p); err != nil {
				l.fault("%v: %v", f, err)
			}
			l.takePage(p)
		case "phx_error":
			return errors.New("channel crashed")
		default:
			l.fault("%v", f)
		}
	}
	return nil
}

func (l *listener) takePage(p page) {
	for _, m := range p.Messages {
		l.take(m)
	}
	if p.LastSeq < l.since {
		l.fault("last_seq %d after %d", p.LastSeq, l.since)
	}
	l.since = max(l.since, p.LastSeq)
}

func (l *listener) take(m message) {
	if m.Seq <= l.since {
		l.fault("message %d after %d", m.Seq, l.since)
	}
	l.got, l.since = append(l.got, m), m.Seq
}

func (l *listener) fault(format string, args ...any) {
	if l.broken == nil {
		l.broken = fmt.Errorf(format, args...)
	}
}

// check compares what was heard with all that is stored.
func (l *listener) check(t testing.TB, who string, all []message) {
	t.Helper()
	if l.broken != nil {
		t.Errorf("%s: %v", who, l.broken)
	}
	if !slices.EqualFunc(l.got, all, same) {
		t.Errorf("%s got %d messages, %d are stored; they differ from number %d on", who, len(l.got), len(all), difference(l.got, all))
	}
}

func same(a, b message) bool {
	return a.Seq == b.Seq && a.Body == b.Body && a.Username == b.Username && a.At.Equal(b.At)
}

func difference(a, b []message) int {
	for i := range min(len(a), len(b)) {
		if !same(a[i], b[i]) {
			return i
		}
	}
	return min(len(a), len(b))
}

// checkStored compares what is stored with what was acknowledged: nothing is
// lost, nothing is there twice, and each speaker's order is kept.
func checkStored(t testing.TB, all []message, speakers []*speaker) {
	t.Helper()
	said := map[string][]message{}
	for _, m := range all {
		said[m.Username] = append(said[m.Username], m)
	}
	n := 0
	for _, s := range speakers {
		n += len(s.acked)
		if got := said[s.name]; !slices.EqualFunc(got, s.acked, func(a, b message) bool { return a.Seq == b.Seq && a.Body == b.Body }) {
			t.Errorf("of %s %d messages are stored, %d were acknowledged; they differ from number %d on", s.name, len(got), len(s.acked), difference(got, s.acked))
		}
		for i := range min(len(said[s.name]), len(s.acked)) {
			// While the stream has no leader an edge may not learn the store's time
			// of what it knows to be stored. It then says its own.
			if d := s.acked[i].At.Sub(said[s.name][i].At); d < 0 || d > patience {
				t.Errorf("%s was stored at %v and acknowledged with %v", s.acked[i].Body, said[s.name][i].At, s.acked[i].At)
				break
			}
		}
	}
	if n != len(all) {
		t.Errorf("%d messages are stored, %d were acknowledged", len(all), n)
	}
}

// together runs f for each of n.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func TestSpeakerIsRefused(t *testing.T) {
	e := single(t)
	s := &speaker{name: "ann", topic: "rooms:x", addrs: []string{e.addr()}}
	if err := s.say(t.Context(), " "); err == nil {
		t.Error("a refusal that does not pass was taken for one that does")
	}
	if err := s.say(t.Context(), "hi"); err != nil || len(s.acked) != 1 {
		t.Errorf("say = %v", err)
	}
	_ = s.c.ws.Close(websocket.StatusNormalClosure, "")
}
