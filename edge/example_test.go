package edge_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
	"github.com/coder/websocket"
)

// The room of Aristochat, a chat in Elixir: everybody may join, and what one
// says everybody hears.
type room struct{}

func (room) Join(context.Context, *edge.Socket, edge.Payload) (any, error) { return nil, nil }

func (room) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	var msg struct {
		Body     string `json:"body"`
		Username any    `json:"username"`
	}
	if err := m.Payload.Decode(&msg); err != nil || m.Event != "chat_msg" {
		return nil, edge.Refuse("say it with a chat_msg")
	}
	msg.Username = s.Assigns() // not the client's to choose
	return nil, s.Broadcast(ctx, "chat_msg", msg)
}

func connect(_ context.Context, h *edge.Handshake) (edge.Session, error) {
	return edge.Session{Assigns: h.Params.Get("username")}, nil
}

func Example() {
	link, stop := startNATS()
	defer stop()

	srv, err := edge.New(link, &edge.Options{Connect: connect, Logger: quiet()})
	if err != nil {
		log.Fatal(err)
	}
	srv.Channel("rooms:*", func() edge.Channel { return room{} })
	hs := httptest.NewServer(srv) // or http.ListenAndServe(":4000", srv)
	defer hs.Close()

	ctx := context.Background()
	ws, _, err := websocket.Dial(ctx, hs.URL+"/socket/websocket?vsn=2.0.0&username=ann", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, frame := range []string{
		`["1","1","rooms:lobby","phx_join",{}]`,
		`["1","2","rooms:lobby","chat_msg",{"body":"hello"}]`,
	} {
		if err := ws.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
			log.Fatal(err)
		}
		_, answer, err := ws.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(answer))
	}
	ws.Close(websocket.StatusNormalClosure, "")
	if err := srv.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ["1","1","rooms:lobby","phx_reply",{"status":"ok","response":{}}]
	// [null,null,"rooms:lobby","chat_msg",{"body":"hello","username":"ann"}]
}

// startNATS runs NATS in this process.
func startNATS() (*backbone.Link, func()) {
	dir, err := os.MkdirTemp("", "edge-example")
	if err != nil {
		log.Fatal(err)
	}
	ns, err := embedded.Start(&embedded.Options{StoreDir: dir, Logger: quiet()})
	if err != nil {
		log.Fatal(err)
	}
	link, err := backbone.Connect(context.Background(), &backbone.Options{Server: ns, Logger: quiet()})
	if err != nil {
		log.Fatal(err)
	}
	return link, func() {
		link.Close(context.Background())
		ns.Shutdown()
		os.RemoveAll(dir)
	}
}
