package edge_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/coder/websocket"
)

const (
	pollPath = "/socket/longpoll?vsn=2.0.0"
	secret   = "what all edges of a cluster know"
)

// longPoll returns options with long-polling on.
func longPoll(change ...func(*edge.Options)) *edge.Options {
	o := &edge.Options{LongPoll: &edge.LongPoll{Secret: []byte(secret)}}
	for _, f := range change {
		f(o)
	}
	return o
}

// window has polls last so long.
func window(d time.Duration) func(*edge.Options) {
	return func(o *edge.Options) { o.LongPoll.Window = d }
}

// A polled is the body of an answer.
type polled struct {
	Status   int
	Messages []string
	Token    string
}

// A poller is a client that long-polls, as far as a test wants it to. Each of
// its requests goes to the next edge.
type poller struct {
	t     testing.TB
	edges []*edgeServer
	next  int
	path  string
	token string

	unread []string // messages that came and have not been asked for
}

// request sends a request and returns the answer and its body.
func request(t testing.TB, e *edgeServer, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return requestUntil(ctx, t, e, method, path, body, headers...)
}

func requestUntil(ctx context.Context, t testing.TB, e *edgeServer, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, e.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := e.http.Client().Do(r)
	if err != nil {
		if ctx.Err() == nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		return &http.Response{}, ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return res, string(b)
}

func parsePolled(t testing.TB, res *http.Response, body string) (p polled) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &p); err != nil || res.StatusCode != 200 {
		t.Errorf("got %d %q: %v", res.StatusCode, body, err)
	}
	return p
}

// newPoller begins a session on the first of the edges.
func newPoller(t testing.TB, edges ...*edgeServer) *poller {
	t.Helper()
	return newPollerAt(t, pollPath, edges...)
}

func newPollerAt(t testing.TB, path string, edges ...*edgeServer) *poller {
	t.Helper()
	p := &poller{t: t, edges: edges, path: path}
	p.begin()
	return p
}

func (p *poller) begin() {
	p.t.Helper()
	path := p.path
	if p.token != "" {
		path = p.url()
	}
	res, body := request(p.t, p.edge(), "GET", path, "")
	a := parsePolled(p.t, res, body)
	if a.Status != 410 || a.Token == "" || a.Token == p.token || len(a.Messages) != 0 {
		p.t.Fatalf("got %q, want a new session", body)
	}
	p.token = a.Token
}

func (p *poller) edge() *edgeServer {
	p.next++
	return p.edges[(p.next-1)%len(p.edges)]
}

func (p *poller) url() string { return p.path + "&token=" + url.QueryEscape(p.token) }

func (p *poller) poll() polled {
	p.t.Helper()
	res, body := request(p.t, p.edge(), "GET", p.url(), "")
	return parsePolled(p.t, res, body)
}

// post sends frames and returns the status.
func (p *poller) post(frames ...string) int {
	p.t.Helper()
	res, body := request(p.t, p.edge(), "POST", p.url(), strings.Join(frames, "\n"), "Content-Type: application/x-ndjson")
	return parsePolled(p.t, res, body).Status
}

func (p *poller) send(frames ...string) {
	p.t.Helper()
	if status := p.post(frames...); status != 200 {
		p.t.Fatalf("POST: status %d, want 200", status)
	}
}

// read returns the next message.
func (p *poller) read() string {
	p.t.Helper()
	for deadline := time.Now().Add(patience); len(p.unread) == 0; {
		a := p.poll()
		if a.Status != 200 && a.Status != 204 || a.Token != p.token {
			p.t.Fatalf("got %+v, want messages", a)
		}
		if time.Now().After(deadline) {
			p.t.Fatal("no message")
		}
		p.unread = a.Messages
	}
	m := p.unread[0]
	p.unread = p.unread[1:]
	return m
}

