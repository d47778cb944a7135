package protocol_test

import (
	"testing"

	"github.com/aristochat/aristochat/protocol"
)

func BenchmarkDecodePush(b *testing.B) {
	for _, bb := range []struct {
		name  string
		v     protocol.Version
		frame string
	}{
		{"V1", protocol.V1, `{"topic":"rooms:main","event":"chat_msg","payload":{"status":"","body":"Hello, and good evening to all of you!","username":""},"ref":""}`},
		{"V2", protocol.V2, `["1","42","rooms:main","chat_msg",{"body":"Hello, and good evening to all of you!","at":1712345678.25}]`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			frame := []byte(bb.frame)
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if _, err := protocol.DecodeClient(bb.v, false, frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	messages := []struct {
		name string
		m    protocol.Message
	}{
		{"Broadcast", protocol.Message{
			Kind: protocol.Broadcast, Topic: "rooms:main", Event: "chat_msg",
			Payload: []byte(`{"body":"Hello, and good evening to all of you!","username":"ann"}`),
		}},
		{"Reply", protocol.Message{
			Kind: protocol.Reply, JoinRef: `"1"`, Ref: `"42"`, Topic: "rooms:main",
			Status: protocol.StatusOK, Payload: []byte(`{}`),
		}},
	}
	for _, bb := range messages {
		for _, v := range []protocol.Version{protocol.V1, protocol.V2} {
			b.Run(bb.name+"/V"+v.String()[:1], func(b *testing.B) {
				var buf []byte
				b.ReportAllocs()
				for b.Loop() {
					var err error
					if buf, _, err = protocol.AppendServer(buf[:0], v, &bb.m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkEncodeBinaryBroadcast(b *testing.B) {
	m := protocol.Message{Kind: protocol.Broadcast, Topic: "rooms:main", Event: "image", Payload: make([]byte, 256), Binary: true}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, _, err = protocol.AppendServer(buf[:0], protocol.V2, &m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeLarge shows what the check of a payload costs a byte.
func BenchmarkDecodeLarge(b *testing.B) {
	frame := []byte(`["1","42","rooms:main","chat_msg",{"body":"`)
	for range 64 << 10 {
		frame = append(frame, 'x')
	}
	frame = append(frame, `"}]`...)
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		if _, err := protocol.DecodeClient(protocol.V2, false, frame); err != nil {
			b.Fatal(err)
		}
	}
}

// TestHotPathDoesNotAllocate keeps the benchmarks' promise.
func TestHotPathDoesNotAllocate(t *testing.T) {
	frame := []byte(`["1","42","rooms:main","chat_msg",{"body":"hi","n":[1,2.5e3]}]`)
	buf := make([]byte, 0, 1024)
	allocs := testing.AllocsPerRun(100, func() {
		m, err := protocol.DecodeClient(protocol.V2, false, frame)
		if err != nil {
			t.Fatal(err)
		}
		m.Kind = protocol.Broadcast
		if _, _, err = protocol.AppendServer(buf, protocol.V2, &m); err != nil {
			t.Fatal(err)
		}
		m.Kind, m.Status = protocol.Reply, protocol.StatusOK
		if _, _, err = protocol.AppendServer(buf, protocol.V1, &m); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("decoding a push, encoding a broadcast and a reply: %v allocations, want 0", allocs)
	}
}
