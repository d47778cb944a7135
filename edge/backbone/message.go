package backbone

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
)

// Headers of our own. The package comment documents them.
const (
	headerEvent   = "Phx-Event"
	headerPayload = "Phx-Payload"
	headerTrace   = "traceparent" // as the W3C and NATS itself spell it

	binaryPayload = "binary"
)

// defaultEvent is what a stored message without an event is.
const defaultEvent = "chat_msg"

// lenTrace is the length of a traceparent of version 00.
const lenTrace = 55

// maxEvent is the longest event in bytes: binary frames give its length one byte.
const maxEvent = 255

// newMessage writes e as a message. An event that receivers would drop is an
// error here, where its sender can be told.
func newMessage(subject string, e edge.Event, stored bool) (*nats.Msg, error) {
	if err := checkEvent(e.Name, stored); err != nil {
		return nil, err
	}
	if err := checkPayload(e); err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: subject, Header: nats.Header{headerEvent: {e.Name}}, Data: e.Payload}
	if e.Binary {
		m.Header[headerPayload] = []string{binaryPayload}
	}
	if e.Trace != "" {
		m.Header[headerTrace] = []string{e.Trace}
	}
	return m, nil
}

// parseMessage reads an event from what anybody may have published.
func parseMessage(h nats.Header, data []byte, stored bool) (edge.Event, error) {
	e := edge.Event{Payload: data}
	switch names := h[headerEvent]; {
	case len(names) == 1:
		e.Name = names[0]
	case len(names) == 0 && stored:
		e.Name = defaultEvent
	default:
		return e, fmt.Errorf("%d headers %s, want one", len(names), headerEvent)
	}
	if kinds := h[headerPayload]; len(kinds) != 0 {
		if len(kinds) != 1 || kinds[0] != binaryPayload {
			return e, fmt.Errorf("header %s is %q", headerPayload, kinds)
		}
		e.Binary = true
	}
	if traces := h[headerTrace]; len(traces) == 1 && len(traces[0]) == lenTrace {
		e.Trace = traces[0]
	}
	if err := checkEvent(e.Name, stored); err != nil {
		return e, err
	}
	return e, checkPayload(e)
}

// checkEvent refuses what a header cannot carry unchanged. As in Phoenix, any
// other name may be broadcast, but those with which Phoenix ends and answers
// channels are not to be repeated to all who join later.
func checkEvent(name string, stored bool) error {
	switch {
	case name == "" && stored:
		return errors.New("event is empty")
	case len(name) > maxEvent:
		return fmt.Errorf("event has %d bytes, more than %d", len(name), maxEvent)
	case !utf8.ValidString(name):
		return fmt.Errorf("event %q is not UTF-8", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("event %q has control characters", name)
	case name != strings.TrimSpace(name):
		return fmt.Errorf("event %q begins or ends with space", name)
	case strings.HasPrefix(name, "phx_") && stored:
		return fmt.Errorf("event %q is reserved", name)
	}
	return nil
}

func checkPayload(e edge.Event) error {
	if e.Binary {
		return nil
	}
	if !isObject(e.Payload) {
		return errors.New("payload is not a JSON object")
	}
	if !utf8.Valid(e.Payload) { // encoding/json lets it pass
		return errors.New("payload is not UTF-8")
	}
	return nil
}

func isObject(data []byte) bool {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return json.Valid(data)
		}
		return false
	}
	return false
}
