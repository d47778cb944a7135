package protocol

import (
	"fmt"
	"unicode/utf8"
)

// decodeV1 decodes a V1 message. Of a member that is there twice, the first
// counts; unknown members are ignored.
func decodeV1(frame []byte, binary bool) (m Message, err error) {
	if binary && !utf8.Valid(frame) {
		return m, fmt.Errorf("%w: not UTF-8", ErrMalformed) // nobody has checked a binary frame
	}
	var topic, event, payload, ref, joinRef []byte
	err = eachMember(frame, func(key string, value []byte) {
		var field *[]byte
		switch key {
		case "topic":
			field = &topic
		case "event":
			field = &event
		case "payload":
			field = &payload
		case "ref":
			field = &ref
		case "join_ref":
			field = &joinRef
		default:
			return
		}
		if *field == nil {
			*field = value
		}
	})
	if err != nil {
		return m, err
	}
	for _, f := range [...]struct {
		name  string
		value []byte
	}{{"topic", topic}, {"event", event}, {"payload", payload}, {"ref", ref}} {
		if f.value == nil {
			return m, fmt.Errorf("%w: no %q", ErrMalformed, f.name)
		}
	}
	m.Topic, m.RawTopic = decodeString(topic)
	m.Event, m.RawEvent = decodeString(event)
	m.Payload = payload
	m.Ref = decodeRef(ref)
	m.JoinRef = decodeRef(joinRef)
	return m, nil
}

// appendV1 appends m as a V1 message, which has a join_ref unless that is null.
func appendV1(dst []byte, m *Message, joinRef Ref) []byte {
	ref := m.Ref
	if m.Kind == Broadcast {
		ref = Null
	}
	dst = append(dst, `{"topic":`...)
	dst = appendString(dst, m.Topic, m.RawTopic)
	dst = append(dst, `,"event":`...)
	dst = m.appendEvent(dst)
	dst = append(dst, `,"ref":`...)
	dst = ref.append(dst)
	if !joinRef.IsNull() {
		dst = append(dst, `,"join_ref":`...)
		dst = joinRef.append(dst)
	}
	dst = append(dst, `,"payload":`...)
	dst = m.appendPayload(dst)
	return append(dst, '}')
}
