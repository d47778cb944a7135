package embedded_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aristochat/aristochat/embedded"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func startCluster(t *testing.T, n int) *embedded.Cluster {
	t.Helper()
	c, err := embedded.StartCluster(n, t.TempDir(), &embedded.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Shutdown)
	return c
}

func TestClusterSurvivesOneStop(t *testing.T) {
	c := startCluster(t, 3)

	// The client starts on the member that will stop.
	servers := c.URLs()
	nc, err := nats.Connect(servers[0], func(o *nats.Options) error {
		o.Servers, o.NoRandomize, o.ReconnectWait, o.MaxReconnect = servers, true, 10*time.Millisecond, -1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js := stream(t, nc, 3)
	publish(t, js)

	c.Stop(0)
	publish(t, js)
	if nc.ConnectedUrl() == servers[0] {
		t.Errorf("still connected to %s, which has stopped", servers[0])
	}
	if err := c.Restart(0); err != nil {
		t.Fatal(err)
	}
	if got := c.URLs(); !slices.Equal(got, servers) {
		t.Errorf("URLs after a restart = %v, want %v", got, servers)
	}

	// The one that is back holds its share: with it another may stop.
	c.Stop(1)
	publish(t, js)
	back, err := jetstream.New(connect(t, c.Servers[0]))
	if err != nil {
		t.Fatal(err)
	}
	if n := messages(t, back); n != 3 {
		t.Errorf("%d messages stored, want 3", n)
	}
}

// publish stores one message, however often it takes while leaders are elected.
func publish(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	id := nats.NewInbox()
	end, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for {
		ctx, cancel := context.WithTimeout(end, time.Second)
		_, err := js.Publish(ctx, "s.a", nil, jetstream.WithMsgID(id))
		cancel()
		if err == nil {
			return
		}
		if end.Err() != nil {
			t.Fatalf("publishing: %v", err)
		}
	}
}

// Once StartCluster returns, each member has its own way to each other one.
func TestClusterReadyMeansMesh(t *testing.T) {
	c := startCluster(t, 3)
	for i, s := range c.Servers {
		routes, err := s.NATS().Routez(nil)
		if err != nil {
			t.Fatal(err)
		}
		others := map[string]bool{}
		for _, r := range routes.Routes {
			others[r.RemoteName] = true
		}
		if len(others) != 2 {
			t.Errorf("server %d has routes to %v, want two others", i, others)
		}
		sub, err := connect(t, s).SubscribeSync("hello.*")
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe()
		for j, from := range c.Servers {
			if i == j {
				continue
			}
			// Interest in a new subject spreads asynchronously.
			nc := connect(t, from)
			for end := time.Now().Add(patience); ; {
				if err := nc.Publish("hello.x", nil); err != nil {
					t.Fatal(err)
				}
				_, err := sub.NextMsg(10 * time.Millisecond)
				if err == nil {
					break
				}
				if !errors.Is(err, nats.ErrTimeout) || time.Now().After(end) {
					t.Fatalf("from server %d to %d: %v", j, i, err)
				}
			}
		}
	}
}

func TestTwoClusters(t *testing.T) {
	a, b := startCluster(t, 2), startCluster(t, 2)
	jsA := stream(t, connect(t, a.Servers[0]), 2)
	publish(t, jsA)
	jsB, err := jetstream.New(connect(t, b.Servers[0]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jsB.Stream(t.Context(), "S"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream of one cluster, asked of the other: %v, want %v", err, jetstream.ErrStreamNotFound)
	}
}

func TestClusterErrors(t *testing.T) {
	if c, err := embedded.StartCluster(1, t.TempDir(), nil); err == nil {
		c.Shutdown()
		t.Error("a cluster of 1 started")
	}
	dir := t.TempDir()
	c, err := embedded.StartCluster(2, dir, &embedded.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	if other, err := embedded.StartCluster(2, dir, &embedded.Options{Logger: quiet()}); !errors.Is(err, embedded.ErrStoreInUse) {
		if err == nil {
			other.Shutdown()
		}
		t.Errorf("a second cluster on the same directory: %v, want %v", err, embedded.ErrStoreInUse)
	}
}

func TestClusterShutdownLeavesNoGoroutine(t *testing.T) {
	c, err := embedded.StartCluster(2, t.TempDir(), &embedded.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	c.Shutdown()
	awaitNoServerGoroutine(t)
}
