package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/edge/fleet"
)

func TestTop(t *testing.T) {
	a := start(t, "--listen", "127.0.0.1:0", "--nats-listen", freeAddress(t), "--max-sockets", "50")
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

	out, _, err := call(t, "top", "--once", "--nats", url)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "EDGE ") || !strings.Contains(out, "2 edges  3 sockets  3 channels") || strings.Count(out, "  ok\n") != 2 {
		t.Errorf("the table is\n%s", out)
	}

	out, _, err = call(t, "top", "--json", "--nats", url)
	if err != nil {
		t.Fatal(err)
	}
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