func (p *poller) want(messages ...string) {
	p.t.Helper()
	for _, w := range messages {
		if got := p.read(); !sameJSON(p.t, got, w) {
			p.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

func (p *poller) join(ref, topic string) {
	p.t.Helper()
	p.send(fmt.Sprintf(`[%q,%q,%q,"phx_join",{}]`, ref, ref, topic))
	p.want(fmt.Sprintf(`[%q,%q,%q,"phx_reply",{"status":"ok","response":{}}]`, ref, ref, topic))
}

const (
	beat      = `[null,"hb","phoenix","heartbeat",{}]`
	beatReply = `[null,"hb","phoenix","phx_reply",{"status":"ok","response":{}}]`
)

// cluster starts n edges that share one NATS and one secret.
func cluster(t testing.TB, n int, change ...func(*edge.Options)) []*edgeServer {
	t.Helper()
	ns := newNATS(t)
	var edges []*edgeServer
	for range n {
		edges = append(edges, newEdge(t, newLink(t, ns), longPoll(change...), probes))
	}
	return edges
}

func TestLongPollOff(t *testing.T) {
	e := single(t, nil, probes)
	if res, _ := request(t, e, "GET", pollPath, ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("status %d, want 404", res.StatusCode)
	}
}

func TestLongPollShortSecret(t *testing.T) {
	_, err := edge.New(newLink(t, newNATS(t)), &edge.Options{LongPoll: &edge.LongPoll{Secret: []byte("short")}})
	if err == nil || !strings.Contains(err.Error(), "16") {
		t.Errorf("New = %v, want an error that says how long the secret must be", err)
	}
}

// Requests that concern no session, or a new one.
func TestLongPollRequests(t *testing.T) {
	e := single(t, longPoll(func(o *edge.Options) {
		o.Connect = func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
			switch h.Params.Get("refuse") {
			case "yes":
				return edge.Session{}, errors.New("no")
			case "crash":
				panic("in connect")
			}
			return edge.Session{}, nil
		}
	}), probes)
	const forbidden, gone = `{"status":403}`, `{"status":410}`
	evil := []string{"Origin: https://evil.test"}
	ndjson := "Content-Type: application/x-ndjson"
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		want                     string // "new" for a new session
	}{
		{"G01 first poll", "GET", pollPath + "&", "", nil, 200, "new"},
		{"no vsn", "GET", "/socket/longpoll", "", nil, 200, "new"},
		{"doubled slashes", "GET", "/socket//longpoll/", "", nil, 200, "new"},
		{"longer path", "GET", "/socket/longpoll/x", "", nil, 404, "Not Found"},
		{"G10 bogus token", "GET", pollPath + "&token=bogus", "", nil, 200, "new"},
		{"token list", "GET", pollPath + "&token[]=bogus", "", nil, 200, "new"},
		{"expired token", "GET", pollPath + "&token=" + edge.SignToken(secret, "NOBODY", time.Now()), "", nil, 200, "new"},
		{"G26 token of an edge that is not there", "GET", pollPath + "&token=" + edge.SignToken(secret, "NOBODY", time.Now().Add(time.Hour)), "", nil, 200, "new"},
		{"the same, POST", "POST", pollPath + "&token=" + edge.SignToken(secret, "NOBODY", time.Now().Add(time.Hour)), beat, []string{ndjson}, 200, gone},
		{"token for another NATS subject", "GET", pollPath + "&token=" + edge.SignToken(secret, "a.b.>", time.Now().Add(time.Hour)), "", nil, 200, "new"},
		{"G09 POST without token", "POST", pollPath, beat, []string{ndjson}, 200, gone},
		{"G09 POST with bogus token", "POST", pollPath + "&token=bogus", beat, []string{ndjson}, 200, gone},
		{"G13 PUT", "PUT", pollPath, "", nil, 400, ""},
		{"G13 DELETE", "DELETE", pollPath, "", nil, 400, ""},
		{"G13 PATCH", "PATCH", pollPath, "", nil, 400, ""},
		{"G13 HEAD", "HEAD", pollPath, "", nil, 400, ""},
		{"G14 origin, GET", "GET", pollPath, "", evil, 200, forbidden},
		{"G14 origin, POST", "POST", pollPath, "", evil, 200, forbidden},
		{"G14 origin, OPTIONS", "OPTIONS", pollPath, "", evil, 200, forbidden},
		{"G15 vsn", "GET", "/socket/longpoll?vsn=9.9.9", "", nil, 200, forbidden},
		{"G15 vsn list", "GET", "/socket/longpoll?vsn[]=2.0.0", "", nil, 200, forbidden},
		{"G15 refused", "GET", pollPath + "&refuse=yes", "", nil, 200, forbidden},
		{"connect crashes", "GET", pollPath + "&refuse=crash", "", nil, 500, "Internal Server Error"},
		{"bad query", "GET", pollPath + "&a=%ff", "", nil, 400, "Bad Request"},
		{"G12 preflight", "OPTIONS", pollPath, "", []string{"Access-Control-Request-Headers: content-type, x-foo"}, 200, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := request(t, e, tt.method, tt.path, tt.body, tt.headers...)
			want := tt.want
			if want == "new" {
				a := parsePolled(t, res, body)
				want = fmt.Sprintf(`{"messages":[],"status":410,"token":%q}`, a.Token)
				if a.Token == "" {
					t.Error("no token")
				}
			}
			if res.StatusCode != tt.status || strings.TrimSpace(body) != want {
				t.Errorf("got %d %q, want %d %q", res.StatusCode, body, tt.status, want)
			}
			if res.StatusCode == 404 {
				return
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != "*" {
				t.Errorf("Access-Control-Allow-Origin: %q", got)
			}
			if got := res.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %q", got)
			}
			if got := res.Header.Get("Content-Type"); strings.HasPrefix(want, "{") && got != "application/json; charset=utf-8" {
				t.Errorf("Content-Type: %q", got)
			}
		})
	}
	res, _ := request(t, e, "OPTIONS", pollPath, "", "Access-Control-Request-Headers: content-type, x-foo")
	for name, want := range map[string]string{
		"Access-Control-Allow-Headers": "content-type, x-foo",
		"Access-Control-Allow-Methods": "get, post, options",
		"Access-Control-Max-Age":       "3600",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// What a session's POSTs come to, on the edge that has it and through another.
func TestLongPollBodies(t *testing.T) {
	binary := string([]byte{0, 1, 1, 3, 6, '1', '9', 't', ':', 'x', 'c', 'u', 's', 't', 'o', 'm'}) + `{}`
	ok := func(ref string) string {
		return fmt.Sprintf(`[null,%q,"phoenix","phx_reply",{"status":"ok","response":{}}]`, ref)
	}
	var hundred, answers []string
	for i := range 101 {
		hundred = append(hundred, fmt.Sprintf(`[null,"%d","phoenix","heartbeat",{}]`, i))
		if i < 100 {
			answers = append(answers, ok(fmt.Sprint(i)))
		}
	}
	const ndjson = "application/x-ndjson"
	tests := []struct {
		name, contentType, body string
		status                  int // of HTTP if it is no success, else the body's
		want                    []string
		gone                    bool // the session
	}{
		{"G03 join", ndjson, `["2","2","t:y","phx_join",{}]`, 200, []string{`["2","2","t:y","phx_reply",{"status":"ok","response":{}}]`}, false},
		{"G04 three lines", ndjson, hundred[0] + "\n" + hundred[1] + "\r\n" + hundred[2], 200, answers[:3], false},
		{"G05 JSON", "application/json", beat, 200, []string{beatReply}, false},
		{"G05 no type", "", beat, 200, []string{beatReply}, false},
		{"G05 a parameter", ndjson + "; charset=utf-8", beat, 200, []string{beatReply}, false},
		{"G06 binary", ndjson, base64.StdEncoding.EncodeToString([]byte(binary)), 200, nil, false},
		{"G07 101 lines", ndjson, strings.Join(hundred, "\n"), 200, answers, false},
		{"G08 not joined", ndjson, `["1","5","t:none","x",{}]`, 200, []string{`[null,"5","t:none","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`}, false},
		{"G21 empty lines", ndjson, "\n" + beat + "\n\r\n", 200, []string{beatReply}, false},
		{"empty ndjson", ndjson, "", 200, nil, false},
		{"neither text nor base64", ndjson, beat + "\n!!!", 500, nil, false},
		{"V1 as ndjson", ndjson, `{"topic":"phoenix"}`, 500, nil, false},
		{"G22 not JSON", ndjson, "[bad", 410, nil, true},
		{"G22 after a good one", ndjson, beat + "\n[bad\n" + beat, 410, nil, true},
		{"not a message", ndjson, `["1"]`, 410, nil, true},
		{"bad binary", ndjson, "////", 410, nil, true},
		{"empty JSON", "application/json", "", 410, nil, true},
		{"bad UTF-8", "application/json", "[\"\xff\"]", 410, nil, true},
		{"message too large", "application/json", `[null,"1","phoenix","heartbeat","` + strings.Repeat("x", 1<<20) + `"]`, 410, nil, true},
		{"G23 body too large", ndjson, strings.Repeat(beat+"\n", 8_100_000/len(beat)), 400, nil, false},
		{"many parts", ndjson, strings.Repeat(fmt.Sprintf(`["1","9","t:x","echo",{"p":%q}]`+"\n", strings.Repeat("x", 100_000)), 12), 200,
			slicesRepeat(fmt.Sprintf(`["1","9","t:x","phx_reply",{"status":"ok","response":{"p":%q}}]`, strings.Repeat("x", 100_000)), 12), false},
	}
	edges := cluster(t, 2)
	for i, where := range []string{"owner", "other"} {
		for _, tt := range tests {
			t.Run(where+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				p := newPoller(t, edges[0])
				p.edges = edges[i : i+1]
				p.join("1", "t:x")
				var headers []string
				if tt.contentType != "" {
					headers = []string{"Content-Type: " + tt.contentType}
				}
				res, body := request(t, p.edge(), "POST", p.url(), tt.body, headers...)
				status := res.StatusCode
				if status == 200 {
					status = parsePolled(t, res, body).Status
				}
				if status != tt.status {
					t.Fatalf("got %d %q, want %d", res.StatusCode, body, tt.status)
				}
				if tt.gone {
					if got := p.post(beat); got != 410 {
						t.Errorf("the next POST: %d, want 410", got)
					}
					p.begin()
					return
				}
				if tt.name == "G06 binary" {
					p.want(`["1","9","t:x","phx_reply",{"status":"maybe","response":{}}]`)
				}
				p.want(tt.want...)
				p.send(beat)
				p.want(beatReply)
			})
		}
	}
}

func slicesRepeat(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

func TestLongPollV1(t *testing.T) {
	e := single(t, longPoll(), probes)
	p := newPollerAt(t, "/socket/longpoll?a=b", e)
	res, body := request(t, e, "POST", p.url(), `{"topic":"t:x","event":"phx_join","payload":{},"ref":"1"}`, "Content-Type: application/json")
	if a := parsePolled(t, res, body); a.Status != 200 {
		t.Fatalf("POST: %s", body)
	}
	p.want(`{"topic":"t:x","event":"phx_reply","ref":"1","payload":{"status":"ok","response":{}}}`)
}

// G02, G19: a poll ends with its window; without polls a session ends.
func TestLongPollWindow(t *testing.T) {
	t.Parallel()
	const open = 2 * time.Second
	edges := cluster(t, 2, window(open))
	t.Run("edges", func(t *testing.T) {
		for i, where := range []string{"owner", "other"} {
			t.Run(where, func(t *testing.T) {
				t.Parallel()
				p := newPoller(t, edges[0])
				p.edges = edges[i : i+1]
				began := time.Now()
				if a := p.poll(); a.Status != 204 || a.Token != p.token || len(a.Messages) != 0 {
					t.Errorf("got %+v, want 204", a)
				}
				if d := time.Since(began); d < open*9/10 {
					t.Errorf("an empty poll took %v", d)
				}
				eventually(t, "gone, since POSTs do not keep it alive", func() bool { return p.post(beat) == 410 })
				p.begin()
			})
		}
	})
	eventually(t, "sessions gone", func() bool { return edges[0].Stats().Sockets+edges[1].Stats().Sockets == 0 })
}

// A session that is polled lives, however long.
func TestLongPollLives(t *testing.T) {
	t.Parallel()
	edges := cluster(t, 2, window(2*time.Second))
	p := newPoller(t, edges...)
	for range 4 {
		if a := p.poll(); a.Status != 204 {
			t.Fatalf("got %+v, want 204", a)
		}
	}
	p.join("1", "t:x")
}

// G17, G18: a waiting poll is answered as soon as there is something; of two the
// newer one is, and the older one waits until its end.
func TestLongPollWaits(t *testing.T) {
	t.Parallel()
	edges := cluster(t, 2, window(5*time.Second))
	for _, where := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		t.Run(fmt.Sprint(where), func(t *testing.T) {
			t.Parallel()
			p := newPoller(t, edges[0])
			var wg sync.WaitGroup
			var older, newer polled
			wg.Go(func() {
				res, body := request(t, edges[where[0]], "GET", p.url(), "")
				older = parsePolled(t, res, body)
			})
			first := awaitPoll(t, edges[0], p, 0)
			wg.Go(func() {
				res, body := request(t, edges[where[1]], "GET", p.url(), "")
				newer = parsePolled(t, res, body)
			})
			awaitPoll(t, edges[0], p, first)
			p.send(beat)
			wg.Wait()
			// At its window's end it would be 204.
			if newer.Status != 200 || len(newer.Messages) != 1 || !sameJSON(t, newer.Messages[0], beatReply) {
				t.Errorf("the newer poll got %+v, want the message", newer)
			}
			if older.Status != 204 {
				t.Errorf("the older poll got %+v, want 204", older)
			}
		})
	}
}

// awaitPoll waits until a poll of the session waits at its owner, another one
// than the one of that name, and returns its name.
func awaitPoll(t testing.TB, owner *edgeServer, p *poller, other uint64) (get uint64) {
	t.Helper()
	eventually(t, "a poll waits", func() bool {
		get, _ = owner.Polling(p.token)
		return get != 0 && get != other
	})
	return get
}

// A poll may last longer than the HTTP server lets a request take.
func TestLongPollServerTimeouts(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	e := single(t, longPoll(window(4*timeout)), probes)
	hs := httptest.NewUnstartedServer(e)
	hs.Config.ReadTimeout, hs.Config.WriteTimeout = timeout, timeout
	hs.Start()
	defer hs.Close()
	p := newPoller(t, &edgeServer{e.Server, hs})
	for range 2 {
		if a := p.poll(); a.Status != 204 {
			t.Errorf("got %+v, want 204", a)
		}
	}
	waiting := make(chan polled)
	go func() { waiting <- p.poll() }()
	time.Sleep(timeout * 3 / 2)
	p.send(beat)
	if a := <-waiting; a.Status != 200 {
		t.Errorf("got %+v, want the message", a)
	}
}

// A client that leaves while it waits takes nothing with it.
func TestLongPollLeft(t *testing.T) {
	edges := cluster(t, 2)
	p := newPoller(t, edges[0])
	for i := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			defer close(left)
			requestUntil(ctx, t, edges[i], "GET", p.url(), "")
		}()
		awaitPoll(t, edges[0], p, 0)
		cancel()
		<-left
		eventually(t, "the server knows that it has left", func() bool { return edges[i].Requests() == 0 })
		p.send(beat)
		p.want(beatReply)
	}
}

