package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aristochat/aristochat/protocol"
	"github.com/coder/websocket"
)

var (
	// ErrUnknown is wrapped by the error of a push that was sent, or may have
	// been, and will get no reply: the server may have done what it was asked
	// or not. The error of a push that does not wrap it says that the server
	// did not do it, or refused it with a [ReplyError].
	ErrUnknown = errors.New("outcome unknown")

	// ErrClosed reports that [Client.Close] was called.
	ErrClosed = errors.New("client closed")

	// ErrNotJoined reports a channel that is not joined and will not be: Join
	// was not called, or failed, or the channel was left or closed.
	ErrNotJoined = errors.New("channel not joined")

	// ErrRejoining reports a push from a callback, with the callback's
	// context, on a channel that is lost and will be joined again when its
	// callbacks are done. Nothing was sent.
	ErrRejoining = errors.New("channel is joined again after this callback")

	// ErrJoined reports a second join of a topic on the same client.
	ErrJoined = errors.New("topic already joined")

	// ErrFull reports that too much waits to be sent: see Options.SendBytes.
	ErrFull = errors.New("too much waits to be sent")

	// ErrTimeout is wrapped, together with the context's own error, if
	// something did not happen in time.
	ErrTimeout = errors.New("timeout")

	// ErrLeft is passed to OnClose after [Channel.Leave].
	ErrLeft = errors.New("left")

	// ErrEnded reports that the server closed the channel for good (phx_close).
	ErrEnded = errors.New("channel closed by the server")

	// ErrCrashed reports that the channel crashed on the server (phx_error).
	ErrCrashed = errors.New("channel crashed on the server")

	// ErrBehind reports that the channel's callbacks did not keep up: see
	// Options.BacklogBytes.
	ErrBehind = errors.New("callbacks did not keep up")

	// ErrLost is wrapped by what is told of a lost connection.
	ErrLost = errors.New("connection lost")

	// ErrGarbage reports a frame that is no message of the protocol.
	ErrGarbage = errors.New("server sent garbage")

	// ErrTooLarge reports a message of more than Options.MaxMessage.
	ErrTooLarge = errors.New("server sent a message that is too large")

	errHungUp    = errors.New("server hung up")
	errHeartbeat = errors.New("heartbeat was not answered")
)

// timeoutError says how long was waited, if it is known. It is ErrTimeout as
// well as context.DeadlineExceeded.
type timeoutError time.Duration

func (e timeoutError) Error() string {
	if e == 0 {
		return "timeout"
	}
	return "timeout after " + time.Duration(e).String()
}

func (timeoutError) Unwrap() []error { return []error{ErrTimeout, context.DeadlineExceeded} }

// A RefusedError is a server's answer to the handshake that is not a
// websocket: a refusal, or not the server one was looking for.
type RefusedError struct {
	Status     int           // of HTTP
	Body       string        // at most the first 1024 bytes
	RetryAfter time.Duration // what the server asked for; zero if it did not
}

func (e *RefusedError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status)))
	if e.Status < 300 {
		text = fmt.Sprintf("server answered %d and no websocket", e.Status)
	}
	if line := oneLine(e.Body); line != "" {
		text += ": " + line
	}
	return text
}

// oneLine returns the beginning of a body as a line for people.
func oneLine(body string) string {
	const most = 120
	line := strings.Join(strings.Fields(strings.ToValidUTF8(body, "�")), " ")
	if runes := []rune(line); len(runes) > most {
		line = string(runes[:most]) + "…"
	}
	return line
}

// A CloseError says that the server closed the connection, and with which code
// of RFC 6455, section 7.4.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	text := fmt.Sprintf("server closed with %d", e.Code)
	if name, ok := closeNames[websocket.StatusCode(e.Code)]; ok {
		text += ", " + name
	}
	if e.Reason != "" {
		text += ": " + oneLine(e.Reason)
	}
	return text
}

var closeNames = map[websocket.StatusCode]string{
	websocket.StatusNormalClosure:           "done",
	websocket.StatusGoingAway:               "going away",
	websocket.StatusProtocolError:           "protocol error or idle too long",
	websocket.StatusNoStatusRcvd:            "without a code",
	websocket.StatusInvalidFramePayloadData: "a text that is not UTF-8",
	websocket.StatusPolicyViolation:         "against its policy",
	websocket.StatusMessageTooBig:           "a message was too large for it",
	websocket.StatusInternalError:           "it did not understand a message, or failed",
	websocket.StatusServiceRestart:          "it restarts",
	websocket.StatusTryAgainLater:           "try again later",
}

// A ReplyError is an answer of the server whose status is not ok. For a join it
// means that the server refuses the channel.
type ReplyError struct {
	Topic string
	Event string // what was sent; phx_join for a join
	Reply
}

// Reason is the reply's reason, as servers write it by custom:
// {"reason": "…"}, or a string. It is empty if there is none.
func (e *ReplyError) Reason() string {
	var object struct{ Reason string }
	if e.Decode(&object) == nil && object.Reason != "" {
		return object.Reason
	}
	var text string
	_ = e.Decode(&text) // or it stays empty
	return text
}

func (e *ReplyError) Error() string {
	what := fmt.Sprintf("%s on %q", e.Event, e.Topic)
	if e.Event == protocol.EventJoin {
		what = fmt.Sprintf("joining %q", e.Topic)
	}
	if reason := e.Reason(); reason != "" {
		return what + " was refused: " + reason
	}
	if !e.Binary && json.Valid(e.Bytes) {
		return fmt.Sprintf("%s was answered %s %s", what, e.Status, oneLine(string(e.Bytes)))
	}
	return fmt.Sprintf("%s was answered %s", what, e.Status)
}
