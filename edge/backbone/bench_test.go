package backbone_test

import (
	"context"
	"fmt"
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

var line = edge.Event{Name: "chat_msg", Payload: []byte(`{"body":"It is a truth universally acknowledged, that a single man in possession","username":"jane"}`)}

// BenchmarkAppend compares what many sockets get through the store, one message
// in flight each, with JetStream's own asynchronous publish into the same
// stream; both with an edge that delivers.
func BenchmarkAppend(b *testing.B) {
	const rooms = 100
	start := func(b *testing.B) (srv *embedded.Server, st *backbone.Store, delivered *atomic.Int64) {
		srv = startServer(b, b.TempDir())
		st = keep(b, srv, &backbone.StoreOptions{Stream: &backbone.StreamOptions{MaxBytes: 1 << 30}})
		delivered = new(atomic.Int64)
		for room := range rooms {
			unsubscribe, err := st.Subscribe(b.Context(), fmt.Sprintf("rooms:%d", room), true, func(edge.Delivery) { delivered.Add(1) })
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(unsubscribe)
		}
		b.ReportAllocs()
		b.ResetTimer()
		return srv, st, delivered
	}
	finish := func(b *testing.B, delivered *atomic.Int64) {
		eventually(b, "all delivered", func() bool { return delivered.Load() == int64(b.N) })
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	}
	b.Run("append", func(b *testing.B) {
		_, st, delivered := start(b)
		parallel(b, 500, func(i int) error {
			_, err := st.Append(context.Background(), fmt.Sprintf("rooms:%d", i%rooms), line, "")
			return err
		})
		finish(b, delivered)
	})
	b.Run("jetstream", func(b *testing.B) {
		srv, _, delivered := start(b)
		nc, _ := admin(b, srv)
		js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(500))
		if err != nil {
			b.Fatal(err)
		}
		for i := range b.N {
			if _, err := js.PublishAsync(fmt.Sprintf("chat.in.rooms.%d", i%rooms), line.Payload, jetstream.WithStallWait(10*time.Second)); err != nil {
				b.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()
		finish(b, delivered)
	})
}

func parallel(b *testing.B, workers int, do func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkDelivery is the time from Append or Publish on one edge to deliver
// on another, one message at a time: what history costs.
func BenchmarkDelivery(b *testing.B) {
	for _, stored := range []bool{false, true} {
		b.Run(map[bool]string{false: "not stored", true: "stored"}[stored], func(b *testing.B) {
			srv := startServer(b, b.TempDir())
			ann, bob := keep(b, srv, nil), keep(b, srv, nil)
			heard := make(chan struct{}, 1)
			unsubscribe, err := bob.Subscribe(b.Context(), "rooms:lobby", stored, func(edge.Delivery) { heard <- struct{}{} })
			if err != nil {
				b.Fatal(err)
			}
			defer unsubscribe()
			listen(b, ann, "rooms:lobby", stored)
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				start := time.Now()
				if stored {
					_, err = ann.Append(b.Context(), "rooms:lobby", line, "")
				} else {
					err = ann.Publish(b.Context(), "rooms:lobby", line)
				}
				if err != nil {
					b.Fatal(err)
				}
				<-heard
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
		})
	}
}

// BenchmarkOpenRoom opens rooms of a large store, each with its past, as a join
// does; and measures a start of server and edge on it.
func BenchmarkOpenRoom(b *testing.B) {
	rooms := 100_000
	if testing.Short() {
		rooms = 5_000
	}
	const each = 10
	dir := b.TempDir()
	fill := func() {
		srv := startServer(b, dir)
		defer srv.Shutdown()
		if _, err := dial(b, srv).ApplyStream(b.Context(), &backbone.StreamOptions{MaxBytes: 2 << 30}); err != nil {
			b.Fatal(err)
		}
		nc, _ := admin(b, srv)
		js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
		if err != nil {
			b.Fatal(err)
		}
		for range each {
			for room := range rooms {
				if _, err := js.PublishAsync(fmt.Sprintf("chat.in.rooms.%d", room), line.Payload, jetstream.WithStallWait(time.Minute)); err != nil {
					b.Fatal(err)
				}
			}
		}
		<-js.PublishAsyncComplete()
	}
	fill()
	start := time.Now()
	srv := startServer(b, dir)
	st := keep(b, srv, &backbone.StoreOptions{Stream: &backbone.StreamOptions{MaxBytes: 2 << 30}})
	started := time.Since(start)
	var took []time.Duration
	i := 0
	for b.Loop() {
		topic := fmt.Sprintf("rooms:%d", i*7919%rooms)
		i++
		start := time.Now()
		unsubscribe, err := st.Subscribe(b.Context(), topic, true, func(edge.Delivery) {})
		if err != nil {
			b.Fatal(err)
		}
		page, err := st.Read(b.Context(), topic, edge.Query{Last: true, Limit: 50})
		if err != nil || len(page.Messages) != each {
			b.Fatalf("read %d messages, %v", len(page.Messages), err)
		}
		took = append(took, time.Since(start))
		defer unsubscribe()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
	b.ReportMetric(started.Seconds(), "s-start")
}