// G20: a POST whose messages are not taken in time says so; the session lives.
func TestLongPollBlocked(t *testing.T) {
	t.Parallel()
	for i, where := range []string{"owner", "other"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			gate := make(chan struct{})
			ns := newNATS(t)
			var edges []*edgeServer
			for range 2 {
				// The owner has half of its time-out to spare, the session half a window.
				o := longPoll(window(6*time.Second), func(o *edge.Options) { o.LongPoll.OwnerTimeout = 6 * time.Second })
				edges = append(edges, newEdge(t, newLink(t, ns), o, func() edge.Channel { return &probe{gate: gate} }))
			}
			p := newPoller(t, edges[0])
			p.join("1", "t:x")
			p.send(`["1","w","t:x","wait",{}]`)
			p.edges = edges[i : i+1]
			big := fmt.Sprintf(`["1","b","t:x","none",{"p":%q}]`, strings.Repeat("x", 700<<10))
			if status := p.post(big, big, big); status != 408 {
				t.Errorf("status %d, want 408", status)
			}
			go func() { gate <- struct{}{} }()
			p.want(`["1","w","t:x","phx_reply",{"status":"ok","response":{}}]`)
			p.send(beat)
			p.want(beatReply)
		})
	}
}

// G11, and what other edges make of it.
func TestLongPollTokenHeader(t *testing.T) {
	edges := cluster(t, 2)
	p := newPoller(t, edges[0])
	for _, e := range edges {
		res, body := request(t, e, "POST", pollPath+"&token=bogus", beat, "X-Phoenix-Longpoll-Token: "+p.token)
		if a := parsePolled(t, res, body); a.Status != 200 {
			t.Errorf("token in the header: %s", body)
		}
		res, body = request(t, e, "POST", p.url(), beat, "X-Phoenix-Longpoll-Token: bogus")
		if a := parsePolled(t, res, body); a.Status != 410 {
			t.Errorf("bogus token in the header: %s", body)
		}
		res, body = request(t, e, "GET", pollPath, "", "X-Phoenix-Longpoll-Token: "+p.token)
		if a := parsePolled(t, res, body); a.Status != 200 || a.Token != p.token {
			t.Errorf("poll with the header: %s", body)
		}
	}
}

