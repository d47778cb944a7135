package edge

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/aristochat/aristochat/protocol"
)

// A Payload is what a message carries: one JSON value, as the client wrote it,
// or bytes of the application's own making if Binary. It must not be modified.
type Payload struct {
	Bytes  []byte
	Binary bool
}

// Decode unmarshals a JSON payload into v. The error, if any, is an [Error]
// that tells the client what is wrong with its payload; a handler can return
// it as it is.
func (p Payload) Decode(v any) error {
	if p.Binary {
		return Refuse("payload must be JSON, not binary")
	}
	if err := json.Unmarshal(p.Bytes, v); err != nil {
		return Refuse("payload is not of the expected form: " + err.Error())
	}
	return nil
}

// Binary is a payload of raw bytes. Only clients that speak version 2 of the
// protocol can receive it.
type Binary []byte

// payloadOf turns what an application passes into a payload: a Payload or
// json.RawMessage as it is, Binary as bytes, nil as {}, anything else as
// encoding/json writes it, but for <, > and &, which stay as they are.
func payloadOf(v any) (Payload, error) {
	switch v := v.(type) {
	case nil:
		return Payload{Bytes: emptyObject}, nil
	case Payload:
		return v, nil
	case Binary:
		return Payload{Bytes: v, Binary: true}, nil
	case json.RawMessage:
		if !json.Valid(v) {
			return Payload{}, fmt.Errorf("encoding payload: %w", protocol.ErrPayload)
		}
		return Payload{Bytes: v}, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Payload{}, fmt.Errorf("encoding payload: %w", err)
	}
	return Payload{Bytes: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
}

var emptyObject = []byte("{}")

// isObject reports whether a broadcast or push may carry p.
func (p Payload) isObject() bool {
	if p.Binary {
		return true
	}
	b := bytes.TrimLeft(p.Bytes, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}
