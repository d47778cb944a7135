package protocol

import "fmt"

// decodeV2 decodes a V2 text message. Elements beyond the fifth are ignored.
func decodeV2(frame []byte) (m Message, err error) {
	var elems [5][]byte
	n := 0
	err = eachElement(frame, func(value []byte) {
		if n < len(elems) {
			elems[n] = value
		}
		n++
	})
	if err != nil {
		return m, err
	}
	if n < len(elems) {
		return m, fmt.Errorf("%w: array of %d, want at least %d", ErrMalformed, n, len(elems))
	}
	m.JoinRef = decodeRef(elems[0])
	m.Ref = decodeRef(elems[1])
	m.Topic, m.RawTopic = decodeString(elems[2])
	m.Event, m.RawEvent = decodeString(elems[3])
	m.Payload = elems[4]
	return m, nil
}

// appendV2 appends m as a V2 text message.
func appendV2(dst []byte, m *Message) []byte {
	joinRef, ref := m.JoinRef, m.Ref
	if m.Kind == Broadcast {
		joinRef, ref = Null, Null
	}
	dst = append(dst, '[')
	dst = joinRef.append(dst)
	dst = append(dst, ',')
	dst = ref.append(dst)
	dst = append(dst, ',')
	dst = appendString(dst, m.Topic, m.RawTopic)
	dst = append(dst, ',')
	dst = m.appendEvent(dst)
	dst = append(dst, ',')
	dst = m.appendPayload(dst)
	return append(dst, ']')
}
