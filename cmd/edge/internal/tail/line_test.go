package tail

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/presence"
)

var at = time.Date(2026, 11, 22, 16, 7, 25, 520_000_000, time.UTC)

func stored(name, payload string) backbone.Passing {
	return backbone.Passing{
		Topic: "rooms:lobby", Stored: true,
		Delivery: edge.Delivery{Event: edge.Event{Name: name, Payload: []byte(payload)}, Seq: 8, At: at},
	}
}

func TestText(t *testing.T) {
	sent := backbone.Passing{Topic: "rooms:lobby", Delivery: edge.Delivery{Event: edge.Event{Name: "typing", Payload: []byte(`{"username":"ann", "typing":true}`)}}}
	binary := backbone.Passing{Topic: "rooms:lobby", Delivery: edge.Delivery{Event: edge.Event{Name: "blob", Payload: []byte{0x1b, 1, 2}, Binary: true}}}
	bad := stored("chat_msg", "hello")
	bad.Dropped = nats.ErrBadHeaderMsg
	tests := []struct {
		name string
		e    event
		want string
	}{
		{"message", fromPassing(stored("chat_msg", `{"body":"hi","username":"ann"}`), at),
			"16:07:25.520       8 rooms:lobby        ann          chat_msg  hi"},
		{"typing", fromPassing(sent, at),
			`16:07:25.520       - rooms:lobby        ann          typing    {"username":"ann","typing":true}`},
		{"binary", fromPassing(binary, at),
			"16:07:25.520       - rooms:lobby        -            blob      (3 bytes, not JSON)"},
		{"dropped", fromPassing(bad, at),
			"16:07:25.520       8 rooms:lobby        -            chat_msg  (5 bytes that edges drop: nats: message could not decode headers)"},
		{"joined", fromMove(presence.Move{Topic: "rooms:lobby", How: presence.Joined, Key: "ann", Meta: []byte(`{"online_at":1}`)}, at),
			`16:07:25.520       - rooms:lobby        ann          joined    {"online_at":1}`},
		{"left", fromMove(presence.Move{Topic: "rooms:lobby", How: presence.Left}, at),
			"16:07:25.520       - rooms:lobby        -            left"},
		{"paint", fromPassing(stored("chat_msg", `{"body":"\u001b[2J\u202egnp\n\u009b31m","username":"\u0007x"}`), at),
			`16:07:25.520       8 rooms:lobby        \ax          chat_msg  \x1b[2J\u202egnp\n\u009b31m`},
		{"long", fromPassing(stored("chat_msg", `{"body":"`+strings.Repeat("ä", 300)+`"}`), at),
			"16:07:25.520       8 rooms:lobby        -            chat_msg  " + strings.Repeat("ä", maxShown) + "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.e.text(time.UTC); got != tt.want {
				t.Errorf("line is\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	e := fromPassing(stored("chat_msg", `{"body":"<\u001b`+"\u009b\u202e\U000e0001"+`>","username":"ann"}`), at)
	line, err := e.json()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"at":"2026-11-22T16:07:25.52Z","kind":"stored","topic":"rooms:lobby","seq":8,"user":"ann","event":"chat_msg",` +
		`"payload":{"body":"<\u001b\u009b\u202e\udb40\udc01>","username":"ann"}}`
	if string(line) != want {
		t.Errorf("line is\n%s, want\n%s", line, want)
	}
}

// Whatever a stranger publishes, a line is one line that a terminal shows as it
// is; and in JSON it is the same event.
func FuzzLines(f *testing.F) {
	f.Add("rooms:lobby", "chat_msg", []byte(`{"body":"hi","username":"ann"}`))
	f.Add("rooms:\x1b[2J", "x\r\n", []byte("{\"a\":\"\u009b\U000e0001\"}"))
	f.Add("", "", []byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, topic, name string, payload []byte) {
		p := stored(name, string(payload))
		p.Topic = topic
		e := fromPassing(p, at)
		line, err := e.json()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{e.text(time.UTC), string(line)} {
			if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("line has %q: %q", s[i:], s)
			}
		}
		var again event
		if err := json.Unmarshal(line, &again); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Payload != nil {
			var a, b any
			_ = json.Unmarshal(e.Payload, &a)
			if json.Unmarshal(again.Payload, &b); !reflect.DeepEqual(a, b) {
				t.Errorf("payload is %s, want %s", again.Payload, e.Payload)
			}
		}
	})
}
