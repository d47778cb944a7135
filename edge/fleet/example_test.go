package fleet_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/fleet"
	"github.com/aristochat/aristochat/embedded"
)

// An edge that is told to end: its clients go to the others as fast as those let
// them in, and within half a minute.
func Example() {
	dir, err := os.MkdirTemp("", "nats")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ns, err := embedded.Start(&embedded.Options{StoreDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer ns.Shutdown()
	ctx := context.Background()
	quiet := slog.New(slog.DiscardHandler)

	start := func(name string) (*edge.Server, *fleet.Table, *fleet.Member) {
		link, err := backbone.Connect(ctx, &backbone.Options{Server: ns, Logger: quiet})
		if err != nil {
			log.Fatal(err)
		}
		table, err := fleet.Watch(ctx, link, nil)
		if err != nil {
			log.Fatal(err)
		}
		srv, err := edge.New(link, &edge.Options{AdmitRate: 200, MaxSockets: 10_000, Logger: quiet})
		if err != nil {
			log.Fatal(err)
		}
		return srv, table, table.Join(srv, &fleet.MemberOptions{Name: name})
	}
	leaving, table, member := start("edge-1")
	staying, _, _ := start("edge-2")
	for table.Len() < 2 { // they say how they are every two seconds
		time.Sleep(10 * time.Millisecond)
	}
	for _, e := range table.Edges() {
		fmt.Println(e.Name, e.Sockets, "of", e.MaxSockets)
	}

	member.Leave() // no other edge counts on this one; clients still come
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	fmt.Println("others let in", member.Pace(), "a second")
	if err := leaving.Drain(ctx, member.Pace); err != nil {
		log.Fatal(err)
	}
	fmt.Println("left:", leaving.Stats().Sockets)
	if err := staying.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// edge-1 0 of 10000
	// edge-2 0 of 10000
	// others let in 160 a second
	// left: 0
}
