package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
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
func FuzzQuestion(f *testing.F) {
	f.Add(marshal(question{Kind: askPost, Session: "00", ID: 1, Offset: 2, Total: 3}, []byte("body")))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var q question
		body, err := unmarshal(data, &q)
		if err != nil {
			return
		}
		var again question
		rest, err := unmarshal(marshal(q, body), &again)
		if err != nil || again != q || !bytes.Equal(rest, body) {
			t.Errorf("%q reads as %+v %q, and written again as %+v %q, %v", data, q, body, again, rest, err)
		}
	})
}
