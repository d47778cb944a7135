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

// listen asks whether the address of a flag is free, or taken by an edge that
// runs: then it is that one whose flags are checked.
func listen(ctx context.Context, name, address string) Finding {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		l.Close()
		return ok(name, "%s can be listened on", address)
	case errors.Is(err, syscall.EADDRINUSE) && edgeAnswers(ctx, address):
		return ok(name, "an edge is running on %s", address)
	case errors.Is(err, syscall.EADDRINUSE):
		return failed(name, fmt.Sprintf("%s is in use", address), "stop the program that listens there, or choose another --"+name)
	case errors.Is(err, syscall.EACCES):
		return failed(name, fmt.Sprintf("%s: %v", address, err), "ports below 1024 need a privilege: choose another --"+name+", such as "+example[name])
	}
	return failed(name, fmt.Sprintf("%s: %v", address, err), "choose an address of this machine, such as --"+name+" "+example[name])
}

// example is an address for a flag.
var example = map[string]string{"listen": ":4000", "admin-listen": ":9465"}

// adminListen checks the address of operators besides: clients and they cannot
// have the same.
func adminListen(ctx context.Context, c *Config) Finding {
	const name = "admin-listen"
	if clash(c.Listen, c.AdminListen) {
		return failed(name, fmt.Sprintf("%s is also where clients connect (--listen %s)", c.AdminListen, c.Listen), "choose another port, such as --admin-listen "+example[name])
	}
	return listen(ctx, name, c.AdminListen)
}

// clash says whether nobody can listen on both addresses.
func clash(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" { // port 0 is any
		return false
	}
	return hostA == hostB || isEverywhere(hostA) || isEverywhere(hostB)
}

// isEverywhere says whether a host stands for all addresses of this machine.
func isEverywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func edgeAnswers(ctx context.Context, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if isEverywhere(host) {
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
