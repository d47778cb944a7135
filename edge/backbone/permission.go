package backbone

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// A Permission is the right to publish or to subscribe, as nats-server's
// configuration has it.
type Permission struct {
	Publish bool // else to subscribe
	Subject string
}

func (p Permission) String() string {
	verb := "subscribe"
	if p.Publish {
		verb = "publish"
	}
	return verb + " " + p.Subject
}

// A right is a permission and one subject of those that it is about: one that
// no topic maps to, and nobody listens to.
type right struct {
	Permission
	subject string
}

const (
	inboxPrefix = "_INBOX_EDGE"
	// nowhere is the end of a subject that is no topic's: see [Topic].
	nowhere = "rooms.%"
)

// rights are what an edge needs. With history it uses a stream, and with apply
// it may have to make or change it.
func (s subjects) rights(history, apply bool) []right {
	publish := func(wildcard, subject string) right { return right{Permission{true, wildcard}, subject} }
	subscribe := func(wildcard, subject string) right { return right{Permission{false, wildcard}, subject} }
	rights := []right{
		publish(s.ephemeral(">"), s.ephemeral(nowhere)),
		publish(s.control(">"), s.control("probe")),
		publish(s.presence(">"), s.presence("probe")),
		publish(inboxPrefix+".>", inboxPrefix+".probe"),
		subscribe(s.ephemeral(">"), s.ephemeral(nowhere)),
		subscribe(s.control(">"), s.control("probe")),
		subscribe(s.presence(">"), s.presence("probe")),
		subscribe(inboxPrefix+".>", inboxPrefix+".probe"),
	}
	if !history {
		return rights
	}
	advisory := advisoryElected + s.streamName()
	rights = append(rights,
		publish(s.in(">"), s.in(nowhere)),
		subscribe(s.live(">"), s.live(nowhere)),
		subscribe(advisory, advisory))
	verbs := []string{"STREAM.INFO", "DIRECT.GET", "STREAM.MSG.GET"}
	if apply {
		verbs = append(verbs, "STREAM.CREATE", "STREAM.UPDATE")
	}
	for _, verb := range verbs {
		subject := "$JS.API." + verb + "." + s.streamName()
		rights = append(rights, publish(subject, subject))
	}
	return rights
}

// Denied returns what an edge has to be allowed and this connection is not. It
// tries each, in a way that has no effect: what it publishes where messages are
// stored is refused by the store, and its requests to change the stream are
// empty.
func (p *Probe) Denied(ctx context.Context, history, apply bool) ([]Permission, error) {
	var denied []Permission
	for _, r := range p.link.subjects.rights(history, apply) {
		ok, err := p.may(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("asking whether an edge may %s: %w", r, err)
		}
		if !ok {
			denied = append(denied, r.Permission)
		}
	}
	return denied, nil
}

func (p *Probe) may(ctx context.Context, r right) (bool, error) {
	if r.Publish {
		m := &nats.Msg{Subject: r.subject, Reply: p.nc.NewInbox(), Header: nats.Header{}, Data: []byte("{}")}
		m.Header.Set("Nats-Expected-Stream", "none") // ours is called otherwise
		if strings.HasPrefix(r.subject, "$JS.API.") {
			m.Header = nil
		}
		if err := p.nc.PublishMsg(m); err != nil {
			return false, err
		}
	} else {
		sub, err := p.nc.SubscribeSync(r.subject)
		if err != nil {
			return false, err
		}
		defer sub.Unsubscribe()
	}
	// The server refuses before it answers the flush, but says nothing if it
	// allows.
	if err := flush(ctx, p.nc); err != nil {
		return false, err
	}
	return !refused(p.nc.LastError(), r.Publish, r.subject), nil
}

// refused says whether err is the server's refusal to let this connection use a
// subject.
func refused(err error, publish bool, subject string) bool {
	verb := "Subscription"
	if publish {
		verb = "Publish"
	}
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), fmt.Sprintf("%s to %q", verb, subject))
}
