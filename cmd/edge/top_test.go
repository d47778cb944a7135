package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/fleet"

	"github.com/aristochat/aristochat/internal/vacant"
)

func TestTop(t *testing.T) {
	a := start(t, "--listen", "127.0.0.1:0", "--nats-listen", vacant.Address(t), "--max-sockets", "50")
	url := "nats://" + a.await(`NATS +in this process and on (\S+),`)[1]
	b := start(t, "--listen", "127.0.0.1:0", "--nats", url)
	for _, p := range []*process{a, b} {
		awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	}
	for range 3 {
		c := dial(t, b.host())
		send(t, c, `["1","1","rooms:lobby","phx_join",{}]`)
		expect(t, c, `"phx_reply",{"status":"ok"`)
	}

	askTop(t, func(table string) bool {
		return strings.HasPrefix(table, "EDGE ") && strings.Contains(table, "2 edges  3 sockets  3 channels") && strings.Count(table, "  ok\n") == 2
	}, "--once", "--nats", url)
	out := askTop(t, func(lines string) bool { return strings.Count(lines, "\n") == 2 }, "--json", "--nats", url)
	sockets := map[int64]int64{} // by the bound that tells the two apart
	for line := range strings.Lines(out) {
		var e fleet.Edge
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		sockets[e.MaxSockets] = e.Sockets
	}
	if len(sockets) != 2 || sockets[50] != 0 || sockets[0] != 3 {
		t.Errorf("JSON is\n%s", out)
	}

	if _, code, err := call(t, "top"); code != exitUsage || !strings.Contains(err.Error(), "--nats is missing") {
		t.Errorf("without --nats: %d, %v", code, err)
	}
	if _, code, err := call(t, "top", "--once", "--nats", url, "--subject-prefix", "other"); code != exitFailure || !strings.Contains(err.Error(), "--subject-prefix") {
		t.Errorf("with another prefix: %d, %v", code, err)
	}
}

// askTop asks until it is told what is wanted: top does not wait for an edge that
// has said nothing for seconds, as edges on a busy machine do.
func askTop(t *testing.T, ok func(out string) bool, args ...string) (out string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var err error
		if out, _, err = call(t, append([]string{"top"}, args...)...); err == nil && ok(out) {
			return out
		}
	}
	t.Fatalf("top %q says\n%s", args, out)
	return ""
}
