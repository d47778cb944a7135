package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/aristochat/aristochat/client"
)

func TestReason(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 4711}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	tests := []struct {
		err  error
		want string
		as   counter // of an end
	}{
		{fmt.Errorf("%w: %w", client.ErrLost, &client.CloseError{Code: 1012, Reason: "deploy"}), "closed with 1012", closedLater},
		{fmt.Errorf("%w: %w", client.ErrLost, &client.CloseError{Code: 1001}), "closed with 1001", closedAway},
		{fmt.Errorf("%w: %w", client.ErrLost, &client.CloseError{Code: 1013}), "closed with 1013", closedSlow},
		{fmt.Errorf("%w: %w", client.ErrLost, &client.CloseError{Code: 1011}), "closed with 1011", closedOther},
		{fmt.Errorf("%w: %w", client.ErrLost, errors.New("server hung up")), "server hung up", closedBroken},
		{fmt.Errorf("client: %w", &client.RefusedError{Status: 503}), "refused with 503", closedBroken},
		{fmt.Errorf("client: connecting: %w", refused), "connection refused", closedBroken},
		{fmt.Errorf("joining: %w", client.ErrTimeout), "timeout", closedBroken},
		{&client.ReplyError{Reply: client.Reply{Status: "error", Payload: client.Payload{Bytes: []byte(`{"reason":"unknown"}`)}}}, "answered: unknown", closedBroken},
	}
	for _, tt := range tests {
		if got := reasonOf(tt.err); got != tt.want {
			t.Errorf("reasonOf(%v) = %q, want %q", tt.err, got, tt.want)
		}
		if got := closeCounter(tt.err); got != tt.as {
			t.Errorf("%v is counted as %s, want %s", tt.err, counterNames[got], counterNames[tt.as])
		}
	}
}
