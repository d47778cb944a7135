package check

import (
	"fmt"
	"math"
	"net"
	"time"
)

// spare is what an end takes beyond the drain: to let NATS go, and the log.
const spare = 3 * time.Second

// drain asks whether the edge is killed before it has ended.
func drain(c *Config) Finding {
	const name = "drain"
	switch {
	case c.Grace == 0:
		return ok(name, "%v; --grace does not say how long the edge is given to end", c.Drain)
	case c.Drain+spare > c.Grace:
		return lasting(failed(name, fmt.Sprintf("the edge takes up to --drain (%v) to end, and is killed after --grace (%v): clients are cut off", c.Drain, c.Grace),
			fmt.Sprintf("lower --drain to %v, or raise --grace and what it stands for (terminationGracePeriodSeconds, stop_grace_period) to %v",
				max(0, c.Grace-spare), c.Drain+spare)))
	}
	return ok(name, "%v of the %v that the edge is given to end", c.Drain, c.Grace)
}

const (
	// otherFiles is how many descriptors an edge needs that are no clients':
	// listeners, NATS, logs, JetStream's blocks.
	otherFiles = 96
	fewFiles   = 4096
)

// files asks how many clients there can be.
func files(c *Config) Finding {
	const name = "files"
	limit := openFiles()
	clients := max(0, limit-otherFiles)
	switch {
	case limit == 0 || limit >= math.MaxInt32:
		return ok(name, "no limit of open files")
	case c.MaxSockets > 0 && clients < c.MaxSockets:
		return failed(name, fmt.Sprintf("%d open files are allowed, enough for %d clients: --max-sockets says %d", limit, clients, c.MaxSockets),
			fmt.Sprintf("raise the limit (ulimit -n, LimitNOFILE=) to %d, or lower --max-sockets", c.MaxSockets+otherFiles))
	case c.MaxSockets == 0 && limit < fewFiles:
		return warning(name, fmt.Sprintf("%d open files are allowed, enough for %d clients", limit, clients),
			"raise the limit: ulimit -n, or LimitNOFILE= of the service")
	}
	return ok(name, "%d open files are allowed, enough for %d clients", limit, clients)
}

// alone checks an edge that brings its own NATS.
func alone(c *Config) []Finding {
	var f []Finding
	if n := c.replicas(); c.History && n > 1 {
		f = append(f, lasting(failed("replicas", fmt.Sprintf("--history-replicas is %d, and the NATS in this process is one server", n),
			"leave --history-replicas out, or name the servers of a cluster with --nats")))
	}
	if c.History && c.memory() {
		f = append(f, warning("storage", "messages are kept in the memory of this process: its end loses them", "leave out --history memory"))
	}
	if host, _, err := net.SplitHostPort(c.NATSListen); err == nil && !loopback(host) {
		f = append(f, warning("nats-listen", fmt.Sprintf("whoever reaches %s may read and write every room: the NATS in this process asks for no password", c.NATSListen),
			"listen on 127.0.0.1, or run NATS servers with credentials and name them with --nats"))
	}
	return f
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