// G27: the token is what the header says, and only if the server wants one.
func TestLongPollAuthToken(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		got := "never asked"
		e := single(t, longPoll(func(o *edge.Options) {
			o.AuthToken = wanted
			o.Connect = func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
				got = fmt.Sprintf("%q %v", h.Token, h.HasToken)
				return edge.Session{}, nil
			}
		}), probes)
		request(t, e, "GET", pollPath, "", "X-Phoenix-AuthToken: a+b/c=")
		want := `"" false`
		if wanted {
			want = `"a+b/c=" true`
		}
		if got != want {
			t.Errorf("AuthToken %v: Connect sees %s, want %s", wanted, got, want)
		}
	}
}

// G24, G28: what happens to the channel or the socket reaches the client.
func TestLongPollEnds(t *testing.T) {
	ended := make(chan error, 1)
	e := single(t, longPoll(func(o *edge.Options) {
		o.Connect = func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
			return edge.Session{ID: h.Params.Get("user")}, nil
		}
	}), func() edge.Channel { return &probe{ended: ended} })
	p := newPollerAt(t, pollPath+"&user=ann", e)
	p.join("1", "t:x")
	p.send(`["1","2","t:x","crash",{}]`)
	p.want(`["1","1","t:x","phx_error",{"reason":"channel_crash"}]`, `["1",null,"t:x","left",{}]`)
	<-ended
	p.join("3", "t:x")
	waiting := make(chan polled)
	go func() { waiting <- p.poll() }()
	awaitPoll(t, e, p, 0)
	if err := e.Disconnect(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	if a := <-waiting; a.Status != 410 || a.Token == p.token {
		t.Errorf("the poll of a disconnected client got %+v, want a new session", a)
	}
	if err := <-ended; !errors.Is(err, edge.ErrDisconnected) {
		t.Errorf("the channel ended with %v", err)
	}
	if got := p.post(beat); got != 410 {
		t.Errorf("POST: %d, want 410", got)
	}
}

