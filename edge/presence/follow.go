package presence

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// A Wire is what [Follow] hears with; backbone.Link is one. hear is called one
// at a time for all that is heard.
type Wire interface {
	// Overhear calls hear for what edges say with the word, below the topics
	// of a pattern. Without an error it has begun when it returns.
	Overhear(ctx context.Context, word, pattern string, hear func(topic string, data []byte)) (stop func(), err error)

	// Ask is that of [Network].
	Ask(word, topic string, data []byte, hear func(data []byte, ok bool)) (stop func(), err error)
}

// How somebody moved.
const (
	Present = "present" // was there before
	Joined  = "joined"
	Changed = "changed" // has another meta, or came back at once
	Left    = "left"
)

// A Move is one meta of one key that comes, changes or goes.
type Move struct {
	Topic string
	How   string // one of the constants
	// Key is empty for one who left and was never seen to come.
	Key  string
	Meta json.RawMessage // nil for who left
}

// Follow calls moved for who comes and goes on a topic, or the topics of a
// pattern, until stop is called: for tools that look on and are no edge. Of a
// single topic it first tells who is there; pass ask for that. It hears what
// edges say of changes and asks for nothing that it missed; that an edge died,
// and its users with it, is nothing that anybody says. moved must not block for
// long.
func Follow(ctx context.Context, w Wire, pattern string, ask bool, moved func(Move)) (stop func(), err error) {
	f := &following{moved: moved, known: make(map[string]map[ref]string)}
	deafen, err := w.Overhear(ctx, wordDiff, pattern, f.hear)
	if err != nil || !ask {
		return deafen, err
	}
	want := packet{kind: kindWant, text: pattern}
	_, _ = rand.Read(want.edge[:]) // never fails
	end, err := w.Ask(wordAsk, pattern, want.encode(), func(data []byte, ok bool) {
		if ok {
			f.answer(pattern, data)
		}
	})
	if err != nil {
		deafen()
		return nil, err
	}
	timer := time.AfterFunc(lastAnswer, end)
	return func() {
		timer.Stop()
		end()
		deafen()
	}, nil
}

type following struct {
	moved func(Move)

	mu    sync.Mutex                // guards what follows
	known map[string]map[ref]string // by topic, whose each ref is
}

func (f *following) room(topic string) map[ref]string {
	r := f.known[topic]
	if r == nil {
		r = make(map[ref]string)
		f.known[topic] = r
	}
	return r
}

// answer takes who was there.
func (f *following) answer(topic string, data []byte) {
	p, err := decodePacket(data)
	if err != nil || p.kind != kindFull {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	room := f.room(topic)
	for i := range p.diff.joins {
		e := &p.diff.joins[i]
		if _, ok := room[e.ref]; !ok {
			room[e.ref] = e.key
			f.moved(Move{topic, Present, e.key, json.RawMessage(e.meta)})
		}
	}
}

// hear takes what changed. Who leaves and comes in one diff has changed.
func (f *following) hear(topic string, data []byte) {
	p, err := decodePacket(data)
	if err != nil || p.kind != kindDiff {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	room := f.room(topic)
	var gone []string
	strangers := 0
	for _, r := range p.diff.leaves {
		if key, ok := room[r]; ok {
			gone = append(gone, key)
			delete(room, r)
		} else {
			strangers++
		}
	}
	for i := range p.diff.joins {
		e := &p.diff.joins[i]
		if _, ok := room[e.ref]; ok {
			continue
		}
		room[e.ref] = e.key
		how := Joined
		switch at := slices.Index(gone, e.key); {
		case at >= 0:
			how, gone = Changed, slices.Delete(gone, at, at+1)
		case e.prev != ref{}:
			how = Changed
			strangers--
		}
		f.moved(Move{topic, how, e.key, json.RawMessage(e.meta)})
	}
	for _, key := range gone {
		f.moved(Move{topic, Left, key, nil})
	}
	for range strangers {
		f.moved(Move{Topic: topic, How: Left})
	}
	if len(room) == 0 {
		delete(f.known, topic)
	}
}
