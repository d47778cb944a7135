package rooms_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
)

// The ancestor's frames in, its messages out, whatever version each speaks.
func TestChat(t *testing.T) {
	e := single(t)
	ann, bob, cid := e.connect(t, "username=ann"), e.connect(t, v2("bob")), e.connect(t, "username=cid&vsn=1.0.0")
	everybody := []*client{ann, bob, cid}
	for _, c := range everybody {
		c.join("rooms:main", `{"status":"","body":"","username":""}`)
	}
	for i, c := range everybody {
		name := []string{"ann", "bob", "cid"}[i]
		ack := c.say(`{"status":"","body":"hi & <bye>","username":"","color":{"deep":[1]}}`)
		if d := time.Since(ack.At); ack.Seq == 0 || d < -time.Minute || d > time.Minute {
			t.Errorf("acknowledged as %+v", ack)
		}
		for _, hearer := range everybody {
			f := hearer.next()
			want := map[string]any{"body": "hi & <bye>", "username": name, "seq": float64(ack.Seq), "at": ack.At.Format(time.RFC3339Nano)}
			var got map[string]any
			if err := json.Unmarshal(f.Payload, &got); err != nil || f.Event != "chat_msg" || f.Topic != "rooms:main" || f.Ref != nil || !maps.Equal(got, want) {
				t.Errorf("got %v, want chat_msg %v", f, want)
			}
		}
	}
	for _, c := range everybody {
		c.silent()
	}
}

func TestUsername(t *testing.T) {
	e := single(t)
	named := func(query string) string {
		c := e.connect(t, query)
		c.join("rooms:x", `{}`)
		c.say(`{"body":"me"}`)
		return c.hear().Username
	}
	for query, want := range map[string]string{
		"username=ann":                        "ann",
		"username=":                           "",
		"vsn=2.0.0&username=%C3%A9+%26%00%22": "é &\x00\"",
		"username=a&username=b":               "b",
		v2(strings.Repeat("x", 256)):          strings.Repeat("x", 256),
	} {
		if got := named(query); got != want {
			t.Errorf("%s is %q, want %q", query, got, want)
		}
	}
	for range 3 {
		name := named("vsn=2.0.0")
		if n, err := strconv.Atoi(name); err != nil || n < 1 || n > 99999 {
			t.Errorf("random name %q", name)
		}
	}
	for _, query := range []string{"username[]=a", "username[x]=a", "username=" + strings.Repeat("x", 257)} {
		_, resp, err := websocket.Dial(t.Context(), "ws://"+e.addr()+"/socket/websocket?"+query, nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("%.20s: %v %v, want 403", query, resp, err)
		}
	}
}

// What a client writes under the names of what is not its to choose counts for
// nothing.
func TestForgedMembers(t *testing.T) {
	e := single(t)
	ann, bob := e.enter(t, "ann", "rooms:x"), e.enter(t, "bob", "rooms:x")
	for _, payload := range []string{
		`{"body":"hi","username":"root","seq":7,"at":"2001-01-01T00:00:00Z","event":"phx_close"}`,
		`{"body":"hi","username":"root","s\u0065q":7,"\u0061t":"never","user\u006eame":"root"}`,
		`{"username":"root","body":"hi","username":"admin","seq":1e30,"seq":{},"at":null}`,
	} {
		ack := ann.say(payload)
		for _, c := range []*client{ann, bob} {
			f := c.next()
			var m map[string]any
			if err := json.Unmarshal(f.Payload, &m); err != nil {
				t.Fatal(err)
			}
			if len(m) != 4 || m["username"] != "ann" || m["seq"] != float64(ack.Seq) || m["at"] != ack.At.Format(time.RFC3339Nano) {
				t.Errorf("%s became %s", payload, f.Payload)
			}
		}
	}
}

