package room

import (
	"slices"
	"time"
)

// Compose adds a message of one's own that is about to be sent.
func (r *Room) Compose(clientID, body string, at time.Time) *Entry {
	e := &Entry{
		Message: Message{From: r.User, Body: body, ClientID: clientID, At: at},
		Mine:    true,
		State:   Sending,
	}
	r.pending = append(r.pending, e)
	return e
}

// Acknowledge says that the room has a message of one's own. It keeps its place
// at the end until it is received like everybody else's, since messages that
// come before it may still be on their way.
func (r *Room) Acknowledge(clientID string) {
	if i := r.waiting(clientID); i >= 0 {
		r.pending[i].State, r.pending[i].Reason = Arrived, ""
	}
}

// Fail says that a message of one's own was not acknowledged, and why.
func (r *Room) Fail(clientID, reason string) {
	if i := r.waiting(clientID); i >= 0 && r.pending[i].State != Arrived {
		r.pending[i].State, r.pending[i].Reason = Failed, reason
	}
}

// Retry returns the messages that failed, oldest first: they count as being
// sent again.
func (r *Room) Retry() (again []*Entry) {
	for _, e := range r.pending {
		if e.State == Failed {
			e.State, e.Reason = Sending, ""
			again = append(again, e)
		}
	}
	return again
}

// TakeBack removes the message that failed last and returns it, or nil.
func (r *Room) TakeBack() *Entry {
	for i, e := range slices.Backward(r.pending) {
		if e.State == Failed {
			r.pending = slices.Delete(r.pending, i, i+1)
			return e
		}
	}
	return nil
}

// Unsent counts the messages that are being sent, and those that failed.
func (r *Room) Unsent() (sending, failed int) {
	for _, e := range r.pending {
		switch e.State {
		case Sending:
			sending++
		case Failed:
			failed++
		case Arrived:
		}
	}
	return sending, failed
}
