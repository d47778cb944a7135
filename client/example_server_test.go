package client_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aristochat/aristochat/conformance/lobby"
	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/vacant"
)

// An exampleServer is what the examples talk to.
type exampleServer struct {
	url     string
	stop    func()
	say     func(body string)      // as somebody in rooms:lobby
	restart func(meanwhile func()) // all connections break
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// startExample starts a chat with history.
func startExample() *exampleServer {
	ctx := context.Background()
	dir := must(os.MkdirTemp("", "example"))
	ns := must(embedded.Start(&embedded.Options{StoreDir: dir, Logger: quiet()}))
	link := must(backbone.Connect(ctx, &backbone.Options{Server: ns, Logger: quiet()}))
	store := must(link.Store(ctx, &backbone.StoreOptions{Apply: true}))
	for store.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	var srv *edge.Server
	var hs *http.Server
	addr, release, err := vacant.Hold()
	if err != nil {
		log.Fatal(err)
	}
	start := func() {
		srv = must(edge.New(store, &edge.Options{Connect: rooms.Connect, Logger: quiet()}))
		rooms.Serve(srv, nil)
		l := must(net.Listen("tcp", addr))
		hs = &http.Server{Handler: srv, ReadHeaderTimeout: time.Minute}
		go hs.Serve(l)
	}
	end := func() {
		_ = srv.Shutdown(ctx)
		_ = hs.Close()
	}
	start()
	return &exampleServer{
		url: "http://" + addr + "/socket",
		stop: func() {
			end()
			release()
			_ = link.Close(ctx)
			ns.Shutdown()
			_ = os.RemoveAll(dir)
		},
		say: func(body string) {
			e := edge.Event{Name: "chat_msg", Payload: fmt.Appendf(nil, `{"body":%q,"username":"ann"}`, body)}
			must(store.Append(ctx, "rooms:lobby", e, ""))
		},
		restart: func(meanwhile func()) {
			end()
			meanwhile()
			start()
		},
	}
}

// startExampleLobby starts the server of the recorded conversations.
func startExampleLobby() *exampleServer {
	srv := must(lobby.Start(context.Background(), lobby.Config{Logger: quiet()}))
	return &exampleServer{
		url:  "ws://" + srv.Addr() + "/socket",
		stop: func() { _ = srv.Shutdown(context.Background()) },
	}
}
