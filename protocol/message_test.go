package protocol_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/protocol"
)

const (
	v1 = protocol.V1
	v2 = protocol.V2
)

// unhex decodes hexadecimal digits with spaces between them; text stands in
// quotes: 02 06 'room:a'.
func unhex(t *testing.T, s string) string {
	t.Helper()
	var out strings.Builder
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out.WriteString(part)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	return out.String()
}

// TestServerMessages has every kind of message that a server sends. It is
// written as frame, and read as m or, where that differs, as read.
func TestServerMessages(t *testing.T) {
	tests := []struct {
		name   string
		v      protocol.Version
		m      protocol.Message
		frame  string
		binary string // instead of frame
		read   *protocol.Message
	}{
		{
			name:  "V1 reply",
			v:     v1,
			m:     protocol.Message{Kind: protocol.Reply, Ref: `"5"`, Topic: "room:a", Event: "phx_reply", Status: "ok", Payload: []byte(`{"a":1}`)},
			frame: `{"topic":"room:a","event":"phx_reply","ref":"5","payload":{"status":"ok","response":{"a":1}}}`,
		},
		{
			name:  "V1 reply has no join_ref",
			v:     v1,
			m:     protocol.Message{Kind: protocol.Reply, JoinRef: `"1"`, Ref: `6`, Topic: "room:a", Status: "maybe", Payload: []byte(`"str"`)},
			frame: `{"topic":"room:a","event":"phx_reply","ref":6,"payload":{"status":"maybe","response":"str"}}`,
			read:  &protocol.Message{Kind: protocol.Reply, Ref: `6`, Topic: "room:a", Event: "phx_reply", Status: "maybe", Payload: []byte(`"str"`)},
		},
		{
			name:  "V1 push looks like a broadcast",
			v:     v1,
			m:     protocol.Message{JoinRef: `"1"`, Topic: "room:a", Event: "pushed", Payload: []byte(`{}`)},
			frame: `{"topic":"room:a","event":"pushed","ref":null,"payload":{}}`,
			read:  &protocol.Message{Kind: protocol.Broadcast, Topic: "room:a", Event: "pushed", Payload: []byte(`{}`)},
		},
		{
			name:  "V1 broadcast",
			v:     v1,
			m:     protocol.Message{Kind: protocol.Broadcast, Topic: "room:a", Event: "bc", Payload: []byte(`{"b":1}`)},
			frame: `{"topic":"room:a","event":"bc","ref":null,"payload":{"b":1}}`,
		},
		{
			name:  "V1 broadcast has no ref",
			v:     v1,
			m:     protocol.Message{Kind: protocol.Broadcast, JoinRef: `"1"`, Ref: `"2"`, Topic: "room:a", Event: "bc", Payload: []byte(`{"b":1}`)},
			frame: `{"topic":"room:a","event":"bc","ref":null,"payload":{"b":1}}`,
			read:  &protocol.Message{Kind: protocol.Broadcast, Topic: "room:a", Event: "bc", Payload: []byte(`{"b":1}`)},
		},
		{
			name:  "V1 close with the join's ref",
			v:     v1,
			m:     protocol.Message{Ref: `"77"`, Topic: "room:a", Event: "phx_close", Payload: []byte(`{}`)},
			frame: `{"topic":"room:a","event":"phx_close","ref":"77","payload":{}}`,
		},
		{
			name:  "V2 reply",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Reply, JoinRef: `"1"`, Ref: `"4"`, Topic: "room:a", Event: "phx_reply", Status: "ok", Payload: []byte(`{"a":1}`)},
			frame: `["1","4","room:a","phx_reply",{"status":"ok","response":{"a":1}}]`,
		},
		{
			name:  "V2 reply with a response that is no object",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Reply, JoinRef: `"1"`, Ref: `"4"`, Topic: "room:a", Event: "phx_reply", Status: "error", Payload: []byte(`[1]`)},
			frame: `["1","4","room:a","phx_reply",{"status":"error","response":[1]}]`,
		},
		{
			name:  "V2 reply without a response",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Reply, Ref: `"1"`, Topic: "phoenix", Status: "ok"},
			frame: `[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]`,
			read:  &protocol.Message{Kind: protocol.Reply, Ref: `"1"`, Topic: "phoenix", Event: "phx_reply", Status: "ok", Payload: []byte(`{}`)},
		},
		{
			name:  "V2 reply to a topic that is no string",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Reply, Ref: `"1"`, RawTopic: `["rooms:x"]`, Event: "phx_reply", Status: "error", Payload: []byte(`{"reason":"unmatched topic"}`)},
			frame: `[null,"1",["rooms:x"],"phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`,
		},
		{
			name:  "V2 refs of every type",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Reply, JoinRef: `{"a":[1]}`, Ref: `-1.50e3`, Topic: "room:a", Event: "phx_reply", Status: "ok", Payload: []byte(`null`)},
			frame: `[{"a":[1]},-1.50e3,"room:a","phx_reply",{"status":"ok","response":null}]`,
		},
		{
			name:  "V2 push",
			v:     v2,
			m:     protocol.Message{JoinRef: `"1"`, Topic: "room:a", Event: "pushed", Payload: []byte(`{}`)},
			frame: `["1",null,"room:a","pushed",{}]`,
		},
		{
			name:  "V2 push without a payload",
			v:     v2,
			m:     protocol.Message{JoinRef: `"1"`, Topic: "room:a", Event: "pushed"},
			frame: `["1",null,"room:a","pushed",{}]`,
			read:  &protocol.Message{JoinRef: `"1"`, Topic: "room:a", Event: "pushed", Payload: []byte(`{}`)},
		},
		{
			name:  "V2 broadcast",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Broadcast, Topic: "room:a", Event: "bc", Payload: []byte(`{"n":12345678901234567890123,"f":1.50}`)},
			frame: `[null,null,"room:a","bc",{"n":12345678901234567890123,"f":1.50}]`,
		},
		{
			name:  "V2 broadcast has no refs",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Broadcast, JoinRef: `"1"`, Ref: `"2"`, Topic: "room:a", Event: "bc", Payload: []byte(` {}`)},
			frame: `[null,null,"room:a","bc", {}]`,
			read:  &protocol.Message{Kind: protocol.Broadcast, Topic: "room:a", Event: "bc", Payload: []byte(`{}`)},
		},
		{
			name:  "V2 close",
			v:     v2,
			m:     protocol.Message{JoinRef: `"1"`, Ref: `"1"`, Topic: "room:a", Event: "phx_close", Payload: []byte(`{}`)},
			frame: `["1","1","room:a","phx_close",{}]`,
		},
		{
			name:  "V2 close of a join without join_ref looks like a broadcast",
			v:     v2,
			m:     protocol.Message{Topic: "room:a", Event: "phx_close", Payload: []byte(`{}`)},
			frame: `[null,null,"room:a","phx_close",{}]`,
			read:  &protocol.Message{Kind: protocol.Broadcast, Topic: "room:a", Event: "phx_close", Payload: []byte(`{}`)},
		},
		{
			name:  "V2 crash",
			v:     v2,
			m:     protocol.Message{JoinRef: `7`, Ref: `7`, Topic: "room:a", Event: "phx_error", Payload: []byte(`{"reason":"channel_crash"}`)},
			frame: `[7,7,"room:a","phx_error",{"reason":"channel_crash"}]`,
		},
		{
			name:  "V2 escapes what must be",
			v:     v2,
			m:     protocol.Message{Kind: protocol.Broadcast, Topic: "a\"\\/<>&é\u2028\u007f", Event: "\b\t\n\f\r\x00\x1f", Payload: []byte(`{}`)},
			frame: `[null,null,"a\"\\/<>&é` + "\u2028\u007f" + `","\b\t\n\f\r\u0000\u001F",{}]`,
		},
		{
			name:   "V2 binary reply",
			v:      v2,
			m:      protocol.Message{Kind: protocol.Reply, JoinRef: `"1"`, Ref: `"2"`, Topic: "room:a", Event: "phx_reply", Status: "ok", Payload: []byte{1, 2, 3, 4}, Binary: true},
			binary: `01 01 01 06 02 31 32 'room:a' 'ok' 01 02 03 04`,
		},
		{
			name:   "V2 binary reply without refs",
			v:      v2,
			m:      protocol.Message{Kind: protocol.Reply, Topic: "room:a", Status: "ok", Payload: []byte{}, Binary: true},
			binary: `01 00 00 06 02 'room:a' 'ok'`,
			read:   &protocol.Message{Kind: protocol.Reply, JoinRef: `""`, Ref: `""`, Topic: "room:a", Event: "phx_reply", Status: "ok", Payload: []byte{}, Binary: true},
		},
		{
			name:   "V2 binary push",
			v:      v2,
			m:      protocol.Message{JoinRef: `"1"`, Topic: "room:a", Event: "binp", Payload: []byte{0, 1, 2}, Binary: true},
			binary: `00 01 06 04 31 'room:a' 'binp' 00 01 02`,
		},
		{
			name:   "V2 binary push with a number for join_ref and a ref, which has no place",
			v:      v2,
			m:      protocol.Message{JoinRef: `5`, Ref: `"6"`, Topic: "room:a", Event: "binp", Payload: []byte{0}, Binary: true},
			binary: `00 01 06 04 35 'room:a' 'binp' 00`,
			read:   &protocol.Message{JoinRef: `"5"`, Topic: "room:a", Event: "binp", Payload: []byte{0}, Binary: true},
		},
		{
			name:   "V2 binary broadcast",
			v:      v2,
			m:      protocol.Message{Kind: protocol.Broadcast, Topic: "room:a", Event: "binb", Payload: []byte{9, 8}, Binary: true},
			binary: `02 06 04 'room:a' 'binb' 09 08`,
		},
		{
			name:   "V2 binary lengths count bytes",
			v:      v2,
			m:      protocol.Message{Kind: protocol.Broadcast, Topic: "room:café", Event: "b", Payload: []byte{9}, Binary: true},
			binary: `02 0a 01 'room:café' 'b' 09`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, wantBinary := tt.frame, tt.binary != ""
			if wantBinary {
				want = unhex(t, tt.binary)
			}
			frame, binary, err := protocol.AppendServer([]byte("before"), tt.v, &tt.m)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(frame); got != "before"+want || binary != wantBinary {
				t.Errorf("AppendServer = %q, binary %v\nwant %q, binary %v", got, binary, "before"+want, wantBinary)
			}
			read := tt.m
			if tt.read != nil {
				read = *tt.read
			}
			got, err := protocol.DecodeServer(tt.v, wantBinary, []byte(want))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, read) {
				t.Errorf("DecodeServer = %+v\nwant %+v", got, read)
			}
		})
	}
}

