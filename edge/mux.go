package edge

import (
	"fmt"
	"slices"
	"strings"
)

// A route binds a topic pattern to what makes its channels.
type route struct {
	pattern string // without the *
	prefix  bool
	make    func() Channel
	stored  []string // events kept in the history
	check   func(Event) error
}

func (rt *route) matches(topic string) bool {
	if rt.prefix {
		return strings.HasPrefix(topic, rt.pattern)
	}
	return topic == rt.pattern
}

func (rt *route) stores(event string) bool { return slices.Contains(rt.stored, event) }

// A ChannelOption changes how the channels of one pattern behave.
type ChannelOption func(*route)

// Channel serves the topics that pattern matches: one exact topic, or with a
// final * each that begins with what stands before it. Patterns are tried in
// the order of the calls; the first match wins. It panics if the pattern has a
// * elsewhere, and must not be called once the server serves.
func (srv *Server) Channel(pattern string, make func() Channel, opts ...ChannelOption) {
	prefix, wild := strings.CutSuffix(pattern, "*")
	if strings.Contains(prefix, "*") {
		panic(fmt.Sprintf("edge: pattern %q has a * that is not its last character", pattern))
	}
	rt := &route{pattern: prefix, prefix: wild, make: make}
	for _, o := range opts {
		o(rt)
	}
	if _, ok := srv.backbone.(History); !ok && len(rt.stored) > 0 {
		panic(fmt.Sprintf("edge: pattern %q stores events, but the backbone keeps no history", pattern))
	}
	srv.routes = append(srv.routes, rt)
}

// match returns the route of a topic, or nil.
func (srv *Server) match(topic string) *route {
	for _, rt := range srv.routes {
		if rt.matches(topic) {
			return rt
		}
	}
	return nil
}
