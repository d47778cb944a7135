package presence

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

var examplePackets = []packet{
	{kind: kindBeat, edge: edgeA, text: "pod-1"},
	{kind: kindBye, edge: edgeA},
	{kind: kindLeaving, edge: edgeA},
	{kind: kindDiff, edge: edgeA, diff: diff{
		version: 1795353650000001, prev: 1795353650000000,
		joins:  []entry{{key: "ann", meta: `{"n":1}`, ref: refOf("r2"), prev: refOf("r1"), slot: 7}, {key: "", meta: "{}", ref: refOf("r3")}},
		leaves: []ref{refOf("r1")},
	}},
	{kind: kindFull, edge: edgeB, total: 50_000, diff: diff{version: 3, joins: []entry{{key: "Jü \"x\"", meta: `{"n":1}`, ref: refOf("r2"), slot: -7}}}},
	{kind: kindFull, edge: edgeB, diff: diff{version: 3, joins: []entry{}}},
	{kind: kindDigest, edge: edgeB, clock: 99, index: 1, more: true, rooms: []roomVersion{{1, 2}, {1 << 63, 3}}},
	{kind: kindWant, edge: edgeB, text: "rooms:lobby"},
}

func TestPacketRoundTrip(t *testing.T) {
	for _, p := range examplePackets {
		if p.kind == kindDiff && p.diff.leaves == nil {
			p.diff.leaves = []ref{}
		}
		got, err := decodePacket(p.encode())
		if err != nil {
			t.Errorf("kind %d: %v", p.kind, err)
			continue
		}
		if !reflect.DeepEqual(*got, p) {
			t.Errorf("got  %+v\nwant %+v", *got, p)
		}
	}
}

func TestPacketMalformed(t *testing.T) {
	join := func(e entry) []byte {
		return (&packet{kind: kindDiff, diff: diff{version: 1, joins: []entry{e}}}).encode()
	}
	good := join(entry{key: "k", meta: "{}"})
	tests := map[string][]byte{
		"empty":           {},
		"other format":    append([]byte{2}, good[1:]...),
		"unknown kind":    append([]byte{1, 99}, good[2:]...),
		"cut":             good[:len(good)-1],
		"too long":        append(bytes.Clone(good), 0),
		"no object":       join(entry{key: "k", meta: "[]"}),
		"no JSON":         join(entry{key: "k", meta: "{x}"}),
		"empty meta":      join(entry{key: "k"}),
		"meta of one {":   join(entry{key: "k", meta: "{"}),
		"meta not UTF-8":  join(entry{key: "k", meta: "{\"a\":\"\xff\"}"}),
		"key not UTF-8":   join(entry{key: "\xff", meta: "{}"}),
		"key too long":    join(entry{key: strings.Repeat("k", 257), meta: "{}"}),
		"meta too long":   join(entry{key: "k", meta: `{"x":"` + strings.Repeat("x", 64<<10) + `"}`}),
		"absurd count":    append(append([]byte{1, byte(kindFull)}, make([]byte, 17)...), 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"bool not a bool": append(append([]byte{1, byte(kindDigest)}, make([]byte, 18)...), 7, 0),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			if p, err := decodePacket(data); err == nil {
				t.Errorf("got %+v, want an error", p)
			}
		})
	}
	for n := range good {
		if _, err := decodePacket(good[:n]); err == nil {
			t.Errorf("the first %d bytes are a packet", n)
		}
	}
}

// What can be decoded is bounded by its length, encodes to the same again, and
// can be shown to clients.
func FuzzPacket(f *testing.F) {
	for _, p := range examplePackets {
		f.Add(p.encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePacket(data)
		if err != nil {
			return
		}
		again, err := decodePacket(p.encode())
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("got %+v, %v\nwant %+v", again, err, p)
		}
		var s state
		c, _ := s.merge(p.edge, &p.diff)
		c2 := s.drop(p.edge)
		if len(c.joins) != len(c2.leaves) {
			t.Fatalf("%d joined and %d left", len(c.joins), len(c2.leaves))
		}
		if b := appendGroups(nil, grouped(c.joins)); !validJSON(b) {
			t.Fatalf("clients would get %s", b)
		}
	})
}

func validJSON(b []byte) bool {
	var v map[string]*Item
	return json.Unmarshal(b, &v) == nil
}

func FuzzMeta(f *testing.F) {
	for _, s := range []string{`{}`, `{"phx_ref":1}`, `{"a":{"\u0070hx_ref":1},"\u0070hx_ref":2}`, `{"a" : "<\u2028>"}`, "[1]", "{\"a\":\"\xff\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := metaOf(json.RawMessage(raw))
		if err != nil {
			return
		}
		e := entry{key: "k", meta: m, ref: refOf("r"), prev: refOf("p")}
		if len(m) <= maxMetaBytes && !acceptable(&e) {
			t.Fatalf("other edges would not take %q", m)
		}
		var members map[string]any
		b := appendMeta(nil, &e)
		if err := json.Unmarshal(b, &members); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if members["phx_ref"] != e.ref.String() || members["phx_ref_prev"] != e.prev.String() {
			t.Fatalf("clients would get %s", b)
		}
	})
}
