package rooms

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/presence"
)

// DefaultMaxBody is how many bytes a message's body may have, unless Options say
// otherwise. Clients that warn their users in time know it.
const DefaultMaxBody = 16 << 10

// Options tune the rooms. A nil *Options is valid.
type Options struct {
	// MaxBody bounds the bytes of a message's body. If zero, DefaultMaxBody.
	MaxBody int
	// NoHistory has messages passed on without storing them: at most once, no
	// sequence, no past.
	NoHistory bool
	// NoPresence has nobody told who is in a room. Otherwise the server's
	// backbone must be a presence.Network.
	NoPresence bool
	// Presence tunes who is told what of whom. Nil is valid.
	Presence *presence.Options
}

// Bounds of what clients may choose.
const (
	maxUsername = 256 // bytes
	maxClientID = 64  // bytes
)

// That one member types is passed on once in typingEvery at most; who receives
// it forgets it after typingTTL.
const (
	typingEvery = 2 * time.Second
	typingTTL   = 6 * time.Second
)

// Connect names the user: the parameter username, or a random number as the
// ancestor has it. It trusts the client; use it where authentication is off.
func Connect(_ context.Context, h *edge.Handshake) (edge.Session, error) {
	name := strconv.Itoa(1 + rand.IntN(99999)) //nolint:gosec // a name, not a secret
	if given, ok := h.Params["username"]; ok {
		if name, ok = given.(string); !ok {
			return edge.Session{}, errors.New("username is not a string")
		}
	}
	if len(name) > maxUsername {
		return edge.Session{}, fmt.Errorf("username is longer than %d bytes", maxUsername)
	}
	return edge.Session{ID: "users:" + name, Assigns: name}, nil
}

// Serve adds the rooms to a server whose sessions have a user name (a string)
// as their Assigns. It returns who knows who is in them, nil if nobody does.
func Serve(srv *edge.Server, o *Options) *presence.Tracker {
	if o == nil {
		o = &Options{}
	}
	limit := cmp.Or(o.MaxBody, DefaultMaxBody)
	var opts []edge.ChannelOption
	if !o.NoHistory {
		opts = []edge.ChannelOption{
			edge.Stored("chat_msg"),
			edge.Check(func(e edge.Event) error { return checkForeign(e, limit) }),
		}
	}
	var who *presence.Tracker
	if !o.NoPresence {
		who = presence.New(srv, o.Presence)
	}
	srv.Channel("rooms:*", func() edge.Channel { return &room{maxBody: limit, history: !o.NoHistory, who: who} }, opts...)
	return who
}

// A room is one member's place in a room.
type room struct {
	maxBody int
	history bool
	who     *presence.Tracker // nil if nobody is told
	user    string
	typed   time.Time // when the others were last told that the user types …
	types   bool      // … and were not told since that this is over
	meta    meta      // as tracked
}

// Join lets everybody in.
func (r *room) Join(_ context.Context, s *edge.Socket, params edge.Payload) (any, error) {
	r.user, _ = s.Assigns().(string)
	if r.who != nil {
		r.appear(s, params)
	}
	return nil, nil
}

// Handle answers chat_msg, typing, and what concerns presence. What cannot be
// understood is answered with an error, and the room lives on.
func (r *room) Handle(ctx context.Context, s *edge.Socket, m *edge.Message) (*edge.Reply, error) {
	switch m.Event {
	case "chat_msg":
		return r.say(ctx, s, m.Payload)
	case "typing":
		return r.typing(ctx, s, m.Payload)
	}
	if r.who != nil {
		switch m.Event {
		case "presence":
			return r.change(s, m.Payload)
		case presence.EventList:
			return r.who.Handle(ctx, s, m)
		}
	}
	return nil, edge.Refuse(fmt.Sprintf("unknown event %q", m.Event))
}

// A message is what members get.
type message struct {
	Body     string `json:"body"`
	Username string `json:"username"`
	ClientID string `json:"client_id,omitempty"` // by which the sender knows its own
}

type accepted struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
}

