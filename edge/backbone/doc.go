// Package backbone joins edges into one server, over NATS.
//
// A topic is cut at its first colon into namespace and id, and each becomes one
// token of a subject; [Tail] has the rules. With the prefix "chat" the topic
// rooms:lobby is carried by
//
//	chat.in.rooms.lobby      stored events are published here; a JetStream stream captures chat.in.>
//	chat.live.rooms.lobby    the stream's republished copy: what edges subscribe to
//	chat.eph.rooms.lobby     events that are not stored
//	chat.ctl.KIND            what edges tell each other, whatever the topic
//	chat.ctl.edge.NAME       what one edge asks another; the answer goes to _INBOX_EDGE.>
//	chat.p.WORD[.TOPIC]      what package presence tells itself on other edges
//
// A message's data is the event's payload, a JSON object. Its headers are
//
//	Phx-Event       the event. On chat.in it may be missing: then it is chat_msg.
//	Phx-Payload     "binary" if the payload is not JSON; otherwise absent
//	traceparent     the span that published it, if one is recorded (W3C Trace Context)
//	Nats-Msg-Id     on chat.in: the idempotency key
//
// So any program can speak in a room:
//
//	nats pub chat.in.rooms.lobby '{"body":"hi","username":"bot"}'
//
// What edges receive may come from any such program. A message whose event or
// payload is not what it should be is counted, logged and dropped.
//
// A [Link] carries events. A [Store] is a Link that keeps them: the stream
// orders and stores what is appended and republishes it with its sequence and
// the sequence of the same topic's message before it, so that whoever listens
// knows what it missed, and reads that from the stream.
package backbone
