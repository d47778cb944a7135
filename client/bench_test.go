package client_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/aristochat/aristochat/client"
)

// BenchmarkPush is a push and its reply, over the loopback interface, to a server
// of ours that answers at once. The server's work is included.
func BenchmarkPush(b *testing.B) {
	ch := dial(b, startLobby(b), nil).Channel("lobby:bench", nil)
	join(b, ch)
	payload := object{"body": "hello, everybody"}
	b.ReportAllocs()
	for b.Loop() {
		push(b, ch, "echo", payload)
	}
}

// BenchmarkEvents is an event on its way from the wire into a callback.
func BenchmarkEvents(b *testing.B) {
	proceed := make(chan int)
	url := startPeer(b, func(p *peer) {
		f, _ := p.read()
		p.reply(f, "ok", `{}`)
		for range <-proceed {
			p.event(f, "chat_msg", `{"body":"hello, everybody","username":"ann","seq":12345,"at":"2026-11-22T16:01:34.589164442Z"}`)
		}
		p.read()
	})
	ch := dial(b, url, nil).Channel("t", nil)
	var n atomic.Int64
	done := make(chan struct{})
	ch.On("chat_msg", func(client.Message) {
		if n.Add(1) == int64(b.N) {
			close(done)
		}
	})
	join(b, ch)
	b.ReportAllocs()
	b.ResetTimer()
	proceed <- b.N
	<-done
}

// BenchmarkIdleClient is what a client holds that has joined a channel, without
// the kernel's buffers and without its server, which is another process here.
func BenchmarkIdleClient(b *testing.B) {
	if b.N > 1 {
		b.Skip("run it with -benchtime 1x")
	}
	const clients = 2000
	url := otherProcess(b)
	dial(b, url, nil) // what is there once
	before, goroutines := inUse(), runtime.NumGoroutine()
	held := make([]*client.Client, clients)
	for i := range held {
		held[i] = dial(b, url, nil)
		join(b, held[i].Channel("lobby:bench", nil))
	}
	eventually(b, "only readers are left", func() bool { return runtime.NumGoroutine()-goroutines <= clients })
	b.ReportMetric(float64(inUse()-before)/clients, "B/client")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/clients, "goroutines/client")
	runtime.KeepAlive(held)
}

// inUse is the memory of heap and stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
