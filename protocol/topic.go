package protocol

import "strings"

// TopicPhoenix is the topic of heartbeats. For other events it is a topic like
// any other.
const TopicPhoenix = "phoenix"

// MaxTopic is the length in bytes of the longest topic that a binary frame can
// carry. Text frames know no limit.
const MaxTopic = 255

// SplitTopic cuts topic at its first colon: "rooms:a:b" is of the namespace
// "rooms" and has the id "a:b". Without a colon, all of it is the namespace.
func SplitTopic(topic string) (namespace, id string, colon bool) {
	return strings.Cut(topic, ":")
}
