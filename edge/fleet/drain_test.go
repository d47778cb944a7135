package fleet_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/coder/websocket"
)

// Hundreds of sockets leave an edge that drains: evenly, no faster than the two
// other edges let in together, and each with everything that was said before.
func TestDrain(t *testing.T) {
	ns := newNATS(t)
	var log logged
	a := newEdge(t, ns, &edge.Options{Logger: log.logger()})
	for range 2 {
		newEdge(t, ns, &edge.Options{AdmitRate: 50})
	}
	const clients = 400
	conns := a.dialAll(t, clients)
	eventually(t, "a knows the others", func() bool { return a.member.Pace() == 80 })

	listeners := make([]listener, clients)
	var listening sync.WaitGroup
	for i, ws := range conns {
		listening.Go(func() { listeners[i].read(ws) })
	}
	talk, stop := context.WithCancel(t.Context())
	var talking sync.WaitGroup
	said := int64(0)
	talking.Go(func() {
		for ; talk.Err() == nil; time.Sleep(20 * time.Millisecond) {
			if err := a.Broadcast(t.Context(), "t:x", "n", map[string]int64{"n": said + 1}); err != nil {
				t.Error(err)
			}
			said++
		}
	})
	eventually(t, "each has heard something", func() bool {
		for i := range listeners {
			if listeners[i].last.Load() == 0 {
				return false
			}
		}
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second) // it takes five
	defer cancel()
	began := time.Now()
	if err := a.Drain(ctx, a.member.Pace); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	stop()
	talking.Wait()
	listening.Wait()

	previous := int64(0)
	for i := range listeners {
		l := &listeners[i]
		if l.code != websocket.StatusServiceRestart || l.broken != nil {
			t.Errorf("client %d was closed with %v after message %d: %v", i, l.code, l.last.Load(), l.broken)
		}
		previous = max(previous, l.last.Load())
	}
	// As the server closes them: clients of a busy machine notice in bunches.
	wantFlat(t, log.since(began, "closing connection"), 80)
	if previous < said/2 {
		t.Errorf("the last message that anybody got was %d of %d", previous, said)
	}
	st := a.Stats()
	if st.Drained != clients || st.DrainRushed != 0 || st.DrainCut != 0 || !st.Draining || st.Sockets != 0 {
		t.Errorf("%+v", st)
	}
	t.Logf("%d clients in %v, %d messages", clients, took, said)
}

// wantFlat wants what happens at these times to happen at about that rate a
// second, or more slowly, on a machine that stalls now and then.
func wantFlat(t *testing.T, at []time.Duration, rate float64) {
	t.Helper()
	if len(at) < 100 {
		t.Fatalf("%d were closed", len(at))
	}
	const bin = 500 * time.Millisecond
	var bins []int
	for _, d := range at {
		for len(bins) <= int(d/bin) {
			bins = append(bins, 0)
		}
		bins[d/bin]++
	}
	for i := 0; i+2 <= len(bins); i++ {
		if sum := bins[i] + bins[i+1]; float64(sum) > 1.5*rate {
			t.Errorf("%d in the second from bin %d on, want %v: %v", sum, i, rate, bins)
		}
	}
	t.Logf("each %v: %v", bin, bins)
}

// If there is not enough time a drain goes as fast as it must, evenly, and says so.
func TestDrainRushed(t *testing.T) {
	ns := newNATS(t)
	var log logged
	a := newEdge(t, ns, &edge.Options{Logger: log.logger()})
	newEdge(t, ns, &edge.Options{AdmitRate: 10})
	const clients = 200
	conns := a.dialAll(t, clients)
	eventually(t, "a knows the other one", func() bool { return a.member.Pace() == 8 })
	listeners := make([]listener, clients)
	var listening sync.WaitGroup
	for i, ws := range conns {
		listening.Go(func() { listeners[i].read(ws) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // of which it leaves clients two
	defer cancel()
	began := time.Now()
	if err := a.Drain(ctx, a.member.Pace); err != nil {
		t.Fatal(err)
	}
	listening.Wait()
	wantFlat(t, log.since(began, "closing connection"), 34)
	if st := a.Stats(); st.Drained != clients || st.DrainRushed < clients*9/10 || st.DrainCut != 0 {
		t.Errorf("%+v", st)
	}
	log.want(t, "draining faster than the other edges can bear: there is not enough time", 1)
	log.want(t, "drained", 1)
}

// Who reads late gets all that was queued, and then the close frame.
func TestDrainFlushes(t *testing.T) {
	ns := newNATS(t)
	a := newEdge(t, ns, &edge.Options{OutboxBytes: 64 << 20})
	ws := a.dialAll(t, 1)[0]
	const messages, size = 20, 512 << 10 // more than the kernel takes
	for n := range messages {
		payload := map[string]any{"n": n + 1, "pad": strings.Repeat("x", size)}
		if err := a.Broadcast(t.Context(), "t:x", "n", payload); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- a.Drain(ctx, nil) }()
	eventually(t, "it has been told", func() bool { return a.Stats().Drained == 1 })
	// Longer than a client that has got everything may take to answer.
	time.Sleep(2500 * time.Millisecond)
	var l listener
	if l.read(ws); l.last.Load() != messages || l.code != websocket.StatusServiceRestart || l.broken != nil {
		t.Errorf("it got %d messages, then %v: %v", l.last.Load(), l.code, l.broken)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// At the deadline whoever does not leave is cut off.
func TestDrainDeadline(t *testing.T) {
	ns := newNATS(t)
	a := newEdge(t, ns, &edge.Options{})
	a.dialAll(t, 3) // they never read, and so do not answer
	payload := map[string]any{"pad": strings.Repeat("x", 512<<10)}
	for range 4 {
		if err := a.Broadcast(t.Context(), "t:x", "n", payload); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	err := a.Drain(ctx, nil)
	if d := time.Since(began); err == nil || d < 900*time.Millisecond || d > patience/2 {
		t.Errorf("got %v after %v", err, d)
	}
	if st := a.Stats(); st.Drained != 3 || st.DrainCut != 3 {
		t.Errorf("%+v", st)
	}
	eventually(t, "they have gone", func() bool { return a.Stats().Sockets == 0 })
}

// An edge without clients, or with a few, does not take its time.
func TestDrainFew(t *testing.T) {
	for _, clients := range []int{0, 1, 5} {
		a := newEdge(t, newNATS(t), &edge.Options{})
		var listening sync.WaitGroup
		for _, ws := range a.dialAll(t, clients) {
			listening.Go(func() { new(listener).read(ws) })
		}
		ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
		defer cancel()
		began := time.Now()
		if err := a.Drain(ctx, a.member.Pace); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > patience/2 {
			t.Errorf("%d clients took %v", clients, d)
		}
		listening.Wait()
	}
}
