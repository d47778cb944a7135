package backbone_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
)

// Any program with a connection to NATS can listen to a room, speak in it, and
// read what was said.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	srv, err := embedded.Start(&embedded.Options{StoreDir: dir, Logger: quiet}) // or one that is there already: see Options.URLs
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown()

	link, err := backbone.Connect(ctx, &backbone.Options{Server: srv, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer link.Close(ctx)
	store, err := link.Store(ctx, &backbone.StoreOptions{Apply: true})
	if err != nil {
		log.Fatal(err)
	}

	heard := make(chan string)
	unsubscribe, err := store.Subscribe(ctx, "rooms:lobby", true, func(d edge.Delivery) {
		go func() { heard <- string(d.Payload) }()
	})
	if err != nil {
		log.Fatal(err)
	}
	defer unsubscribe()

	hi := edge.Event{Name: "chat_msg", Payload: []byte(`{"body":"hi","username":"bot"}`)}
	stamp, err := store.Append(ctx, "rooms:lobby", hi, "bot/1")
	if err != nil {
		log.Fatal(err)
	}
	again, err := store.Append(ctx, "rooms:lobby", hi, "bot/1") // the same key: nothing is stored twice
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("heard", <-heard)
	fmt.Println("stored once:", stamp == again)

	page, err := store.Read(ctx, "rooms:lobby", edge.Query{Last: true, Limit: 10})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range page.Messages {
		fmt.Println("read", d.Seq, string(d.Payload))
	}
	// Output:
	// heard {"body":"hi","username":"bot"}
	// stored once: true
	// read 1 {"body":"hi","username":"bot"}
}
