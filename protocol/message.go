package protocol

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

var (
	// ErrMalformed reports a frame that is no message.
	ErrMalformed = errors.New("malformed message")
	// ErrPayload reports a message whose payload is not what its kind needs.
	ErrPayload = errors.New("payload is not a JSON object")
	// ErrBinary reports a message that cannot be written with a binary
	// payload: V1 has no form for it, or a ref is an array or object.
	ErrBinary = errors.New("message has no binary form")
	// ErrTooLong reports a field of more than 255 bytes in a binary frame.
	ErrTooLong = errors.New("field too long for a binary frame")
	// ErrUTF8 reports a topic, event, status or ref that is not UTF-8 in a
	// message that must be written as text.
	ErrUTF8 = errors.New("text is not valid UTF-8")
	// ErrKind reports a message of a kind that this end does not send.
	ErrKind = errors.New("message kind not sent by this end")
)

// A Kind tells the three sorts of messages apart.
type Kind uint8

const (
	// Push goes from one end of a channel to the other. All that a client
	// sends is a push, and so are a server's phx_close and phx_error.
	Push Kind = iota
	// Reply is a server's answer to a push.
	Reply
	// Broadcast goes to all members of a topic. It has neither JoinRef nor
	// Ref.
	Broadcast
)

// A Message is one message in either direction.
type Message struct {
	Kind    Kind
	JoinRef Ref // which join of Topic this belongs to
	Ref     Ref // of a push, the sender's name for it; of a reply, that of the push

	Topic string
	Event string // of a Reply always EventReply, which need not be set to write it

	// Status is set in a Reply; Payload is then the response.
	Status string

	// Payload is one JSON value, as it stood in the frame; if Binary, any
	// bytes. An empty Payload that is not Binary is written as {}.
	Payload []byte
	Binary  bool

	// RawTopic and RawEvent are set instead of Topic and Event if these are
	// JSON values but no strings. They hold the value as it stood in the frame.
	RawTopic string
	RawEvent string
}

// DecodeClient decodes a frame that a client sent. binary is the frame's
// opcode; V1 decodes either alike. Errors wrap [ErrMalformed].
//
// The message shares memory with frame, which must not be modified afterwards.
// The caller has checked that a frame of text is valid UTF-8.
//
// Refs of a binary frame are strings, an empty one included: they are never
// [Null].
func DecodeClient(v Version, binary bool, frame []byte) (Message, error) {
	switch {
	case v == V1:
		return decodeV1(frame, binary)
	case v == V2 && binary:
		return decodeClientBinary(frame)
	case v == V2:
		return decodeV2(frame)
	}
	return Message{}, fmt.Errorf("%w: %d", ErrVersion, v)
}

// DecodeServer decodes a frame that a server sent, under the terms of
// [DecodeClient].
//
// A text message with the event phx_reply is a [Reply] if its payload has
// exactly a status, which is a string, and a response. Any other text message
// is a [Broadcast] if it has no refs, since that is all that tells it from a
// [Push].
func DecodeServer(v Version, binary bool, frame []byte) (Message, error) {
	var m Message
	var err error
	switch {
	case v == V1:
		m, err = decodeV1(frame, binary)
		m.JoinRef = Null // not a word of a V1 server
	case v == V2 && binary:
		return decodeServerBinary(frame)
	case v == V2:
		m, err = decodeV2(frame)
	default:
		return Message{}, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	if err != nil {
		return Message{}, err
	}
	if m.Event == EventReply {
		if status, response, ok := parseReply(m.Payload); ok {
			m.Kind, m.Status, m.Payload = Reply, status, response
			return m, nil
		}
	}
	if m.JoinRef.IsNull() && m.Ref.IsNull() {
		m.Kind = Broadcast
	}
	return m, nil
}

// AppendClient appends to dst the frame with which a client sends m, and tells
// its opcode. After an error dst is as it was.
//
// The caller vouches for a Payload that is not Binary: it must be a JSON value.
// In a binary frame [Null] is written like the empty string.
func AppendClient(dst []byte, v Version, m *Message) (frame []byte, binary bool, err error) {
	if m.Kind != Push {
		return dst, false, ErrKind
	}
	if m.Binary {
		return appendBinary(dst, v, m, true)
	}
	if err := m.checkText(); err != nil {
		return dst, false, err
	}
	switch v {
	case V1:
		return appendV1(dst, m, m.JoinRef), false, nil
	case V2:
		return appendV2(dst, m), false, nil
	}
	return dst, false, fmt.Errorf("%w: %d", ErrVersion, v)
}

// AppendServer appends to dst the frame with which a server sends m, and tells
// its opcode. After an error dst is as it was.
//
// The Payload of a [Push] or [Broadcast] must be an object, or else Binary; that
// of a [Reply] may be any JSON value. Only its beginning is looked at: the
// caller vouches that it is valid JSON.
//
// What has no place in the frame is left out: JoinRef in V1, Ref in a binary
// push, both in a broadcast.
func AppendServer(dst []byte, v Version, m *Message) (frame []byte, binary bool, err error) {
	if m.Kind > Broadcast {
		return dst, false, ErrKind
	}
	if m.Binary {
		return appendBinary(dst, v, m, false)
	}
	if m.Kind != Reply && !looksLikeObject(m.Payload) {
		return dst, false, ErrPayload
	}
	if err := m.checkText(); err != nil {
		return dst, false, err
	}
	switch v {
	case V1:
		return appendV1(dst, m, Null), false, nil
	case V2:
		return appendV2(dst, m), false, nil
	}
	return dst, false, fmt.Errorf("%w: %d", ErrVersion, v)
}

// looksLikeObject reports whether payload, if it is JSON at all, is an object.
func looksLikeObject(payload []byte) bool {
	if len(payload) == 0 {
		return true // written as {}
	}
	i := skipSpace(payload, 0)
	return i < len(payload) && payload[i] == '{'
}

// checkText reports what keeps m from being written as text.
func (m *Message) checkText() error {
	for _, part := range [...]struct{ name, text string }{
		{"join_ref", string(m.JoinRef)},
		{"ref", string(m.Ref)},
		{"topic", m.Topic},
		{"topic", m.RawTopic},
		{"event", m.Event},
		{"event", m.RawEvent},
		{"status", m.Status},
	} {
		if !utf8.ValidString(part.text) {
			return fmt.Errorf("%w: %s", ErrUTF8, part.name)
		}
	}
	return nil
}

// appendEvent appends the event of m as JSON.
func (m *Message) appendEvent(dst []byte) []byte {
	if m.Kind == Reply {
		return append(dst, `"`+EventReply+`"`...)
	}
	return appendString(dst, m.Event, m.RawEvent)
}

// appendPayload appends the payload of m as JSON, within that of a reply if m
// is one.
func (m *Message) appendPayload(dst []byte) []byte {
	if m.Kind == Reply {
		return appendReply(dst, m.Status, m.Payload)
	}
	return appendJSON(dst, m.Payload)
}

// appendString appends s as a JSON string, or else raw as it is.
func appendString(dst []byte, s, raw string) []byte {
	if raw != "" {
		return append(dst, raw...)
	}
	return appendQuoted(dst, s)
}

// appendJSON appends raw, or {} for nothing.
func appendJSON(dst, raw []byte) []byte {
	if len(raw) == 0 {
		return append(dst, "{}"...)
	}
	return append(dst, raw...)
}
