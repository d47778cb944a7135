package conformance_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aristochat/aristochat/conformance"
)

// frame is a whole unmasked frame, short enough for one length byte.
func frame(opcode byte, data string) string {
	return string([]byte{0x80 | opcode, byte(len(data))}) + data
}

func text(s string) string { return frame(1, s) }

func closing(code uint16) string {
	return frame(8, string(binary.BigEndian.AppendUint16(nil, code)))
}

// compressed is frames of permessage-deflate, with one context for all.
func compressed(t *testing.T, messages ...string) string {
	t.Helper()
	var out strings.Builder
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		b.Reset()
		_, _ = w.Write([]byte(m))
		_ = w.Flush()
		f := []byte(frame(1, strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")))
		f[0] |= 0x40
		out.Write(f)
	}
	return out.String()
}

// scripted is a server that answers each handshake with sends and then waits,
// or ends the connection if hangup.
func scripted(t *testing.T, sends string, hangup bool) conformance.Target {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			pong := frame(10, "settled") // Replay asks for one at the end
			_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + sends))
			if hangup {
				c.Close()
				continue
			}
			_, _ = c.Write([]byte(pong))
		}
	}()
	return conformance.Target{Addrs: map[string]string{"a": ln.Addr().String()}}
}

const opened = `{"open":{"path":"/"},"response":{"status":101,"headers":{"upgrade":"websocket","connection":"Upgrade"}}}`

