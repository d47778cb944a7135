package presence_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/presence"
)

// A drain that takes longer than the grace: who comes back elsewhere never
// appears to leave, to nobody, on no edge, and is never shown twice; who does not
// come back leaves after the grace, while the drain goes on.
func TestPacedDrain(t *testing.T) {
	ns := newNATS(t)
	o := presence.Options{}.Quick()
	o.Grace = 5 * time.Second // a busy machine's clients come back late, too
	a, b, c := newEdge(t, ns, o), newEdge(t, ns, o), newEdge(t, ns, o)
	const people = 40
	watchers := []*client{a.dial(t, "t:x", `{}`), c.dial(t, "t:x", `{}`)}
	moving := make([]*client, people)
	want := make([]string, people)
	for i := range moving {
		moving[i] = b.dial(t, "t:x", fmt.Sprintf(`{"key":"u%02d"}`, i))
		want[i] = fmt.Sprintf("u%02d:1", i)
	}
	b.dial(t, "t:x", `{"key":"gone"}`) // does not come back
	for _, w := range watchers {
		w.shows("gone:1 " + strings.Join(want, " "))
		w.drain()
	}
	drained := make(chan error, 1)
	go func() { drained <- b.Drain(t.Context(), func() float64 { return 6.5 }) }()
	var moved sync.WaitGroup
	for i, m := range moving {
		moved.Go(func() {
			_ = m.until("closed", func() bool { return m.closed })
			time.Sleep(time.Duration(i*5) * time.Millisecond) // clients are not all quick
			if _, err := []*edgeServer{a, c}[i%2].tryDial(t, "t:x", fmt.Sprintf(`{"key":"u%02d"}`, i)); err != nil {
				t.Error(err)
			}
		})
	}
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	moved.Wait()
	for i, w := range watchers {
		w.shows(strings.Join(want, " "))
		w.mu.Lock()
		vanished := w.now.vanished
		w.mu.Unlock()
		if len(vanished) != 1 || vanished["gone"] != 1 {
			t.Errorf("watcher %d saw vanish: %v", i, vanished)
		}
		for _, f := range w.drain() {
			var d diff
			var payload json.RawMessage
			if json.Unmarshal([]byte(f), &[]any{nil, nil, nil, nil, &payload}) != nil || json.Unmarshal(payload, &d) != nil {
				continue
			}
			for key := range d.Leaves {
				if key != "gone" && d.Joins[key] == nil {
					t.Errorf("watcher %d was told that %s left: %s", i, key, f)
				}
			}
		}
	}
	wantSame(t, []*edgeServer{a, c}, watchers, "t:x")
}
