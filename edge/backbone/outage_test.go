package backbone_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

// A site is where links find a server, which can be stopped and started on
// another directory.
type site struct {
	t  testing.TB
	mu sync.Mutex // guards what follows
	to *door
}

func newSite(t testing.TB, dir string) *site {
	s := &site{t: t, to: &door{}}
	s.start(dir)
	return s
}

func (s *site) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	to := s.to
	s.mu.Unlock()
	return to.InProcessConn()
}

func (s *site) start(dir string) {
	to := &door{Server: startServer(s.t, dir)}
	to.open()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
}

func (s *site) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to.shut()
	s.to.Server.Shutdown()
}

func TestRestartOnTheSameDirectory(t *testing.T) {
	dir := t.TempDir()
	srv := newSite(t, dir)
	ann, bob := keep(t, srv, nil), keep(t, srv, nil)
	e := listen(t, ann, "rooms:lobby", true)
	var last edge.Stamp
	for i := range 10 {
		last = say(t, ann, "rooms:lobby", fmt.Sprint(i+1))
	}
	e.wait(t, 10)
	epoch := ann.Epoch()
	srv.stop()
	eventually(t, "connection lost", func() bool { return !ann.Connected() })
	start := time.Now()
	if _, err := ann.Append(t.Context(), "rooms:lobby", said("lost"), "key"); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Append = %v, want ErrUnavailable", err)
	}
	if d := time.Since(start); d > patience/2 {
		t.Errorf("Append gave up after %v", d)
	}
	// What is appended while the link is about to return waits for it.
	stamp := make(chan edge.Stamp, 1)
	go func() {
		for {
			s, err := ann.Append(context.Background(), "rooms:lobby", said("11"), "key 11")
			if err == nil {
				stamp <- s
				return
			}
		}
	}()
	srv.start(dir)
	if s := <-stamp; s.Seq <= last.Seq {
		t.Errorf("sequence %d comes after %d", s.Seq, last.Seq)
	}
	eventually(t, "bob is back", func() bool { return bob.Connected() })
	say(t, bob, "rooms:lobby", "12")
	if got := bodies(e.wait(t, 12)); !slices.Equal(got, numbers(1, 12)) {
		t.Errorf("heard %v", got)
	}
	if got := bodies(read(t, bob, "rooms:lobby", edge.Query{Limit: 100}).Messages); !slices.Equal(got, numbers(1, 12)) {
		t.Errorf("read %v", got)
	}
	for _, st := range []*backbone.Store{ann, bob, keep(t, srv, nil)} {
		if got := st.Epoch(); got != epoch || got == "" {
			t.Errorf("epoch is %q, was %q", got, epoch)
		}
	}
}

// A wiped store is another one. What is said there is heard, in rooms that
// were open all the time, too.
func TestLostDirectory(t *testing.T) {
	srv := newSite(t, t.TempDir())
	ann, bob := keep(t, srv, nil), keep(t, srv, nil)
	e := listen(t, ann, "rooms:lobby", true)
	for i := range 10 {
		say(t, bob, "rooms:lobby", fmt.Sprint(i+1))
	}
	e.wait(t, 10)
	read(t, ann, "rooms:lobby", edge.Query{Last: true, Limit: 5})
	epoch := ann.Epoch()
	srv.stop()
	srv.start(t.TempDir())
	eventually(t, "another epoch", func() bool {
		return ann.Epoch() != epoch && bob.Epoch() != epoch && ann.Ready() == nil && bob.Connected()
	})
	if ann.Epoch() != bob.Epoch() || ann.Epoch() == "" {
		t.Errorf("epochs are %q and %q", ann.Epoch(), bob.Epoch())
	}
	if page := read(t, ann, "rooms:lobby", edge.Query{After: 8, Limit: 10}); !page.Trimmed || len(page.Messages) != 0 {
		t.Errorf("after an old sequence: %+v", page)
	}
	for i := range 12 {
		if stamp := say(t, bob, "rooms:lobby", fmt.Sprint(i+11)); stamp.Seq != uint64(i+1) {
			t.Fatalf("sequence is %d, want %d", stamp.Seq, i+1)
		}
	}
	if got := bodies(e.wait(t, 22)); !slices.Equal(got, numbers(1, 22)) {
		t.Errorf("heard %v", got)
	}
	if got := bodies(read(t, ann, "rooms:lobby", edge.Query{Last: true, Limit: 100}).Messages); !slices.Equal(got, numbers(11, 22)) {
		t.Errorf("read %v", got)
	}
}

// logged notices one message of a log.
type logged struct {
	slog.Handler
	message string
	seen    atomic.Bool
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.message {
		l.seen.Store(true)
	}
	return nil
}

func (l *logged) WithAttrs([]slog.Attr) slog.Handler { return l }

