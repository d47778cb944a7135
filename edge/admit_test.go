package edge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func admissionOf(rate float64, wait time.Duration) *admission {
	return newAdmission(&Options{AdmitRate: rate, AdmitWait: wait})
}

// Who comes too soon waits, in order; who would have to wait too long is told at
// once.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admissionOf(10, 2*time.Second) // one at once, twenty may wait
		began := time.Now()
		type visit struct {
			n, tenths int
			waited    bool
		}
		var mu sync.Mutex
		var in []visit
		refused := 0
		for n := range 25 {
			go func() {
				waited, err := a.await(t.Context(), t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					if !errors.Is(err, errCrowded) || time.Since(began) > 0 {
						t.Errorf("client %d: %v after %v", n, err, time.Since(began))
					}
					refused++
					return
				}
				in = append(in, visit{n, int(time.Since(began).Round(time.Millisecond) / (100 * time.Millisecond)), waited})
			}()
			synctest.Wait() // they come one after the other
		}
		if a.waiters() != 20 {
			t.Errorf("%d wait, want 20", a.waiters())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if refused != 4 || a.waiters() != 0 {
			t.Errorf("%d refused, %d wait; want 4 and none", refused, a.waiters())
		}
		for i, v := range in {
			if want := (visit{i, i, i > 0}); v != want {
				t.Errorf("got %+v, want %+v", v, want)
			}
		}
		if len(in) != 21 {
			t.Errorf("%d were let in, want 21", len(in))
		}
	})
}

// A client that gives up frees its place: those behind it are let in as if it had
// never come.
func TestAdmissionGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admissionOf(10, 2*time.Second)
		began := time.Now()
		var mu sync.Mutex
		var in []time.Duration
		fickle, giveUp := context.WithCancel(t.Context())
		for n := range 11 {
			ctx := t.Context()
			if n >= 1 && n <= 5 {
				ctx = fickle
			}
			go func() {
				_, err := a.await(ctx, t.Context())
				mu.Lock()
				defer mu.Unlock()
				switch {
				case ctx == fickle && !errors.Is(err, context.Canceled):
					t.Errorf("client %d gave up, and got %v", n, err)
				case ctx != fickle && err != nil:
					t.Errorf("client %d: %v", n, err)
				case err == nil:
					in = append(in, time.Since(began).Round(10*time.Millisecond))
				}
			}()
			synctest.Wait()
		}
		time.Sleep(50 * time.Millisecond)
		giveUp()
		synctest.Wait()
		if a.waiters() != 5 {
			t.Errorf("%d wait, want 5", a.waiters())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		const ms = time.Millisecond
		if want := []time.Duration{0, 100 * ms, 200 * ms, 300 * ms, 400 * ms, 500 * ms}; !slices.Equal(in, want) {
			t.Errorf("let in at %v, want %v", in, want)
		}
	})
}

// A server that begins to drain sends away who waits.
func TestAdmissionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admissionOf(1, time.Minute)
		accepting, stop := context.WithCancel(t.Context())
		errs := make(chan error, 10)
		for range 10 {
			go func() {
				_, err := a.await(t.Context(), accepting)
				errs <- err
			}()
		}
		synctest.Wait()
		stop()
		synctest.Wait()
		canceled := 0
		for range 10 {
			if errors.Is(<-errs, context.Canceled) {
				canceled++
			}
		}
		if canceled != 9 {
			t.Errorf("%d were sent away, want all but the first", canceled)
		}
	})
}

func TestNoAdmission(t *testing.T) {
	a := admissionOf(0, time.Second)
	for range 10_000 {
		if waited, err := a.await(t.Context(), t.Context()); waited || err != nil {
			t.Fatal(waited, err)
		}
	}
}