func (r *room) say(ctx context.Context, s *edge.Socket, p edge.Payload) (*edge.Reply, error) {
	in, err := parse(p, r.maxBody)
	if err != nil {
		return nil, err
	}
	out := message{Body: in.body, Username: r.user, ClientID: in.clientID}
	if !r.history {
		return done(s.Broadcast(ctx, "chat_msg", out))
	}
	key := ""
	if in.clientID != "" { // with the length, so that no other name and id make the same key
		key = fmt.Sprintf("%d %s%s", len(r.user), r.user, in.clientID)
	}
	stamp, err := s.Append(ctx, "chat_msg", out, key)
	if err != nil {
		return nil, err
	}
	return edge.OK(accepted{stamp.Seq, stamp.At.UTC()}), nil
}

// done is the reply to what has no result.
func done(err error) (*edge.Reply, error) {
	if err != nil {
		return nil, err
	}
	return edge.OK(nil), nil
}

type incoming struct{ body, clientID string }

// parse reads a chat_msg from a client; its errors are for the client. Other
// members of the payload are ignored, as the ancestor does.
func parse(p edge.Payload, maxBody int) (incoming, error) {
	m, err := membersOf(p)
	if err != nil {
		return incoming{}, err
	}
	return m.message(maxBody)
}

// members of a payload. It is a map since for encoding/json, asked for body,
// Body would do as well.
type members map[string]json.RawMessage

func membersOf(p edge.Payload) (m members, err error) {
	if p.Binary || json.Unmarshal(p.Bytes, &m) != nil {
		return nil, edge.Refuse("payload must be an object with a body")
	}
	return m, nil
}

func (m members) message(maxBody int) (in incoming, err error) {
	body := m["body"]
	switch {
	case len(body) == 0:
		return in, edge.Refuse("body is missing")
	case body[0] != '"' || json.Unmarshal(body, &in.body) != nil:
		return in, edge.Refuse("body must be a string")
	case len(in.body) > maxBody:
		return in, edge.Refuse(fmt.Sprintf("body is longer than %d bytes", maxBody))
	case strings.TrimSpace(in.body) == "":
		return in, edge.Refuse("body is blank")
	}
	if id := m["client_id"]; len(id) > 0 && string(id) != "null" {
		if id[0] != '"' || json.Unmarshal(id, &in.clientID) != nil {
			return in, edge.Refuse("client_id must be a string")
		}
		if len(in.clientID) > maxClientID {
			return in, edge.Refuse(fmt.Sprintf("client_id is longer than %d bytes", maxClientID))
		}
	}
	return in, nil
}

// checkForeign examines what stands in the store before a member gets it:
// other programs may publish there.
func checkForeign(e edge.Event, maxBody int) error {
	m, err := membersOf(edge.Payload{Bytes: e.Payload, Binary: e.Binary})
	if err != nil {
		return err
	}
	if _, err := m.message(maxBody); err != nil {
		return err
	}
	var name *string
	if json.Unmarshal(m["username"], &name) != nil || name == nil || len(*name) > maxUsername {
		return fmt.Errorf("username must be a string of at most %d bytes", maxUsername)
	}
	if !utf8.Valid(e.Payload) {
		return errors.New("invalid UTF-8")
	}
	return nil
}

type typing struct {
	Username string `json:"username"`
	Typing   bool   `json:"typing"`
	TTL      int64  `json:"ttl_ms"`
}

// typing passes on that the user types, or no longer does. It is acknowledged
// also when it is not passed on.
func (r *room) typing(ctx context.Context, s *edge.Socket, p edge.Payload) (*edge.Reply, error) {
	var in struct {
		Typing *bool `json:"typing"`
	}
	if err := p.Decode(&in); err != nil || in.Typing == nil {
		return nil, edge.Refuse(`payload must be {"typing": true} or {"typing": false}`)
	}
	now := time.Now()
	switch {
	case *in.Typing && !r.typed.IsZero() && now.Sub(r.typed) < typingEvery,
		!*in.Typing && !r.types:
		return edge.OK(nil), nil
	case *in.Typing:
		r.typed = now
	}
	r.types = *in.Typing
	out := typing{Username: r.user, Typing: *in.Typing, TTL: typingTTL.Milliseconds()}
	return done(s.BroadcastFrom(ctx, "typing", out))
}