// Messages of the former store that still wait to be dispatched when it is
// found to be another one are not taken for the new one's.
func TestLostDirectoryWithABacklog(t *testing.T) {
	srv := newSite(t, t.TempDir())
	noticed := &logged{message: "the stream is another one now"}
	ann := keep(t, srv, nil, func(o *backbone.Options) { o.Logger = slog.New(noticed) })
	bob := keep(t, srv, nil)
	stuck, once := make(chan struct{}), sync.Once{}
	reached := make(chan struct{})
	unsubscribe, err := ann.Subscribe(t.Context(), "rooms:stuck", true, func(edge.Delivery) {
		once.Do(func() { close(reached); <-stuck })
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	e := listen(t, ann, "rooms:lobby", true)
	say(t, bob, "rooms:stuck", "")
	<-reached
	for range 10 {
		say(t, bob, "rooms:lobby", "old")
	}
	eventually(t, "a backlog", func() bool { return ann.Stats().Backlog == 10 })
	srv.stop()
	srv.start(t.TempDir())
	eventually(t, "bob is back", func() bool { return bob.Connected() && bob.Ready() == nil })
	for i := range 5 {
		for {
			if _, err := bob.Append(t.Context(), "rooms:lobby", said(fmt.Sprint(i+1)), fmt.Sprint(i)); err == nil {
				break
			}
		}
	}
	eventually(t, "ann notices", noticed.seen.Load)
	time.Sleep(50 * time.Millisecond) // for what it must not do before the backlog is gone
	close(stuck)
	eventually(t, "the new ones", func() bool {
		got := bodies(e.all())
		return len(got) > 0 && got[len(got)-1] == "5"
	})
	got := slices.DeleteFunc(bodies(e.all()), func(s string) bool { return s == "old" })
	if !slices.Equal(got, numbers(1, 5)) {
		t.Errorf("heard %v", got)
	}
}

// A room that is silent once the link is back gets what it missed.
func TestSilentRoomAfterACut(t *testing.T) {
	backbone.WithoutRechecks(t)
	srv := startServer(t, t.TempDir())
	door := &door{Server: srv}
	door.open()
	ann, bob := keep(t, srv, nil), keep(t, door, nil)
	e := listen(t, bob, "rooms:lobby", true)
	say(t, ann, "rooms:lobby", "1")
	e.wait(t, 1)
	door.shut()
	eventually(t, "cut", func() bool { return !bob.Connected() })
	for i := 2; i <= 600; i++ {
		say(t, ann, "rooms:lobby", fmt.Sprint(i))
	}
	door.open()
	if got := bodies(e.wait(t, 600)); !slices.Equal(got, numbers(1, 600)) {
		t.Errorf("heard %d messages, not in order", len(got))
	}
}

// What a cut link has missed and nobody keeps any more is not passed over in
// silence.
func TestLostWhileCut(t *testing.T) {
	srv := startServer(t, t.TempDir())
	door := &door{Server: srv}
	door.open()
	few := &backbone.StoreOptions{Apply: true, Stream: &backbone.StreamOptions{MaxPerTopic: 5}}
	ann, bob := keep(t, srv, few), keep(t, door, few)
	e := listen(t, bob, "rooms:lobby", true)
	say(t, ann, "rooms:lobby", "1")
	e.wait(t, 1)
	door.shut()
	eventually(t, "cut", func() bool { return !bob.Connected() })
	for i := 2; i <= 20; i++ {
		say(t, ann, "rooms:lobby", fmt.Sprint(i))
	}
	door.open()
	got := e.wait(t, 7)
	if !got[1].Lost || !slices.Equal(bodies(got[2:]), numbers(16, 20)) {
		t.Errorf("heard %+v", got)
	}
}

// The stream is deleted and made anew while the link stands: nothing tells but
// the messages themselves.
func TestStreamMadeAnew(t *testing.T) {
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, nil)
	e := listen(t, ann, "rooms:lobby", true)
	for i := range 3 {
		say(t, ann, "rooms:lobby", fmt.Sprint(i+1))
	}
	e.wait(t, 3)
	epoch := ann.Epoch()
	nc, s := admin(t, srv)
	if _, err := nc.Request("$JS.API.STREAM.DELETE."+s.CachedInfo().Config.Name, nil, patience); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, srv).ApplyStream(t.Context(), small(nil).Stream); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		say(t, ann, "rooms:lobby", fmt.Sprint(i+4))
	}
	eventually(t, "another epoch", func() bool { return ann.Epoch() != epoch })
	if got := bodies(e.wait(t, 9)); !slices.Equal(got, numbers(1, 9)) {
		t.Errorf("heard %v", got)
	}
}

// An edge whose link is cut again and again delivers all, once, in order.
func TestCutLinks(t *testing.T) {
	srv := startServer(t, t.TempDir())
	door := &door{Server: srv}
	door.open()
	ann, bob := keep(t, srv, nil), keep(t, door, nil)
	const rooms, messages = 50, 40
	ears := make([]*ear, rooms)
	for i := range ears {
		ears[i] = listen(t, bob, fmt.Sprintf("rooms:%d", i), true)
	}
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		until := func(ok func() bool) {
			for !ok() && t.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		saying := func(n int64) { // waits until so many more have been said
			end := min(count.Load()+n, rooms*messages)
			until(func() bool { return count.Load() >= end })
		}
		for range 5 {
			door.shut()
			saying(20)
			door.open()
			until(bob.Connected)
			saying(100)
		}
	}()
	for i := range messages {
		for room := range rooms {
			say(t, ann, fmt.Sprintf("rooms:%d", room), fmt.Sprint(i+1))
			count.Add(1)
		}
		time.Sleep(10 * time.Millisecond)
	}
	<-done
	for room, e := range ears {
		if got := bodies(e.wait(t, messages)); !slices.Equal(got, numbers(1, messages)) {
			t.Fatalf("room %d heard %v", room, got)
		}
	}
	if s := bob.StoreStats(); s.Filled == 0 {
		t.Error("nothing was missed; the test tests nothing")
	}
}

