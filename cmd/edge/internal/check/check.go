// Package check tells whether an edge can work, before clients find out: with
// these flags, on this machine, on these NATS servers. It asks and compares; it
// changes nothing.
package check

import (
	"context"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
)

// Config is what of an edge's flags can be wrong.
type Config struct {
	Listen      string // of clients
	AdminListen string // of operators, if not empty
	// Drain is how long an edge may take to end, Grace how long it is given; 0
	// if that is not known.
	Drain, Grace time.Duration
	MaxSockets   int  // 0 if there is no bound
	LacksSecret  bool // which edges of a cluster need

	// NATS are the servers. If empty, NATS runs in the process, on Data, and
	// listens on NATSListen, if that is not empty.
	NATS       []string
	Data       string
	NATSListen string

	Backbone backbone.Options // credentials, prefix
	History  bool
	Stream   *backbone.StreamOptions
	Apply    bool // the edge makes the stream, or changes it
}

func (c *Config) memory() bool  { return c.Stream != nil && c.Stream.Memory }
func (c *Config) replicas() int { return c.stream().Replicas }

func (c *Config) stream() (o backbone.StreamOptions) {
	if c.Stream != nil {
		o = *c.Stream
	}
	return o
}

// All checks everything, for an edge that is not there yet.
func All(ctx context.Context, c *Config) []Finding {
	all := append(Place(ctx, c), Machine(c)...)
	if len(c.NATS) > 0 {
		f, _ := NATS(ctx, c)
		all = append(all, f...)
	}
	return all
}

// Place checks what an edge claims for itself: its addresses.
func Place(ctx context.Context, c *Config) []Finding {
	f := []Finding{listen(ctx, "listen", c.Listen)}
	if c.AdminListen != "" {
		f = append(f, adminListen(ctx, c))
	}
	return f
}

// Machine checks what the flags and the machine tell.
func Machine(c *Config) []Finding {
	var f []Finding
	if len(c.NATS) == 0 && c.Data != "" {
		f = append(f, volume(c))
	}
	f = append(f, drain(c), files(c), memory())
	if len(c.NATS) == 0 {
		f = append(f, alone(c)...)
	} else if c.LacksSecret {
		f = append(f, warning("secret", "there is none: long-polling works only for clients whose requests all reach the same edge",
			"give all edges of the cluster the same --secret-file, or --longpoll off"))
	}
	return f
}
