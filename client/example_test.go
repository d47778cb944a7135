package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"

	"github.com/aristochat/aristochat/client"
)

// Ann joins a room, says something, and hears it as everybody does.
func Example() {
	server := startExample()
	defer server.stop()

	ctx := context.Background()
	c, err := client.Dial(ctx, server.url, &client.Options{Params: url.Values{"username": {"ann"}}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	heard := make(chan bool)
	lobby := c.Channel("rooms:lobby", nil)
	lobby.On("chat_msg", func(m client.Message) {
		var msg struct{ Username, Body string }
		if err := m.Decode(&msg); err != nil {
			log.Print(err)
			return
		}
		fmt.Printf("%s: %s\n", msg.Username, msg.Body)
		heard <- true
	})
	if _, err := lobby.Join(ctx); err != nil {
		log.Fatal(err)
	}

	if _, err := lobby.Push(ctx, "chat_msg", map[string]string{"body": "hello"}); err != nil {
		log.Fatal(err)
	}
	<-heard

	_, err = lobby.Push(ctx, "chat_msg", map[string]string{"body": ""})
	if refused, ok := errors.AsType[*client.ReplyError](err); ok {
		fmt.Println("refused:", refused.Reason())
	}
	// Output:
	// ann: hello
	// refused: body is blank
}

// A bot that hears everything once, whatever happens to its connection: it keeps
// a cursor, and asks at each join for what came after it.
func Example_resume() {
	server := startExample()
	defer server.stop()

	ctx := context.Background()
	c, err := client.Dial(ctx, server.url, &client.Options{Params: url.Values{"username": {"bot"}}, Logger: quiet()})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	type message struct {
		Seq  uint64
		Body string
	}
	type page struct {
		Messages []message
		LastSeq  uint64 `json:"last_seq"`
		Epoch    string
	}
	var (
		since uint64
		epoch string
		heard = make(chan bool, 10)
	)
	hear := func(m message) {
		since = m.Seq
		fmt.Println(m.Body)
		heard <- true
	}
	lobby := c.Channel("rooms:lobby", func() any {
		if epoch == "" {
			return map[string]any{"history": 10}
		}
		return map[string]any{"since": since, "epoch": epoch}
	})
	lobby.OnJoin(func(r client.Reply) { // the first time, and again
		var p page
		if err := r.Decode(&p); err != nil {
			log.Fatal(err)
		}
		for _, m := range p.Messages {
			hear(m)
		}
		since, epoch = p.LastSeq, p.Epoch
	})
	lobby.On("history", func(m client.Message) { // more than fits into the reply
		var p page
		if err := m.Decode(&p); err != nil {
			log.Fatal(err)
		}
		for _, m := range p.Messages {
			hear(m)
		}
	})
	lobby.On("chat_msg", func(m client.Message) {
		var msg message
		if err := m.Decode(&msg); err != nil {
			log.Fatal(err)
		}
		hear(msg)
	})
	if _, err := lobby.Join(ctx); err != nil {
		log.Fatal(err)
	}

	server.say("one")
	<-heard
	server.restart(func() { server.say("two, while the bot is away") })
	<-heard
	server.say("three")
	<-heard
	// Output:
	// one
	// two, while the bot is away
	// three
}

// What became of a push is known, or it is known that nobody knows.
func ExampleChannel_Push() {
	server := startExample()
	defer server.stop()

	ctx := context.Background()
	c, err := client.Dial(ctx, server.url, nil)
	if err != nil {
		log.Fatal(err)
	}
	lobby := c.Channel("rooms:lobby", nil)
	if _, err := lobby.Join(ctx); err != nil {
		log.Fatal(err)
	}
	push := func(msg map[string]string) {
		_, err := lobby.Push(ctx, "chat_msg", msg)
		switch refused, ok := errors.AsType[*client.ReplyError](err); {
		case err == nil:
			fmt.Println("done")
		case ok:
			fmt.Println("refused:", refused.Reason())
		case errors.Is(err, client.ErrUnknown):
			fmt.Println("perhaps done:", err) // in our rooms: say it again with the same client_id
		default:
			fmt.Println("not done:", err)
		}
	}
	push(map[string]string{"body": "hello"})
	push(map[string]string{"text": "hello"})
	c.Close()
	push(map[string]string{"body": "anybody there?"})
	// Output:
	// done
	// refused: body is missing
	// not done: client: chat_msg on "rooms:lobby": client closed
}

// Who is in the room, and who comes and goes.
func ExampleNewPresence() {
	server := startExample()
	defer server.stop()
	ctx := context.Background()

	enter := func(name string, do client.PresenceHandlers) (*client.Client, *client.Presence) {
		c, err := client.Dial(ctx, server.url, &client.Options{Params: url.Values{"username": {name}}})
		if err != nil {
			log.Fatal(err)
		}
		lobby := c.Channel("rooms:lobby", nil)
		who := client.NewPresence(lobby, do) // before the join
		if _, err := lobby.Join(ctx); err != nil {
			log.Fatal(err)
		}
		return c, who
	}

	told := make(chan string, 10)
	ann, who := enter("ann", client.PresenceHandlers{
		Join: func(name string, before, _ client.PresenceEntry) {
			if len(before.Metas) == 0 { // else one more connection
				told <- name + " is here"
			}
		},
		Leave: func(name string, after, _ client.PresenceEntry) {
			if len(after.Metas) == 0 {
				told <- name + " has left"
			}
		},
	})
	defer ann.Close()
	fmt.Println(<-told)
	bob, _ := enter("bob", client.PresenceHandlers{})
	fmt.Println(<-told)
	fmt.Println(len(who.List()), "are here")
	bob.Close()
	fmt.Println(<-told)
	// Output:
	// ann is here
	// bob is here
	// 2 are here
	// bob has left
}

// Bytes travel as they are, in binary frames.
func ExampleBinary() {
	server := startExampleLobby()
	defer server.stop()

	ctx := context.Background()
	c, err := client.Dial(ctx, server.url, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	lobby := c.Channel("lobby:bytes", nil)
	if _, err := lobby.Join(ctx); err != nil {
		log.Fatal(err)
	}
	r, err := lobby.Push(ctx, "echo", client.Binary{0xca, 0xfe})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x %v\n", r.Bytes, r.Binary)
	// Output:
	// cafe true
}