// TestClientMessages has every kind of message that a client sends. Without
// written, the frame is also what AppendClient writes.
func TestClientMessages(t *testing.T) {
	tests := []struct {
		name    string
		v       protocol.Version
		binary  bool
		frame   string
		m       protocol.Message
		written string
	}{
		{
			name:    "V1",
			v:       v1,
			frame:   `{"topic":"room:a","event":"phx_join","payload":{},"ref":"2"}`,
			m:       protocol.Message{Ref: `"2"`, Topic: "room:a", Event: "phx_join", Payload: []byte(`{}`)},
			written: `{"topic":"room:a","event":"phx_join","ref":"2","payload":{}}`,
		},
		{
			name:  "V1 with join_ref",
			v:     v1,
			frame: `{"topic":"room:a","event":"phx_join","ref":"2","join_ref":"77","payload":{}}`,
			m:     protocol.Message{JoinRef: `"77"`, Ref: `"2"`, Topic: "room:a", Event: "phx_join", Payload: []byte(`{}`)},
		},
		{
			name:    "V1 with null join_ref and an unknown member",
			v:       v1,
			frame:   `{"topic":"room:a","event":"e","payload":{},"ref":"1","join_ref":null,"x":1}`,
			m:       protocol.Message{Ref: `"1"`, Topic: "room:a", Event: "e", Payload: []byte(`{}`)},
			written: `{"topic":"room:a","event":"e","ref":"1","payload":{}}`,
		},
		{
			name:    "V1 of Aristochat's terminal client",
			v:       v1,
			frame:   `{"topic":"rooms:main","event":"chat_msg","payload":{"status":"","body":"hi","username":""},"ref":""}`,
			m:       protocol.Message{Ref: `""`, Topic: "rooms:main", Event: "chat_msg", Payload: []byte(`{"status":"","body":"hi","username":""}`)},
			written: `{"topic":"rooms:main","event":"chat_msg","ref":"","payload":{"status":"","body":"hi","username":""}}`,
		},
		{
			name:    "V1, the first of two members counts",
			v:       v1,
			frame:   `{"topic":"phoenix","event":"x","event":"heartbeat","payload":{},"payload":1,"ref":null,"ref":"2"}`,
			m:       protocol.Message{Topic: "phoenix", Event: "x", Payload: []byte(`{}`)},
			written: `{"topic":"phoenix","event":"x","ref":null,"payload":{}}`,
		},
		{
			name:    "V1 with escapes in its keys",
			v:       v1,
			frame:   ` { "\u0074opic" : "t" , "even\u0074":"e","payload":[ 1 ],"ref":7} `,
			m:       protocol.Message{Ref: `7`, Topic: "t", Event: "e", Payload: []byte(`[ 1 ]`)},
			written: `{"topic":"t","event":"e","ref":7,"payload":[ 1 ]}`,
		},
		{
			name:    "V1 in a binary frame",
			v:       v1,
			binary:  true,
			frame:   `{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}`,
			m:       protocol.Message{Ref: `"1"`, Topic: "phoenix", Event: "heartbeat", Payload: []byte(`{}`)},
			written: `{"topic":"phoenix","event":"heartbeat","ref":"1","payload":{}}`,
		},
		{
			name:    "V1 with a topic and an event that are no strings",
			v:       v1,
			frame:   `{"topic":null,"event":7,"payload":null,"ref":"1"}`,
			m:       protocol.Message{Ref: `"1"`, RawTopic: "null", RawEvent: "7", Payload: []byte(`null`)},
			written: `{"topic":null,"event":7,"ref":"1","payload":null}`,
		},
		{
			name:  "V2",
			v:     v2,
			frame: `["1","4","room:a","echo",{"a":1}]`,
			m:     protocol.Message{JoinRef: `"1"`, Ref: `"4"`, Topic: "room:a", Event: "echo", Payload: []byte(`{"a":1}`)},
		},
		{
			name:  "V2 heartbeat",
			v:     v2,
			frame: `[null,"1","phoenix","heartbeat",{}]`,
			m:     protocol.Message{Ref: `"1"`, Topic: "phoenix", Event: "heartbeat", Payload: []byte(`{}`)},
		},
		{
			name:    "V2 with space everywhere",
			v:       v2,
			frame:   " \n[ null , \"1\" , \"phoenix\" , \"heartbeat\" , { } ]\t\r\n",
			m:       protocol.Message{Ref: `"1"`, Topic: "phoenix", Event: "heartbeat", Payload: []byte(`{ }`)},
			written: `[null,"1","phoenix","heartbeat",{ }]`,
		},
		{
			name:    "V2 of seven elements",
			v:       v2,
			frame:   `["1","1","rooms:m1","phx_join",{},1,{"x":[]}]`,
			m:       protocol.Message{JoinRef: `"1"`, Ref: `"1"`, Topic: "rooms:m1", Event: "phx_join", Payload: []byte(`{}`)},
			written: `["1","1","rooms:m1","phx_join",{}]`,
		},
		{
			name:  "V2 with a topic and an event that are no strings",
			v:     v2,
			frame: `["1","1",{"a":["rooms:x"]},false,[1]]`,
			m:     protocol.Message{JoinRef: `"1"`, Ref: `"1"`, RawTopic: `{"a":["rooms:x"]}`, RawEvent: `false`, Payload: []byte(`[1]`)},
		},
		{
			name:  "V2 with refs of other types",
			v:     v2,
			frame: `[12345678901234567890,{"a":[1e2]},"","","x"]`,
			m:     protocol.Message{JoinRef: `12345678901234567890`, Ref: `{"a":[1e2]}`, Payload: []byte(`"x"`)},
		},
		{
			name:    "V2 with escapes",
			v:       v2,
			frame:   `["\u0031","\"","\ud83d\ude00\u00e9\/","\b\f\n\r\t\\\"\u0000",{"\ud83d\ude00":"\/"}]`,
			m:       protocol.Message{JoinRef: `"\u0031"`, Ref: `"\""`, Topic: "😀é/", Event: "\b\f\n\r\t\\\"\x00", Payload: []byte(`{"\ud83d\ude00":"\/"}`)},
			written: `["\u0031","\"","😀é/","\b\f\n\r\t\\\"\u0000",{"\ud83d\ude00":"\/"}]`,
		},
		{
			name:   "V2 binary",
			v:      v2,
			binary: true,
			frame:  "\x00\x01\x01\x06\x0412room:abinr\x01\x02",
			m:      protocol.Message{JoinRef: `"1"`, Ref: `"2"`, Topic: "room:a", Event: "binr", Payload: []byte{1, 2}, Binary: true},
		},
		{
			name:   "V2 binary, all fields empty",
			v:      v2,
			binary: true,
			frame:  "\x00\x00\x00\x00\x00",
			m:      protocol.Message{JoinRef: `""`, Ref: `""`, Payload: []byte{}, Binary: true},
		},
		{
			name:   "V2 binary with odd bytes in its refs",
			v:      v2,
			binary: true,
			frame:  "\x00\x03\x02\x02\x01a\"\\\n\xff\xfe\xfdbx",
			m:      protocol.Message{JoinRef: `"a\"\\"`, Ref: "\"\\n\xff\"", Topic: "\xfe\xfd", Event: "b", Payload: []byte("x"), Binary: true},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := protocol.DecodeClient(tt.v, tt.binary, []byte(tt.frame))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.m) {
				t.Errorf("DecodeClient = %+v\nwant %+v", got, tt.m)
			}
			want := tt.frame
			if tt.written != "" {
				want = tt.written
			}
			frame, binary, err := protocol.AppendClient([]byte("before"), tt.v, &tt.m)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(frame); got != "before"+want || binary != tt.m.Binary {
				t.Errorf("AppendClient = %q, binary %v\nwant %q, binary %v", got, binary, "before"+want, tt.m.Binary)
			}
		})
	}
}

