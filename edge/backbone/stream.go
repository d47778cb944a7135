package backbone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
)

// StreamOptions say what the stream behind a [Store] should be like. A nil
// *StreamOptions is valid.
type StreamOptions struct {
	// Memory keeps messages in memory: a restart of all servers loses them.
	Memory bool

	// Replicas is how many servers keep each message. If zero: three in a
	// cluster of at least three servers, otherwise one; a stream that exists
	// never gets fewer than it has.
	Replicas int

	// MaxPerTopic bounds the messages kept of each topic. If zero, 10,000.
	MaxPerTopic int64

	// MaxAge bounds how long messages are kept. If zero, 30 days.
	MaxAge time.Duration

	// MaxBytes bounds the stream: the oldest messages of all topics make way.
	// Servers reserve as much. If zero, a new stream gets 8 GiB, or less if
	// the servers have not that much to give, and an existing one keeps what
	// it has.
	MaxBytes int64

	// MaxMessage bounds the bytes of one message, headers included. If zero,
	// 64 KiB.
	MaxMessage int32

	// Duplicates is how long the store remembers idempotency keys. If zero,
	// two minutes.
	Duplicates time.Duration

	// Shrink lets ApplyStream lower limits and replicas of an existing stream,
	// which deletes messages.
	Shrink bool
}

func (o *StreamOptions) withDefaults() (d StreamOptions) {
	if o != nil {
		d = *o
	}
	d.MaxPerTopic = cmp.Or(d.MaxPerTopic, 10_000)
	d.MaxAge = cmp.Or(d.MaxAge, 30*24*time.Hour)
	d.MaxMessage = cmp.Or(d.MaxMessage, 64<<10)
	d.Duplicates = min(cmp.Or(d.Duplicates, 2*time.Minute), d.MaxAge) // the server allows no longer one
	return d
}

func (o StreamOptions) check() error {
	if o.Replicas < 0 || o.Replicas > 5 {
		return fmt.Errorf("%d replicas of the stream: want 1 to 5", o.Replicas)
	}
	if o.MaxPerTopic < 0 || o.MaxAge < 0 || o.MaxBytes < 0 || o.MaxMessage < 0 || o.Duplicates < 0 {
		return errors.New("limits of the stream must not be negative")
	}
	return nil
}

const (
	wantedReplicas = 3
	wantedBytes    = 8 << 30
	leastBytes     = 64 << 20
	// peersPatience is how long a new cluster may take until all its servers
	// are seen, before fewer replicas are made than wanted.
	peersPatience = 5 * time.Second
)

// A StreamReport says in words how the stream is and what was done to it.
type StreamReport struct {
	Name    string
	Created bool
	// Changed are the differences that were settled.
	Changed []string
	// Differs are those that were not: settling them would lose messages, or
	// the server refuses to, or only a check was asked for.
	Differs []string
	// Warnings tell of what puts messages at risk.
	Warnings []string
	// Broken, if not nil, is why edges cannot work with the stream.
	Broken error
}

// streamName is ROOMS, with the prefix if it is not the usual one.
func (s subjects) streamName() string {
	if s.prefix == "chat" {
		return "ROOMS"
	}
	return "ROOMS_" + s.prefix
}

// ApplyStream creates the stream, or changes it to what o says as far as no
// message is lost by it. It never deletes it. It asks again while the servers
// have no leader, until ctx ends.
func (l *Link) ApplyStream(ctx context.Context, o *StreamOptions) (StreamReport, error) {
	d := o.withDefaults()
	if err := d.check(); err != nil {
		return StreamReport{}, err
	}
	start := time.Now()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		r, err := l.applyStream(ctx, d, time.Since(start) > peersPatience)
		if err == nil || !transient(err) {
			return r, err
		}
		if !sleep(ctx, pause) {
			return r, fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
		}
	}
}

// CheckStream compares the stream with what o says and changes nothing.
func (l *Link) CheckStream(ctx context.Context, o *StreamOptions) (StreamReport, error) {
	d := o.withDefaults()
	if err := d.check(); err != nil {
		return StreamReport{}, err
	}
	info, err := l.streamInfo(ctx)
	if err != nil {
		return StreamReport{}, fmt.Errorf("stream %s: %w", l.subjects.streamName(), err)
	}
	plan := l.compare(info.Config, d)
	r := StreamReport{Differs: append(plan.safe, plan.unsafe...)}
	l.judge(&r, info)
	return r, nil
}