// A binary push has no form. It ends the session, unless it happens to be text.
func TestLongPollBinaryPush(t *testing.T) {
	for name, data := range map[string]edge.Binary{"text": edge.Binary("abc"), "bytes": {0xff, 0xfe}} {
		edges := cluster(t, 2)
		for i := range edges {
			p := newPoller(t, edges[0])
			p.join("1", "t:x")
			p.edges = edges[i : i+1]
			if err := edges[0].Broadcast(t.Context(), "t:x", "bin", data); err != nil {
				t.Fatal(err)
			}
			res, body := request(t, p.edge(), "GET", p.url(), "")
			if name == "text" {
				if a := parsePolled(t, res, body); len(a.Messages) != 1 || !strings.HasSuffix(a.Messages[0], "t:xbinabc") {
					t.Errorf("got %q", body)
				}
				continue
			}
			if res.StatusCode != 500 {
				t.Errorf("got %d %q, want 500", res.StatusCode, body)
			}
			if got := p.post(beat); got != 410 {
				t.Errorf("the next POST: %d, want 410", got)
			}
		}
	}
}

// A session and a websocket are members of one room alike, and edges take turns.
func TestLongPollRoundRobin(t *testing.T) {
	edges := cluster(t, 3)
	p := newPoller(t, edges...)
	p.join("1", "t:x")
	ws := edges[2].v2(t)
	ws.join("1", "t:x")
	for i := range 20 {
		p.send(fmt.Sprintf(`["1","a%d","t:x","bc",{"n":%d}]`, i, i), fmt.Sprintf(`["1","b%d","t:x","echo",{"pad":%q}]`, i, strings.Repeat("é\"\\", i*8_000)))
		ws.want(fmt.Sprintf(`[null,null,"t:x","bc",{"n":%d}]`, i))
		p.want(
			fmt.Sprintf(`[null,null,"t:x","bc",{"n":%d}]`, i),
			fmt.Sprintf(`["1","a%d","t:x","phx_reply",{"status":"ok","response":{}}]`, i),
			fmt.Sprintf(`["1","b%d","t:x","phx_reply",{"status":"ok","response":{"pad":%q}}]`, i, strings.Repeat("é\"\\", i*8_000)),
		)
	}
	for i := range 500 {
		if err := edges[1].Broadcast(t.Context(), "t:x", "bc", map[string]int{"i": i}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 500 {
		p.want(fmt.Sprintf(`[null,null,"t:x","bc",{"i":%d}]`, i))
	}
	if n := edges[0].Stats().LongPolls; n != 1 {
		t.Errorf("the first edge has %d sessions, want 1", n)
	}
}

// A slowCaller gets its answers late.
type slowCaller struct {
	*backbone.Link
	by time.Duration
}

func (c slowCaller) Request(ctx context.Context, to string, data []byte) ([]byte, error) {
	answer, err := c.Link.Request(ctx, to, data)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(c.by):
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// The owner has handed out its messages when the window ends, and they are
// still on their way: the client gets them.
func TestLongPollLateAnswer(t *testing.T) {
	ns := newNATS(t)
	o := func() *edge.Options {
		return longPoll(window(2*time.Second), func(o *edge.Options) { o.LongPoll.OwnerTimeout = patience })
	}
	owner := newEdge(t, newLink(t, ns), o(), probes)
	other := newEdge(t, slowCaller{newLink(t, ns), 2500 * time.Millisecond}, o(), probes)
	p := newPoller(t, owner)
	p.join("1", "t:x")
	if err := owner.Broadcast(t.Context(), "t:x", "bc", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message is there", func() bool { _, n := owner.Polling(p.token); return n > 0 })
	p.edges = []*edgeServer{other}
	if a := p.poll(); a.Status != 200 || len(a.Messages) != 1 {
		t.Errorf("got %+v, want the message", a)
	}
}

// G26: an owner that has died is known at once, also by who waits.
func TestLongPollOwnerDies(t *testing.T) {
	ns := newNATS(t)
	link := newLink(t, ns)
	owner := newEdge(t, link, longPoll(window(patience)), probes)
	other := newEdge(t, newLink(t, ns), longPoll(window(patience)), probes)
	p := newPoller(t, owner)
	p.edges = []*edgeServer{other}
	p.join("1", "t:x")
	waiting := make(chan polled)
	go func() { waiting <- p.poll() }()
	awaitPoll(t, owner, p, 0)
	if err := link.Close(t.Context()); err != nil { // as NATS sees a process that was killed
		t.Fatal(err)
	}
	began := time.Now()
	if got := p.post(beat); got != 410 {
		t.Errorf("POST: %d, want 410", got)
	}
	if a := <-waiting; a.Status != 410 || a.Token == p.token {
		t.Errorf("the waiting poll got %+v, want a new session", a)
	}
	p.begin()
	if d := time.Since(began); d > patience/2 { // not a window
		t.Errorf("it took %v", d)
	}
	p.join("2", "t:x")
}

// An owner that does not answer counts as gone after the time-out.
func TestLongPollOwnerHangs(t *testing.T) {
	t.Parallel()
	ns := newNATS(t)
	stop, err := newLink(t, ns).Serve(t.Context(), "HUNG", func(ctx context.Context, _ []byte) []byte {
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	o := longPoll(func(o *edge.Options) { o.LongPoll.OwnerTimeout = 300 * time.Millisecond })
	e := newEdge(t, newLink(t, ns), o, probes)
	p := &poller{t: t, edges: []*edgeServer{e}, path: pollPath, token: edge.SignToken(secret, "HUNG", time.Now().Add(time.Hour))}
	began := time.Now()
	if got := p.post(beat); got != 410 {
		t.Errorf("POST: %d, want 410", got)
	}
	posted := time.Now()
	p.begin()
	for what, d := range map[string]time.Duration{"POST": posted.Sub(began), "GET": time.Since(posted)} {
		if d < 250*time.Millisecond || d > 8*time.Second { // not a window
			t.Errorf("%s took %v, want about 300ms", what, d)
		}
	}
}

// D06: a drained edge sends its clients elsewhere at once, and those of others
// to where they can go on.
func TestLongPollDrain(t *testing.T) {
	ns := newNATS(t)
	mk := func() *edgeServer { return newEdge(t, newLink(t, ns), longPoll(window(patience)), probes) }
	draining, other := mk(), mk()
	own, guest := newPoller(t, draining), newPoller(t, other)
	own.join("1", "t:x")
	guest.join("1", "t:x")
	guest.edges = []*edgeServer{draining}
	ownAnswer, guestAnswer := make(chan polled), make(chan polled)
	go func() { ownAnswer <- own.poll() }()
	go func() { guestAnswer <- guest.poll() }()
	awaitPoll(t, draining, own, 0)
	awaitPoll(t, other, guest, 0)
	began := time.Now()
	if err := draining.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-ownAnswer; a.Status != 410 {
		t.Errorf("a poll of the drained edge's own got %+v, want 410", a)
	}
	if a := <-guestAnswer; a.Status != 204 || a.Token != guest.token {
		t.Errorf("another edge's poll got %+v, want 204", a)
	}
	if d := time.Since(began); d > patience/2 { // not a window
		t.Errorf("it took %v", d)
	}
	if res, _ := request(t, draining, "GET", pollPath, ""); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new session on a drained edge: %d, want 503", res.StatusCode)
	}
	guest.edges = []*edgeServer{other}
	guest.send(beat)
	guest.want(beatReply)
	own.edges = []*edgeServer{other}
	own.begin()
	own.join("2", "t:x")
}

// Who loses a session resumes from history, with nothing missing.
func TestLongPollResumes(t *testing.T) {
	ns := newNATS(t)
	links := []*backbone.Store{newStore(t, ns, nil), newStore(t, ns, nil)}
	var edges []*edgeServer
	for _, l := range links {
		edges = append(edges, newEdge(t, l, longPoll(), tellers, edge.Stored("say")))
	}
	say := func(n int) {
		t.Helper()
		if err := edges[1].Broadcast(t.Context(), "t:x", "say", map[string]int{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
	p := newPoller(t, edges...)
	p.send(`["1","1","t:x","phx_join",{"history":0}]`)
	var reply []json.RawMessage
	if err := json.Unmarshal([]byte(p.read()), &reply); err != nil {
		t.Fatal(err)
	}
	var past struct {
		Response struct {
			Epoch    string
			LastSeq  uint64 `json:"last_seq"`
			Messages []struct{ N int }
		}
	}
	if err := json.Unmarshal(reply[4], &past); err != nil {
		t.Fatal(err)
	}
	say(1)
	if got := p.read(); !strings.Contains(got, `{"n":1,"seq":1,`) {
		t.Fatal(got)
	}
	if err := links[0].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	say(2)
	p.edges = edges[1:]
	p.begin()
	say(3)
	p.send(fmt.Sprintf(`["2","2","t:x","phx_join",{"since":1,"epoch":%q}]`, past.Response.Epoch))
	if err := json.Unmarshal([]byte(p.read()), &reply); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reply[4], &past); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(past.Response.Messages); got != "[{2} {3}]" {
		t.Errorf("got %s after the session was lost, want what was said meanwhile", got)
	}
}

func TestLongPollLimits(t *testing.T) {
	named := func(o *edge.Options) {
		o.Connect = func(_ context.Context, h *edge.Handshake) (edge.Session, error) {
			return edge.Session{ID: h.Params.Get("user")}, nil
		}
	}
	status := func(t *testing.T, e *edgeServer, query string, headers ...string) int {
		t.Helper()
		res, body := request(t, e, "GET", pollPath+query, "", headers...)
		return parsePolled(t, res, body).Status
	}
	t.Run("sessions of a user", func(t *testing.T) {
		e := single(t, longPoll(named, window(3*time.Second), func(o *edge.Options) { o.LongPoll.SessionsPerUser = 2 }), probes)
		for i, want := range []int{410, 410, 403} {
			if got := status(t, e, "&user=ann"); got != want {
				t.Errorf("session %d: %d, want %d", i+1, got, want)
			}
		}
		if got := status(t, e, "&user=bob"); got != 410 {
			t.Errorf("somebody else: %d", got)
		}
		for range 3 {
			if got := status(t, e, ""); got != 410 {
				t.Errorf("nobody: %d", got)
			}
		}
		if n := e.Stats().Limits["sessions_user"]; n != 1 {
			t.Errorf("%d refusals are counted, want 1", n)
		}
		eventually(t, "sessions gone", func() bool { return e.Stats().LongPolls == 0 })
		if got := status(t, e, "&user=ann"); got != 410 {
			t.Errorf("after the others have gone: %d", got)
		}
	})
	t.Run("sessions of an address", func(t *testing.T) {
		e := single(t, longPoll(func(o *edge.Options) {
			o.LongPoll.SessionsPerIP = 1
			o.LongPoll.ClientIP = func(r *http.Request) string { return r.Header.Get("X-From") }
		}), probes)
		for i, want := range []int{410, 403} {
			if got := status(t, e, "", "X-From: 192.0.2.1"); got != want {
				t.Errorf("session %d: %d, want %d", i+1, got, want)
			}
		}
		if got := status(t, e, "", "X-From: 192.0.2.2"); got != 410 {
			t.Errorf("somewhere else: %d", got)
		}
	})
	for name, change := range map[string]func(*edge.Options){
		"frames": func(o *edge.Options) { o.LongPoll.QueueFrames = 10 },
		"bytes":  func(o *edge.Options) { o.LongPoll.QueueBytes = 1000 },
	} {
		t.Run("queued "+name, func(t *testing.T) {
			e := single(t, longPoll(change), probes)
			p, ws := newPoller(t, e), e.v2(t)
			p.join("1", "t:x")
			ws.join("1", "t:x")
			for i := range 100 {
				if err := e.Broadcast(t.Context(), "t:x", "bc", map[string]int{"n": i}); err != nil {
					t.Fatal(err)
				}
				ws.read()
			}
			p.begin()
			if n := e.Stats().SlowClients; n != 1 {
				t.Errorf("%d slow clients, want 1", n)
			}
			ws.silent()
		})
	}
	t.Run("requests at once", func(t *testing.T) {
		edges := cluster(t, 2, window(2*time.Second))
		for i := range edges {
			p := newPoller(t, edges[0])
			var wg sync.WaitGroup
			var refused atomic.Int64
			for range 20 {
				wg.Go(func() {
					if res, _ := request(t, edges[i], "GET", p.url(), ""); res.StatusCode == http.StatusTooManyRequests {
						refused.Add(1)
					}
				})
			}
			wg.Wait()
			if n := refused.Load(); n == 0 || n > 12 {
				t.Errorf("%d of 20 polls at once were refused, want 12, or fewer on a busy machine", n)
			}
			p.send(beat)
			p.want(beatReply)
		}
	})
	t.Run("requests a second", func(t *testing.T) {
		edges := cluster(t, 2, func(o *edge.Options) { o.LongPoll.PollRate = 20 })
		for i := range edges {
			p := newPoller(t, edges[0])
			p.edges = edges[i : i+1]
			began := time.Now()
			for range 20 {
				p.send(beat)
				p.want(beatReply)
			}
			// 40 requests, of which those of a second are free.
			if d := time.Since(began); d < 900*time.Millisecond || d > 15*time.Second {
				t.Errorf("40 requests took %v, want about a second", d)
			}
		}
	})
}

// Many clients, of which some leave in each way there is, leave nothing behind.
func TestLongPollNoGoroutineLeft(t *testing.T) {
	edges := cluster(t, 2, window(2*time.Second))
	newPoller(t, edges[0]).poll()
	edges[0].http.Client().CloseIdleConnections()
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			p := newPoller(t, edges[i%2])
			p.edges = edges
			p.join("1", fmt.Sprintf("t:%d", i%7))
			switch i % 3 {
			case 0:
				p.post("[bad")
			case 1:
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				requestUntil(ctx, t, p.edge(), "GET", p.url(), "")
			case 2:
				p.poll()
			}
		})
	}
	wg.Wait()
	for _, e := range edges {
		e.http.Client().CloseIdleConnections()
	}
	eventually(t, "goroutines gone", func() bool {
		return edges[0].Stats().Sockets+edges[1].Stats().Sockets == 0 && runtime.NumGoroutine() <= before+2
	})
	for _, e := range edges {
		if s := e.Stats(); s.LongPolls != 0 || s.Channels != 0 || s.Rooms != 0 {
			t.Errorf("left: %+v", s)
		}
	}
}

// Many requests of many sessions at once, with -race in mind: nothing is lost
// and nothing comes twice.
func TestLongPollConcurrently(t *testing.T) {
	edges := cluster(t, 2, func(o *edge.Options) { o.LongPoll.PollRate = 10_000 })
	const members, each = 8, 20
	var wg sync.WaitGroup
	var joined sync.WaitGroup
	joined.Add(members)
	var deliveries atomic.Int64
	for i := range members {
		wg.Go(func() {
			p := newPoller(t, edges[i%2])
			p.edges = edges
			p.join("1", "t:x")
			joined.Done()
			joined.Wait()
			sender := &poller{t: t, edges: edges, path: p.path, token: p.token}
			wg.Go(func() {
				for n := range each {
					sender.send(fmt.Sprintf(`["1",null,"t:x","bc",{"from":%d,"n":%d}]`, i, n))
				}
			})
			next := make([]int, members)
			for range members*each + each { // and the replies
				var m [5]json.RawMessage
				var payload struct{ From, N int }
				if err := json.Unmarshal([]byte(p.read()), &m); err != nil {
					t.Error(err)
				}
				if string(m[3]) != `"bc"` {
					continue
				}
				if err := json.Unmarshal(m[4], &payload); err != nil {
					t.Error(err)
				}
				if payload.N != next[payload.From] {
					t.Errorf("member %d got %s, want %d", i, m[4], next[payload.From])
				}
				next[payload.From] = payload.N + 1
				deliveries.Add(1)
			}
		})
	}
	wg.Wait()
	if n := deliveries.Load(); n != members*members*each {
		t.Errorf("%d deliveries, want %d", n, members*members*each)
	}
}

// A websocket's close code is nothing to a session; the websockets beside it
// still get theirs.
func TestLongPollBesideWebsocket(t *testing.T) {
	e := single(t, longPoll(func(o *edge.Options) {
		o.Connect = func(context.Context, *edge.Handshake) (edge.Session, error) { return edge.Session{ID: "u"}, nil }
	}), probes)
	p, ws := newPoller(t, e), e.v2(t)
	if err := e.Disconnect(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	ws.wantClose(websocket.StatusGoingAway)
	p.begin()
}
