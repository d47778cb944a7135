package backbone

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
)

// Everything is the pattern of all topics; "rooms:*" is that of all in a
// namespace. Any other pattern is a topic.
const Everything = "*"

// A Passing is an event as it passes on NATS.
type Passing struct {
	Topic string
	edge.Delivery
	// Stored says that it comes from the stream: Seq and At are then set.
	Stored bool
	// Dropped, if not nil, is why edges do not deliver it. The event is then
	// what could be read of it.
	Dropped error
}

// Watch calls f for each event that passes on the topics of a pattern, until
// stop is called: for tools that look on. It returns once events arrive. Unlike
// Subscribe it fills no gaps. f is called one at a time, for all that the Link
// hears; while it blocks, events wait, and at last are lost.
func (l *Link) Watch(ctx context.Context, pattern string, f func(Passing)) (stop func(), err error) {
	tail, err := patternTail(pattern)
	if err != nil {
		return nil, err
	}
	stored, err := l.overhear(ctx, l.subjects.live(tail), func(m *nats.Msg) { l.passing(m, l.subjects.live(""), true, f) })
	if err != nil {
		return nil, err
	}
	sent, err := l.overhear(ctx, l.subjects.ephemeral(tail), func(m *nats.Msg) { l.passing(m, l.subjects.ephemeral(""), false, f) })
	if err != nil {
		stored()
		return nil, err
	}
	return func() { stored(); sent() }, nil
}

// passing reads what anybody may have published.
func (l *Link) passing(m *nats.Msg, before string, stored bool, f func(Passing)) {
	p := Passing{Stored: stored}
	topic, err := Topic(strings.TrimPrefix(m.Subject, before))
	p.Topic = topic
	if err != nil {
		p.Topic = strings.TrimPrefix(m.Subject, before)
	}
	event, eventErr := parseMessage(m.Header, m.Data, stored)
	p.Event = event
	p.Dropped = errors.Join(err, eventErr)
	if stored {
		seq, seqErr := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
		at, atErr := time.Parse(time.RFC3339Nano, m.Header.Get(headerTime))
		p.Seq, p.At = seq, at.UTC()
		if seqErr != nil || atErr != nil {
			p.Dropped = errors.Join(p.Dropped, errors.New("not from the stream"))
		}
	}
	f(p)
}

// Overhear calls hear for what edges say with a word of package presence below
// the topics of a pattern, as [Link.Watch] does for events.
func (l *Link) Overhear(ctx context.Context, word, pattern string, hear func(topic string, data []byte)) (stop func(), err error) {
	tail, err := patternTail(pattern)
	if err != nil {
		return nil, err
	}
	before, err := l.presenceSubject(word, "")
	if err != nil {
		return nil, err
	}
	return l.overhear(ctx, before+"."+tail, func(m *nats.Msg) {
		if topic, err := Topic(strings.TrimPrefix(m.Subject, before+".")); err == nil {
			hear(topic, m.Data)
		}
	})
}

// overhear subscribes, and returns once the server has said nothing against it.
func (l *Link) overhear(ctx context.Context, subject string, f routeFunc) (stop func(), err error) {
	sub, err := l.listen(subject, f)
	if err != nil {
		return nil, err
	}
	stop = sync.OnceFunc(func() { l.unlisten(sub) })
	if err := l.flush(ctx); err != nil {
		stop()
		return nil, err
	}
	if err := l.live.LastError(); refused(err, false, subject) {
		stop()
		return nil, err
	}
	return stop, nil
}

func patternTail(pattern string) (string, error) {
	if pattern == Everything {
		return "*.*", nil
	}
	namespace, id, _ := strings.Cut(pattern, ":")
	if id != "*" {
		return Tail(pattern)
	}
	tail, err := Tail(namespace + ":")
	return strings.TrimSuffix(tail, emptyToken) + "*", err
}
