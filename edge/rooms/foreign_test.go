package rooms_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Any program with a connection to NATS can speak in a room. What it says
// appears with author, time and sequence, and in the history.
func TestForeignMessage(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newStore(t, ns, nil), nil), newEdge(t, newStore(t, ns, nil), nil)
	ann, bob := a.enter(t, "ann", "rooms:lobby"), b.enter(t, "bob", "rooms:lobby")
	nc := plain(t, ns)
	for i, data := range []string{
		`{"body":"hi","username":"bot"}`,
		` {"body":"hi","username":"bot","seq":12345,"at":"1999-12-31T23:59:59Z","event":"phx_close"} `,
		`{"body":"hi","username":"bot","s\u0065q":12345,"client_id":"x","extra":{"a":[1]}}`,
	} {
		if err := nc.Publish("chat.in.rooms.lobby", []byte(data)); err != nil {
			t.Fatal(err)
		}
		got := ann.hear()
		if far := bob.hear(); far != got {
			t.Errorf("bob heard %+v, ann %+v", far, got)
		}
		if d := time.Since(got.At); got.Body != "hi" || got.Username != "bot" || got.Seq != uint64(i+1) || d < -time.Minute || d > time.Minute {
			t.Errorf("%s became %+v", data, got)
		}
		list := a.past(t, "rooms:lobby").Messages
		if len(list) != i+1 || list[i] != got {
			t.Errorf("history has %+v, want %+v at its end", list, got)
		}
	}
	// The event can be named.
	err := nc.PublishMsg(&nats.Msg{Subject: "chat.in.rooms.lobby", Header: nats.Header{"Phx-Event": {"chat_msg"}}, Data: []byte(`{"body":"named","username":"bot"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if got := ann.hear(); got.Body != "named" {
		t.Errorf("heard %+v", got)
	}
}

// What is not a message never reaches a screen, live or late, and nothing that
// follows it suffers.
func TestForeignNonsense(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newStore(t, ns, nil), nil), newEdge(t, newStore(t, ns, nil), nil)
	ann, bob := a.enter(t, "ann", "rooms:lobby"), b.enter(t, "bob", "rooms:lobby")
	nc := plain(t, ns)
	fine := `{"body":"hi","username":"bot"}`
	tests := []struct {
		name   string
		header nats.Header
		data   string
	}{
		{"empty", nil, ""},
		{"text", nil, "hi"},
		{"string", nil, `"hi"`},
		{"list", nil, `[` + fine + `]`},
		{"two values", nil, fine + fine},
		{"cut off", nil, fine[:len(fine)-1]},
		{"no body", nil, `{"username":"bot"}`},
		{"body is a number", nil, `{"body":5,"username":"bot"}`},
		{"body is blank", nil, `{"body":" ","username":"bot"}`},
		{"body is too long", nil, fmt.Sprintf(`{"body":%q,"username":"bot"}`, strings.Repeat("x", 16<<10+1))},
		{"body is spelled otherwise", nil, `{"Body":"hi","username":"bot"}`},
		{"body is two things", nil, `{"body":"hi","body":5,"Body":"hi","username":"bot"}`},
		{"no username", nil, `{"body":"hi"}`},
		{"username is a number", nil, `{"body":"hi","username":5}`},
		{"username is null", nil, `{"body":"hi","username":null}`},
		{"username is spelled otherwise", nil, `{"body":"hi","Username":"bot"}`},
		{"client_id is a number", nil, `{"body":"hi","username":"bot","client_id":5}`},
		{"not UTF-8", nil, "{\"body\":\"hi\xff\",\"username\":\"bot\"}"},
		{"name is not UTF-8", nil, "{\"body\":\"hi\",\"username\":\"bot\",\"\xff\":1}"},
		{"binary", nats.Header{"Phx-Payload": {"binary"}}, fine},
		{"unknown kind", nats.Header{"Phx-Payload": {"xml"}}, fine},
		{"other event", nats.Header{"Phx-Event": {"typing"}}, fine},
		{"reserved event", nats.Header{"Phx-Event": {"phx_close"}}, fine},
		{"empty event", nats.Header{"Phx-Event": {""}}, fine},
		{"two events", nats.Header{"Phx-Event": {"chat_msg", "chat_msg"}}, fine},
	}
	var n uint64
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, m := range []*nats.Msg{
				{Subject: "chat.in.rooms.lobby", Header: tt.header, Data: []byte(tt.data)},
				{Subject: "chat.in.rooms.lobby", Data: []byte(fmt.Sprintf(`{"body":%q,"username":"bot"}`, "after "+tt.name))},
			} {
				if err := nc.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
			}
			n += 2
			for _, c := range []*client{ann, bob} {
				if got := c.hear(); got.Body != "after "+tt.name || got.Seq != n {
					t.Errorf("heard %+v, want what came after, with sequence %d", got, n)
				}
			}
		})
	}
	for _, m := range a.past(t, "rooms:lobby").Messages {
		if !strings.HasPrefix(m.Body, "after ") || m.Username != "bot" {
			t.Errorf("history has %+v", m)
		}
	}
	// Nor does what nobody stored.
	for _, subject := range []string{"chat.live.rooms.lobby", "chat.eph.rooms.lobby"} {
		if err := nc.Publish(subject, []byte(fine)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Publish("chat.in.rooms.lobby", []byte(`{"body":"last","username":"bot"}`)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{ann, bob} {
		if got := c.hear(); got.Body != "last" {
			t.Errorf("heard %+v", got)
		}
		c.silent()
	}
}

// A stretch of nonsense, longer than a page, does not hide what was before it.
func TestScrollBackOverNonsense(t *testing.T) {
	ns := newNATS(t)
	e := newEdge(t, newStore(t, ns, nil), nil)
	ann := e.enter(t, "ann", "rooms:lobby")
	ann.say(`{"body":"before"}`)
	nc := plain(t, ns)
	for range 250 {
		if _, err := nc.Request("chat.in.rooms.lobby", []byte(`{"body":5}`), patience); err != nil { // until it is stored
			t.Fatal(err)
		}
	}
	c := e.connect(t, v2("cid"))
	p := c.join("rooms:lobby", `{"history":50}`)
	found := p.bodies()
	for before, more := p.FirstSeq, true; more; {
		if before == 0 {
			t.Fatalf("%+v says not where to go on", p)
		}
		var r reply
		if r = c.ask("history", fmt.Sprintf(`{"before":%d,"limit":60}`, before)); r.Status != "ok" {
			t.Fatalf("history: %s %s", r.Status, r.Response)
		}
		p = page{}
		decode(t, r.Response, &p)
		found = append(p.bodies(), found...)
		before, more = p.FirstSeq, p.More
	}
	sameBodies(t, "scrolled back to", found, []string{"before"})

	// Who resumes gets over it, too.
	ann.say(`{"body":"after"}`)
	d := e.connect(t, v2("dan"))
	p = d.join("rooms:lobby", fmt.Sprintf(`{"since":1,"epoch":%q}`, p.Epoch))
	got := p.bodies()
	for len(got) == 0 {
		f := d.next()
		if f.Event != "history" {
			t.Fatalf("got %v", f)
		}
		decode(t, f.Payload, &p)
		got = append(got, p.bodies()...)
	}
	sameBodies(t, "resumed to", got, []string{"after"})
}
