package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
)

// patience is how long servers that start may take until JetStream answers.
const patience = 3 * time.Second

// history checks the stream that keeps messages, or whether it can be made.
func history(ctx context.Context, c *Config, p *backbone.Probe, server backbone.ServerInfo) []Finding {
	const name = "stream"
	var f []Finding
	if n := c.replicas(); n > 1 && server.Cluster == "" {
		f = append(f, lasting(failed("replicas", fmt.Sprintf("--history-replicas is %d, and %s is one server without a cluster", n, server.Name),
			"leave --history-replicas out, or make a cluster of three servers")))
	} else if n == 2 || n == 4 {
		f = append(f, warning("replicas", fmt.Sprintf("--history-replicas is %d: messages then need %d servers, and no more may be lost than with %d", n, n/2+1, n-1),
			fmt.Sprintf("--history-replicas %d", n-1)))
	}
	if c.memory() {
		f = append(f, warning("storage", "messages are kept in memory: a restart of the NATS servers loses them", "leave out --history memory"))
	}
	st, err := stream(ctx, c, p)
	switch {
	case errors.Is(err, backbone.ErrNoJetStream):
		return append(f, lasting(failed("jetstream", "it is not enabled on "+server.Name+", or not for this account",
			`put "jetstream { store_dir: DIR }" into nats-server's configuration (with accounts, "jetstream: enabled" into this one), or start the edge with --history off`)))
	case errors.Is(err, backbone.ErrNoStream) && !c.Apply:
		return append(f, ok("jetstream", "it answers"), failed(name, fmt.Sprintf("%s does not exist, and with --stream check the edge does not make it", p.StreamName()), "edge stream apply"))
	case errors.Is(err, backbone.ErrNoStream):
		return append(append(f, ok("jetstream", "it answers")), creation(ctx, c, p)...)
	case err != nil:
		return append(f, failed("jetstream", "it does not answer: "+err.Error(), "see that a majority of the servers runs and that they reach each other"))
	}
	return append(append(f, ok("jetstream", "it answers"), clock(st)), existing(c, st)...)
}

// stream asks again while the servers may still be starting.
func stream(ctx context.Context, c *Config, p *backbone.Probe) (backbone.StreamState, error) {
	for end := time.Now().Add(patience); ; {
		st, err := p.Stream(ctx, c.Stream)
		if err == nil || errors.Is(err, backbone.ErrNoStream) || time.Now().After(end) {
			return st, err
		}
		select {
		case <-time.After(patience / 10):
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}

func existing(c *Config, st backbone.StreamState) []Finding {
	const name = "stream"
	var f []Finding
	switch {
	case st.Leaderless:
		f = append(f, failed(name, st.Name+" has no leader: nothing can be stored", "start the servers that are missing: a majority of those that keep messages must run"))
	case len(st.Offline) > 0:
		f = append(f, warning(name, fmt.Sprintf("%s is kept by servers of which some do not answer: %s", st.Name, strings.Join(st.Offline, ", ")), "start them"))
	}
	switch {
	case c.Apply:
		if st.Broken != nil && strings.Contains(st.Broken.Error(), "does not capture") {
			f = append(f, warning(name, st.Broken.Error()+": it may be another program's, and the edge will change it", "if it is, choose another --subject-prefix"))
		}
		for _, s := range st.Mendable {
			f = append(f, ok(name, "the edge will change %s: %s", st.Name, s))
		}
	case st.Broken != nil:
		f = append(f, failed(name, st.Broken.Error(), "edge stream apply"))
	default:
		for _, s := range st.Mendable {
			f = append(f, warning(name, st.Name+" is not as the flags say: "+s, "edge stream apply with the same flags, or correct the flags"))
		}
	}
	for _, s := range st.Differs {
		f = append(f, warning(name, st.Name+" is not as the flags say: "+s,
			"correct the --history flags; if messages may be deleted for it, edge stream apply --shrink, or for storage and discard a new stream"))
	}
	for _, s := range st.Warnings {
		switch inMemory := strings.Contains(s, "in memory"); {
		case inMemory && c.memory(): // that has been said
		case inMemory:
			f = append(f, warning("storage", s, "a stream cannot move to disk: make a new one under another --subject-prefix, or delete this one and its messages"))
		default:
			f = append(f, warning("replicas", s, "edge stream apply --history-replicas 3"))
		}
	}
	if len(f) == 0 {
		f = append(f, ok(name, "%s is as the flags say", st.Name))
	}
	return f
}

// creation tells what may hinder the making of the stream.
func creation(ctx context.Context, c *Config, p *backbone.Probe) []Finding {
	const name = "stream"
	// Who may make streams may usually ask this, but need not.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if other, err := p.CapturedBy(ctx); err == nil && other != "" {
		return []Finding{lasting(failed(name, fmt.Sprintf("stream %s captures the subjects of %s, which cannot be made", other, p.StreamName()),
			"choose another --subject-prefix, or let that stream leave them out"))}
	}
	o := c.stream()
	if s, err := p.Space(ctx, o.Memory, max(1, o.Replicas)); err == nil {
		free := s.MaxBytes - s.Bytes
		switch want := cmp.Or(o.MaxBytes, leastBytes); {
		case s.MaxStreams >= 0 && s.Streams >= s.MaxStreams:
			return []Finding{failed(name, fmt.Sprintf("the account has %d streams and may have no more", s.Streams), "raise max_streams of the account")}
		case s.MaxBytes >= 0 && free < want:
			return []Finding{failed(name, fmt.Sprintf("the account may keep %d MiB more, %s wants %d", free>>20, p.StreamName(), want>>20), "lower --history-bytes, or raise the account's limit")}
		}
	}
	return []Finding{ok(name, "%s does not exist yet: the edge makes it", p.StreamName())}
}

// leastBytes is what a stream gets at least; see backbone.StreamOptions.
const leastBytes = 64 << 20

// How far clocks may be apart.
const (
	clockOff   = 5 * time.Second
	clockWrong = time.Minute
)

// clock compares the clock of NATS, which dates messages, with that of this
// machine, which dates presence, tokens and logs, and judges certificates.
func clock(st backbone.StreamState) Finding {
	const name = "clock"
	off, where := st.Ahead, "behind"
	if off < 0 {
		off, where = -off, "ahead of"
	}
	off = max(0, off-st.Within)
	message := fmt.Sprintf("this machine's is %v %s that of NATS: messages, presence and logs do not agree on the time, tokens and certificates may not be valid", off.Round(time.Second), where)
	const change = "set the clocks by NTP on all machines"
	switch {
	case off >= clockWrong:
		return failed(name, message, change)
	case off >= clockOff:
		return warning(name, message, change)
	}
	return ok(name, "this machine's and that of NATS are within %v", (off+st.Within).Round(time.Millisecond)+time.Millisecond)
}
