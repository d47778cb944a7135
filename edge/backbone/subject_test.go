package backbone_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aristochat/aristochat/edge/backbone"
)

func TestTail(t *testing.T) {
	tests := []struct{ topic, tail string }{
		{"rooms:lobby", "rooms.lobby"},
		{"rooms:a.b c", "rooms.a%2Eb%20c"},
		{"rooms:*", "rooms.%2A"},
		{"rooms:>", "rooms.%3E"},
		{"rooms:", "rooms.="},
		{"lobby", "lobby.=="},
		{"", "=.=="},
		{":", "=.="},
		{":a", "=.a"},
		{"::", "=.:"},
		{"=:==", "%3D.%3D%3D"},
		{"rooms:%2A", "rooms.%252A"},
		{"rooms:чат", "rooms.%D1%87%D0%B0%D1%82"},
		{"rooms:Lobby", "rooms.Lobby"},
		{"rooms:\xff\x00\r\n\t", "rooms.%FF%00%0D%0A%09"},
		{"dm:u1:u2", "dm.u1:u2"},
		{"users_socket:a@b-c", "users_socket.a@b-c"},
	}
	for _, tt := range tests {
		tail, err := backbone.Tail(tt.topic)
		if err != nil || tail != tt.tail {
			t.Errorf("Tail(%q) = %q, %v, want %q", tt.topic, tail, err, tt.tail)
		}
		if topic, err := backbone.Topic(tt.tail); err != nil || topic != tt.topic {
			t.Errorf("Topic(%q) = %q, %v, want %q", tt.tail, topic, err, tt.topic)
		}
	}
}

func TestTailTooLong(t *testing.T) {
	if tail, err := backbone.Tail("rooms:" + strings.Repeat("é", 125)); err == nil {
		t.Errorf("Tail of 256 bytes = %q, want an error", tail)
	}
	tail, err := backbone.Tail("room:" + strings.Repeat("é", 125))
	if err != nil || len(tail) != len("room.")+6*125 {
		t.Errorf("Tail of 255 bytes has %d bytes, %v", len(tail), err)
	}
}

func TestTopicRefusesWhatIsNeverWritten(t *testing.T) {
	for _, tail := range []string{
		"", "rooms", "rooms.", ".lobby", "rooms.a.b", "rooms.%2a", "rooms.%61", "rooms.%", "rooms.%2",
		"rooms.*", "rooms.a b", "rooms.чат", "==.x", "rooms.===", "a:b.c", ".0:.0", "rooms.=x",
	} {
		if topic, err := backbone.Topic(tail); err == nil {
			t.Errorf("Topic(%q) = %q, want an error", tail, topic)
		}
	}
}

func FuzzTail(f *testing.F) {
	for _, s := range []string{"rooms:lobby", "lobby", "", ":", "a:b:c", "rooms:*.>", "rooms:é\xff", "=:=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		tail, err := backbone.Tail(topic)
		if len(topic) > backbone.MaxTopic {
			if err == nil {
				t.Fatalf("Tail of %d bytes succeeds", len(topic))
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		tokens := strings.Split(tail, ".")
		if len(tokens) != 2 || tokens[0] == "" || tokens[1] == "" {
			t.Errorf("Tail(%q) = %q, want two tokens", topic, tail)
		}
		for i := range len(tail) {
			if c := tail[i]; c <= ' ' || c >= utf8.RuneSelf || c == '*' || c == '>' {
				t.Errorf("Tail(%q) = %q has %q", topic, tail, c)
			}
		}
		// One-to-one: the way back exists.
		if again, err := backbone.Topic(tail); err != nil || again != topic {
			t.Errorf("Topic(Tail(%q)) = %q, %v", topic, again, err)
		}
	})
}

func FuzzTopic(f *testing.F) {
	for _, s := range []string{"rooms.lobby", "lobby.==", "=.=", ".0:.0", "a.b.c", "rooms.%2A", "a:b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tail string) {
		topic, err := backbone.Topic(tail)
		if err != nil {
			return
		}
		if again, err := backbone.Tail(topic); err != nil || again != tail {
			t.Errorf("Tail(Topic(%q)) = %q, %v", tail, again, err)
		}
	})
}
