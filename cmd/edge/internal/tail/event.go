package tail

import (
	"encoding/json"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
)

// What an event is. One of presence has its constants.
const (
	kindStored = "stored" // kept by the stream
	kindSent   = "sent"   // not kept
)

// An event is what one line shows, and in JSON is.
type event struct {
	At      time.Time       `json:"at"` // of the store; else when it was heard
	Kind    string          `json:"kind"`
	Topic   string          `json:"topic"`
	Seq     uint64          `json:"seq,omitempty"`
	User    string          `json:"user,omitempty"`
	Event   string          `json:"event,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"` // of presence the meta
	Binary  []byte          `json:"binary,omitempty"`  // in place of the payload
	Dropped string          `json:"dropped,omitempty"` // why edges do not deliver it
}

func fromPassing(p backbone.Passing, now time.Time) event {
	e := event{At: now, Kind: kindSent, Topic: p.Topic, Event: p.Name}
	if p.Stored {
		e.Kind, e.Seq = kindStored, p.Seq
		if !p.At.IsZero() {
			e.At = p.At
		}
	}
	if p.Dropped != nil {
		e.Dropped = p.Dropped.Error()
	}
	if p.Binary || !json.Valid(p.Payload) {
		e.Binary = p.Payload
		return e
	}
	e.Payload = p.Payload
	var who struct {
		Username string `json:"username"`
	}
	if json.Unmarshal(p.Payload, &who) == nil {
		e.User = who.Username
	}
	return e
}

func fromMove(m presence.Move, now time.Time) event {
	return event{At: now, Kind: m.How, Topic: m.Topic, User: m.Key, Payload: m.Meta}
}
