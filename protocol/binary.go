package protocol

import (
	"fmt"
	"slices"
)

// A binary frame is a byte for its kind, a byte for the length of each field,
// the fields, and the payload:
//
//	client push  0 | join_ref | ref | topic | event
//	push         0 | join_ref |       topic | event
//	reply        1 | join_ref | ref | topic | status
//	broadcast    2 |                  topic | event
//
// The kinds are numbered as [Kind] is.

// maxField is the length in bytes of the longest field.
const maxField = 255

// fields tells which refs a binary frame has.
type fields struct{ joinRef, ref bool }

func layout(k Kind, client bool) fields {
	return fields{joinRef: k != Broadcast, ref: k == Reply || client}
}

func decodeClientBinary(frame []byte) (Message, error) {
	if len(frame) > 0 && Kind(frame[0]) != Push {
		return Message{}, fmt.Errorf("%w: binary kind %d", ErrMalformed, frame[0])
	}
	return decodeBinary(frame, true)
}

func decodeServerBinary(frame []byte) (Message, error) {
	if len(frame) > 0 && Kind(frame[0]) > Broadcast {
		return Message{}, fmt.Errorf("%w: binary kind %d", ErrMalformed, frame[0])
	}
	return decodeBinary(frame, false)
}

func decodeBinary(frame []byte, client bool) (m Message, err error) {
	if len(frame) == 0 {
		return m, fmt.Errorf("%w: empty binary frame", ErrMalformed)
	}
	kind := Kind(frame[0])
	has := layout(kind, client)
	n := 2
	if has.joinRef {
		n++
	}
	if has.ref {
		n++
	}
	if len(frame) < 1+n {
		return m, fmt.Errorf("%w: binary header of %d bytes, want %d", ErrMalformed, len(frame), 1+n)
	}
	lengths, rest := frame[1:1+n], frame[1+n:]
	next := func() (field []byte) {
		if err != nil {
			return nil
		}
		length := int(lengths[0])
		if length > len(rest) {
			err = fmt.Errorf("%w: binary field of %d bytes, but %d are left", ErrMalformed, length, len(rest))
			return nil
		}
		field, lengths, rest = rest[:length], lengths[1:], rest[length:]
		return field
	}
	var joinRef, ref []byte
	if has.joinRef {
		joinRef = next()
	}
	if has.ref {
		ref = next()
	}
	topic, event := next(), next()
	if err != nil {
		return Message{}, err
	}
	m = Message{Kind: kind, Topic: view(topic), Payload: slices.Clip(rest), Binary: true}
	if has.joinRef {
		m.JoinRef = NewRef(view(joinRef))
	}
	if has.ref {
		m.Ref = NewRef(view(ref))
	}
	if kind == Reply {
		m.Event, m.Status = EventReply, view(event)
	} else {
		m.Event = view(event)
	}
	return m, nil
}

func appendBinary(dst []byte, v Version, m *Message, client bool) (frame []byte, binary bool, err error) {
	switch {
	case v == V1:
		return dst, false, fmt.Errorf("%w in V1", ErrBinary)
	case v != V2:
		return dst, false, fmt.Errorf("%w: %d", ErrVersion, v)
	case m.RawTopic != "":
		return dst, false, fmt.Errorf("%w: topic is not a string", ErrBinary)
	case m.RawEvent != "" && m.Kind != Reply:
		return dst, false, fmt.Errorf("%w: event is not a string", ErrBinary)
	}
	has := layout(m.Kind, client)
	w := binaryWriter{frame: append(dst, byte(m.Kind)), length: len(dst) + 1}
	// The lengths come first, so that their bytes are there to be set.
	if has.joinRef {
		w.frame = append(w.frame, 0)
	}
	if has.ref {
		w.frame = append(w.frame, 0)
	}
	w.frame = append(w.frame, 0, 0)
	if has.joinRef {
		w.ref("join_ref", m.JoinRef)
	}
	if has.ref {
		w.ref("ref", m.Ref)
	}
	w.text("topic", m.Topic)
	if m.Kind == Reply {
		w.text("status", m.Status)
	} else {
		w.text("event", m.Event)
	}
	if w.err != nil {
		return dst, false, w.err
	}
	return append(w.frame, m.Payload...), true, nil
}

// A binaryWriter appends fields to a frame and sets their lengths.
type binaryWriter struct {
	frame  []byte
	length int // index in frame of the next field's length
	err    error
}

func (w *binaryWriter) text(name, s string) {
	start := len(w.frame)
	w.frame = append(w.frame, s...)
	w.end(name, start)
}

func (w *binaryWriter) ref(name string, r Ref) {
	start := len(w.frame)
	switch {
	case r.IsNull():
	case r[0] == '"' && isValue(string(r)):
		w.frame = appendUnquoted(w.frame, string(r))
	case r[0] == '"' || r[0] == '[' || r[0] == '{':
		w.fail(fmt.Errorf("%w: %s is not a string or a number", ErrBinary, name))
	default:
		w.frame = append(w.frame, r...)
	}
	w.end(name, start)
}

func (w *binaryWriter) end(name string, start int) {
	n := len(w.frame) - start
	if n > maxField {
		w.fail(fmt.Errorf("%w: %s has %d bytes", ErrTooLong, name, n))
	}
	w.frame[w.length] = byte(n)
	w.length++
}

func (w *binaryWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