// A dispatcher that is stuck for a while loses what does not fit, and gets it
// from the stream.
func TestSlowConsumer(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes more than fits")
	}
	srv := startServer(t, t.TempDir())
	ann := keep(t, srv, &backbone.StoreOptions{Stream: &backbone.StreamOptions{MaxPerTopic: 100_000}})
	e := newEar()
	stuck, first := make(chan struct{}), sync.Once{}
	unsubscribe, err := ann.Subscribe(t.Context(), "rooms:lobby", true, func(d edge.Delivery) {
		first.Do(func() { <-stuck })
		e.deliver(d)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	nc, _ := admin(t, srv)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		t.Fatal(err)
	}
	const n = 70_000
	for i := range n {
		if _, err := js.PublishAsync("chat.in.rooms.lobby", fmt.Appendf(nil, `{"body":"%d"}`, i+1), jetstream.WithStallWait(patience)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "dropped", func() bool { return ann.Stats().Slow > 0 })
	close(stuck)
	if got := bodies(e.wait(t, n)); !slices.Equal(got, numbers(1, n)) {
		t.Error("not all in order")
	}
}

// Three servers of which one after the other is restarted; two edges. What was
// acknowledged is delivered by both, once, in the stream's order, and a retry
// with its key makes no second message.
func TestClusterLosesServers(t *testing.T) {
	loseServers(t, (*embedded.Cluster).Stop)
}

// The same where servers leave in order, as in a deploy of NATS.
func TestClusterServersLeave(t *testing.T) {
	loseServers(t, (*embedded.Cluster).Leave)
}

func loseServers(t *testing.T, end func(c *embedded.Cluster, i int)) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a cluster")
	}
	c, err := embedded.StartCluster(3, t.TempDir(), &embedded.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Shutdown)
	var stores []*backbone.Store
	var ears []*ear
	for range 2 {
		st := keep(t, nil, nil, func(o *backbone.Options) { o.Server, o.URLs = nil, c.URLs() })
		stores = append(stores, st)
		ears = append(ears, listen(t, st, "rooms:lobby", true))
	}
	report, err := stores[0].CheckStream(t.Context(), small(nil).Stream)
	if err != nil || len(report.Differs)+len(report.Warnings) != 0 {
		t.Errorf("CheckStream = %+v, %v, want nothing to tell", report, err)
	}
	epoch := stores[0].Epoch()

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	const publishers = 4
	acked := make([]map[string]edge.Stamp, publishers)
	for p := range publishers {
		acked[p] = make(map[string]edge.Stamp)
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				body := fmt.Sprintf("%d.%d", p, i)
				for {
					stamp, err := stores[p%2].Append(context.Background(), "rooms:lobby", said(body), body)
					if err == nil {
						acked[p][body] = stamp
						break
					}
					if !errors.Is(err, edge.ErrUnavailable) && !errors.Is(err, edge.ErrUnknown) {
						t.Errorf("Append: %v", err)
						return
					}
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	for i := range c.Servers {
		end(c, i)
		time.Sleep(300 * time.Millisecond)
		if err := c.Restart(i); err != nil {
			t.Error(err)
			break
		}
	}
	stop()
	wg.Wait()
	n := 0
	for _, a := range acked {
		n += len(a)
	}
	for i, e := range ears {
		eventually(t, fmt.Sprintf("edge %d has all %d", i, n), func() bool { return len(e.all()) >= n })
	}
	var stored []edge.Delivery
	for after := uint64(0); ; {
		page := read(t, stores[0], "rooms:lobby", edge.Query{After: after, Limit: 1000})
		stored = append(stored, page.Messages...)
		if !page.More {
			break
		}
		after = stored[len(stored)-1].Seq
	}
	for i, e := range ears {
		if got := e.wait(t, n); !slices.Equal(bodies(got), bodies(stored)) {
			t.Errorf("edge %d delivered %d messages, the stream has %d, or the order differs", i, len(got), len(stored))
		}
	}
	for _, d := range stored {
		body := bodies([]edge.Delivery{d})[0]
		if stamp := acked[body[0]-'0'][body]; stamp.Seq != d.Seq {
			t.Errorf("%s is stored as %d, acknowledged as %d", body, d.Seq, stamp.Seq)
		}
	}
	for i, st := range stores {
		if got := st.Epoch(); got != epoch {
			t.Errorf("edge %d: epoch is %q, was %q", i, got, epoch)
		}
		t.Logf("edge %d: %d messages, %+v", i, n, st.StoreStats())
	}
}