func TestBadMessage(t *testing.T) {
	e := single(t)
	ann, bob := e.enter(t, "ann", "rooms:x"), e.enter(t, "bob", "rooms:x")
	tests := []struct{ event, payload, want string }{
		{"chat_msg", `{}`, "body is missing"},
		{"chat_msg", `null`, "body is missing"},
		{"chat_msg", `{"Body":"hi"}`, "body is missing"},
		{"chat_msg", `{"message":"hi"}`, "body is missing"},
		{"chat_msg", `{"body":null}`, "body must be a string"},
		{"chat_msg", `{"body":5}`, "body must be a string"},
		{"chat_msg", `{"body":["hi"]}`, "body must be a string"},
		{"chat_msg", `{"body":{"body":"hi"}}`, "body must be a string"},
		{"chat_msg", `{"body":true}`, "body must be a string"},
		{"chat_msg", `{"body":5,"Body":"hi"}`, "body must be a string"},
		{"chat_msg", `{"body":""}`, "body is blank"},
		{"chat_msg", `{"body":" \t\r\n\u00a0\u2003"}`, "body is blank"},
		{"chat_msg", chat(strings.Repeat("x", 16<<10+1), ""), "body is longer than 16384 bytes"},
		{"chat_msg", chat(strings.Repeat("é", 8<<10)+"x", ""), "body is longer than 16384 bytes"},
		{"chat_msg", chat(strings.Repeat("x", 1_000_000), ""), "body is longer than 16384 bytes"},
		{"chat_msg", `"hi"`, "payload must be an object with a body"},
		{"chat_msg", `5`, "payload must be an object with a body"},
		{"chat_msg", `["hi"]`, "payload must be an object with a body"},
		{"chat_msg", `{"body":"hi","client_id":5}`, "client_id must be a string"},
		{"chat_msg", `{"body":"hi","client_id":{}}`, "client_id must be a string"},
		{"chat_msg", chat("hi", strings.Repeat("x", 65)), "client_id is longer than 64 bytes"},
		{"shout", `{"body":"hi"}`, `unknown event "shout"`},
		{"", `{"body":"hi"}`, `unknown event ""`},
		{"Chat_msg", `{"body":"hi"}`, `unknown event "Chat_msg"`},
		{"typing", `{}`, `payload must be {"typing": true} or {"typing": false}`},
		{"typing", `{"typing":"yes"}`, `payload must be {"typing": true} or {"typing": false}`},
		{"typing", `[]`, `payload must be {"typing": true} or {"typing": false}`},
	}
	for _, tt := range tests {
		if got := ann.refuses(tt.event, tt.payload); got != tt.want {
			t.Errorf("%s %.60s: %q, want %q", tt.event, tt.payload, got, tt.want)
		}
	}
	// Binary: join_ref 1, ref b.
	for event, want := range map[string]string{
		"chat_msg": "payload must be an object with a body",
		"typing":   `payload must be {"typing": true} or {"typing": false}`,
	} {
		push := append([]byte{0, 1, 1, byte(len("rooms:x")), byte(len(event))}, "1brooms:x"+event+`{"body":"hi","typing":true}`...)
		ctx, cancel := ann.ctx()
		defer cancel()
		if err := ann.ws.Write(ctx, websocket.MessageBinary, push); err != nil {
			t.Fatal(err)
		}
		r, err := ann.await(ctx, "b")
		if err != nil {
			t.Fatal(err)
		}
		if got := ann.reason(r); got != want {
			t.Errorf("binary %s: %q, want %q", event, got, want)
		}
	}

	// The room lives on, and has nothing but this.
	for _, fine := range []string{strings.Repeat("x", 16<<10), "\u200bhi", "\x00"} {
		ann.say(chat(fine, ""))
		if got := bob.hear(); got.Body != fine {
			t.Errorf("bob heard %.60q", got.Body)
		}
	}
	if got := e.past(t, "rooms:x").bodies(); len(got) != 3 {
		t.Errorf("stored: %.200q", got)
	}
}

// A frame beyond MaxMessage is not read to its end: the connection is closed
// with 1009. Others in the room do not notice.
func TestOversizeMessage(t *testing.T) {
	e := single(t)
	ann, bob := e.enter(t, "ann", "rooms:x"), e.enter(t, "bob", "rooms:x")
	ctx, cancel := ann.ctx()
	defer cancel()
	// What is behind the limit may meet a closed connection.
	_, _ = ann.send(ctx, "chat_msg", chat(strings.Repeat("x", 1<<20), ""))
	if _, err := ann.read(ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("got %v, want close 1009", err)
	}
	bob.say(`{"body":"still here"}`)
	if got := bob.hear(); got.Body != "still here" {
		t.Errorf("bob heard %.60q", got.Body)
	}
}

// The stream's own bound on a message is lower than the room's.
func TestMessageTooLargeForTheStore(t *testing.T) {
	e := newEdge(t, newStore(t, newNATS(t), nil), &rooms.Options{MaxBody: 100 << 10})
	ann := e.enter(t, "ann", "rooms:x")
	if got := ann.refuses("chat_msg", chat(strings.Repeat("x", 80<<10), "")); got != "message is too large" {
		t.Errorf("refused with %q", got)
	}
	ann.say(`{"body":"hi"}`)
	if got := ann.hear(); got.Body != "hi" {
		t.Errorf("heard %q", got.Body)
	}
}

