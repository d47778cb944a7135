package protocol_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/protocol"
)

func TestMalformed(t *testing.T) {
	tests := []struct {
		name   string
		v      protocol.Version
		binary bool
		frame  string
		says   string
	}{
		{"V1 empty", v1, false, ``, "not an object at byte 0"},
		{"V1 space", v1, false, ` `, "not an object"},
		{"V1 not JSON", v1, false, `{not json`, "no key at byte 1"},
		{"V1 null", v1, false, `null`, "not an object"},
		{"V1 number", v1, false, `1`, "not an object"},
		{"V1 string", v1, false, `"x"`, "not an object"},
		{"V1 array", v1, false, `[null,"1","phoenix","heartbeat",{}]`, "not an object"},
		{"V1 empty object", v1, false, `{}`, `no "topic"`},
		{"V1 no topic", v1, false, `{"event":"e","payload":{},"ref":"1"}`, `no "topic"`},
		{"V1 no event", v1, false, `{"topic":"t","payload":{},"ref":"1"}`, `no "event"`},
		{"V1 no payload", v1, false, `{"topic":"phoenix","event":"heartbeat","ref":"1"}`, `no "payload"`},
		{"V1 no ref", v1, false, `{"topic":"phoenix","event":"heartbeat","payload":{}}`, `no "ref"`},
		{"V1 other case", v1, false, `{"Topic":"phoenix","Event":"heartbeat","Payload":{},"Ref":"1"}`, `no "topic"`},
		{"V1 trailing comma", v1, false, `{"topic":"t","event":"e","payload":{},"ref":"1",}`, "no key"},
		{"V1 trailing data", v1, false, `{"topic":"t","event":"e","payload":{},"ref":"1"} x`, "data after the value"},
		{"V1 trailing data after nothing", v1, false, `{}x`, "data after the value"},
		{"V1 no colon", v1, false, `{"topic" "t"}`, "no colon"},
		{"V1 no comma", v1, false, `{"topic":"t" "event":"e"}`, "object not continued"},
		{"V1 unfinished", v1, false, `{"topic":"t"`, "object not continued"},
		{"V1 unfinished key", v1, false, `{"topic`, "unexpected end of string"},
		{"V1 binary not UTF-8", v1, true, "{\"topic\":\"\xff\",\"event\":\"e\",\"payload\":{},\"ref\":\"1\"}", "not UTF-8"},
		{"V1 binary garbage", v1, true, "\x00\x01\x02", "not an object"},

		{"V2 empty", v2, false, ``, "not an array at byte 0"},
		{"V2 object", v2, false, `{"topic":"rooms:hs1","event":"phx_join","payload":{},"ref":"1"}`, "not an array"},
		{"V2 null", v2, false, `null`, "not an array"},
		{"V2 true", v2, false, `true`, "not an array"},
		{"V2 empty array", v2, false, `[]`, "array of 0, want at least 5"},
		{"V2 of four", v2, false, `[null,"1","phoenix","heartbeat"]`, "array of 4"},
		{"V2 unfinished", v2, false, `[null,"1","phoenix","heartbeat",{}`, "array not continued"},
		{"V2 nothing but a bracket", v2, false, `[`, "unexpected end"},
		{"V2 trailing comma", v2, false, `["1","1","phoenix","heartbeat",{},]`, "no value"},
		{"V2 trailing data", v2, false, `["1","1","phoenix","heartbeat",{}] x`, "data after the value"},
		{"V2 trailing bracket", v2, false, `["1","1","phoenix","heartbeat",{}]]`, "data after the value"},
		{"V2 comment", v2, false, `[null,"1","phoenix","heartbeat",{}]//c`, "data after the value"},
		{"V2 single quotes", v2, false, `['1','1','phoenix','heartbeat',{}]`, "no value"},
		{"V2 byte order mark", v2, false, "\ufeff" + `[null,"1","phoenix","heartbeat",{}]`, "not an array"},
		{"V2 malformed extra element", v2, false, `["1","1","phoenix","heartbeat",{},nul]`, "no value"},

		{"binary empty", v2, true, "", "empty binary frame"},
		{"binary kind only", v2, true, "\x00", "header of 1 bytes, want 5"},
		{"binary header too short", v2, true, "\x00\x01\x01\x01", "header of 4 bytes, want 5"},
		{"binary kind 1", v2, true, "\x01\x01\x01\x08\x0412lobby:b1echox", "binary kind 1"},
		{"binary kind 2", v2, true, "\x02\x01\x01\x08\x0412lobby:b1echox", "binary kind 2"},
		{"binary kind 255", v2, true, "\xff\x01\x01\x08\x0412lobby:b1echox", "binary kind 255"},
		{"binary topic too long", v2, true, "\x00\x01\x01\xc8\x0412lobby:b1echo", "field of 200 bytes, but 12 are left"},
		{"binary event too long", v2, true, "\x00\x01\x01\x08\x0512lobby:b1echo", "field of 5 bytes, but 4 are left"},
		{"binary join_ref too long", v2, true, "\x00\x01\x00\x00\x00", "field of 1 bytes, but 0 are left"},
		{"JSON in a binary frame", v2, true, `[null,"1","phoenix","heartbeat",{}]`, "binary kind 91"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := protocol.DecodeClient(tt.v, tt.binary, []byte(tt.frame))
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("DecodeClient(%q) = %+v, %v; want ErrMalformed", tt.frame, m, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("DecodeClient(%q): %q; want it to say %q", tt.frame, err, tt.says)
			}
		})
	}
}

