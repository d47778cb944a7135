package edge

import (
	"runtime"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/protocol"
)

// A message does not keep a frame alive that is mostly something else.
func TestDecodeDetaches(t *testing.T) {
	c := &conn{version: protocol.V2}
	const n, padding = 100, 1 << 20
	kept := make([]protocol.Message, n)
	for i := range kept {
		m, err := c.decode(false, []byte(`["1","2","t:a","say",{}`+strings.Repeat(" ", padding)+"]"))
		if err != nil {
			t.Fatal(err)
		}
		if m.Topic != "t:a" || m.Event != "say" || m.JoinRef != `"1"` || m.Ref != `"2"` || string(m.Payload) != "{}" {
			t.Fatalf("decoded %+v", m)
		}
		kept[i] = m
	}
	runtime.GC()
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > n*padding/2 {
		t.Errorf("%d small messages keep %d bytes", n, after.HeapAlloc)
	}
	runtime.KeepAlive(kept)
}