func TestDecodeServerReplyOnlyIfExact(t *testing.T) {
	tests := []struct {
		payload string
		reply   bool
	}{
		{`{"status":"ok","response":{}}`, true},
		{` { "response" : [ 1 ] , "st\u0061tus" : "a\nb" } `, true},
		{`{"status":"ok"}`, false},
		{`{"response":{}}`, false},
		{`{"status":"ok","response":{},"more":1}`, false},
		{`{"status":"ok","status":"ok"}`, false},
		{`{"status":"ok","status":"ok","response":{}}`, false},
		{`{"status":1,"response":{}}`, false},
		{`{}`, false},
		{`["status","ok"]`, false},
		{`null`, false},
	}
	for _, tt := range tests {
		for _, frame := range []struct {
			v    protocol.Version
			text string
		}{
			{v1, `{"topic":"t","event":"phx_reply","ref":"2","payload":` + tt.payload + `}`},
			{v2, `["1","2","t","phx_reply",` + tt.payload + `]`},
		} {
			m, err := protocol.DecodeServer(frame.v, false, []byte(frame.text))
			if err != nil {
				t.Errorf("DecodeServer(%s): %v", frame.text, err)
				continue
			}
			var want map[string]json.RawMessage
			switch {
			case m.Event != protocol.EventReply || (m.Kind == protocol.Reply) != tt.reply:
				t.Errorf("DecodeServer(%s) = %+v, want a reply: %v", frame.text, m, tt.reply)
			case !tt.reply:
				if string(m.Payload) != strings.TrimSpace(tt.payload) || m.Status != "" {
					t.Errorf("DecodeServer(%s) = %+v, want the payload as it is", frame.text, m)
				}
			default:
				if err := json.Unmarshal([]byte(tt.payload), &want); err != nil {
					t.Fatal(err)
				}
				status, _ := json.Marshal(m.Status)
				if string(status) != string(want["status"]) || string(m.Payload) != string(want["response"]) {
					t.Errorf("DecodeServer(%s) = %+v", frame.text, m)
				}
			}
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	object := []byte(`{}`)
	long := strings.Repeat("x", 256)
	bad := "a\xffb"
	server, client := protocol.AppendServer, protocol.AppendClient
	tests := []struct {
		name   string
		append func([]byte, protocol.Version, *protocol.Message) ([]byte, bool, error)
		v      protocol.Version
		m      protocol.Message
		want   error
	}{
		{"push of an array", server, v2, protocol.Message{Payload: []byte(`[1]`)}, protocol.ErrPayload},
		{"push of a string", server, v1, protocol.Message{Payload: []byte(`"{}"`)}, protocol.ErrPayload},
		{"push of space", server, v1, protocol.Message{Payload: []byte(` `)}, protocol.ErrPayload},
		{"broadcast of null", server, v2, protocol.Message{Kind: protocol.Broadcast, Payload: []byte(`null`)}, protocol.ErrPayload},
		{"V1 binary push", server, v1, protocol.Message{Binary: true}, protocol.ErrBinary},
		{"V1 binary broadcast", server, v1, protocol.Message{Kind: protocol.Broadcast, Binary: true}, protocol.ErrBinary},
		{"V1 binary reply", server, v1, protocol.Message{Kind: protocol.Reply, Binary: true}, protocol.ErrBinary},
		{"V1 binary from a client", client, v1, protocol.Message{Binary: true}, protocol.ErrBinary},
		{"binary join_ref is an object", server, v2, protocol.Message{JoinRef: `{"a":1}`, Binary: true}, protocol.ErrBinary},
		{"binary ref is an array", client, v2, protocol.Message{Ref: `[]`, Binary: true}, protocol.ErrBinary},
		{"binary ref is not JSON", client, v2, protocol.Message{Ref: `"\`, Binary: true}, protocol.ErrBinary},
		{"binary topic is no string", server, v2, protocol.Message{RawTopic: `5`, Binary: true}, protocol.ErrBinary},
		{"binary event is no string", client, v2, protocol.Message{RawEvent: `5`, Binary: true}, protocol.ErrBinary},
		{"binary join_ref too long", server, v2, protocol.Message{JoinRef: protocol.NewRef(long), Binary: true}, protocol.ErrTooLong},
		{"binary ref too long", server, v2, protocol.Message{Kind: protocol.Reply, Ref: protocol.NewRef(long), Binary: true}, protocol.ErrTooLong},
		{"binary topic too long", server, v2, protocol.Message{Kind: protocol.Broadcast, Topic: long, Binary: true}, protocol.ErrTooLong},
		{"binary event too long", client, v2, protocol.Message{Event: long, Binary: true}, protocol.ErrTooLong},
		{"binary status too long", server, v2, protocol.Message{Kind: protocol.Reply, Status: long, Binary: true}, protocol.ErrTooLong},
		{"topic not UTF-8", server, v2, protocol.Message{Topic: bad, Payload: object}, protocol.ErrUTF8},
		{"event not UTF-8", client, v1, protocol.Message{Event: bad, Payload: object}, protocol.ErrUTF8},
		{"status not UTF-8", server, v1, protocol.Message{Kind: protocol.Reply, Status: bad, Payload: object}, protocol.ErrUTF8},
		{"join_ref not UTF-8", client, v2, protocol.Message{JoinRef: protocol.NewRef(bad), Payload: object}, protocol.ErrUTF8},
		{"ref not UTF-8", server, v2, protocol.Message{Kind: protocol.Reply, Ref: protocol.NewRef(bad), Payload: object}, protocol.ErrUTF8},
		{"reply from a client", client, v2, protocol.Message{Kind: protocol.Reply}, protocol.ErrKind},
		{"unknown kind", server, v2, protocol.Message{Kind: 3}, protocol.ErrKind},
		{"unknown version", server, 3, protocol.Message{}, protocol.ErrVersion},
		{"unknown version, client", client, 0, protocol.Message{}, protocol.ErrVersion},
		{"unknown version, binary", client, 0, protocol.Message{Binary: true}, protocol.ErrVersion},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame, _, err := tt.append([]byte("before"), tt.v, &tt.m)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %q, error %v; want error %v", frame, err, tt.want)
			}
			if string(frame) != "before" {
				t.Errorf("after the error dst is %q", frame)
			}
		})
	}
}

func TestBinaryFieldsOf255Bytes(t *testing.T) {
	s := strings.Repeat("é", 127) + "x"
	m := protocol.Message{
		Kind: protocol.Reply, JoinRef: protocol.NewRef(s), Ref: protocol.NewRef(s),
		Topic: s, Event: protocol.EventReply, Status: s, Payload: []byte("data"), Binary: true,
	}
	frame, _, err := protocol.AppendServer(nil, v2, &m)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\x01\xff\xff\xff\xff" + s + s + s + s + "data"; string(frame) != want {
		t.Errorf("AppendServer = %q, want %q", frame, want)
	}
	got, err := protocol.DecodeServer(v2, true, frame)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("DecodeServer = %+v, %v; want %+v", got, err, m)
	}
}

// A ref of bytes that are not UTF-8 is echoed in a binary frame only, as
// Phoenix does.
func TestBinaryRefThatIsNotUTF8(t *testing.T) {
	m, err := protocol.DecodeClient(v2, true, []byte("\x00\x01\x01\x08\x041\xfflobby:b1echox"))
	if err != nil {
		t.Fatal(err)
	}
	m.Kind, m.Status = protocol.Reply, protocol.StatusOK
	frame, _, err := protocol.AppendServer(nil, v2, &m)
	if want := "\x01\x01\x01\x08\x021\xfflobby:b1okx"; err != nil || string(frame) != want {
		t.Errorf("binary reply = %q, %v; want %q", frame, err, want)
	}
	m.Binary, m.Payload = false, nil
	if frame, _, err = protocol.AppendServer(nil, v2, &m); !errors.Is(err, protocol.ErrUTF8) {
		t.Errorf("text reply = %q, %v; want ErrUTF8", frame, err)
	}
}

func TestDecodedPayloadCanBeAppendedTo(t *testing.T) {
	frame := []byte(`["1","2","t","e",{},"extra"]`)
	m, err := protocol.DecodeClient(v2, false, frame)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(m.Payload, "overwritten"...)
	if got := string(frame); got != `["1","2","t","e",{},"extra"]` {
		t.Errorf("appending to the payload changed the frame: %s", got)
	}
}
