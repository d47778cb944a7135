package backbone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
)

// A route takes the messages of one NATS subscription. It is called by the
// dispatcher and must not block.
type route interface{ take(*nats.Msg) }

// dispatch hands out the messages of all subscriptions, in the order in which
// they came. It is the only goroutine that does: nothing runs per topic.
func (l *Link) dispatch() {
	for {
		select {
		case m := <-l.inbox:
			l.stats.received.Add(1)
			l.mu.RLock()
			r := l.routes[m.Sub]
			l.mu.RUnlock()
			if r != nil { // else it was on its way when its subscription ended
				r.take(m)
			}
		case <-l.done:
			return
		}
	}
}

// listen subscribes to a subject. The server may not know of it yet: see flush.
func (l *Link) listen(subject string, r route) (*nats.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sub, err := l.live.ChanSubscribe(subject, l.inbox)
	if err != nil {
		return nil, linkError(err)
	}
	l.routes[sub] = r
	return sub, nil
}

func (l *Link) unlisten(subs ...*nats.Subscription) {
	l.mu.Lock()
	for _, sub := range subs {
		delete(l.routes, sub)
	}
	l.mu.Unlock()
	for _, sub := range subs {
		if sub != nil {
			sub.Unsubscribe() // fails only if the connection is closed
		}
	}
}

// flush returns once the server has seen all subscriptions made before.
func (l *Link) flush(ctx context.Context) error { return flush(ctx, l.live) }

func flush(ctx context.Context, nc *nats.Conn) error {
	if !nc.IsConnected() {
		return edge.ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
	}
	return nil
}

// A topic is what the Link knows of one that somebody subscribes to.
type topic struct {
	link *Link
	name string
	tail string

	gate chan struct{} // held by the one who opens its subscriptions

	// Guarded by Link.mu.
	users, followers int                // subscribers in all, and those of stored events
	eph, live        *nats.Subscription // nil unless they are active
	follower         *follower          // follows live, or is about to

	mu          sync.Mutex // guards what follows, and is held during deliver
	subscribers []*subscriber
}

type subscriber struct {
	stored  bool
	deliver func(edge.Delivery)
}

