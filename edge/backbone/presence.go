package backbone

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
)

// The methods in this file are what package presence wants of a network, in its
// words. Nothing here is stored; all of it goes over the connection whose own
// publications do not come back.

// Say hands data to the other edges that listen to the word, below the topic if
// it is not empty. It returns once the data is on its way.
func (l *Link) Say(word, topic string, data []byte) error {
	subject, err := l.presenceSubject(word, topic)
	if err != nil {
		return err
	}
	return l.publish(context.Background(), &nats.Msg{Subject: subject, Data: data})
}

// Listen calls hear for what other edges say, or ask: answer is then not nil,
// and may be called later and often. hear is called one at a time for all of
// the Link's subscriptions, must not block, and must not keep data. What is
// said after Listen has returned is heard, if the edges are connected to the
// same server; on others it may take a moment. Without a link it is heard once
// there is one.
func (l *Link) Listen(word, topic string, hear func(data []byte, answer func(data []byte) error)) (stop func(), err error) {
	subject, err := l.presenceSubject(word, topic)
	if err != nil {
		return nil, err
	}
	if l.closed() {
		return nil, errClosed
	}
	sub, err := l.listen(subject, &listener{l, hear})
	if err != nil {
		return nil, err
	}
	return func() { l.unlisten(sub) }, nil
}

type listener struct {
	link *Link
	hear func(data []byte, answer func(data []byte) error)
}

func (r *listener) take(m *nats.Msg) {
	if m.Reply == "" {
		r.hear(m.Data, nil)
		return
	}
	l, to := r.link, m.Reply
	r.hear(m.Data, func(data []byte) error {
		return l.publish(context.Background(), &nats.Msg{Subject: to, Data: data})
	})
}

// Ask is Say to those who may answer: hear is called for each answer until stop
// is, as by Listen. If nobody listens it is called once, with ok false, at once.
func (l *Link) Ask(word, topic string, data []byte, hear func(data []byte, ok bool)) (stop func(), err error) {
	subject, err := l.presenceSubject(word, topic)
	if err != nil {
		return nil, err
	}
	if !l.live.IsConnected() {
		return nil, edge.ErrUnavailable
	}
	reply, stop, err := l.asks.add(l, hear)
	if err != nil {
		return nil, err
	}
	if err := l.publish(context.Background(), &nats.Msg{Subject: subject, Reply: reply, Data: data}); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// asks are the questions of a Link that may still be answered: one inbox for
// all of them.
type asks struct {
	mu    sync.Mutex // guards what follows
	inbox string     // with a final dot; empty until the first question
	last  uint64
	hear  map[string]func(data []byte, ok bool)
}

func (a *asks) add(l *Link, hear func(data []byte, ok bool)) (reply string, stop func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inbox == "" {
		inbox := l.live.NewInbox()
		if _, err := l.listen(inbox+".*", a); err != nil {
			return "", nil, err
		}
		a.inbox = inbox + "."
		a.hear = make(map[string]func([]byte, bool))
	}
	a.last++
	token := strconv.FormatUint(a.last, 36)
	a.hear[token] = hear
	return a.inbox + token, func() {
		a.mu.Lock()
		delete(a.hear, token)
		a.mu.Unlock()
	}, nil
}

func (a *asks) take(m *nats.Msg) {
	a.mu.Lock()
	hear := a.hear[m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]]
	a.mu.Unlock()
	if hear != nil {
		hear(m.Data, len(m.Data) > 0 || m.Header.Get("Status") != "503")
	}
}

// OnResync has f called when messages may have been missed: a connection was
// made, or was too slow. f must not block.
func (l *Link) OnResync(f func()) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.resyncs == nil {
		l.resyncs = make(map[*func()]struct{})
	}
	l.resyncs[&f] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.resyncs, &f)
	}
}

func (l *Link) resync() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for f := range l.resyncs {
		(*f)()
	}
}

// presenceSubject is that of a word, which may have dots.
func (l *Link) presenceSubject(word, topic string) (string, error) {
	for i := range len(word) {
		if c := word[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' {
			return "", fmt.Errorf("word %q: want letters a to z, digits and dots", word)
		}
	}
	if topic == "" {
		return l.subjects.presence(word), nil
	}
	tail, err := Tail(topic)
	if err != nil {
		return "", err
	}
	return l.subjects.presence(word) + "." + tail, nil
}
