package edge_test

import (
	"context"
	"errors"
	"testing"

	"github.com/coder/websocket"

	"github.com/aristochat/aristochat/edge"
)

// Without any time clients are cut off, but told to come back all the same: one
// that sees a broken connection backs off.
func TestShutdownAtOnce(t *testing.T) {
	for name, end := range map[string]func(*edgeServer, context.Context) error{
		"drain":    func(e *edgeServer, ctx context.Context) error { return e.Drain(ctx, nil) },
		"shutdown": func(e *edgeServer, ctx context.Context) error { return e.Shutdown(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			o := &edge.Options{}
			o.AwaitLastWord(patience) // a busy machine may write nothing for a while
			e := single(t, o, probes)
			const clients = 20
			codes := make(chan error, clients)
			for range clients {
				c := e.v2(t)
				c.join("1", "t:x")
				go func() {
					_, _, err := c.ws.Read(context.Background())
					codes <- err
				}()
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := end(e, ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			for range clients {
				if err := <-codes; websocket.CloseStatus(err) != websocket.StatusServiceRestart {
					t.Errorf("a client was left with %v, want 1012", err)
				}
			}
		})
	}
}
