package backbone

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
)

// Why the store refuses an event, as clients may read it.
const (
	reasonTooLarge = "message is too large"
	reasonFull     = "the store is full"
)

// errNotSent are failures after which it is certain that nothing was stored.
var errNotSent = errors.New("not sent")

// Append implements [edge.History].
func (st *Store) Append(ctx context.Context, topic string, e edge.Event, key string) (edge.Stamp, error) {
	stamp, err := st.append(ctx, topic, e, key)
	c := &st.counters
	switch {
	case err == nil:
		c.appended.Add(1)
	case errors.Is(err, edge.ErrUnknown):
		c.unknown.Add(1)
	case errors.Is(err, edge.ErrUnavailable):
		c.failed.Add(1)
	case ctx.Err() == nil:
		c.refused.Add(1)
	}
	return stamp, err
}

func (st *Store) append(ctx context.Context, topic string, e edge.Event, key string) (edge.Stamp, error) {
	if err := ctx.Err(); err != nil {
		return edge.Stamp{}, err
	}
	tail, err := Tail(topic)
	if err != nil {
		return edge.Stamp{}, err
	}
	m, err := newMessage(st.subjects.in(tail), e, true)
	if err != nil {
		return edge.Stamp{}, fmt.Errorf("appending to %q: %w", topic, err)
	}
	if key != "" {
		m.Header[headerMessageID] = []string{messageID(topic, key)}
	}
	epoch := st.epoch.Load()
	seq, err := st.send(ctx, m)
	if err != nil {
		return edge.Stamp{}, err
	}
	return edge.Stamp{Seq: seq, At: st.storedAt(ctx, epoch, topic, m.Subject, seq)}, nil
}

// messageID is what the stream knows a key by. The stream remembers keys of all
// topics together, so that the topic must be part of it.
func messageID(topic, key string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s%s", len(topic), topic, key)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// send publishes m until it is acknowledged or it is clear that it will not be.
func (st *Store) send(ctx context.Context, m *nats.Msg) (seq uint64, err error) {
	deadline := time.Now().Add(st.opts.Patience)
	doubt := false // whether an attempt before may have been stored
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		seq, err := st.sendOnce(ctx, m)
		var refusal *edge.Error
		switch {
		case err == nil:
			return seq, nil
		case errors.As(err, &refusal):
			return 0, refusal
		case errors.Is(err, edge.ErrUnknown):
			return 0, err
		case !errors.Is(err, errNotSent):
			doubt = true
		}
		if doubt && m.Header.Get(headerMessageID) == "" { // the store would take it for another message
			return 0, fmt.Errorf("%w: %w", edge.ErrUnknown, err)
		}
		if time.Now().Add(pause).After(deadline) || !sleep(ctx, pause) || st.closed() {
			if doubt {
				return 0, fmt.Errorf("%w: %w", edge.ErrUnknown, err)
			}
			return 0, fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
		}
	}
}

// sendOnce returns errNotSent, ErrUnknown, an *edge.Error, or an error after
// which the message may be stored and can be sent again.
func (st *Store) sendOnce(ctx context.Context, m *nats.Msg) (uint64, error) {
	if !st.rpc.IsConnected() {
		return 0, fmt.Errorf("%w: no link", errNotSent)
	}
	ctx, cancel := context.WithTimeout(ctx, st.opts.AckTimeout)
	defer cancel()
	begin := time.Now()
	reply, err := st.rpc.RequestMsgWithContext(ctx, m)
	switch {
	case err == nil:
		st.counters.publish.Observe(time.Since(begin))
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, &edge.Error{Reason: reasonTooLarge}
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting):
		return 0, fmt.Errorf("%w: %w", errNotSent, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrConnectionClosed):
		return 0, fmt.Errorf("%w: %w", edge.ErrUnknown, err)
	default:
		return 0, fmt.Errorf("publishing: %w", err)
	}
	var ack struct {
		Stream    string              `json:"stream"`
		Seq       uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Error     *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, fmt.Errorf("%w: acknowledgement: %w", edge.ErrUnknown, err)
	}
	if ack.Error != nil {
		return 0, ackError(ack.Error)
	}
	if ack.Stream != st.stream || ack.Seq == 0 {
		return 0, fmt.Errorf("%w: acknowledged by %q, not by stream %s", edge.ErrUnknown, ack.Stream, st.stream)
	}
	if ack.Duplicate {
		st.counters.duplicates.Add(1)
	}
	return ack.Seq, nil
}

// ackError says what a negative acknowledgement means.
func ackError(e *jetstream.APIError) error {
	switch {
	case hasCode(e, jetstream.JSErrCodeStreamMessageExceedsMaximum):
		return &edge.Error{Reason: reasonTooLarge}
	case noRoom(e), hasCode(e, errStoreFailed) && strings.Contains(e.Description, "maximum"):
		return &edge.Error{Reason: reasonFull}
	case hasCode(e, errDuplicateInProcess):
		return e // the first one may yet be stored
	}
	return fmt.Errorf("%w: %w", errNotSent, e)
}

const (
	// copyPatience is how long the time of a message is awaited from its
	// republished copy, which comes with the acknowledgement, before it is
	// asked for.
	copyPatience = 200 * time.Millisecond
	stampTimeout = time.Second
)

// storedAt returns the store's time of an acknowledged message. An
// acknowledgement does not carry it. If it cannot be had, which is no reason to
// deny that the message is stored, this machine's time has to do.
func (st *Store) storedAt(ctx context.Context, epoch *string, topic, subject string, seq uint64) time.Time {
	if f := st.follower(topic); f != nil {
		w, wait := f.acknowledged(epoch, seq)
		if wait {
			timer := time.NewTimer(copyPatience)
			defer timer.Stop()
			select {
			case at := <-w.at:
				return at
			case <-timer.C:
			}
		}
		if at, ok := st.recent.at(&f.ring, seq); ok {
			return at
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stampTimeout)
	defer cancel()
	for pause := lagPause; ; pause += lagPause {
		a, err := st.get(ctx, query{Seq: seq, Next: subject, Batch: 1})
		if err == nil && len(a.messages) > 0 {
			if a.messages[0].seq == seq {
				return a.messages[0].at
			}
			break // it is gone already
		}
		if !sleep(ctx, pause) {
			break
		}
	}
	return time.Now().UTC()
}
