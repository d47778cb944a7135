package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aristochat/aristochat/protocol"
)

func TestEntries(t *testing.T) {
	text := func(s string) entry { return entry{data: []byte(s)} }
	tests := []struct {
		name, body string
		ndjson     bool
		want       []entry // nil for an error
	}{
		{"one", `["1"]`, true, []entry{text(`["1"]`)}},
		{"several", "[1]\n[2]\r\n[3]", true, []entry{text("[1]"), text("[2]"), text("[3]")}},
		{"empty lines", "\n[1]\n\n\r\n[2]\n", true, []entry{text("[1]"), text("[2]")}},
		{"nothing", "", true, []entry{}},
		{"binary", "AAEC", true, []entry{{[]byte{0, 1, 2}, true}}},
		{"binary between text", "[1]\n/+8=\n[2]", true, []entry{text("[1]"), {[]byte{0xff, 0xef}, true}, text("[2]")}},
		{"neither", "[1]\n!!!", true, nil},
		{"V1", `{"topic":"t"}`, true, nil},
		{"without padding", "/+8", true, nil},
		{"URL-safe", "_-8=", true, nil},
		{"not ndjson", "[1]\n[2]", false, []entry{text("[1]\n[2]")}},
		{"not ndjson and empty", "", false, []entry{text("")}},
		{"what follows the hundredth", strings.Repeat("[]\n", 100) + "!!!", true, bytesTimes("[]", 100)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := entriesOf([]byte(tt.body), tt.ndjson)
			if (err != nil) != (tt.want == nil) || fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("entriesOf(%.100q) = %v, %v; want %v", tt.body, got, err, tt.want)
			}
		})
	}
}

func bytesTimes(s string, n int) (list []entry) {
	for range n {
		list = append(list, entry{data: []byte(s)})
	}
	return list
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte("[1]\n\r\nAAEC\n[2]"), true)
	f.Add([]byte("{}"), false)
	f.Fuzz(func(t *testing.T, body []byte, ndjson bool) {
		before := bytes.Clone(body)
		entries, err := entriesOf(body, ndjson)
		if err != nil && entries != nil {
			t.Errorf("entries and the error %v", err)
		}
		if len(entries) > maxEntries {
			t.Errorf("%d entries", len(entries))
		}
		var again []string
		for _, e := range entries {
			switch {
			case !e.binary:
				again = append(again, string(e.data))
			case len(e.data) == 0:
				t.Error("an empty binary message")
			default:
				again = append(again, base64.StdEncoding.EncodeToString(e.data))
			}
		}
		if ndjson && err == nil {
			// What was understood reads the same when it is written again.
			rest, err := entriesOf([]byte(strings.Join(again, "\n")), true)
			if err != nil || fmt.Sprint(rest) != fmt.Sprint(entries) {
				t.Errorf("%q reads as %v, and written again as %v, %v", body, entries, rest, err)
			}
		}
		for _, e := range entries { // memory of their own
			if ndjson {
				clear(e.data)
			}
		}
		if ndjson && !bytes.Equal(body, before) {
			t.Error("an entry shares memory with the body")
		}
	})
}

func FuzzAppendQuoted(f *testing.F) {
	f.Add([]byte(`[null,"1","phoenix","phx_reply",{"a":"\u0000\\"}]`))
	f.Add([]byte("\x00\x1f\x7f\"\\é漢😀\u2028"))
	f.Fuzz(func(t *testing.T, text []byte) {
		quoted := appendQuoted([]byte("x"), text)
		var got string
		if !utf8.Valid(text) {
			return
		}
		if err := json.Unmarshal(quoted[1:], &got); err != nil || got != string(text) {
			t.Errorf("%q is quoted %s and reads %q, %v", text, quoted[1:], got, err)
		}
	})
}

// What another edge says is a stranger's bytes too, as long as NATS is open.
func FuzzAnswer(f *testing.F) {
	f.Add(askPoll, uint64(1), int64(0), true, false, 0, 0, []byte(nil), []byte("[]"))
	f.Add(askPost, uint64(2), int64(5), false, true, 0, 8, []byte("[]\nAAEC"), []byte("rest"))
	f.Add(askPosted, uint64(2), int64(-1), false, false, -1, -1, []byte("{}"), []byte("\n"))
	f.Add(askRest, uint64(2), int64(1<<60), false, false, 1<<40, 0, []byte("{}"), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, kind string, id uint64, wait int64, first, ndjson bool, offset, total int, body, raw []byte) {
		o := &Options{LongPoll: &LongPoll{Window: 20 * time.Millisecond, OwnerTimeout: time.Millisecond}, Logger: slog.New(slog.DiscardHandler)}
		srv := &Server{opts: o.withDefaults(), conns: make(map[*conn]struct{})}
		srv.log = srv.opts.Logger
		lp := &longPoll{srv: srv, opts: *srv.opts.LongPoll, sessions: make(map[sessionID]*pollSession), users: make(map[string]int), ips: make(map[string]int)}
		s := &pollSession{lp: lp, id: newSessionID(), turn: make(chan struct{}, 1)}
		s.conn.init(srv, s, protocol.V2, Session{})
		if err := lp.add(s); err != nil {
			t.Fatal(err)
		}
		if err := srv.add(&s.conn); err != nil {
			t.Fatal("the server shuts down")
		}

		var r reply
		if _, err := unmarshal(lp.answer(t.Context(), raw), &r); err != nil {
			t.Errorf("the answer to %q: %v", raw, err)
		}
		for _, q := range []question{
			{Kind: kind, ID: id, WaitMS: wait, First: first, NDJSON: ndjson, Offset: offset, Total: total},
			{Kind: askPost, ID: id, WaitMS: wait, Offset: len(body), Total: total},
			{Kind: askPoll, ID: id, First: true},
		} {
			q.Session = hex.EncodeToString(s.id[:])
			if _, err := unmarshal(lp.answer(t.Context(), marshal(q, body)), &r); err != nil {
				t.Errorf("the answer to %+v: %v", q, err)
			}
		}
		s.conn.end(1001, ErrDisconnected)
		srv.wg.Wait()
		if len(lp.sessions)+len(lp.users)+len(lp.ips) > 0 {
			t.Error("the session is not forgotten")
		}
	})
}
