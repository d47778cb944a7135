package rooms

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// A meta is what members see of one connection of a user.
type meta struct {
	OnlineAt int64  `json:"online_at"` // seconds since 1970
	Status   string `json:"status,omitempty"`
	Device   string `json:"device,omitempty"`
}

// maxWord bounds the bytes of a status and of a device.
const maxWord = 64

// set takes what a client offers; null takes it back. Its error is for the
// client, and leaves the meta as it was.
func (m *meta) set(offer edge.Payload) error {
	var members map[string]json.RawMessage
	if offer.Binary || json.Unmarshal(offer.Bytes, &members) != nil {
		return edge.Refuse(`payload must be an object with "status", "device" or both`)
	}
	next := *m
	for name, field := range map[string]*string{"status": &next.Status, "device": &next.Device} {
		v, ok := members[name]
		if !ok {
			continue
		}
		*field = ""
		if string(v) == "null" {
			continue
		}
		if v[0] != '"' || json.Unmarshal(v, field) != nil || len(*field) > maxWord {
			return edge.Refuse(fmt.Sprintf("%s must be a string of at most %d bytes", name, maxWord))
		}
	}
	*m = next
	return nil
}

// appear has the user present once the join has been answered. Join params that
// make no sense are ignored: they are no reason to keep anybody out.
func (r *room) appear(s *edge.Socket, params edge.Payload) {
	r.meta = meta{OnlineAt: time.Now().Unix()}
	if r.meta.set(params) != nil {
		r.meta = meta{OnlineAt: r.meta.OnlineAt}
	}
	s.Do(func(context.Context) error {
		// Whoever is there too often already, or while the edge ends, looks on.
		_ = r.who.Track(s, r.user, r.meta)
		return nil
	})
}

// change answers the event presence: a new status or device.
func (r *room) change(s *edge.Socket, p edge.Payload) (*edge.Reply, error) {
	next := r.meta
	if err := next.set(p); err != nil {
		return nil, err
	}
	if err := r.who.Update(s, r.user, next); err != nil {
		return nil, err
	}
	r.meta = next
	return edge.OK(nil), nil
}