func (l *Link) applyStream(ctx context.Context, d StreamOptions, fewer bool) (StreamReport, error) {
	info, err := l.streamInfo(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		info, err = l.createStream(ctx, d, fewer)
		if err == nil {
			r := StreamReport{Created: true}
			l.judge(&r, info)
			return r, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return StreamReport{}, fmt.Errorf("creating stream %s: %w", l.subjects.streamName(), err)
		}
		info, err = l.streamInfo(ctx) // another edge was faster
	}
	if err != nil {
		return StreamReport{}, fmt.Errorf("stream %s: %w", l.subjects.streamName(), err)
	}
	var r StreamReport
	plan := l.compare(info.Config, d)
	r.Changed, r.Differs = plan.safe, plan.unsafe
	if len(plan.safe) > 0 {
		js, err := l.jetStream()
		if err != nil {
			return r, err
		}
		s, err := js.UpdateStream(ctx, plan.config)
		if noPeers(err) && plan.config.Replicas > info.Config.Replicas && d.Replicas == 0 {
			if !fewer {
				return r, err
			}
			plan.config.Replicas = info.Config.Replicas
			r.Changed = slices.DeleteFunc(r.Changed, func(s string) bool { return s == plan.replicas })
			if len(r.Changed) > 0 {
				s, err = js.UpdateStream(ctx, plan.config)
			} else {
				s, err = js.Stream(ctx, info.Config.Name)
			}
		}
		if err != nil {
			return r, fmt.Errorf("changing stream %s: %w", info.Config.Name, err)
		}
		info = s.CachedInfo()
	}
	l.judge(&r, info)
	return r, nil
}

func (l *Link) createStream(ctx context.Context, d StreamOptions, fewer bool) (*jetstream.StreamInfo, error) {
	js, err := l.jetStream()
	if err != nil {
		return nil, err
	}
	cfg := jetstream.StreamConfig{
		Name:              l.subjects.streamName(),
		Description:       "stored events of Phoenix channels",
		Subjects:          []string{l.subjects.in(">")},
		MaxMsgsPerSubject: d.MaxPerTopic,
		MaxAge:            d.MaxAge,
		MaxBytes:          cmp.Or(d.MaxBytes, wantedBytes),
		MaxMsgSize:        d.MaxMessage,
		Duplicates:        d.Duplicates,
		Replicas:          cmp.Or(d.Replicas, wantedReplicas),
		AllowDirect:       true,
		RePublish:         &jetstream.RePublish{Source: l.subjects.in(">"), Destination: l.subjects.live(">")},
	}
	if d.Memory {
		cfg.Storage = jetstream.MemoryStorage
	}
	for {
		s, err := js.CreateStream(ctx, cfg)
		switch {
		case err == nil:
			return s.CachedInfo(), nil
		case d.Replicas == 0 && cfg.Replicas > 1 && hasCode(err, errReplicasNotSupported):
			cfg.Replicas = 1
		case d.MaxBytes == 0 && cfg.MaxBytes > leastBytes && noRoom(err):
			cfg.MaxBytes /= 2
		case d.Replicas == 0 && cfg.Replicas > 1 && noPeers(err) && fewer:
			cfg.Replicas, cfg.MaxBytes = 1, cmp.Or(d.MaxBytes, wantedBytes)
		default:
			return nil, err
		}
	}
}

// epochOf identifies an incarnation of the stream.
func epochOf(info *jetstream.StreamInfo) string {
	return info.Config.Name + "-" + strconv.FormatInt(info.Created.UnixNano(), 36)
}

func (l *Link) jetStream() (jetstream.JetStream, error) {
	if !l.rpc.IsConnected() {
		return nil, edge.ErrUnavailable
	}
	js, err := jetstream.New(l.rpc)
	if err != nil {
		return nil, fmt.Errorf("using JetStream: %w", err)
	}
	return js, nil
}

func (l *Link) streamInfo(ctx context.Context) (*jetstream.StreamInfo, error) {
	js, err := l.jetStream()
	if err != nil {
		return nil, err
	}
	// Short: while there is no leader nobody answers, and whoever comes next
	// has to be asked again.
	ctx, cancel := context.WithTimeout(ctx, requestTimeout/2)
	defer cancel()
	s, err := js.Stream(ctx, l.subjects.streamName())
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

func (l *Link) clustered() bool { return l.rpc.ConnectedClusterName() != "" }

// Codes of JetStream that nats.go has no name for.
const (
	errAccountResources     jetstream.ErrorCode = 10002
	errNoPeers              jetstream.ErrorCode = 10005
	errNotAvailable         jetstream.ErrorCode = 10008
	errNotLeader            jetstream.ErrorCode = 10009
	errInsufficient         jetstream.ErrorCode = 10023
	errMemoryResources      jetstream.ErrorCode = 10028
	errStorageResources     jetstream.ErrorCode = 10047
	errReplicasNotSupported jetstream.ErrorCode = 10074
	errStoreFailed          jetstream.ErrorCode = 10077
	errDuplicateInProcess   jetstream.ErrorCode = 10158
	errTooManyRequests      jetstream.ErrorCode = 10167
)

func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	var e *jetstream.APIError
	return errors.As(err, &e) && slices.Contains(codes, e.ErrorCode)
}

func noPeers(err error) bool { return hasCode(err, errNoPeers, errReplicasNotSupported) }

func noRoom(err error) bool {
	if hasCode(err, errNoPeers) { // what keeps servers from being peers stands in words only
		return strings.Contains(err.Error(), "insufficient storage") || strings.Contains(err.Error(), "insufficient memory")
	}
	return hasCode(err, errAccountResources, errInsufficient, errMemoryResources, errStorageResources)
}

// transient says whether asking again may help.
func transient(err error) bool {
	return hasCode(err, errNoPeers, errNotAvailable, errNotLeader) ||
		errors.Is(err, edge.ErrUnavailable) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, context.DeadlineExceeded)
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
