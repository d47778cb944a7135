package edge_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
)

// direct calls the handler, without a connection.
func direct(tb testing.TB, e *edgeServer, method, path, body string) (p polled) {
	tb.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-ndjson")
	e.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		tb.Fatalf("%s: %v", w.Body, err)
	}
	return p
}

// BenchmarkIdleSession reports what a joined long-polling session costs between
// its polls: bytes of heap and stack, and goroutines. A poll that waits costs a
// connection of net/http besides.
func BenchmarkIdleSession(b *testing.B) {
	const n, perRoom = 2000, 10
	e := single(b, longPoll(window(time.Minute), func(o *edge.Options) { o.LongPoll.SessionsPerIP = -1 }), func() edge.Channel { return mute{} })
	begin := func(i int) {
		path := pollPath + "&token=" + direct(b, e, "GET", pollPath, "").Token
		direct(b, e, "POST", path, fmt.Sprintf(`["1","1","t:%d","phx_join",{}]`, i/perRoom))
		if got := direct(b, e, "GET", path, ""); len(got.Messages) != 1 {
			b.Fatalf("got %+v, want the reply", got)
		}
	}
	begin(-perRoom)
	for b.Loop() {
		before, goroutines := memory(), runtime.NumGoroutine()
		for i := range n {
			begin(i)
		}
		b.ReportMetric((memory()-before)/n, "B/session")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/session")
	}
}

// BenchmarkPoll asks for a message that waits, on the edge that has it and
// through another one. The request over HTTP is left out.
func BenchmarkPoll(b *testing.B) {
	for i, where := range []string{"owner", "other"} {
		b.Run(where, func(b *testing.B) {
			edges := cluster(b, 2, func(o *edge.Options) { o.LongPoll.PollRate = 1_000_000 })
			path := pollPath + "&token=" + direct(b, edges[0], "GET", pollPath, "").Token
			b.ReportAllocs()
			for b.Loop() {
				if got := direct(b, edges[i], "POST", path, beat); got.Status != 200 {
					b.Fatalf("POST: %+v", got)
				}
				if got := direct(b, edges[i], "GET", path, ""); len(got.Messages) != 1 {
					b.Fatalf("GET: %+v", got)
				}
			}
		})
	}
}
