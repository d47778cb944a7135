package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/coder/websocket"
)

// The room of the first example remembers what was said, if its event is
// declared as stored and the backbone is a store.
func Example_history() {
	link, stop := startNATS()
	defer stop()

	ctx := context.Background()
	store, err := link.Store(ctx, &backbone.StoreOptions{Apply: true})
	if err != nil {
		log.Fatal(err)
	}
	srv, err := edge.New(store, &edge.Options{Connect: connect, Logger: quiet()})
	if err != nil {
		log.Fatal(err)
	}
	srv.Channel("rooms:*", func() edge.Channel { return room{} }, edge.Stored("chat_msg"))
	hs := httptest.NewServer(srv)
	defer hs.Close()

	ann := dial(ctx, hs.URL+"/socket/websocket?vsn=2.0.0&username=ann")
	ask(ctx, ann, `["1","1","rooms:lobby","phx_join",{}]`)
	ask(ctx, ann, `["1","2","rooms:lobby","chat_msg",{"body":"hello"}]`)
	ask(ctx, ann, `["1","3","rooms:lobby","chat_msg",{"body":"nobody here?"}]`)

	// Bob comes later, and asks for what was said last.
	bob := dial(ctx, hs.URL+"/socket/websocket?vsn=2.0.0&username=bob")
	answer := ask(ctx, bob, `["1","1","rooms:lobby","phx_join",{"history":20}]`)

	var frame []json.RawMessage // join_ref, ref, topic, event, payload
	if err := json.Unmarshal(answer, &frame); err != nil {
		log.Fatal(err)
	}
	var reply struct {
		Response struct {
			Messages []struct {
				Seq            int
				Username, Body string
			}
		}
	}
	if err := json.Unmarshal(frame[4], &reply); err != nil {
		log.Fatal(err)
	}
	for _, m := range reply.Response.Messages {
		fmt.Printf("%d %s: %s\n", m.Seq, m.Username, m.Body)
	}
	ann.Close(websocket.StatusNormalClosure, "")
	bob.Close(websocket.StatusNormalClosure, "")
	if err := srv.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 ann: hello
	// 2 ann: nobody here?
}

func dial(ctx context.Context, url string) *websocket.Conn {
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	return ws
}

// ask sends a frame and returns the next one that comes.
func ask(ctx context.Context, ws *websocket.Conn, frame string) []byte {
	if err := ws.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		log.Fatal(err)
	}
	_, answer, err := ws.Read(ctx)
	if err != nil {
		log.Fatal(err)
	}
	return answer
}