func loadOne(t *testing.T, steps, dynamic string, unordered bool) *conformance.Case {
	t.Helper()
	line := `{"id":"x","group":"g","vsn":null,"profile":"default","url":"/","steps":[` + opened + steps + `],"dynamic":[` + dynamic + `]`
	if unordered {
		line += `,"unordered":true`
	}
	cases, err := conformance.Load(strings.NewReader(line + "}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &cases[0]
}

func TestReplay(t *testing.T) {
	tests := []struct {
		name      string
		steps     string
		dynamic   string
		unordered bool
		server    string
		hangup    bool
		want      string // part of the error, "" for none
	}{
		{name: "same value, other bytes", steps: `,{"recv":"{\"a\":1,\"b\":[1e2]}"}`, server: text(`{"b":[100.0], "a":1}`)},
		{name: "another value", steps: `,{"recv":"[1,2]"}`, server: text(`[1,3]`), want: `x: step 1: on a:
	got  text [1,3]
	want text [1,2]
	at "/1": got 3, want 2`},
		{name: "a key twice", steps: `,{"recv":"{\"a\":1}"}`, server: text(`{"a":1,"a":1}`), want: `key "a" stands twice`},
		{name: "not JSON", steps: `,{"recv":"[1]"}`, server: text(`[1`), want: "not JSON"},
		{name: "a frame too many", steps: `,{"recv":"[1]"}`, server: text(`[1]`) + text(`[2]`), want: "after the last step: on a:\n\tgot  text [2]"},
		{name: "a frame instead of silence", steps: `,{"quiet_ms":30}`, server: text(`[2]`), want: "want nothing"},
		{name: "binary instead of text", steps: `,{"recv":"[1]"}`, server: frame(2, "[1]"), want: "of different kinds"},
		{name: "binary", steps: `,{"recv_bin":"00ff"}`, server: frame(2, "\x00\xff")},
		{name: "other binary", steps: `,{"recv_bin":"00ff"}`, server: frame(2, "\x00\xfe"), want: "got  binary 00fe"},
		{name: "pong", steps: `,{"recv_frame":{"opcode":10,"fin":true,"rsv":0,"hex":"61"}}`, server: frame(10, "a")},
		{name: "compressed when it should not", steps: `,{"recv":"[1]"}`, server: compressed(t, `[1]`), want: "got  compressed text [1]"},
		{name: "compressed, the second refers to the first", steps: `,{"recv":"[\"aaaaaaaa\"]","compressed":true},{"recv":"[\"aaaaaaaa\"]","compressed":true}`,
			server: compressed(t, `["aaaaaaaa"]`, `["aaaaaaaa"]`)},
		{name: "order matters", steps: `,{"recv":"[1]"},{"recv":"[2]"}`, server: text(`[2]`) + text(`[1]`), want: "step 1"},
		{name: "unordered", unordered: true, steps: `,{"recv":"[1]"},{"recv":"[2]"}`, server: text(`[2]`) + text(`[1]`)},
		{name: "unordered, twice the same", unordered: true, steps: `,{"recv":"[1]"},{"recv":"[2]"}`, server: text(`[1]`) + text(`[1]`), want: "want any of\n\ttext [2]"},
		{name: "optional and there", unordered: true, steps: `,{"recv":"[1]","optional":true},{"recv":"[2]"}`, server: text(`[2]`) + text(`[1]`)},
		{name: "optional and missing", unordered: true, steps: `,{"recv":"[1]","optional":true},{"recv":"[2]"}`, server: text(`[2]`)},
		{name: "close", steps: `,{"close":{"code":1011,"reason":""}},{"eof":true}`, server: closing(1011), hangup: true},
		{name: "close, other code", steps: `,{"close":{"code":1012,"reason":""}},{"eof":true}`, server: closing(1000), hangup: true, want: "got  close 1000"},
		{name: "close, or code", unordered: true, steps: `,{"close":{"code":1012,"reason":""},"or_codes":[1000]},{"eof":true}`, server: closing(1000), hangup: true},
		{name: "end without close", steps: `,{"close":{"code":1012,"reason":""}}`, hangup: true, want: "got  the end of the connection"},
		{name: "closed too early", steps: `,{"idle_ms_about":500},{"close":{"code":1002,"reason":""}}`, server: closing(1002), want: "s, want 500ms"},
		{name: "dynamic", steps: `,{"recv":"[\"17\"]"}`, dynamic: `{"step":1,"path":"/0","kind":"random_username"}`, server: text(`["99999"]`)},
		{name: "dynamic of another kind", steps: `,{"recv":"[\"17\"]"}`, dynamic: `{"step":1,"path":"/0","kind":"random_username"}`, server: text(`["ann"]`), want: `got "ann", want a random_username`},
		{name: "dynamic is not the same", steps: `,{"recv":"[\"17\"]"},{"recv":"[\"17\"]"}`,
			dynamic: `{"step":1,"path":"/0","kind":"random_username"},{"step":2,"path":"/0","kind":"random_username","same_as":{"step":1,"path":"/0"}}`,
			server:  text(`["4"]`) + text(`["5"]`), want: `got "5", want "4" as at step 1, /0`},
		{name: "dynamic, the later first", unordered: true, steps: `,{"recv":"[1,\"17\"]"},{"recv":"[2,\"17\"]"}`,
			dynamic: `{"step":1,"path":"/1","kind":"random_username"},{"step":2,"path":"/1","kind":"random_username","same_as":{"step":1,"path":"/1"}}`,
			server:  text(`[2,"4"]`) + text(`[1,"4"]`)},
		{name: "long text", steps: `,{"recv":{"gen":["[\"",{"rep":"ab","n":3},"\"]"]}}`, server: text(`["ababab"]`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := loadOne(t, tt.steps, tt.dynamic, tt.unordered)
			err := c.Replay(t.Context(), scripted(t, tt.server, tt.hangup))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Replay: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Replay = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestReplayHandshake(t *testing.T) {
	tests := []struct{ name, response, server, want string }{
		{"refused", `{"status":403,"headers":{},"body":""}`, "403 Forbidden\r\nContent-Length: 0", ""},
		{"wrong status", `{"status":403,"headers":{},"body":""}`, "400 Bad Request\r\nContent-Length: 0", "the statuses differ"},
		{"a header too many", `{"status":403,"headers":{},"body":""}`, "403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 0", `the header "Content-Type" is not wanted`},
		{"a header missing", `{"status":403,"headers":{"x-a":"b"},"body":""}`, "403 Forbidden\r\nContent-Length: 0", `the headers "x-a" differ`},
		{"body", `{"status":400,"headers":{},"body":"no"}`, "400 Bad Request\r\nContent-Length: 2\r\n\r\nyo", "the bodies differ"},
		{"JSON body", `{"status":400,"headers":{"content-type":"application/json"},"body":"{\"a\":1,\"b\":2}"}`, "400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"b\":2, \"a\":1}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = c.Write([]byte("HTTP/1.1 " + tt.server + "\r\n\r\n"))
			}()
			line := `{"id":"x","steps":[{"open":{"path":"/"},"response":` + tt.response + `}]}`
			cases, err := conformance.Load(strings.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err = cases[0].Replay(ctx, conformance.Target{Addrs: map[string]string{"a": ln.Addr().String()}})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Replay = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// A busy server may have one message for a poll, and the next for another one.
func TestReplayPollsOn(t *testing.T) {
	tests := []struct{ name, answers, want string }{
		{"all at once", `"[1]","[2]"`, ""},
		{"one by one", `"[1]";"[2]"`, ""},
		{"another one", `"[1]";"[3]"`, `"/messages/1/0": got 3, want 2`},
		{"too many", `"[1]";"[2]","[3]"`, "3"},
		{"too few", `"[1]";`, `"/messages"`},
		{"none", ``, `"/messages"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answers := strings.Split(tt.answers, ";")
			var polls atomic.Int64
			hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"status":200,"messages":[%s]}`, answers[polls.Add(1)-1])
			}))
			defer hs.Close()
			const step = `{"http":{"method":"GET","path":"/"},"response":{"status":200,"headers":{"content-type":"application/json"},` +
				`"body":"{\"status\":200,\"messages\":[\"[1]\",\"[2]\"]}"}}`
			cases, err := conformance.Load(strings.NewReader(`{"id":"x","steps":[` + step + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			err = cases[0].Replay(t.Context(), conformance.Target{Addrs: map[string]string{"a": hs.Listener.Addr().String()}})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Replay = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestLoadRefusesWhatItDoesNotKnow(t *testing.T) {
	_, err := conformance.Load(strings.NewReader(`{"id":"x","steps":[{"snd":"[1]"}]}`))
	if err == nil || !strings.Contains(err.Error(), `line 1: json: unknown field "snd"`) {
		t.Errorf("Load = %v, want an error that names the field", err)
	}
}
