package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// listen asks whether the address is free, or taken by an edge that runs: then
// it is that one whose flags are checked.
func listen(ctx context.Context, address string) Finding {
	const name = "listen"
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		l.Close()
		return ok(name, "%s can be listened on", address)
	case errors.Is(err, syscall.EADDRINUSE) && edgeAnswers(ctx, address):
		return ok(name, "an edge is running on %s", address)
	case errors.Is(err, syscall.EADDRINUSE):
		return failed(name, fmt.Sprintf("%s is in use", address), "stop the program that listens there, or choose another --listen")
	case errors.Is(err, syscall.EACCES):
		return failed(name, fmt.Sprintf("%s: %v", address, err), "ports below 1024 need a privilege: choose another --listen, such as :4000")
	}
	return failed(name, fmt.Sprintf("%s: %v", address, err), "choose an address of this machine, such as --listen :4000")
}

func edgeAnswers(ctx context.Context, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16))
	return err == nil && resp.StatusCode == http.StatusOK && strings.TrimSpace(string(body)) == "ok"
}
