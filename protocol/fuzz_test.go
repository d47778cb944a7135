package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aristochat/aristochat/protocol"
)

func seed(f *testing.F) {
	for _, frame := range []string{
		``, `[]`, `{}`, `null`,
		`{"topic":"rooms:main","event":"chat_msg","payload":{"status":"","body":"hi","username":""},"ref":""}`,
		`{"topic":"phoenix","event":"x","event":"heartbeat","payload":{},"ref":"1","ref":"2","join_ref":"3"}`,
		`{"\u0074opic":1.5e3,"event":null,"payload":[],"ref":{"a":[]}}`,
		`{"topic":"t","event":"phx_reply","ref":"2","payload":{"status":"ok","response":{}}}`,
		`["1","2","rooms:main","chat_msg",{"body":"hi"}]`,
		`["1","2","t","phx_reply",{"response":[1],"status":"o\u006b"}]`,
		`[null,null,"t","phx_reply",{"status":1,"response":{}}]`,
		` [ null , {"a":[1e2]} , ["\ud83d\ude00"] , "\n" , -0.0 , 1e999 ] `,
		"\x00\x01\x01\x06\x0412room:abinr\x01\x02",
		"\x00\x02\x00\x00\x00\"\xff",
		"\x01\x01\x01\x06\x0212room:aok\x01\x02\x03\x04",
		"\x00\x01\x06\x041room:abinp\x00\x01\x02",
		"\x02\x06\x04room:abinb\x09\x08",
	} {
		for _, isV2 := range []bool{false, true} {
			f.Add(isV2, false, []byte(frame))
			f.Add(isV2, true, []byte(frame))
		}
	}
	for _, v := range jsonValues {
		f.Add(false, false, []byte(`{"topic":"t","event":"e","ref":null,"payload":`+v.value+`}`))
		f.Add(true, false, []byte(`[null,`+v.value+`,"t","e",[`+v.value+`]]`))
	}
}

func version(isV2 bool) protocol.Version {
	if isV2 {
		return v2
	}
	return v1
}

func FuzzDecodeClient(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, isV2, binary bool, frame []byte) {
		v := version(isV2)
		m, err := protocol.DecodeClient(v, binary, frame)
		if !isV2 || !binary {
			checkAgainstJSON(t, v, frame, m, err)
		}
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		again, isBinary, err := protocol.AppendClient(nil, v, &m)
		if errors.Is(err, protocol.ErrUTF8) && !binary && !utf8.Valid(frame) {
			return
		}
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", m, err)
		}
		got, err := protocol.DecodeClient(v, isBinary, again)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v\nis encoded as %q\nand decoded as %+v, %v", m, again, got, err)
		}
	})
}

func FuzzDecodeServer(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, isV2, binary bool, frame []byte) {
		v := version(isV2)
		m, err := protocol.DecodeServer(v, binary, frame)
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		again, isBinary, err := protocol.AppendServer(nil, v, &m)
		switch {
		case errors.Is(err, protocol.ErrUTF8) && !binary && !utf8.Valid(frame):
			return
		case errors.Is(err, protocol.ErrPayload) && m.Kind != protocol.Reply && m.Payload[0] != '{':
			return // no server sends it, but a client can read it
		case err != nil:
			t.Fatalf("%+v cannot be encoded: %v", m, err)
		}
		if !m.Binary && utf8.Valid(frame) && !json.Valid(again) {
			t.Fatalf("%+v is encoded as %q", m, again)
		}
		got, err := protocol.DecodeServer(v, isBinary, again)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v\nis encoded as %q\nand decoded as %+v, %v", m, again, got, err)
		}
	})
}

// checkAgainstJSON compares what became of a text frame with what encoding/json
// makes of it.
func checkAgainstJSON(t *testing.T, v protocol.Version, frame []byte, m protocol.Message, err error) {
	t.Helper()
	fields, ok := elements(frame)
	if v == v1 {
		fields, ok = members(frame)
	}
	if !ok {
		if err == nil {
			t.Fatalf("%q is no V%d message, but is decoded as %+v", frame, v, m)
		}
		return
	}
	if err != nil {
		if !strictlyInvalid(frame, err) {
			t.Fatalf("%q is a V%d message, but: %v", frame, v, err)
		}
		return
	}
	if !utf8.Valid(frame) {
		return // encoding/json would change it
	}
	if why := tooLax(frame); why != "" {
		t.Fatalf("%q is accepted in spite of %s", frame, why)
	}
	checkString := func(name string, raw json.RawMessage, got, gotRaw string) {
		var want string
		if raw[0] != '"' {
			if got != "" || gotRaw != string(raw) {
				t.Fatalf("%s of %q is %q, raw %q", name, frame, got, gotRaw)
			}
		} else if err := json.Unmarshal(raw, &want); err != nil || got != want || gotRaw != "" {
			t.Fatalf("%s of %q is %q, raw %q; want %q, %v", name, frame, got, gotRaw, want, err)
		}
	}
	checkRef := func(name string, raw json.RawMessage, got protocol.Ref) {
		want := protocol.Ref(raw)
		if want == "null" {
			want = protocol.Null
		}
		if got != want {
			t.Fatalf("%s of %q is %q, want %q", name, frame, got, want)
		}
	}
	checkRef("join_ref", fields[0], m.JoinRef)
	checkRef("ref", fields[1], m.Ref)
	checkString("topic", fields[2], m.Topic, m.RawTopic)
	checkString("event", fields[3], m.Event, m.RawEvent)
	if string(m.Payload) != string(fields[4]) {
		t.Fatalf("payload of %q is %q", frame, m.Payload)
	}
}

