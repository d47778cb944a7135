package backbone_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// within bounds what a test waits for.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func echo(_ context.Context, data []byte) []byte { return append([]byte("echo "), data...) }

func TestRequest(t *testing.T) {
	ns := startServer(t, "")
	a, b := dial(t, ns), dial(t, ns)
	stop, err := a.Serve(t.Context(), "A1", echo)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []edge.Caller{b, a} { // an edge may ask itself
		got, err := l.Request(within(t, patience), "A1", []byte("hi"))
		if err != nil || string(got) != "echo hi" {
			t.Errorf("Request = %q, %v; want echo hi", got, err)
		}
	}
	stop()
	began := time.Now()
	_, err = b.Request(within(t, patience), "A1", nil)
	if !errors.Is(err, edge.ErrNobody) {
		t.Errorf("Request after stop = %v, want ErrNobody", err)
	}
	if d := time.Since(began); d > patience/2 {
		t.Errorf("it took %v to learn that nobody is there", d)
	}
}

// A link that ends takes its server with it.
func TestRequestToClosedLink(t *testing.T) {
	ns := startServer(t, "")
	a, b := dial(t, ns), dial(t, ns)
	if _, err := a.Serve(t.Context(), "A1", echo); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// NATS may take a moment to notice.
	for deadline := time.Now().Add(patience); ; {
		_, err := b.Request(within(t, 100*time.Millisecond), "A1", nil)
		if errors.Is(err, edge.ErrNobody) {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Now().After(deadline) {
			t.Fatalf("Request = %v, want ErrNobody", err)
		}
	}
	if _, err := a.Serve(t.Context(), "A2", echo); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Serve on a closed link = %v, want ErrUnavailable", err)
	}
	if _, err := a.Request(within(t, patience), "A1", nil); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Request on a closed link = %v, want ErrUnavailable", err)
	}
}

// One answer that takes its time keeps no other waiting, and stop ends it.
func TestRequestsRunConcurrently(t *testing.T) {
	ns := startServer(t, "")
	a, b := dial(t, ns), dial(t, ns)
	var slow atomic.Int64
	stop, err := a.Serve(t.Context(), "A1", func(ctx context.Context, data []byte) []byte {
		if string(data) == "slow" {
			slow.Add(1)
			<-ctx.Done()
		}
		return data
	})
	if err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	asking.Go(func() {
		if got, err := b.Request(within(t, patience), "A1", []byte("slow")); err != nil || string(got) != "slow" {
			t.Errorf("Request = %q, %v; want the answer made while stopping", got, err)
		}
	})
	for slow.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for i := range 100 {
		want := fmt.Sprint(i)
		if got, err := b.Request(within(t, patience), "A1", []byte(want)); err != nil || string(got) != want {
			t.Fatalf("Request = %q, %v; want %s", got, err, want)
		}
	}
	stop()
	asking.Wait()
}

func TestRequestTimesOut(t *testing.T) {
	ns := startServer(t, "")
	a, b := dial(t, ns), dial(t, ns)
	stop, err := a.Serve(t.Context(), "A1", func(ctx context.Context, _ []byte) []byte { <-ctx.Done(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := b.Request(within(t, 50*time.Millisecond), "A1", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Request = %v, want DeadlineExceeded", err)
	}
}

// An edge that starts before NATS does, or loses it, serves once it is there.
func TestServeSurvivesOutage(t *testing.T) {
	ns := startServer(t, "")
	d := &door{Server: ns} // shut
	a, b := dial(t, d), dial(t, ns)
	stop, err := a.Serve(t.Context(), "A1", echo)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := a.Request(within(t, patience), "A1", nil); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Request without a link = %v, want ErrUnavailable", err)
	}
	for range 2 {
		d.open()
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			got, err := b.Request(within(t, time.Second), "A1", []byte("hi"))
			if err == nil && string(got) == "echo hi" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("Request = %q, %v; want an answer once the link stands", got, err)
			}
		}
		d.shut()
	}
}

// An edge also starts while NATS stands still, and hears once it goes on.
func TestStartWhileNATSStandsStill(t *testing.T) {
	ns := startServer(t, "")
	d := &door{Server: ns, opened: true}
	a, b := dial(t, d), dial(t, ns)
	var heard atomic.Bool
	d.still.Lock()
	var starting sync.WaitGroup
	starting.Go(func() {
		if _, err := a.Serve(t.Context(), "A1", echo); err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	starting.Go(func() {
		if _, err := a.SubscribeControl(t.Context(), "nudge", func([]byte) { heard.Store(true) }); err != nil {
			t.Errorf("SubscribeControl = %v", err)
		}
	})
	starting.Wait()
	d.still.Unlock()
	eventually(t, "requests arrive", func() bool {
		got, err := b.Request(within(t, time.Second), "A1", []byte("hi"))
		return err == nil && string(got) == "echo hi"
	})
	eventually(t, "control messages arrive", func() bool {
		if err := b.PublishControl(t.Context(), "nudge", nil); err != nil {
			t.Fatal(err)
		}
		return heard.Load()
	})
}

func TestNamesOfEdges(t *testing.T) {
	l := dial(t, startServer(t, ""))
	for _, name := range []string{"", "a.b", "*", "a b", "é", string(make([]byte, 65))} {
		if _, err := l.Serve(t.Context(), name, echo); err == nil {
			t.Errorf("Serve(%q) succeeded", name)
		}
		if _, err := l.Request(t.Context(), name, nil); err == nil {
			t.Errorf("Request(%q) succeeded", name)
		}
	}
}