// Subscribe implements [edge.Backbone]. Stored events need a [Store].
func (l *Link) Subscribe(ctx context.Context, name string, stored bool, deliver func(edge.Delivery)) (unsubscribe func(), err error) {
	tail, err := Tail(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	if stored && l.store == nil {
		l.mu.Unlock()
		return nil, errors.New("stored events without a store")
	}
	t := l.topics[name]
	if t == nil {
		t = &topic{link: l, name: name, tail: tail, gate: make(chan struct{}, 1)}
		l.topics[name] = t
	}
	t.users++
	if stored {
		t.followers++
	}
	l.mu.Unlock()

	if err := t.open(ctx, stored); err != nil {
		t.release(stored)
		return nil, err
	}
	s := &subscriber{stored, deliver}
	t.mu.Lock()
	t.subscribers = append(t.subscribers, s)
	t.mu.Unlock()
	return sync.OnceFunc(func() {
		t.mu.Lock()
		t.subscribers = slices.DeleteFunc(t.subscribers, func(o *subscriber) bool { return o == s })
		t.mu.Unlock()
		t.release(stored)
	}), nil
}

// open makes the subscriptions that are missing, and returns once they are
// active.
func (t *topic) open(ctx context.Context, stored bool) error {
	select {
	case t.gate <- struct{}{}:
		defer func() { <-t.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	l := t.link
	if l.closed() {
		return errClosed
	}
	l.mu.RLock()
	wantEph, wantLive := t.eph == nil, stored && t.live == nil
	l.mu.RUnlock()
	if !wantEph && !wantLive {
		return nil
	}
	var eph, live *nats.Subscription
	var f *follower
	var err error
	if wantEph {
		eph, err = l.listen(l.subjects.ephemeral(t.tail), (*ephemeral)(t))
	}
	if err == nil && wantLive {
		f = newFollower(l.store, t)
		l.mu.Lock()
		t.follower = f // must hear of it if the stream turns out to be another
		l.mu.Unlock()
		live, err = l.listen(l.subjects.live(t.tail), f)
	}
	if err == nil {
		err = l.flush(ctx)
	}
	if err == nil && wantLive {
		err = f.open(ctx)
	}
	if err != nil {
		l.unlisten(eph, live)
	}
	l.mu.Lock()
	switch {
	case err != nil && f != nil:
		t.follower = nil
	case err == nil && wantLive:
		t.live = live
	}
	if err == nil && wantEph {
		t.eph = eph
	}
	l.mu.Unlock()
	if err != nil && f != nil {
		f.close()
	}
	return err
}

// release gives up what one subscriber needed. Nobody opens what it closes: who
// opens is counted as a user.
func (t *topic) release(stored bool) {
	l := t.link
	var idle []*nats.Subscription
	l.mu.Lock()
	t.users--
	if stored {
		t.followers--
	}
	var f *follower
	if t.followers == 0 && t.live != nil {
		idle = append(idle, t.live)
		f, t.live, t.follower = t.follower, nil, nil
	}
	if t.users == 0 {
		if t.eph != nil {
			idle = append(idle, t.eph)
			t.eph = nil
		}
		delete(l.topics, t.name)
	}
	l.mu.Unlock()
	l.unlisten(idle...)
	if f != nil {
		f.close()
	}
}

// ephemeral is the route of a topic's events that are not stored.
type ephemeral topic

func (e *ephemeral) take(m *nats.Msg) {
	t := (*topic)(e)
	event, err := parseMessage(m.Header, m.Data, false)
	if err != nil {
		t.link.invalid(m.Subject, err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.subscribers {
		s.deliver(edge.Delivery{Event: event})
	}
}

// invalid counts a message that is not what it should be.
func (l *Link) invalid(subject string, why error) {
	l.stats.invalid.Add(1)
	l.log.Warn("dropping an invalid message", "subject", subject, "error", why)
}

// Publish implements [edge.Backbone].
func (l *Link) Publish(ctx context.Context, topic string, e edge.Event) error {
	tail, err := Tail(topic)
	if err != nil {
		return err
	}
	m, err := newMessage(l.subjects.ephemeral(tail), e, false)
	if err != nil {
		return fmt.Errorf("publishing to %q: %w", topic, err)
	}
	return l.publish(ctx, m)
}

func (l *Link) publish(ctx context.Context, m *nats.Msg) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.live.PublishMsg(m); err != nil {
		return linkError(err)
	}
	l.stats.published.Add(1)
	return nil
}

// linkError says in edge's words why nats.go took nothing.
func linkError(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return &edge.Error{Reason: "message is too large"}
	}
	return fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
}

// A control is a kind of control message that somebody subscribes to.
type control struct {
	link *Link
	gate chan struct{} // held by the one who opens its subscription

	// Guarded by Link.mu.
	users int
	sub   *nats.Subscription // nil unless it is active

	mu          sync.Mutex // guards what follows, and is held during deliver
	subscribers []*func([]byte)
}

// SubscribeControl implements [edge.Backbone].
func (l *Link) SubscribeControl(ctx context.Context, kind string, deliver func(data []byte)) (unsubscribe func(), err error) {
	if err := checkKind(kind); err != nil {
		return nil, err
	}
	l.mu.Lock()
	c := l.kinds[kind]
	if c == nil {
		c = &control{link: l, gate: make(chan struct{}, 1)}
		l.kinds[kind] = c
	}
	c.users++
	l.mu.Unlock()

	if err := c.open(ctx, l.subjects.control(kind)); err != nil {
		c.release(kind)
		return nil, err
	}
	c.mu.Lock()
	c.subscribers = append(c.subscribers, &deliver)
	c.mu.Unlock()
	return sync.OnceFunc(func() {
		c.mu.Lock()
		c.subscribers = slices.DeleteFunc(c.subscribers, func(o *func([]byte)) bool { return o == &deliver })
		c.mu.Unlock()
		c.release(kind)
	}), nil
}

func (c *control) open(ctx context.Context, subject string) error {
	select {
	case c.gate <- struct{}{}:
		defer func() { <-c.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	l := c.link
	if l.closed() {
		return errClosed
	}
	l.mu.RLock()
	active := c.sub != nil
	l.mu.RUnlock()
	if active {
		return nil
	}
	sub, err := l.listen(subject, c)
	if err != nil {
		return err
	}
	// An edge starts while there is no NATS, or one that stands still, too: the
	// subscription then becomes active later.
	if err := l.flush(ctx); err != nil && ctx.Err() != nil {
		l.unlisten(sub)
		return err
	}
	l.mu.Lock()
	c.sub = sub
	l.mu.Unlock()
	return nil
}

func (c *control) release(kind string) {
	l := c.link
	l.mu.Lock()
	c.users--
	var idle []*nats.Subscription
	if c.users == 0 {
		if c.sub != nil {
			idle = append(idle, c.sub)
		}
		delete(l.kinds, kind)
	}
	l.mu.Unlock()
	l.unlisten(idle...)
}

func (c *control) take(m *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, deliver := range c.subscribers {
		(*deliver)(m.Data)
	}
}

// PublishControl implements [edge.Backbone].
func (l *Link) PublishControl(ctx context.Context, kind string, data []byte) error {
	if err := checkKind(kind); err != nil {
		return err
	}
	return l.publish(ctx, &nats.Msg{Subject: l.subjects.control(kind), Data: data})
}

func checkKind(kind string) error {
	for i := range len(kind) {
		if kind[i] < 'a' || kind[i] > 'z' {
			return fmt.Errorf("kind of control message %q: want letters a to z", kind)
		}
	}
	if kind == "" || len(kind) > 32 {
		return fmt.Errorf("kind of control message %q: want 1 to 32 letters", kind)
	}
	return nil
}
