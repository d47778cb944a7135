package backbone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a [Probe] may find missing.
var (
	ErrNoJetStream = errors.New("JetStream is not enabled")
	ErrNoStream    = errors.New("the stream does not exist")
)

// LeastPayload is what servers must take in one message, in bytes: edges say as
// much to each other for clients that long-poll.
const LeastPayload = 512 << 10

// OldestServer is the first release of nats-server that answers all that a
// [Store] asks: direct get of batches and of the last of several subjects
// (ADR-31).
const OldestServer = "2.11.0"

// A Probe is a connection to one server that asks what an edge would ask, and
// changes nothing: for tools that tell whether an edge can work. Unlike a
// [Link] it fails where an edge would wait.
type Probe struct {
	link *Link // only subjects and rpc are set
	nc   *nats.Conn
}

// NewProbe connects to the server at url, once, with o's credentials, prefix and
// name. Of o, URLs, Server and Logger are not used.
func NewProbe(url string, o *Options) (*Probe, error) {
	d := o.withDefaults()
	subjects, err := newSubjects(d.Prefix)
	if err != nil {
		return nil, err
	}
	no := nats.GetDefaultOptions()
	no.Timeout = connectTimeout
	no.InboxPrefix = inboxPrefix
	for _, option := range d.NATS {
		if option == nil {
			continue
		}
		if err := option(&no); err != nil {
			return nil, err
		}
	}
	no.Servers = []string{url}
	no.Name = d.Name + " probe"
	no.AllowReconnect = false
	no.RetryOnFailedConnect = false
	no.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {} // the library's own prints
	no.PermissionErrOnSubscribe = true
	nc, err := no.Connect()
	if err != nil {
		return nil, err
	}
	return &Probe{&Link{subjects: subjects, rpc: nc}, nc}, nil
}

// Close ends the connection.
func (p *Probe) Close() { p.nc.Close() }

// A ServerInfo is what a server says of itself.
type ServerInfo struct {
	Name    string
	Version string
	// Cluster is the name of its cluster, empty if it stands alone.
	Cluster string
	// MaxPayload bounds the bytes of one message.
	MaxPayload int64
	// RTT is how long a question and its answer take.
	RTT time.Duration
}

// Server returns what the server says of itself.
func (p *Probe) Server() (ServerInfo, error) {
	rtt, err := p.nc.RTT()
	if err != nil {
		return ServerInfo{}, err
	}
	return p.describe(rtt)
}

func (p *Probe) describe(rtt time.Duration) (ServerInfo, error) {
	i := ServerInfo{
		Name:       p.nc.ConnectedServerName(),
		Cluster:    p.nc.ConnectedClusterName(),
		MaxPayload: p.nc.MaxPayload(),
		RTT:        rtt,
	}
	// Each is empty once the connection is gone. All are right if the last is.
	if i.Version = p.nc.ConnectedServerVersion(); i.Version == "" {
		return ServerInfo{}, nats.ErrConnectionClosed
	}
	return i, nil
}

// StreamName is what the stream of a prefix is called.
func (p *Probe) StreamName() string { return p.link.subjects.streamName() }

// A StreamState is how the stream is.
type StreamState struct {
	StreamReport // Differs are what ApplyStream would leave as it is
	// Mendable are the differences that ApplyStream would settle.
	Mendable []string
	// Offline are the servers that should keep messages and do not answer.
	Offline []string
	// Leaderless says that no server leads the stream: nothing can be stored.
	Leaderless bool
	// Ahead is how much the clock of the server that answered is ahead of this
	// machine's, give or take Within.
	Ahead, Within time.Duration
}

// Stream compares the stream with what o says. It fails with [ErrNoJetStream]
// and [ErrNoStream].
func (p *Probe) Stream(ctx context.Context, o *StreamOptions) (StreamState, error) {
	d := o.withDefaults()
	if err := d.check(); err != nil {
		return StreamState{}, err
	}
	asked := time.Now()
	info, err := p.link.streamInfo(ctx)
	if err != nil {
		return StreamState{}, streamError(err)
	}
	took := time.Since(asked)
	plan := p.link.compare(info.Config, d)
	st := StreamState{StreamReport: StreamReport{Differs: plan.unsafe}, Mendable: plan.safe}
	p.link.judge(&st.StreamReport, info)
	if !info.TimeStamp.IsZero() {
		// Without its monotonic part: that of this machine is what is in question.
		st.Ahead, st.Within = info.TimeStamp.Sub(asked.Add(took/2).Round(0)), took/2
	}
	if c := info.Cluster; c != nil {
		st.Leaderless = c.Leader == ""
		for _, r := range c.Replicas {
			if r.Offline {
				st.Offline = append(st.Offline, r.Name)
			}
		}
	}
	return st, nil
}

func streamError(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return ErrNoStream
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: %w", ErrNoJetStream, err)
	}
	return err
}

// CapturedBy returns the name of another stream that captures what edges
// publish to be stored, empty if there is none. Edges need no right to ask it;
// who creates the stream has it.
func (p *Probe) CapturedBy(ctx context.Context) (string, error) {
	js, err := p.link.jetStream()
	if err != nil {
		return "", err
	}
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject(p.link.subjects.in(">")))
	other := ""
	for name := range names.Name() {
		if name != p.link.subjects.streamName() {
			other = cmp.Or(other, name)
		}
	}
	return other, streamError(names.Err())
}

// A Space is what the account may keep in one kind of storage. Limits are -1
// where there is none.
type Space struct {
	Bytes, MaxBytes     int64 // taken by all streams, and allowed
	Streams, MaxStreams int
}

// Space returns what the account may keep on disk, or in memory, in streams of
// so many replicas. Edges need no right to ask it.
func (p *Probe) Space(ctx context.Context, memory bool, replicas int) (Space, error) {
	js, err := p.link.jetStream()
	if err != nil {
		return Space{}, err
	}
	info, err := js.AccountInfo(ctx)
	if err != nil {
		return Space{}, streamError(err)
	}
	tier := info.Tier
	if t, ok := info.Tiers[fmt.Sprintf("R%d", replicas)]; ok {
		tier = t
	}
	s := Space{Streams: tier.Streams, MaxStreams: tier.Limits.MaxStreams}
	if memory {
		s.Bytes, s.MaxBytes = int64(max(tier.Memory, tier.ReservedMemory)), tier.Limits.MaxMemory
	} else {
		s.Bytes, s.MaxBytes = int64(max(tier.Store, tier.ReservedStore)), tier.Limits.MaxStore
	}
	return s, nil
}
