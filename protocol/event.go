package protocol

// The reserved events.
const (
	EventJoin      = "phx_join"  // from a client: become a member of the topic
	EventLeave     = "phx_leave" // from a client: stop being one
	EventReply     = "phx_reply" // from a server: the answer to the message with the same ref
	EventClose     = "phx_close" // from a server: the channel has ended for good
	EventError     = "phx_error" // from a server: the channel has crashed; join again
	EventHeartbeat = "heartbeat" // from a client, on TopicPhoenix
)