func TestMalformedFromServer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		v      protocol.Version
		binary bool
		frame  string
	}{
		{"V1 without ref", v1, false, `{"topic":"t","event":"e","payload":{}}`},
		{"V2 of four", v2, false, `[null,null,"t","e"]`},
		{"binary empty", v2, true, ""},
		{"binary kind 3", v2, true, "\x03\x01\x01te"},
		{"binary push cut off", v2, true, "\x00\x01\x01"},
		{"binary reply cut off", v2, true, "\x01\x01\x01\x01"},
		{"binary broadcast cut off", v2, true, "\x02\x01"},
		{"binary field cut off", v2, true, "\x02\x01\x02te"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := protocol.DecodeServer(tt.v, tt.binary, []byte(tt.frame)); !errors.Is(err, protocol.ErrMalformed) {
				t.Errorf("DecodeServer(%q) = %+v, %v; want ErrMalformed", tt.frame, m, err)
			}
		})
	}
}

func TestDecodeUnknownVersion(t *testing.T) {
	frame := []byte(`[null,null,"t","e",{}]`)
	if _, err := protocol.DecodeClient(0, false, frame); !errors.Is(err, protocol.ErrVersion) {
		t.Errorf("DecodeClient: %v, want ErrVersion", err)
	}
	if _, err := protocol.DecodeServer(3, true, frame); !errors.Is(err, protocol.ErrVersion) {
		t.Errorf("DecodeServer: %v, want ErrVersion", err)
	}
}

