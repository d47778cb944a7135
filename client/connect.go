package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// connect does one handshake.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout, timeoutError(c.opts.Timeout))
	defer cancel()
	cn := &conn{client: c}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { cn.raw = info.Conn },
	})
	token := c.opts.Token
	if c.opts.RefreshToken != nil {
		var err error
		if token, err = c.opts.RefreshToken(ctx); err != nil {
			return nil, fmt.Errorf("client: asking for a token: %w", err)
		}
	}
	ws, res, err := websocket.Dial(ctx, c.address, &websocket.DialOptions{ //nolint:bodyclose // says its documentation
		HTTPClient:   c.opts.HTTPClient,
		HTTPHeader:   c.opts.Header,
		Subprotocols: subprotocols(token),
	})
	if err != nil {
		return nil, connectError(ctx, res, err)
	}
	ws.SetReadLimit(c.opts.MaxMessage)
	cn.ws = ws
	return cn, nil
}

// connectError says what went wrong without the address, whose params may be
// secrets.
func connectError(ctx context.Context, res *http.Response, err error) error {
	if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(res.Body) // at most 1 KiB, which Dial has read
		return fmt.Errorf("client: %w", &RefusedError{
			Status:     res.StatusCode,
			Body:       string(body),
			RetryAfter: retryAfter(res.Header.Get("Retry-After")),
		})
	}
	if ctx.Err() != nil {
		return fmt.Errorf("client: connecting: %w", cause(ctx))
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err
	}
	if errors.Is(err, io.EOF) {
		err = errHungUp
	}
	return fmt.Errorf("client: connecting: %w", err)
}

// longestWait bounds what a server may ask for: more is not believed.
const longestWait = time.Hour

// retryAfter reads the header of RFC 9110, section 10.2.3.
func retryAfter(value string) time.Duration {
	after := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		after = time.Until(at)
	}
	return min(max(after, 0), longestWait)
}

// run reads from one connection after the other until Close.
func (c *Client) run(cn *conn) {
	try := 0
	for cn != nil {
		err := cn.read()
		if cn.lasted() {
			try = 0
		}
		if !c.disconnected(cn, err) {
			return
		}
		cn = c.reconnect(err, &try)
	}
}

// reconnect returns a new connection, or nil after Close. err is what ended the
// last one.
func (c *Client) reconnect(err error, try *int) *conn {
	for {
		*try++
		if !c.wait(err, *try) {
			return nil
		}
		cn, failed := c.connect(c.closing)
		if failed == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.closed {
				_ = cn.ws.CloseNow() // nobody is told
				return nil
			}
			c.connectedLocked(cn)
			return cn
		}
		err = failed
		if c.closing.Err() == nil {
			c.opts.Logger.Warn("cannot reconnect", slog.Int("try", *try), slog.Any("error", err))
		}
	}
}

// wait waits until it is time for an attempt. It returns false after Close.
func (c *Client) wait(err error, try int) bool {
	delay := c.delay(err, try)
	state := State{Status: Reconnecting, Err: err, Try: try, Next: time.Now().Add(delay)}
	select { // who asked before it is told means another one
	case <-c.now:
	default:
	}
	if !c.setState(state) {
		return false
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.now:
	case <-c.closing.Done():
		return false
	}
	state.Next = time.Time{}
	return c.setState(state)
}

// setState returns false after Close.
func (c *Client) setState(s State) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.setStateLocked(s)
	}
	return !c.closed
}

const (
	// spread is how long those wait at least to be spread over, whom a server
	// sent away all at once or asked to come later.
	spread = 2 * time.Second
	// slowly is how often to try when the answer was that one may not.
	slowly = 30 * time.Second
)

// delay returns how long to wait after err.
func (c *Client) delay(err error, try int) time.Duration {
	delay := c.opts.ReconnectAfter(try)
	if end, ok := errors.AsType[*CloseError](err); ok {
		switch websocket.StatusCode(end.Code) {
		case websocket.StatusServiceRestart, websocket.StatusTryAgainLater:
			return max(delay, jitter(spread))
		}
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		switch refused.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return max(delay, slowly/2+jitter(slowly/2))
		}
		if refused.RetryAfter > 0 {
			return refused.RetryAfter + max(delay, jitter(spread))
		}
	}
	return delay
}
