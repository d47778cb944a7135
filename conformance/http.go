package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An answer is what a request came back with.
type answer struct {
	status  int
	headers http.Header
	body    string
	elapsed time.Duration
	err     error
}

func (p *player) dial(node string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	return d.DialContext(p.ctx, "tcp", p.target.addr(node))
}

// open does a websocket handshake.
func (p *player) open(s *Step) error {
	o := s.Open
	opt := func(name, standard string) string {
		v, ok := o.Handshake[name]
		if !ok {
			return standard
		}
		text, _ := v.(string) // false and null: no such header
		return text
	}
	method := opt("method", "GET")
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/%s\r\n", method, o.Path, opt("http", "1.1"))
	for _, h := range [][2]string{
		{"Host", opt("host_header", "localhost")},
		{"Upgrade", opt("upgrade", "websocket")},
		{"Connection", opt("connection", "Upgrade")},
		{"Sec-WebSocket-Version", opt("version", "13")},
		{"Sec-WebSocket-Key", opt("key", "dGhlIHNhbXBsZSBub25jZQ==")},
	} {
		if h[1] != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		}
	}
	writeHeaders(&b, o.Headers)

	c, err := p.dial(o.Node)
	sent := time.Since(began) // or soon after: what is measured from it is rather too long
	if err != nil {
		return err
	}
	r, got := exchange(c, b.Bytes(), method)
	if got.err == nil && got.status == http.StatusSwitchingProtocols {
		_ = c.SetDeadline(time.Time{})
		p.conns[s.connName()] = newConn(c, r, sent)
	} else {
		_ = c.Close()
	}
	return p.matchResponse(-1, s.Response, got)
}

// startRequest sends a request and returns where its answer will be.
func (p *player) startRequest(req *Request) chan answer {
	var b bytes.Buffer
	path := p.fill(req.Path, url.QueryEscape)
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", req.Method, path)
	if req.Body != "" || req.Method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(req.Body))
	}
	writeHeaders(&b, req.Headers)
	b.WriteString(string(req.Body))

	done := make(chan answer, 1)
	go func() {
		c, err := p.dial(req.Node)
		if err != nil {
			done <- answer{err: err}
			return
		}
		defer c.Close()
		_, got := exchange(c, b.Bytes(), req.Method)
		done <- got
	}()
	return done
}

func (p *player) endRequest(step int, done chan answer) error {
	if done == nil {
		return errors.New("no such request")
	}
	got := <-done // exchange has a deadline
	s := &p.c.Steps[step]
	if s.Racy {
		return got.err
	}
	if s.HTTP != nil && s.HTTP.Method == http.MethodGet {
		p.pollOn(s, &got)
	}
	return p.matchResponse(step, s.Response, got)
}

// pollOn polls again until as many messages have come as the recorded poll
// brought, or none comes: a busy server may have them one after the other.
func (p *player) pollOn(s *Step, got *answer) {
	wanted, messages := len(messagesOf(string(s.Response.Body))), messagesOf(got.body)
	for len(messages) > 0 && len(messages) < wanted {
		next := <-p.startRequest(s.HTTP)
		more := messagesOf(next.body)
		if len(more) == 0 {
			return
		}
		messages = append(messages, more...)
		var whole map[string]any
		_ = json.Unmarshal([]byte(next.body), &whole) // it had messages
		whole["messages"] = messages
		body, _ := json.Marshal(whole) // of what was JSON before
		got.body = string(body)
	}
}

// messagesOf returns the messages of a poll's answer, none if it is no such
// thing.
func messagesOf(body string) []string {
	var polled struct{ Messages []string }
	_ = json.Unmarshal([]byte(body), &polled)
	return polled.Messages
}

func writeHeaders(b *bytes.Buffer, headers map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(b, "%s: %s\r\n", name, headers[name])
	}
	b.WriteString("\r\n")
}

// exchange sends a request and reads its answer, up to the body's end or to
// where the websocket begins.
func exchange(c net.Conn, request []byte, method string) (*bufio.Reader, answer) {
	start := time.Now()
	_ = c.SetDeadline(start.Add(2 * patience))
	go func() { _, _ = c.Write(request) }() // the server may answer before it has read all
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return nil, answer{err: fmt.Errorf("reading the response: %w", err)}
	}
	defer res.Body.Close() // empty if a websocket begins
	got := answer{status: res.StatusCode, headers: res.Header}
	if got.status != http.StatusSwitchingProtocols {
		var body []byte
		body, got.err = io.ReadAll(res.Body)
		got.body = string(body)
	}
	got.elapsed = time.Since(start)
	return r, got
}

