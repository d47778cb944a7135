package logsample_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aristochat/aristochat/internal/logsample"
)

// A buffer is written to by the handler's timers, too.
type buffer struct {
	mu sync.Mutex // guards what follows
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

func newLog(o *logsample.Options) (*slog.Logger, *logsample.Handler, *buffer) {
	out := &buffer{}
	h := logsample.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: noTime}), o)
	return slog.New(h), h, out
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func TestRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLog(&logsample.Options{PerSecond: 2})
		for i := range 5 {
			log.With("socket", i).Warn("slow") // not the same without its attributes
			log.Info("slow")                   // another level is another line
		}
		log.Warn("other")
		want := `level=WARN msg=slow socket=0
level=INFO msg=slow
level=WARN msg=slow socket=1
level=INFO msg=slow
level=WARN msg=other
`
		if got := out.String(); got != want {
			t.Errorf("at once:\n%swant:\n%s", got, want)
		}
		out.Reset()
		time.Sleep(time.Second)
		synctest.Wait()
		for _, level := range []string{"WARN", "INFO"} {
			if want := fmt.Sprintf("level=%s msg=\"left out more lines like one before\" line=slow lines=3\n", level); !strings.Contains(out.String(), want) {
				t.Errorf("a second later:\n%swant:\n%s", out, want)
			}
		}
		if n := strings.Count(out.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want 2: of %q nothing was left out", n, "other")
		}
		if n := h.LeftOut(); n != 6 {
			t.Errorf("LeftOut = %d, want 6", n)
		}
		if n := h.Lines(); n["warn"] != 6 || n["info"] != 5 || n["error"] != 0 {
			t.Errorf("Lines = %v", n)
		}

		out.Reset()
		log.Warn("slow")
		if !strings.Contains(out.String(), "msg=slow") {
			t.Error("the next second's first line is missing")
		}
		time.Sleep(time.Second) // ends the timer
	})
}

func TestDebugPasses(t *testing.T) {
	log, h, out := newLog(nil)
	for range 100 {
		log.Debug("detail")
	}
	if n := strings.Count(out.String(), "\n"); n != 100 || h.LeftOut() != 0 {
		t.Errorf("%d lines, %d left out; want 100 and none", n, h.LeftOut())
	}
}

// Messages that are all different must not fill the memory, nor the log.
func TestManyMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLog(nil)
		const n = 5000
		for i := range n {
			log.Warn(fmt.Sprint("stranger ", i)) //nolint:sloglint // what libraries do
		}
		passed := strings.Count(out.String(), "\n")
		if passed < 1000 || passed > 1100 {
			t.Errorf("%d lines passed, want about a thousand", passed)
		}
		out.Reset()
		time.Sleep(time.Second)
		synctest.Wait()
		if want := fmt.Sprintf(`line="" lines=%d`, n-passed); !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want %s", out, want)
		}
		if h.LeftOut() != uint64(n-passed) {
			t.Errorf("LeftOut = %d, want %d", h.LeftOut(), n-passed)
		}
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, h, out := newLog(&logsample.Options{PerSecond: 1})
		log.Error("a")
		log.Error("a")
		h.Flush()
		h.Flush()
		if n := strings.Count(out.String(), "lines=1"); n != 1 {
			t.Errorf("what was left out is said %d times:\n%s", n, out)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := strings.Count(out.String(), "lines=1"); n != 1 {
			t.Errorf("and later %d times:\n%s", n, out)
		}
	})
}

// Whatever happens at once: each line passes or is counted.
func TestConcurrently(t *testing.T) {
	const workers, each = 8, 500
	log, h, out := newLog(nil)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				log.Info("a")
			}
		})
	}
	wg.Wait()
	h.Flush()
	passed := strings.Count(out.String(), "msg=a\n")
	if got := passed + int(h.LeftOut()); got != workers*each {
		t.Errorf("%d passed and %d were left out, want %d in all", passed, h.LeftOut(), workers*each)
	}
}

func BenchmarkLeftOut(b *testing.B) {
	log, _, _ := newLog(nil)
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("closing slow client", "socket", 7)
	}
}

func ExampleNew() {
	h := logsample.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: noTime}), &logsample.Options{PerSecond: 1})
	log := slog.New(h)
	for socket := range 3 {
		log.Warn("closing slow client", "socket", socket)
	}
	h.Flush() // or a second passes
	// Output:
	// level=WARN msg="closing slow client" socket=0
	// level=WARN msg="left out more lines like one before" line="closing slow client" lines=2
}
