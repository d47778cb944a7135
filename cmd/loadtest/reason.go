package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/aristochat/aristochat/client"
)

// closeCounter tells which counter counts the end of a connection.
func closeCounter(err error) counter {
	end, ok := errors.AsType[*client.CloseError](err)
	if !ok {
		return closedBroken
	}
	switch end.Code {
	case 1012:
		return closedLater
	case 1001:
		return closedAway
	case 1013:
		return closedSlow
	}
	return closedOther
}

// reasonOf puts an error into one of a few words: without addresses, ports and
// numbers that differ each time.
func reasonOf(err error) string {
	if end, ok := errors.AsType[*client.CloseError](err); ok {
		return fmt.Sprintf("closed with %d", end.Code)
	}
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		return fmt.Sprintf("refused with %d", refused.Status)
	}
	if reply, ok := errors.AsType[*client.ReplyError](err); ok {
		return "answered: " + reply.Reason()
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, client.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "hung up"
	}
	return innermost(err).Error()
}

// innermost returns what an error began with.
func innermost(err error) error {
	switch e := err.(type) { //nolint:errorlint // it unwraps by itself
	case interface{ Unwrap() error }:
		if next := e.Unwrap(); next != nil {
			return innermost(next)
		}
	case interface{ Unwrap() []error }:
		if all := e.Unwrap(); len(all) > 0 {
			return innermost(all[len(all)-1])
		}
	}
	return err
}