// A retry with the same client_id gives the first stamp, from wherever it
// comes, and whatever it says.
func TestClientID(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newStore(t, ns, nil), nil), newEdge(t, newStore(t, ns, nil), nil)
	bob := b.enter(t, "bob", "rooms:x")
	ann := a.enter(t, "ann", "rooms:x")
	first := ann.say(chat("hi", "k1"))
	if got := ann.hear(); got.ClientID != "k1" {
		t.Errorf("ann cannot tell her own by client_id %q", got.ClientID)
	}
	again := map[string]*client{
		"the same connection": ann,
		"another connection":  a.enter(t, "ann", "rooms:x"),
		"another edge":        b.enter(t, "ann", "rooms:x"),
	}
	for where, c := range again {
		for _, body := range []string{"hi", "something else"} {
			if got := c.say(chat(body, "k1")); got != first {
				t.Errorf("retry %q from %s: %+v, want %+v", body, where, got, first)
			}
		}
	}
	// These are other messages.
	for where, say := range map[string]func() stamp{
		"other key":   func() stamp { return ann.say(chat("2", "k2")) },
		"other user":  func() stamp { return a.enter(t, "ann2", "rooms:x").say(chat("3", "k1")) },
		"other room":  func() stamp { return a.enter(t, "ann", "rooms:y").say(chat("4", "k1")) },
		"no key":      func() stamp { return ann.say(chat("5", "")) },
		"none again":  func() stamp { return ann.say(chat("5", "")) },
		"null":        func() stamp { return ann.say(`{"body":"5","client_id":null}`) },
		"longest key": func() stamp { return ann.say(chat("6", strings.Repeat("k", 64))) },
	} {
		if got := say(); got.Seq <= first.Seq {
			t.Errorf("%s: %+v is not a message of its own", where, got)
		}
	}
	var heard []string
	for range 7 {
		heard = append(heard, bob.hear().Body)
	}
	slices.Sort(heard)
	sameBodies(t, "bob heard", heard, []string{"2", "3", "5", "5", "5", "6", "hi"})
	bob.silent()
	list := stored(t, plain(t, ns), "chat.in.rooms.x")
	if len(list) != 7 {
		t.Errorf("stored %q", bodies(list))
	}
}

// Nobody can choose a name and a key that together are another's.
func TestClientIDsOfUsersNeverMeet(t *testing.T) {
	e := single(t)
	seqs := map[uint64]string{}
	for _, who := range []struct{ user, key string }{
		{"ann", "k"}, {"ann\x00k", "k"}, {"ann", "k\x00k"}, {"an", "nk"}, {"", "annk"}, {"ann\x00", "k"}, {"ann", "\x00k"},
	} {
		what := fmt.Sprintf("%q of %q", who.key, who.user)
		s := e.enter(t, who.user, "rooms:x").say(chat(what, who.key))
		if other := seqs[s.Seq]; other != "" {
			t.Errorf("%s was taken for %s", what, other)
		}
		seqs[s.Seq] = what
	}
}

func TestTyping(t *testing.T) {
	ns := newNATS(t)
	a, b := newEdge(t, newStore(t, ns, nil), nil), newEdge(t, newStore(t, ns, nil), nil)
	ann, bob, cid := a.enter(t, "ann", "rooms:x"), a.enter(t, "bob", "rooms:x"), b.enter(t, "cid", "rooms:x")
	dan := a.enter(t, "dan", "rooms:x")
	type notice struct {
		Username string
		Typing   bool
		TTL      int64 `json:"ttl_ms"`
	}
	hear := func(c *client) (n notice) {
		t.Helper()
		f := c.next()
		if err := json.Unmarshal(f.Payload, &n); err != nil || f.Event != "typing" {
			t.Fatalf("got %v, want typing", f)
		}
		return n
	}
	start := time.Now()
	for i := range 10 { // only the first start is passed on, and its end
		if r := ann.ask("typing", fmt.Sprintf(`{"typing":%v}`, i%2 == 0)); r.Status != "ok" {
			t.Errorf("typing: %s %s", r.Status, r.Response)
		}
	}
	inTime := time.Since(start) < 2*time.Second
	dan.ask("typing", `{"typing":false}`)                             // there is nothing to end
	dan.ask("typing", `{"typing":true,"username":"ann","ttl_ms":-1}`) // another user has a limit of its own
	for _, c := range []*client{bob, cid} {
		if got := hear(c); got.Username != "ann" || !got.Typing || got.TTL <= 2000 {
			t.Errorf("got %+v", got)
		}
		if got := hear(c); got.Username != "ann" || got.Typing {
			t.Errorf("got %+v, want the end", got)
		}
		if !inTime {
			t.Skip("the machine is too slow to say ten things in two seconds")
		}
		if got := hear(c); got.Username != "dan" || !got.Typing || got.TTL <= 2000 {
			t.Errorf("got %+v, want dan's", got)
		}
	}
	if got := hear(ann); got.Username != "dan" {
		t.Errorf("ann got %+v, want nothing of herself", got)
	}
	ann.silent()

	// In time it is passed on again; nothing else says when that is.
	var n notice
	for n.Username == "" {
		ann.ask("typing", `{"typing":true}`)
		bob.silentOr(func(f frame) {
			if err := json.Unmarshal(f.Payload, &n); err != nil {
				t.Fatal(err)
			}
		})
	}
	if d := time.Since(start); d < 2*time.Second {
		t.Errorf("passed on again after %v", d)
	}
	if got := a.past(t, "rooms:x"); len(got.Messages) != 0 || got.LastSeq != 0 {
		t.Errorf("typing is stored: %+v", got)
	}
}

