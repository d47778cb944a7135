package backbone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/edge"
)

// Headers that the server writes on what it republishes and on answers to
// direct get.
const (
	headerStream    = "Nats-Stream"
	headerSubject   = "Nats-Subject"
	headerSequence  = "Nats-Sequence"
	headerPrevious  = "Nats-Last-Sequence"
	headerTime      = "Nats-Time-Stamp"
	headerPending   = "Nats-Num-Pending"
	headerUpTo      = "Nats-UpTo-Sequence"
	headerStatus    = "Status"
	headerMessageID = "Nats-Msg-Id"
)

const (
	requestTimeout = 2 * time.Second
	// answerBytes bounds an answer, so that it is not in the way of others on
	// its connection for long.
	answerBytes = 4 << 20
)

// A stored message as it is in the stream.
type stored struct {
	seq     uint64
	at      time.Time
	subject string
	header  nats.Header
	data    []byte
}

func parseStored(m *nats.Msg) (s stored, err error) {
	s.subject, s.header, s.data = m.Header.Get(headerSubject), m.Header, m.Data
	if s.seq, err = strconv.ParseUint(m.Header.Get(headerSequence), 10, 64); err != nil {
		return s, fmt.Errorf("header %s: %w", headerSequence, err)
	}
	if s.at, err = time.Parse(time.RFC3339Nano, m.Header.Get(headerTime)); err != nil {
		return s, fmt.Errorf("header %s: %w", headerTime, err)
	}
	s.at = s.at.UTC()
	return s, nil
}

func (s stored) delivery() (edge.Delivery, error) {
	e, err := parseMessage(s.header, s.data, true)
	return edge.Delivery{Event: e, Seq: s.seq, At: s.at}, err
}

// A query asks for messages by direct get. The names are JetStream's.
type query struct {
	Seq      uint64   `json:"seq,omitempty"`
	Next     string   `json:"next_by_subj,omitempty"`
	Last     []string `json:"multi_last,omitempty"`
	UpTo     uint64   `json:"up_to_seq,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
}

type answer struct {
	messages []stored
	pending  uint64 // how many more there are
	upTo     uint64 // of Last: the stream's sequence at the time
}

// errRetry are failures after which the same request may succeed.
var errRetry = errors.New("no answer from the store")

// get asks one of the replicas. It may lag behind what was acknowledged, but
// what it answers has no holes. Nothing found is an empty answer. It tries
// once; see retry.
func (st *Store) get(ctx context.Context, q query) (answer, error) {
	st.counters.reads.Add(1)
	q.MaxBytes = answerBytes
	data, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	if !st.rpc.IsConnected() {
		return answer{}, fmt.Errorf("%w: %w", errRetry, edge.ErrUnavailable)
	}
	inbox := st.rpc.NewInbox()
	ch := make(chan *nats.Msg, q.Batch+2) // cannot overflow: the server sends at most one more than asked for
	sub, err := st.rpc.ChanSubscribe(inbox, ch)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errRetry, err)
	}
	defer sub.Unsubscribe() // fails only if the connection is closed
	if err := st.rpc.PublishRequest("$JS.API.DIRECT.GET."+st.stream, inbox, data); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errRetry, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var a answer
	for {
		select {
		case <-ctx.Done():
			return answer{}, fmt.Errorf("%w: %w", errRetry, ctx.Err())
		case <-st.done:
			return answer{}, errClosed
		case m := <-ch:
			switch status := m.Header.Get(headerStatus); status {
			case "":
				s, err := parseStored(m)
				if err != nil {
					return answer{}, fmt.Errorf("answer of the store: %w", err)
				}
				a.messages = append(a.messages, s)
			case "204":
				a.pending, _ = strconv.ParseUint(m.Header.Get(headerPending), 10, 64)
				a.upTo, _ = strconv.ParseUint(m.Header.Get(headerUpTo), 10, 64)
				return a, nil
			case "404":
				return a, nil
			case "503": // nobody serves reads yet, or a leader is being elected
				return answer{}, fmt.Errorf("%w: no replica", errRetry)
			default:
				return answer{}, fmt.Errorf("the store refuses to read: %s %s", status, m.Header.Get("Description"))
			}
		}
	}
}

// next asks the leader, which never lags, for the first message of a subject
// from seq on. It returns nil if there is none.
func (st *Store) next(ctx context.Context, subject string, seq uint64) (*stored, error) {
	st.counters.reads.Add(1)
	data, err := json.Marshal(query{Seq: max(seq, 1), Next: subject})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := st.rpc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+st.stream, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRetry, err)
	}
	var r struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return nil, fmt.Errorf("answer of the store: %w", err)
	}
	switch {
	case r.Error != nil && r.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case r.Error != nil && transient(r.Error):
		return nil, fmt.Errorf("%w: %w", errRetry, r.Error)
	case r.Error != nil:
		return nil, fmt.Errorf("the store refuses to read: %w", r.Error)
	case r.Message == nil:
		return nil, errors.New("answer of the store without a message")
	}
	s := &stored{seq: r.Message.Seq, at: r.Message.Time.UTC(), subject: r.Message.Subject, data: r.Message.Data}
	if len(r.Message.Header) > 0 {
		if s.header, err = nats.DecodeHeadersMsg(r.Message.Header); err != nil {
			return nil, fmt.Errorf("headers of message %d: %w", s.seq, err)
		}
	}
	return s, nil
}

// retry repeats what fails with errRetry, until ctx ends or the link seems to
// be gone.
func retry[T any](ctx context.Context, st *Store, f func() (T, error)) (T, error) {
	end := time.Now().Add(st.opts.Patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		v, err := f()
		if !errors.Is(err, errRetry) {
			return v, err
		}
		if !st.rpc.IsConnected() && time.Now().After(end) || !sleep(ctx, pause) {
			return v, fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
		}
	}
}

// mustGet and mustNext repeat get and next until there is an answer.
func (st *Store) mustGet(ctx context.Context, q query) (answer, error) {
	return retry(ctx, st, func() (answer, error) { return st.get(ctx, q) })
}

func (st *Store) mustNext(ctx context.Context, subject string, seq uint64) (*stored, error) {
	return retry(ctx, st, func() (*stored, error) { return st.next(ctx, subject, seq) })
}

// newest returns a subject's newest message, or false if there is none.
func (st *Store) newest(ctx context.Context, subject string) (stored, bool, error) {
	a, err := st.mustGet(ctx, query{Last: []string{subject}, Batch: 1})
	if err != nil || len(a.messages) == 0 {
		return stored{}, false, err
	}
	return a.messages[0], true, nil
}
