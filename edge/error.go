package edge

import (
	"errors"
	"fmt"
)

// An Error is a refusal that the client may read. The text of any other error
// stays in the log; the client learns only that something failed.
type Error struct {
	// Reason is sent as {"reason": Reason}.
	Reason string
	// Response, if not nil, is sent instead: any value that encoding/json
	// can encode.
	Response any
}

func (e *Error) Error() string {
	if e.Reason == "" && e.Response != nil {
		return fmt.Sprint(e.Response)
	}
	return e.Reason
}

func (e *Error) response() any {
	if e.Response != nil {
		return e.Response
	}
	return reason{e.Reason}
}

// Refuse returns an [Error] with the given reason.
func Refuse(reason string) error { return &Error{Reason: reason} }

type reason struct {
	Reason string `json:"reason"`
}

// Reasons with which a channel ends, as [Terminator] sees them. Match them with
// errors.Is.
var (
	// ErrLeft: the client sent phx_leave.
	ErrLeft = errors.New("left")
	// ErrClosed: the connection ended.
	ErrClosed = errors.New("connection closed")
	// ErrDisconnected: the socket's id was told to disconnect.
	ErrDisconnected = errors.New("disconnected")
	// ErrDraining: the server shuts down.
	ErrDraining = errors.New("draining")
	// ErrReplaced: the client joined the topic again on the same connection.
	ErrReplaced = errors.New("replaced by another join")
	// ErrCrashed: a handler panicked or returned [Crash].
	ErrCrashed = errors.New("crashed")
	// ErrStopped: a handler returned [Stop] without a reason.
	ErrStopped = errors.New("stopped")
)

// errSlow is the reason for which a client that does not read is closed.
var errSlow = errors.New("slow client")

// Stop, returned by a handler, ends the channel for good: the client gets
// phx_close and does not join again by itself. The reason, ErrStopped if nil,
// is for [Terminator].
func Stop(reason error) error {
	if reason == nil {
		reason = ErrStopped
	}
	return &endError{reason: reason}
}

// Crash, returned by a handler, ends the channel as a panic does: the client
// gets phx_error and joins again after a while.
func Crash(reason error) error {
	return &endError{reason: fmt.Errorf("%w: %w", ErrCrashed, reason), crash: true}
}

// An endError is what Stop and Crash return.
type endError struct {
	reason error
	crash  bool
}

func (e *endError) Error() string { return e.reason.Error() }
func (e *endError) Unwrap() error { return e.reason }
