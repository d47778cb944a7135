package fleet

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

var example = Status{
	ID: "E1", Name: "edge-7d9f-x2", Version: "v1.2.3", Started: time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC),
	Sockets: 1200, Channels: 3400, Rooms: 17, MaxSockets: 50_000, AdmitRate: 400, Waiting: 3,
	MessagesIn: 12.5, MessagesOut: 3000,
}

func TestStatusRoundTrip(t *testing.T) {
	for _, s := range []Status{example, {ID: "x"}, {ID: "x", Draining: true, Gone: true}} {
		if got, err := parse(s.encode()); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, s)
		}
	}
	// What a newer edge says besides is no reason not to hear it.
	if _, err := parse([]byte(`{"id":"x","mood":"good"}`)); err != nil {
		t.Error(err)
	}
}

func TestStatusMalformed(t *testing.T) {
	for name, in := range map[string]string{
		"empty":             ``,
		"no object":         `[]`,
		"no id":             `{"sockets":1}`,
		"negative":          `{"id":"x","sockets":-1}`,
		"too many":          `{"id":"x","admit_rate":1e300}`,
		"no number":         `{"id":"x","sockets":"many"}`,
		"escape sequence":   `{"id":"x","name":"\u001b[2J"}`,
		"newline":           `{"id":"x\n"}`,
		"long name":         `{"id":"x","name":"` + strings.Repeat("n", 129) + `"}`,
		"long":              `{"id":"x","unknown":"` + strings.Repeat("n", maxStatus) + `"}`,
		"text after object": `{"id":"x"}{}`,
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := parse([]byte(in)); err == nil {
				t.Errorf("got %+v, want an error", s)
			}
		})
	}
}

// What is taken for a status can be said again, shown and summed up.
func FuzzStatus(f *testing.F) {
	f.Add(example.encode())
	f.Add([]byte(`{"id":"x","started":"2026-11-22T18:00:00+23:59","sockets":9,"gone":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parse(data)
		if err != nil {
			return
		}
		if rate := s.bears(time.Second); rate < 0 || rate > maxNumber {
			t.Errorf("%+v bears %v", s, rate)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > maxStatus { // it was not said by an edge
			return
		}
		if again, err := parse(b); err != nil || again.ID != s.ID || again.Sockets != s.Sockets {
			t.Errorf("%s: got %+v, %v", b, again, err)
		}
	})
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"edge-1": "edge-1", "": "", "a\x1b[2Jb\n": "a?[2Jb?", "a\xffb": "a?b", "Zürich 1": "Zürich 1",
		strings.Repeat("ü", 100): strings.Repeat("ü", 64),
	} {
		if got := shown(in); got != want || !printable(got) {
			t.Errorf("shown(%q) = %q, want %q", in, got, want)
		}
	}
}
