package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// servers are where clients connect: one address of a load balancer, or the
// edges themselves, taken in turns.
type servers struct {
	urls      []*url.URL
	transport http.RoundTripper
}

func newServers(addresses []string) (*servers, error) {
	s := &servers{transport: http.DefaultTransport}
	for _, a := range addresses {
		u, err := serverURL(a)
		if err != nil {
			return nil, err
		}
		s.urls = append(s.urls, u)
	}
	if len(s.urls) == 0 {
		return nil, errors.New("no address is given")
	}
	return s, nil
}

// serverURL reads http(s)://, ws(s):// or host:port. Without a path it is that
// of cmd/edge.
func serverURL(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "http", "https":
	case "ws", "wss":
		u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws")
	default:
		return nil, fmt.Errorf("%q: the scheme is none of http, https, ws, wss", address)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("%q has no host", address)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/websocket")
	if u.Path == "" {
		u.Path = "/socket"
	}
	return u, nil
}

// address is what clients are told.
func (s *servers) address() string { return s.urls[0].String() }

// A visitor sends the handshakes of one client to the servers, one after the
// other: whose edge is gone goes on to the next.
type visitor struct {
	servers *servers
	next    atomic.Uint64
}

func (s *servers) visitor(begin int) *visitor {
	v := &visitor{servers: s}
	v.next.Store(uint64(begin))
	return v
}

// RoundTrip sends a request that is addressed to the first server.
func (v *visitor) RoundTrip(r *http.Request) (*http.Response, error) {
	all := v.servers.urls
	to := all[(v.next.Add(1)-1)%uint64(len(all))]
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = to.Scheme, to.Host, to.Host
	r.URL.Path = to.Path + strings.TrimPrefix(r.URL.Path, all[0].Path)
	return v.servers.transport.RoundTrip(r)
}