// Headers that the recordings leave out, or that only concern one hop.
var unrecordedHeaders = []string{
	"Date", "Server", "Vary", "Cache-Control", "X-Request-Id", "Content-Length",
	"Transfer-Encoding", "Keep-Alive",
}

// matchResponse compares status, headers and body. step is that of the body's
// dynamic values.
func (p *player) matchResponse(step int, want *Response, got answer) error {
	if got.err != nil {
		return got.err
	}
	whole := func(why string) error {
		return fmt.Errorf("got response %d %v %s\n\twant %d %v %s\n\t%s",
			got.status, got.headers, abridge(got.body), want.Status, want.Headers, abridge(string(want.Body)), why)
	}
	if got.status != want.Status {
		return whole("the statuses differ")
	}
	headers := got.headers.Clone()
	for _, name := range unrecordedHeaders {
		headers.Del(name)
	}
	if got.status != http.StatusSwitchingProtocols {
		headers.Del("Connection")
	}
	for name := range headers {
		if _, ok := want.Headers[strings.ToLower(name)]; !ok {
			return whole(fmt.Sprintf("the header %q is not wanted", name))
		}
	}
	for name, value := range want.Headers {
		if !sameHeader(name, headers.Get(name), value) {
			return whole(fmt.Sprintf("the headers %q differ", name))
		}
	}
	if about := p.target.ms(want.ElapsedMSAbout); about > 0 {
		if got.elapsed < about*7/10 || got.elapsed > about+patience {
			return whole(fmt.Sprintf("it took %s, want about %s", got.elapsed.Round(time.Millisecond), about))
		}
	}
	if err := p.matchBody(step, want, got.body); err != nil {
		return whole(err.Error())
	}
	return nil
}

func sameHeader(name, got, want string) bool {
	switch name {
	case "connection", "upgrade":
		return strings.EqualFold(got, want)
	case "sec-websocket-extensions": // space around ";" means nothing
		return strings.ReplaceAll(got, " ", "") == strings.ReplaceAll(want, " ", "")
	}
	return got == want
}

func (p *player) matchBody(step int, want *Response, got string) error {
	if !strings.HasPrefix(want.Headers["content-type"], "application/json") {
		if got != string(want.Body) {
			return errors.New("the bodies differ")
		}
		return nil
	}
	value, err := parseJSON(got)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	for name, pointer := range want.Capture {
		v, err := lookup(value, pointer)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		p.captured[name], _ = v.(string)
	}
	wanted, err := parseJSON(p.fill(string(want.Body), func(s string) string { return s }))
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	if err := openMessages(value); err != nil {
		return err
	}
	if err := openMessages(wanted); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	if p.c.Unordered {
		p.sortMessages(step, value, wanted)
	}
	return p.matchValue(step, value, wanted)
}

// openMessages turns the messages of a long-polling answer, which are strings
// of JSON, into the values that they hold.
func openMessages(body any) error {
	object, _ := body.(map[string]any)
	messages, _ := object["messages"].([]any)
	for i, m := range messages {
		text, ok := m.(string)
		if !ok {
			return fmt.Errorf("message %d is not a string", i)
		}
		v, err := parseJSON(text)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		messages[i] = v
	}
	return nil
}

// sortMessages puts the messages of a long-polling answer into the order of
// the recorded ones.
func (p *player) sortMessages(step int, got, want any) {
	g, _ := got.(map[string]any)["messages"].([]any)
	w, _ := want.(map[string]any)["messages"].([]any)
	if len(g) != len(w) {
		return
	}
	for i := range w {
		for j := i; j < len(g); j++ {
			trial := map[string]any{"messages": slices.Repeat([]any{nil}, len(w))}
			trial["messages"].([]any)[i] = clone(g[j])
			var dynamic []Dynamic
			prefix := "/messages/" + strconv.Itoa(i)
			for _, d := range p.c.Dynamic {
				if d.Step == step && d.Path == prefix {
					dynamic = append(dynamic, d)
				}
			}
			if (bindings{}).matchDynamic(dynamic, step, trial, want) == nil && diff(trial["messages"].([]any)[i], w[i]) == "" {
				g[i], g[j] = g[j], g[i]
				break
			}
		}
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, child := range v {
			c[k] = clone(child)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, child := range v {
			c[i] = clone(child)
		}
		return c
	}
	return v
}

// fill puts captured values in the places of {{name}}.
func (p *player) fill(s string, escape func(string) string) string {
	if token := p.captured["token"]; len(token) > 2 && p.captured["token2"] == "" {
		// As recorded: the token with its last two characters changed.
		s = strings.ReplaceAll(s, "{{token2}}", escape(token[:len(token)-2]+"AA"))
	}
	for name, value := range p.captured {
		s = strings.ReplaceAll(s, "{{"+name+"}}", escape(value))
	}
	return s
}
