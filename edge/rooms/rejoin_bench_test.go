//go:build unix

package rooms_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRejoin is what a client that comes back costs: its handshake, and its
// join with since, of which it is given ten messages, and who is there. cpu-µs/op
// is of the whole process, the client and NATS included.
func BenchmarkRejoin(b *testing.B) {
	e := newEdge(b, newStore(b, newNATS(b), nil), nil)
	ann := e.enter(b, "ann", "rooms:lobby")
	epoch := e.past(b, "rooms:lobby").Epoch
	first := ann.say(chat("0", ""))
	for i := range 10 {
		ann.say(chat(fmt.Sprint(i+1), ""))
	}
	began := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			c, err := dial(ctx, e.addr(), v2("bob"))
			if err != nil {
				b.Error(err)
				cancel()
				return
			}
			p, err := c.tryJoin(ctx, "rooms:lobby", fmt.Sprintf(`{"since":%d,"epoch":%q}`, first.Seq, epoch))
			if err != nil || len(p.Messages) != 10 {
				b.Errorf("%d messages, %v", len(p.Messages), err)
			}
			_ = c.ws.CloseNow()
			cancel()
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "clients/s")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
