package backbone

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A plan is how a stream gets to what it should be.
type plan struct {
	config       jetstream.StreamConfig // with what is safe to change
	safe, unsafe []string
	replicas     string // which of safe is about replicas
}

func (l *Link) compare(is jetstream.StreamConfig, d StreamOptions) plan {
	p := plan{config: is}
	note := func(safe bool, what string, is, want any) string {
		s := fmt.Sprintf("%s: is %v, want %v", what, is, want)
		if safe {
			p.safe = append(p.safe, s)
		} else {
			p.unsafe = append(p.unsafe, s)
		}
		return s
	}
	if in := l.subjects.in(">"); !slices.Contains(is.Subjects, in) {
		note(true, "subjects", is.Subjects, in)
		p.config.Subjects = append(slices.Clone(is.Subjects), in)
	}
	want := jetstream.RePublish{Source: l.subjects.in(">"), Destination: l.subjects.live(">")}
	if is.RePublish == nil || *is.RePublish != want {
		note(true, "republish", republish(is.RePublish), republish(&want))
		p.config.RePublish = &want
	}
	if !is.AllowDirect {
		note(true, "direct get", "off", "on")
		p.config.AllowDirect = true
	}
	if is.MaxMsgSize != d.MaxMessage {
		note(true, "bytes of a message", is.MaxMsgSize, d.MaxMessage)
		p.config.MaxMsgSize = d.MaxMessage
	}
	if is.Duplicates != d.Duplicates {
		note(true, "duplicate window", is.Duplicates, d.Duplicates)
		p.config.Duplicates = d.Duplicates
	}

	// In a limit that is not positive the server sees none.
	if safe := is.MaxMsgsPerSubject > 0 && is.MaxMsgsPerSubject < d.MaxPerTopic || d.Shrink; is.MaxMsgsPerSubject != d.MaxPerTopic {
		note(safe, "messages of a topic", limit(is.MaxMsgsPerSubject), d.MaxPerTopic)
		if safe {
			p.config.MaxMsgsPerSubject = d.MaxPerTopic
		}
	}
	if safe := is.MaxAge > 0 && is.MaxAge < d.MaxAge || d.Shrink; is.MaxAge != d.MaxAge {
		note(safe, "age", age(is.MaxAge), d.MaxAge)
		if safe {
			p.config.MaxAge = d.MaxAge
		}
	}
	if safe := is.MaxBytes > 0 && is.MaxBytes < d.MaxBytes || d.Shrink; d.MaxBytes != 0 && is.MaxBytes != d.MaxBytes {
		note(safe, "bytes in all", limit(is.MaxBytes), d.MaxBytes)
		if safe {
			p.config.MaxBytes = d.MaxBytes
		}
	}
	replicas := d.Replicas
	if replicas == 0 && l.clustered() {
		replicas = max(wantedReplicas, is.Replicas)
	}
	if safe := is.Replicas < replicas || d.Shrink; replicas != 0 && is.Replicas != replicas {
		s := note(safe, "replicas", is.Replicas, replicas)
		if safe {
			p.config.Replicas, p.replicas = replicas, s
		}
	}

	storage := jetstream.FileStorage
	if d.Memory {
		storage = jetstream.MemoryStorage
	}
	if is.Storage != storage {
		note(false, "storage", is.Storage, storage)
	}
	if is.Discard != jetstream.DiscardOld {
		note(false, "discard when full", is.Discard, jetstream.DiscardOld)
	}
	if is.Retention != jetstream.LimitsPolicy {
		note(false, "retention", is.Retention, jetstream.LimitsPolicy)
	}
	if is.MaxMsgs > 0 {
		note(false, "messages in all", is.MaxMsgs, "no limit")
	}
	if p.config.Duplicates > p.config.MaxAge && p.config.MaxAge > 0 {
		p.config.Duplicates = p.config.MaxAge
	}
	return p
}

func limit(n int64) any {
	if n <= 0 {
		return "no limit"
	}
	return n
}

func age(d time.Duration) any {
	if d <= 0 {
		return "no limit"
	}
	return d
}

func republish(r *jetstream.RePublish) string {
	if r == nil {
		return "none"
	}
	s := r.Source + " to " + r.Destination
	if r.HeadersOnly {
		s += ", headers only"
	}
	return s
}

// judge adds to a report what can be told from the stream alone.
func (l *Link) judge(r *StreamReport, info *jetstream.StreamInfo) {
	r.Name = info.Config.Name
	r.Broken = l.unfit(info.Config)
	if info.Config.Replicas < 2 && l.clustered() {
		r.Warnings = append(r.Warnings, "messages are kept by one server of the cluster: while it is away rooms with history stand still, and with its disk they are lost")
	}
	if info.Config.Storage == jetstream.MemoryStorage {
		r.Warnings = append(r.Warnings, "messages are kept in memory: a restart of the servers loses them")
	}
}

// unfit returns why edges cannot work with a stream.
func (l *Link) unfit(c jetstream.StreamConfig) error {
	p := l.compare(c, (*StreamOptions)(nil).withDefaults())
	var lacks []string
	if !slices.Equal(p.config.Subjects, c.Subjects) {
		lacks = append(lacks, "does not capture "+l.subjects.in(">"))
	}
	if p.config.RePublish != c.RePublish {
		lacks = append(lacks, "does not republish to "+l.subjects.live(">"))
	}
	if !c.AllowDirect {
		lacks = append(lacks, "does not allow direct get")
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("stream %s %s", c.Name, strings.Join(lacks, ", "))
}
