package embedded

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A Cluster is several servers with JetStream that form one NATS cluster on the
// loopback interface. It is meant for tests. Its methods must not be called
// concurrently.
type Cluster struct {
	// Servers are the members. One that was stopped stays until its restart
	// puts another in its place.
	Servers []*Server

	opts    []*server.Options // of each member, with the ports that it keeps
	running []bool
	log     *slog.Logger
}

// clusterTimeout bounds the wait for a mesh of routes and a leader. Less than a
// second is usual; a restarted member on a busy machine may need many.
const clusterTimeout = 60 * time.Second

// lameDuck is how long a member that leaves may take to send its clients away.
const lameDuck = time.Second

// StartCluster starts n servers, at least two, each with a directory of its own
// under dir. It returns once each can reach each and JetStream accepts streams
// with n replicas. Of o, StoreDir, Listen and Name are not used.
func StartCluster(n int, dir string, o *Options) (*Cluster, error) {
	if n < 2 {
		return nil, fmt.Errorf("a cluster of %d: it needs at least 2 servers", n)
	}
	var err error
	for range 3 {
		var c *Cluster
		if c, err = startCluster(n, dir, o.withDefaults()); err == nil {
			return c, nil
		}
		// A port was free when it was chosen and is not any more.
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, err
}

func startCluster(n int, dir string, d Options) (*Cluster, error) {
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	// JetStream wants to know all members in advance, also on the first.
	var routes []*url.URL
	for _, p := range ports[n:] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: loopback(p)})
	}
	// A name that no other cluster has: should one of its servers ever get a
	// port of ours, the two must not merge. Streams remember it, so that it
	// follows from the directory.
	h := fnv.New64a()
	h.Write([]byte(dir))
	name := "embedded-" + strconv.FormatUint(h.Sum64(), 36)

	c := &Cluster{
		Servers: make([]*Server, n),
		opts:    make([]*server.Options, n),
		running: make([]bool, n),
		log:     d.Logger,
	}
	for i := range n {
		d.Name = fmt.Sprintf("n%d", i+1)
		d.StoreDir = filepath.Join(dir, d.Name)
		d.Listen = loopback(ports[i])
		so, err := serverOptions(d)
		if err != nil {
			return nil, err
		}
		so.Routes = routes
		so.Cluster = server.ClusterOpts{Name: name, Host: "127.0.0.1", Port: ports[n+i], PoolSize: routePool}
		so.LameDuckDuration, so.LameDuckGracePeriod = lameDuck, lameDuck/4
		c.opts[i] = so
	}
	for i := range n {
		if err := c.start(i); err != nil {
			c.Shutdown()
			return nil, err
		}
	}
	if err := c.await(); err != nil {
		c.Shutdown()
		return nil, err
	}
	return c, nil
}

// URLs are where clients connect, also those of stopped members.
func (c *Cluster) URLs() []string {
	var urls []string
	for _, o := range c.opts {
		urls = append(urls, "nats://"+loopback(o.Port))
	}
	return urls
}

// Stop shuts member i down. The others may need seconds to elect new leaders;
// Stop does not wait for that.
func (c *Cluster) Stop(i int) {
	c.running[i] = false
	c.Servers[i].Shutdown()
}

// Leave ends member i as a deploy of NATS does (lame duck mode): it hands over
// what it leads and sends its clients to the others one by one. It returns when
// the member has gone.
func (c *Cluster) Leave(i int) {
	c.running[i] = false
	c.Servers[i].nats.LameDuckShutdown()
	c.Servers[i].Shutdown()
}

// Restart starts member i again, on its directory and its ports, after stopping
// it if need be. It returns once the member has caught up, streams included, so
// that the next one can be stopped.
func (c *Cluster) Restart(i int) error {
	c.Stop(i)
	if err := c.start(i); err != nil {
		return err
	}
	return c.await()
}

// Shutdown stops all members.
func (c *Cluster) Shutdown() {
	for i, s := range c.Servers {
		if s != nil {
			c.Stop(i)
		}
	}
}

