// Package client is Phoenix Channels for Go programs: it talks to any server
// that speaks the protocol, ours and Elixir's.
//
//	c, err := client.Dial(ctx, "ws://localhost:4000/socket", &client.Options{
//		Params: url.Values{"username": {"ann"}},
//	})
//	…
//	defer c.Close()
//	lobby := c.Channel("rooms:lobby", nil)
//	lobby.On("chat_msg", func(m client.Message) { fmt.Printf("%s\n", m.Bytes) })
//	_, err = lobby.Join(ctx)
//	…
//	reply, err := lobby.Push(ctx, "chat_msg", map[string]string{"body": "hi"})
//
// A lost connection comes back by itself, and the channels with it. What is
// pushed meanwhile waits; what was sent and not answered fails with
// [ErrUnknown]. Join params may be a function, which is called at each join, so
// that a channel can ask for what it missed; see the example Resume.
//
// Callbacks of a channel run one at a time, in the order of what the server
// sent. They may block, push and wait for the reply, and call any method. No
// lock is held while they run. One that panics ends the program.
//
// An idle client has one goroutine and holds 19 KB. docs/client.md says what
// happens upon each fault, and what things cost.
package client