// silentOr hands over what is on its way.
func (c *client) silentOr(take func(frame)) {
	c.t.Helper()
	ctx, cancel := c.ctx()
	defer cancel()
	if _, err := c.call(ctx, "nothing", `{}`); err != nil {
		c.t.Fatal(err)
	}
	for _, f := range c.queue {
		take(f)
	}
	c.queue = nil
}

// Without history messages are as the ancestor's: no sequence, no past.
func TestNoHistory(t *testing.T) {
	ns := newNATS(t)
	none := &rooms.Options{NoHistory: true}
	a, b := newEdge(t, newLink(t, ns), none), newEdge(t, newLink(t, ns), none)
	ann, bob := a.connect(t, "username=ann"), b.connect(t, v2("bob"))
	ann.join("rooms:x", `{}`)
	if got := bob.join("rooms:x", `{"history":10}`); got.Messages != nil || got.Epoch != "" {
		t.Errorf("joined with %+v", got)
	}
	if r := ann.ask("chat_msg", `{"body":"hi","username":"root","client_id":"k"}`); r.Status != "ok" || string(r.Response) != "{}" {
		t.Errorf("got %s %s", r.Status, r.Response)
	}
	for _, c := range []*client{ann, bob} {
		if f := c.next(); f.Event != "chat_msg" || string(f.Payload) != `{"body":"hi","username":"ann","client_id":"k"}` {
			t.Errorf("got %v", f)
		}
	}
	if got := ann.refuses("chat_msg", `{"body":" "}`); got != "body is blank" {
		t.Errorf("refused with %q", got)
	}
	if got := ann.refuses("history", `{"limit":10}`); got != `unknown event "history"` {
		t.Errorf("refused with %q", got)
	}
	late := a.connect(t, v2("late"))
	late.join("rooms:x", `{}`)
	late.silent()
}

// While there is no link nothing pretends to be accepted, with history or
// without, and the room lives on.
func TestUnavailable(t *testing.T) {
	for _, none := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoHistory=%v", none), func(t *testing.T) {
			ns := newNATS(t)
			e := newEdge(t, newStore(t, ns, &backbone.StoreOptions{Apply: true, Patience: 50 * time.Millisecond}), &rooms.Options{NoHistory: none})
			ann := e.enter(t, "ann", "rooms:x")
			ns.Shutdown()
			for _, event := range []string{"chat_msg", "typing"} {
				var r reply
				eventually(t, event+" is refused", func() bool {
					r = ann.ask(event, `{"body":"hi","typing":true}`)
					ann.queue = nil
					return r.Status == "error"
				})
				var why struct {
					Reason string
					Retry  int `json:"retry_after_ms"`
				}
				if err := json.Unmarshal(r.Response, &why); err != nil || why.Reason != "unavailable" || why.Retry <= 0 {
					t.Errorf("%s: %s", event, r.Response)
				}
			}
			if got := ann.refuses("chat_msg", `{}`); got != "body is missing" {
				t.Errorf("refused with %q", got)
			}
		})
	}
}

// What a user may be called members get, however it is written in JSON.
func TestNameOfQuotes(t *testing.T) {
	e := single(t)
	name := strings.Repeat(`"`, 256)
	ann := e.enter(t, name, "rooms:x")
	ann.say(`{"body":"hi"}`)
	if got := ann.hear(); got.Body != "hi" || got.Username != name {
		t.Errorf("heard %+v", got)
	}
}