func (c *Cluster) start(i int) error {
	so := c.opts[i].Clone() // the server keeps and changes what it gets
	s, err := start(so, c.log)
	if err != nil {
		return fmt.Errorf("%s: %w", so.ServerName, err)
	}
	c.Servers[i], c.running[i] = s, true
	return nil
}

// await returns once the running members are as good as they get.
func (c *Cluster) await() error {
	var members []*Server
	for i, s := range c.Servers {
		if c.running[i] {
			members = append(members, s)
		}
	}
	for end := time.Now().Add(clusterTimeout); ; time.Sleep(5 * time.Millisecond) {
		err := settled(members)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("cluster not ready after %v: %w", clusterTimeout, err)
		}
	}
	return probeMesh(members)
}

// routePool is the number of connections between two members that accounts
// share. The system account has one more.
const routePool = 3

// settled says what members still wait for. None of it is part of any one
// server's own idea of readiness, which does not know how many there should be.
func settled(members []*Server) error {
	var leader *Server
	for _, m := range members {
		if got, want := m.nats.NumRoutes(), (len(members)-1)*(routePool+1); got < want {
			return fmt.Errorf("%s has %d of %d routes", m.nats.Name(), got, want)
		}
		if m.nats.JetStreamIsLeader() {
			leader = m
		}
	}
	if leader == nil {
		return errors.New("JetStream has no leader")
	}
	// The leader places streams only on members that it has heard from.
	if got := len(leader.nats.JetStreamClusterPeers()); got < len(members) {
		return fmt.Errorf("the JetStream leader has heard from %d of %d members", got, len(members))
	}
	for _, m := range members {
		if h := m.nats.Healthz(&server.HealthzOptions{}); h.Error != "" {
			return fmt.Errorf("%s is not healthy: %s", m.nats.Name(), h.Error)
		}
	}
	return nil
}

// probeMesh returns once a message from each member reaches a subscriber on
// each: a route that is counted may not carry the clients' account yet, and
// messages are not passed on by a third member.
func probeMesh(members []*Server) error {
	const subject = "_embedded.probe"
	conns := make([]*nats.Conn, len(members))
	inbox := make([]*nats.Subscription, len(members))
	for i, m := range members {
		nc, err := m.Connect()
		if err != nil {
			return fmt.Errorf("probing the cluster: %w", err)
		}
		defer nc.Close()
		conns[i] = nc
		if inbox[i], err = nc.SubscribeSync(subject); err != nil {
			return fmt.Errorf("probing the cluster: %w", err)
		}
	}
	for i, from := range conns {
		for j, sub := range inbox {
			if err := probe(from, sub, subject, strconv.Itoa(i)); err != nil {
				return fmt.Errorf("probing the cluster from %s to %s: %w", members[i].nats.Name(), members[j].nats.Name(), err)
			}
		}
	}
	return nil
}

// probe publishes word until sub hears it.
func probe(from *nats.Conn, sub *nats.Subscription, subject, word string) error {
	for end := time.Now().Add(clusterTimeout); time.Now().Before(end); {
		if err := from.Publish(subject, []byte(word)); err != nil {
			return err
		}
		for {
			m, err := sub.NextMsg(20 * time.Millisecond)
			if errors.Is(err, nats.ErrTimeout) {
				break
			}
			if err != nil {
				return err
			}
			if string(m.Data) == word {
				return nil
			}
		}
	}
	return fmt.Errorf("nothing arrived in %v", clusterTimeout)
}

// freePorts finds ports below the range from which systems give out ports on
// their own. From within it, a port that its server gives up in Stop could be
// somebody's outgoing connection at Restart.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 100 * n {
		l, err := net.Listen("tcp", loopback(15000+rand.N(15000))) //nolint:gosec // a port, not a secret
		if err != nil {
			continue
		}
		defer l.Close() // held until all are found, so that they differ
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no free ports on the loopback interface")
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