// elements returns the elements of a V2 message.
func elements(frame []byte) ([]json.RawMessage, bool) {
	var all []json.RawMessage
	err := json.Unmarshal(frame, &all)
	return all, err == nil && len(all) >= 5
}

// members returns the members of a V1 message in the order of V2, the first of
// each name.
func members(frame []byte) ([]json.RawMessage, bool) {
	if !json.Valid(frame) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(frame))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	first := map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, false
		}
		if _, ok := first[key.(string)]; !ok {
			first[key.(string)] = value
		}
	}
	var all []json.RawMessage
	for _, name := range []string{"join_ref", "ref", "topic", "event", "payload"} {
		value, ok := first[name]
		if !ok && name != "join_ref" {
			return nil, false
		}
		all = append(all, value)
	}
	return all, true
}

var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// strictlyInvalid reports whether err, for a frame that encoding/json takes, is
// one of the reasons why Phoenix does not.
func strictlyInvalid(frame []byte, err error) bool {
	switch says := err.Error(); {
	case strings.Contains(says, "half of a surrogate pair"):
		return surrogate.Match(frame)
	case strings.Contains(says, "number too large"):
		return strings.Contains(tooLax(frame), "number")
	case strings.Contains(says, "nested too deep"):
		return bytes.Count(frame, []byte("["))+bytes.Count(frame, []byte("{")) > 9984
	case strings.Contains(says, "not UTF-8"):
		return !utf8.Valid(frame)
	}
	return false
}

// tooLax says why Phoenix does not take frame, which is JSON.
func tooLax(frame []byte) string {
	replaced := bytes.ContainsRune(frame, utf8.RuneError) || bytes.Contains(bytes.ToLower(frame), []byte(`\ufffd`))
	dec := json.NewDecoder(bytes.NewReader(frame))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return "" // the end
		}
		switch token := token.(type) {
		case json.Number:
			if !strings.ContainsAny(token.String(), ".eE") {
				continue
			}
			if _, err := token.Float64(); err != nil {
				return "number " + token.String()
			}
		case string:
			if !replaced && strings.ContainsRune(token, utf8.RuneError) {
				return "half a surrogate pair"
			}
		}
	}
}

func FuzzRef(f *testing.F) {
	for _, v := range jsonValues {
		f.Add(v.value, `"\u0031"`)
		f.Add(v.value, " "+v.value)
	}
	f.Add(`{"a":1,"b":2}`, `{ "b":2, "\u0061":1, "a":3 }`)
	f.Add(`[1e2,"/"]`, `[100.0,"\/"]`)
	f.Fuzz(func(t *testing.T, a, b string) {
		r := protocol.NewRef(a)
		var s string
		if err := json.Unmarshal([]byte(r), &s); utf8.ValidString(a) && (err != nil || s != a) {
			t.Fatalf("NewRef(%q) = %s, which is %q, %v", a, r, s, err)
		}
		if r.IsNull() || !r.Equal(r) || r.Equal(protocol.Null) {
			t.Fatalf("NewRef(%q) = %s: not itself, or null", a, r)
		}
		// Not every Ref is made by this package; such a one may not do harm.
		protocol.Ref(a).Equal(protocol.Ref(b))
		_, _, _ = protocol.AppendClient(nil, v2, &protocol.Message{JoinRef: protocol.Ref(a), Ref: protocol.Ref(b), Binary: true})

		if strings.TrimSpace(a) == "" || strings.TrimSpace(b) == "" || !utf8.ValidString(a+b) {
			return
		}
		m, err := protocol.DecodeClient(v2, false, fmt.Appendf(nil, `[%s,%s,"t","e",{}]`, a, b))
		if err != nil {
			return
		}
		equal := m.JoinRef.Equal(m.Ref)
		if equal != m.Ref.Equal(m.JoinRef) {
			t.Fatalf("%s and %s are equal in one direction only", m.JoinRef, m.Ref)
		}
		if want := sameValue(decode(t, m.JoinRef), decode(t, m.Ref)); equal != want && len(m.JoinRef) <= 1024 && len(m.Ref) <= 1024 {
			t.Fatalf("%s.Equal(%s) = %v, want %v", m.JoinRef, m.Ref, equal, want)
		}
	})
}

// decode decodes a ref; of an object's members with the same key the first
// counts.
func decode(t *testing.T, value protocol.Ref) any {
	if value == protocol.Null {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(string(value)))
	dec.UseNumber()
	token := func() json.Token {
		token, err := dec.Token()
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		return token
	}
	var next func() any
	next = func() any {
		switch token := token(); token {
		case json.Delim('['):
			array := []any{}
			for dec.More() {
				array = append(array, next())
			}
			_, _ = dec.Token()
			return array
		case json.Delim('{'):
			object := map[string]any{}
			for dec.More() {
				key, _ := dec.Token()
				value := next()
				if _, ok := object[key.(string)]; !ok {
					object[key.(string)] = value
				}
			}
			_, _ = dec.Token()
			return object
		default:
			return token
		}
	}
	return next()
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key := range a {
			other, ok := b[key]
			if !ok || !sameValue(a[key], other) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a.String(), b.String())
	default:
		return reflect.DeepEqual(a, b)
	}
}

func sameNumber(a, b string) bool {
	isFloat := strings.ContainsAny(a, ".eE")
	if isFloat != strings.ContainsAny(b, ".eE") {
		return false
	}
	if isFloat {
		x, _ := strconv.ParseFloat(a, 64)
		y, _ := strconv.ParseFloat(b, 64)
		return x == y
	}
	x, _ := new(big.Int).SetString(a, 10)
	y, _ := new(big.Int).SetString(b, 10)
	return x.Cmp(y) == 0
}