// jsonValues are values and whether Phoenix takes them. The fuzz tests begin
// with them too.
var jsonValues = []struct {
	value string
	valid bool
}{
	{`null`, true}, {`true`, true}, {`false`, true}, {`nul`, false}, {`nulL`, false}, {`True`, false}, {`truefalse`, false},
	{`0`, true}, {`-0`, true}, {`-0.0`, true}, {`1.50`, true}, {`1e2`, true}, {`1E+2`, true}, {`1e-7`, true}, {`5e-324`, true},
	{`1e-999`, true}, {`1.7976931348623157e308`, true}, {`123456789012345678901234567890`, true},
	{`1e400`, false}, {`-1e999`, false}, {`1.8e308`, false}, {`0e999`, true},
	{strings.Repeat("9", 400), true}, {strings.Repeat("9", 400) + ".0", false}, {strings.Repeat("9", 308) + ".5", true},
	{`0.` + strings.Repeat("0", 400) + `1e400`, true},
	{`01`, false}, {`-01`, false}, {`+1`, false}, {`1.`, false}, {`.5`, false}, {`-`, false}, {`1e`, false}, {`1e+`, false},
	{`1.e5`, false}, {`NaN`, false}, {`Infinity`, false}, {`0x10`, false}, {`1_000`, false}, {`--1`, false},
	{`""`, true}, {`"a"`, true}, {`"`, false}, {`"a`, false}, {`'a'`, false}, {`"12345678`, false}, {`"1234567"`, true}, {`"12345678"`, true},
	{`"\"\\\/\b\f\n\r\t"`, true}, {`"\u0000"`, true}, {`"\u00e9\u00E9"`, true}, {`"\x41"`, false}, {`"\u12"`, false}, {`"\u12g4"`, false}, {`"\`, false}, {`"\"`, false}, {`"\u`, false},
	{`"\ud83d\ude00"`, true}, {`"\uD83D\uDE00"`, true}, {`"\ud800"`, false}, {`"\udc00"`, false}, {`"\ud83d\u0041"`, false}, {`"\ud83dx\ude00"`, false},
	{`"\ud83d\ud83d"`, false}, {`"\ude00\ud83d"`, false}, {`"\ud83d\`, false}, {`"\ud83d\ude0"`, false}, {`"\ud83d\ude00`, false},
	{"\"x\ty\"", false}, {"\"12345678\n\"", false}, {"\"\x1f\"", false}, {"\"\x00\"", false}, {"\"x\x7fy\u2028é\"", true}, {"\"12345\x7f\x80\xff\"", true},
	{`[]`, true}, {`[ ]`, true}, {`[1,[2,[]],{}]`, true}, {`[1,]`, false}, {`[,1]`, false}, {`[1 2]`, false}, {`[`, false}, {`[1`, false}, {`[1}`, false}, {`]`, false},
	{`{}`, true}, {`{ }`, true}, {`{"a":1,"a":2}`, true}, {`{"a":{"b":[{"c":null}]},"":0}`, true}, {`{"a"}`, false}, {`{"a":}`, false}, {`{"a":1,}`, false},
	{`{a:1}`, false}, {`{1:1}`, false}, {`{"a":1`, false}, {`{"a":1]`, false}, {`{"a":1 "b":2}`, false}, {`{"a" 1}`, false}, {`{`, false}, {`{,}`, false},
	{"[\v1]", false}, {"[\u00a01]", false}, {`/* */1`, false},
}

func TestPayloadMustBeJSON(t *testing.T) {
	for _, tt := range jsonValues {
		for _, f := range []struct {
			v     protocol.Version
			frame string
		}{
			{v1, `{"topic":"t","event":"e","ref":null,"payload":` + tt.value + `}`},
			{v2, `[null,null,"t","e",` + tt.value + `]`},
			{v2, `[null,null,"t","e",{},{"deeper":[` + tt.value + `]}]`},
		} {
			m, err := protocol.DecodeClient(f.v, false, []byte(f.frame))
			switch {
			case tt.valid && err != nil:
				t.Errorf("DecodeClient(%q): %v", f.frame, err)
			case !tt.valid && !errors.Is(err, protocol.ErrMalformed):
				t.Errorf("DecodeClient(%q) = %+v, %v; want ErrMalformed", f.frame, m, err)
			}
		}
		m, err := protocol.DecodeClient(v2, false, fmt.Appendf(nil, `[null,null,"t","e", %s ]`, tt.value))
		if tt.valid && (err != nil || string(m.Payload) != tt.value) {
			t.Errorf("payload %q is decoded as %q, %v", tt.value, m.Payload, err)
		}
	}
}

func TestNesting(t *testing.T) {
	nest := func(open, shut string, depth int) string {
		return strings.Repeat(open, depth) + "1" + strings.Repeat(shut, depth)
	}
	const deepest = 9984
	for _, tt := range []struct {
		name    string
		payload string
		valid   bool
	}{
		{"64 arrays", nest("[", "]", 64), true},
		{"65 arrays", nest("[", "]", 65), true},
		{"65 objects", nest(`{"a":`, "}", 65), true},
		{"1001 mixed", nest(`[{"a":`, "}]", 1001), true},
		{"65 arrays, then a wrong end", nest("[", "]", 64) + "}", false},
		{"65 deep, wrong end in the middle", strings.Repeat(`[{"a":`, 40) + "1" + strings.Repeat("}]", 20) + strings.Repeat("]}", 20), false},
		{"deepest", nest("[", "]", deepest), true},
		{"too deep", nest("[", "]", deepest+1), false},
		{"too deep objects", nest(`{"a":`, "}", deepest+1), false},
		{"a million brackets", strings.Repeat("[", 1_000_000), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := protocol.DecodeClient(v2, false, []byte(`[null,"1","t","e",`+tt.payload+`]`))
			if (err == nil) != tt.valid {
				t.Fatalf("DecodeClient: %v; want valid: %v", err, tt.valid)
			}
			if !tt.valid {
				return
			}
			m.Kind, m.Status = protocol.Reply, protocol.StatusOK
			frame, _, err := protocol.AppendServer(nil, v2, &m)
			if err != nil || !json.Valid(frame) {
				t.Errorf("its echo is not for encoding/json: %v", err)
			}
		})
	}
}
