package edge_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// What the POSTs of a session hold at an edge is bounded, however many there
// are, also while they come slowly; and only for as long as they are there.
func TestLongPollHoldsFewBytes(t *testing.T) {
	var log logBuffer
	edges := cluster(t, 2, func(o *edge.Options) {
		o.LongPoll.MaxBody = 10_000
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	most := fmt.Sprintf(`[null,"hb","phoenix","heartbeat",{"x":%q}]`, strings.Repeat("x", 6000))
	for _, e := range edges {
		p := newPoller(t, edges[0])
		p.edges = []*edgeServer{e}
		before := e.Stats().Limits["bodies"]
		body, slowly := io.Pipe()
		t.Cleanup(func() { slowly.Close() }) // before the edge waits for it
		first := make(chan polled)
		go func() {
			defer close(first)
			res, err := e.http.Client().Post(e.http.URL+p.url(), "application/json", body)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Error(err)
			}
			first <- parsePolled(t, res, string(text))
		}()
		if _, err := io.WriteString(slowly, most[:5000]); err != nil {
			t.Fatal(err)
		}
		log.take()
		eventually(t, "the edge has read that", func() bool { return e.PostBytes() == 5000 })
		if res, _ := request(t, e, "POST", p.url(), most); res.StatusCode != http.StatusTooManyRequests {
			t.Errorf("another POST came to %d, want 429", res.StatusCode)
		}
		if n := e.Stats().Limits["bodies"] - before; n != 1 {
			t.Errorf("%d refusals are counted, want 1", n)
		}
		if text := log.take(); !strings.Contains(text, `level=WARN msg="refusing request" reason="too many bytes at once"`) {
			t.Errorf("the log says\n%s", text)
		}
		newPoller(t, e).send(most) // another session has a bound of its own
		if _, err := io.WriteString(slowly, most[5000:]); err != nil {
			t.Fatal(err)
		}
		slowly.Close()
		if a := <-first; a.Status != 200 {
			t.Errorf("the first POST came to %d, want 200", a.Status)
		}
		for range 3 {
			p.send(most)
		}
	}
}

// Edges that do not share a secret are noticed; a token that has expired says
// nothing about them.
func TestLongPollStrangeToken(t *testing.T) {
	var log logBuffer
	e := single(t, longPoll(func(o *edge.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }), probes)
	day := time.Hour * 24
	for _, tt := range []struct {
		name, token string
		strange     uint64
	}{
		{"none", "", 0},
		{"ours", edge.SignToken(secret, e.ID(), time.Now().Add(day)), 0},
		{"expired", edge.SignToken(secret, e.ID(), time.Now().Add(-day)), 0},
		{"garbage", "garbage", 1},
		{"of another secret", edge.SignToken(secret+"!", e.ID(), time.Now().Add(day)), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log.take()
			before := e.Stats().BadTokens
			newPollerAt(t, pollPath+"&token="+tt.token, e)
			if n := e.Stats().BadTokens - before; n != tt.strange {
				t.Errorf("%d are counted, want %d", n, tt.strange)
			}
			if said := strings.Contains(log.take(), "not valid here"); said != (tt.strange == 1) {
				t.Errorf("the log says so: %v", said)
			}
		})
	}
}
