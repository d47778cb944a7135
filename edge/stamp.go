package edge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aristochat/aristochat/protocol"
)

// stamp returns the payload of a stored event as members get it: with the
// store's sequence and time, and the event's name if it is not the one that the
// channel mostly stores. What the publisher wrote under these names is replaced.
func stamp(rt *route, d *Delivery) ([]byte, error) {
	if d.Binary {
		return nil, errBinaryStored
	}
	if !rt.stores(d.Name) {
		return nil, fmt.Errorf("event %q is not one that is stored here", d.Name)
	}
	if rt.check != nil {
		if err := rt.check(d.Event); err != nil {
			return nil, err
		}
	}
	name := d.Name
	if name == rt.stored[0] {
		name = ""
	}
	return stampPayload(d.Payload, d.Seq, d.At, name)
}

var errBinaryStored = errors.New("a stored event must be a JSON object, not binary")

func stampPayload(payload []byte, seq uint64, at time.Time, event string) ([]byte, error) {
	payload = bytes.TrimSpace(payload)
	if mayName(payload) {
		var err error
		if payload, err = withoutStamp(payload); err != nil {
			return nil, err
		}
	}
	if len(payload) < 2 || payload[0] != '{' || payload[len(payload)-1] != '}' {
		return nil, protocol.ErrPayload
	}
	open := bytes.TrimRight(payload[:len(payload)-1], " \t\r\n")
	out := make([]byte, 0, len(open)+64+len(event))
	out = append(out, open...)
	if len(open) > 1 {
		out = append(out, ',')
	}
	out = append(out, `"seq":`...)
	out = strconv.AppendUint(out, seq, 10)
	out = append(out, `,"at":"`...)
	out = at.UTC().AppendFormat(out, time.RFC3339Nano)
	out = append(out, '"')
	if event != "" {
		name, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"event":`...), name...)
	}
	return append(out, '}'), nil
}

// mayName reports whether an object could have a member that a stamp has too.
// A name can also be spelled with \u escapes.
func mayName(payload []byte) bool {
	for _, s := range []string{`"seq"`, `"at"`, `"event"`, `\u`} {
		if bytes.Contains(payload, []byte(s)) {
			return true
		}
	}
	return false
}

// withoutStamp copies an object without the members that a stamp has.
func withoutStamp(payload []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, protocol.ErrPayload
	}
	out := []byte{'{'}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", protocol.ErrPayload, err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("%w: %w", protocol.ErrPayload, err)
		}
		name := key.(string) // an object's keys are strings
		if name == "seq" || name == "at" || name == "event" {
			continue
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, quoted...), ':'), value...)
	}
	return append(out, '}'), nil
}
