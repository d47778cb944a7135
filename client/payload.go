package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// A Payload is what a message carries: one JSON value as the other end wrote
// it, or any bytes if Binary. It must not be modified.
type Payload struct {
	Bytes  []byte
	Binary bool
}

// Decode unmarshals a JSON payload into v.
func (p Payload) Decode(v any) error {
	if p.Binary {
		return errors.New("payload is binary, not JSON")
	}
	if err := json.Unmarshal(p.Bytes, v); err != nil {
		return fmt.Errorf("decoding payload: %w", err)
	}
	return nil
}

// Binary, where a payload is asked for, is sent as it is in a binary frame.
type Binary []byte

// A Message is an event that the server sent to a channel.
type Message struct {
	Topic string
	Event string
	Payload
	ctx context.Context
}

// Context is for what a callback does with the channel. It ends with the client.
// A [Channel.Push] with it fails with [ErrRejoining] where it would wait for a
// channel that is joined again only after the callback.
func (m Message) Context() context.Context { return orBackground(m.ctx) }

// A Reply is the server's answer to a join or a push.
type Reply struct {
	Status string // "ok", or what stands in a [ReplyError]
	Payload
	ctx context.Context
}

// Context is that of [Message.Context], in a callback of OnJoin.
func (r Reply) Context() context.Context { return orBackground(r.ctx) }

func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// payloadOf turns what a caller passes into a payload: a Payload or
// json.RawMessage as it is, Binary as bytes, nil as {}, anything else as
// encoding/json writes it, but for <, > and &, which stay as they are.
func payloadOf(v any) (Payload, error) {
	switch v := v.(type) {
	case nil:
		return Payload{Bytes: []byte("{}")}, nil
	case Binary:
		return Payload{Bytes: bytes.Clone(v), Binary: true}, nil
	case Payload:
		if v.Binary {
			return payloadOf(Binary(v.Bytes))
		}
		return payloadOf(json.RawMessage(v.Bytes))
	case json.RawMessage:
		if !json.Valid(v) {
			return Payload{}, errors.New("payload is not valid JSON")
		}
		return Payload{Bytes: bytes.Clone(v)}, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Payload{}, fmt.Errorf("encoding payload: %w", err)
	}
	return Payload{Bytes: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
}
