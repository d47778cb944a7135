package backbone_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

// A program that serves no clients speaks in a room, reads what was said there,
// and listens: all it needs is NATS.
func ExampleStore() {
	// NATS in this process. Elsewhere: &backbone.Options{URLs: []string{"nats://…"}}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	ns, err := embedded.Start(&embedded.Options{StoreDir: dir, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer ns.Shutdown()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	link, err := backbone.Connect(ctx, &backbone.Options{Server: ns, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer link.Close(ctx)
	store, err := link.Store(ctx, &backbone.StoreOptions{Apply: true}) // Apply only where the stream may be missing
	if err != nil {
		log.Fatal(err)
	}

	// Listen. What is stored after Subscribe has returned is heard.
	heard := make(chan edge.Delivery, 16)
	unsubscribe, err := store.Subscribe(ctx, "rooms:lobby", true, func(d edge.Delivery) {
		d.Payload = bytes.Clone(d.Payload) // it is only lent
		heard <- d
	})
	if err != nil {
		log.Fatal(err)
	}
	defer unsubscribe()

	// Speak. The key makes it harmless to do so twice.
	hello := edge.Event{Name: "chat_msg", Payload: []byte(`{"body":"build 77 passed","username":"ci"}`)}
	for range 2 {
		stamp, err := store.Append(ctx, "rooms:lobby", hello, "build 77")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("stored as", stamp.Seq)
	}
	d := <-heard
	fmt.Println("heard", d.Seq, d.Name, string(d.Payload))

	// Read. Query says from where.
	page, err := store.Read(ctx, "rooms:lobby", edge.Query{Last: true, Limit: 50})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range page.Messages {
		fmt.Println("read", m.Seq, m.Name, string(m.Payload))
	}
	// Output:
	// stored as 1
	// stored as 1
	// heard 1 chat_msg {"body":"build 77 passed","username":"ci"}
	// read 1 chat_msg {"body":"build 77 passed","username":"ci"}
}
