package protocol_test

import (
	"fmt"
	"log"

	"github.com/aristochat/aristochat/protocol"
)

// Ann joins a room and speaks in it: both ends of the exchange.
func Example() {
	version, err := protocol.Negotiate("2.0.0")
	if err != nil {
		log.Fatal(err)
	}
	// Each end encodes into a frame, which the other decodes.
	send := func(m protocol.Message) protocol.Message {
		frame, binary, err := protocol.AppendClient(nil, version, &m)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("→ %s\n", frame)
		received, err := protocol.DecodeClient(version, binary, frame)
		if err != nil {
			log.Fatal(err)
		}
		return received
	}
	answer := func(m protocol.Message) protocol.Message {
		frame, binary, err := protocol.AppendServer(nil, version, &m)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("← %s\n", frame)
		received, err := protocol.DecodeServer(version, binary, frame)
		if err != nil {
			log.Fatal(err)
		}
		return received
	}

	// The client names its join, and later each message.
	joinRef := protocol.NewRef("1")
	join := send(protocol.Message{JoinRef: joinRef, Ref: joinRef, Topic: "rooms:main", Event: protocol.EventJoin})
	answer(protocol.Message{
		Kind: protocol.Reply, JoinRef: join.JoinRef, Ref: join.Ref, Topic: join.Topic, Status: protocol.StatusOK,
	})

	// What she says goes to all members of the room, herself included.
	push := send(protocol.Message{
		JoinRef: joinRef, Ref: protocol.NewRef("2"), Topic: "rooms:main",
		Event: "chat_msg", Payload: []byte(`{"body":"hi"}`),
	})
	heard := answer(protocol.Message{
		Kind: protocol.Broadcast, Topic: push.Topic, Event: push.Event, Payload: []byte(`{"body":"hi","username":"ann"}`),
	})
	fmt.Printf("heard %s\n", heard.Payload)

	// The reply bears the ref of the push, by which she knows it.
	reply := answer(protocol.Message{
		Kind: protocol.Reply, JoinRef: push.JoinRef, Ref: push.Ref, Topic: push.Topic, Status: protocol.StatusOK,
	})
	fmt.Println(reply.Kind == protocol.Reply, reply.Ref.Equal(push.Ref), reply.Status)

	// Output:
	// → ["1","1","rooms:main","phx_join",{}]
	// ← ["1","1","rooms:main","phx_reply",{"status":"ok","response":{}}]
	// → ["1","2","rooms:main","chat_msg",{"body":"hi"}]
	// ← [null,null,"rooms:main","chat_msg",{"body":"hi","username":"ann"}]
	// heard {"body":"hi","username":"ann"}
	// ← ["1","2","rooms:main","phx_reply",{"status":"ok","response":{}}]
	// true true ok
}
