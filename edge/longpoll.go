package edge

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// minSecret is the shortest Secret, in bytes.
const minSecret = 16

// A longPoll is the long-polling side of a Server.
type longPoll struct {
	srv    *Server
	opts   LongPoll
	key    tokenKey
	name   string // this edge's, in tokens
	caller Caller

	ctx  context.Context // ends when the server shuts down
	end  context.CancelFunc
	stop func() // ends the subscription to what other edges ask

	mu       sync.Mutex // guards what follows
	sessions map[sessionID]*pollSession
	users    map[string]int      // how many sessions they have
	ips      map[string]int      // the same
	loads    map[sessionID]*load // of whichever edge's sessions
}

func newLongPoll(ctx context.Context, srv *Server) (*longPoll, error) {
	caller, ok := srv.backbone.(Caller)
	if !ok {
		return nil, errors.New("long-polling needs a backbone over which edges can ask each other")
	}
	lp := &longPoll{
		srv:      srv,
		opts:     *srv.opts.LongPoll,
		name:     srv.id,
		caller:   caller,
		sessions: make(map[sessionID]*pollSession),
		users:    make(map[string]int),
		ips:      make(map[string]int),
		loads:    make(map[sessionID]*load),
	}
	switch n := len(lp.opts.Secret); {
	case n == 0:
		lp.opts.Secret = []byte(rand.Text())
	case n < minSecret:
		return nil, fmt.Errorf("LongPoll.Secret has %d bytes, want at least %d", n, minSecret)
	}
	lp.key = newTokenKey(lp.opts.Secret)
	lp.ctx, lp.end = context.WithCancel(context.Background())
	var err error
	if lp.stop, err = caller.Serve(ctx, lp.name, lp.answer); err != nil {
		lp.end()
		return nil, fmt.Errorf("listening to other edges: %w", err)
	}
	return lp, nil
}

// shutdown lets go of other edges' sessions, and hears of no more requests for
// those of this one, which have ended.
func (lp *longPoll) shutdown() {
	lp.end()
	lp.stop()
}

// serve answers a request (section 4 of the protocol). Whatever comes of it, the
// status of HTTP is 200 and the real one stands in the body, unless the request
// is not one of a client.
func (lp *longPoll) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "no-store")
	params, err := decodeQuery(r.URL.RawQuery)
	if err != nil {
		lp.srv.badQuery(w, r, err)
		return
	}
	if !lp.srv.originAllowed(r) {
		lp.srv.refuseOrigin(r)
		answerStatus(w, 403)
		return
	}
	switch r.Method {
	case http.MethodGet:
		lp.get(w, r, params)
	case http.MethodPost:
		lp.post(w, r, params)
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Headers", strings.Join(r.Header["Access-Control-Request-Headers"], ", "))
		h.Set("Access-Control-Allow-Methods", "get, post, options")
		h.Set("Access-Control-Max-Age", "3600")
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// get answers a poll, or begins a session.
func (lp *longPoll) get(w http.ResponseWriter, r *http.Request, params Params) {
	token, o, l, err := lp.owner(r, params)
	switch {
	case err != nil:
		lp.refuse(w, r, limitRequests, err)
		return
	case o == nil:
		lp.begin(w, r, params)
		return
	}
	defer lp.done(l)
	// The server's own deadlines may be shorter than a poll lasts.
	extendDeadlines(w, lp.opts.Window+lp.srv.opts.OutboxAge)
	messages, state := lp.await(r.Context(), o)
	switch {
	case state == pollUnreadable:
		lp.srv.opts.ErrorPage(w, r, http.StatusInternalServerError)
	case state == pollGone && lp.srv.isDraining():
		answerPoll(w, 410, nil, token) // the client begins anew, elsewhere
	case state == pollGone:
		lp.begin(w, r, params)
	case state == pollMessages:
		answerPoll(w, 200, messages, token)
	default:
		answerPoll(w, 204, nil, token)
	}
}

// await polls until there is something, the window ends, or the client leaves.
func (lp *longPoll) await(ctx context.Context, o owner) ([]byte, pollState) {
	ctx, cancel := context.WithTimeout(ctx, lp.opts.Window)
	defer cancel()
	get := mathrand.Uint64() //nolint:gosec // a name among the few of one session
	for first := true; ; first = false {
		messages, state := o.poll(ctx, get, first)
		switch {
		case state == pollSuperseded:
			select {
			case <-ctx.Done():
			case <-lp.ctx.Done():
			}
			return nil, state
		case state != pollAgain, ctx.Err() != nil, lp.ctx.Err() != nil:
			return messages, state
		}
	}
}

// begin makes a session, after the same checks as a websocket's. The client
// learns of it by the status 410.
func (lp *longPoll) begin(w http.ResponseWriter, r *http.Request, params Params) {
	srv := lp.srv
	h := &Handshake{Params: params, Request: r}
	if tokens := r.Header["X-Phoenix-Authtoken"]; srv.opts.AuthToken && len(tokens) > 0 {
		h.Token, h.HasToken = tokens[0], true
	}
	version, session, ok := srv.letIn(w, r, h, func(error) { answerStatus(w, 403) })
	if !ok {
		return
	}
	s := &pollSession{lp: lp, id: newSessionID(), ip: lp.opts.ClientIP(r), turn: make(chan struct{}, 1), heard: srv.clock()}
	s.conn.init(srv, s, version, session)
	if err := lp.add(s); err != nil {
		s.conn.cancel()
		srv.refused(handshakeLimited, err.Error(), "user", session.ID, "address", s.ip)
		answerStatus(w, 403)
		return
	}
	if err := srv.add(&s.conn); err != nil {
		lp.forget(s)
		s.conn.cancel()
		srv.busy(w, r, err)
		return
	}
	s.conn.connected("longpoll")
	token := pollToken{edge: lp.name, session: s.id, expires: time.Now().Add(tokenLife).Unix()}
	answerPoll(w, 410, nil, lp.key.sign(token))
}

// post takes what a client sends.
func (lp *longPoll) post(w http.ResponseWriter, r *http.Request, params Params) {
	_, o, l, err := lp.owner(r, params)
	switch {
	case err != nil:
		lp.refuse(w, r, limitRequests, err)
		return
	case o == nil:
		answerStatus(w, 410)
		return
	}
	defer lp.done(l)
	// A large body may come slowly.
	extendDeadlines(w, lp.srv.opts.IdleTimeout)
	in := &bodyReader{Reader: http.MaxBytesReader(w, r.Body, lp.opts.MaxBody), load: l, most: lp.opts.MaxBody}
	defer in.done()
	body, err := readMessage(in)
	if errors.Is(err, errTooManyBytes) {
		lp.refuse(w, r, limitBodies, err)
		return
	}
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			lp.srv.stats.limits[limitBody].Add(1)
		}
		lp.srv.log.Info("refusing body", "reason", err.Error())
		lp.srv.opts.ErrorPage(w, r, http.StatusBadRequest)
		return
	}
	extendDeadlines(w, lp.opts.Window+lp.srv.opts.OutboxAge)
	// What has come is handled, whether or not the client waits for that.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), lp.opts.Window)
	defer cancel()
	ndjson := slices.Equal(r.Header["Content-Type"], []string{"application/x-ndjson"})
	if status := o.post(ctx, body, ndjson); status == statusNotText {
		lp.srv.opts.ErrorPage(w, r, http.StatusInternalServerError)
	} else {
		answerStatus(w, status)
	}
}

func extendDeadlines(w http.ResponseWriter, by time.Duration) {
	rc, until := http.NewResponseController(w), time.Now().Add(by)
	// A ResponseWriter without deadlines needs none.
	_, _ = rc.SetReadDeadline(until), rc.SetWriteDeadline(until)
}

// An owner has a session: this edge or another.
type owner interface {
	poll(ctx context.Context, get uint64, first bool) ([]byte, pollState)
	post(ctx context.Context, body []byte, ndjson bool) int
}

// owner returns who has the session that the request's token names, nil if it
// names none that may live. The header wins over the parameter. If there is an
// owner done must be called when the request has been answered.
func (lp *longPoll) owner(r *http.Request, params Params) (token string, o owner, l *load, err error) {
	token = params.Get("token")
	if headers := r.Header["X-Phoenix-Longpoll-Token"]; len(headers) > 0 {
		token = headers[0]
	}
	t, err := lp.key.verify(token, time.Now())
	if err != nil {
		if token != "" && !errors.Is(err, errExpired) {
			// Clients of edges that do not share a secret would begin anew for
			// ever, and nothing else would tell why.
			lp.srv.stats.badTokens.Add(1)
			lp.srv.log.Warn("a client has a session token that is not valid here; do all edges have the same secret?", "error", err)
		}
		return token, nil, nil, nil
	}
	if t.edge != lp.name {
		o = &remoteSession{lp, t.edge, t.session}
	} else if s := lp.session(t.session); s != nil {
		o = s
	} else {
		return token, nil, nil, nil
	}
	if l = lp.take(t.session); l == nil {
		return token, nil, nil, errTooManyRequests
	}
	return token, o, l, nil
}

func (lp *longPoll) refuse(w http.ResponseWriter, r *http.Request, limit int, err error) {
	lp.srv.stats.limits[limit].Add(1)
	lp.srv.log.Warn("refusing request", "reason", err.Error(), "address", lp.opts.ClientIP(r))
	lp.srv.opts.ErrorPage(w, r, http.StatusTooManyRequests)
}

func (lp *longPoll) session(id sessionID) *pollSession {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	return lp.sessions[id]
}

// add makes s one of the sessions, unless its user or address has too many.
func (lp *longPoll) add(s *pollSession) error {
	user := s.conn.session.ID
	lp.mu.Lock()
	defer lp.mu.Unlock()
	switch {
	case user != "" && lp.opts.SessionsPerUser >= 0 && lp.users[user] >= lp.opts.SessionsPerUser:
		lp.srv.stats.limits[limitSessionsUser].Add(1)
		return errors.New("the user has too many sessions")
	case lp.opts.SessionsPerIP >= 0 && lp.ips[s.ip] >= lp.opts.SessionsPerIP:
		lp.srv.stats.limits[limitSessionsAddress].Add(1)
		return errors.New("the address has too many sessions")
	}
	lp.sessions[s.id] = s
	lp.users[user]++
	lp.ips[s.ip]++
	return nil
}

func (lp *longPoll) forget(s *pollSession) {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	delete(lp.sessions, s.id)
	for _, c := range []struct {
		counts map[string]int
		key    string
	}{{lp.users, s.conn.session.ID}, {lp.ips, s.ip}} {
		if c.counts[c.key]--; c.counts[c.key] == 0 {
			delete(c.counts, c.key)
		}
	}
}

// count returns how many sessions there are.
func (lp *longPoll) count() int {
	lp.mu.Lock()
	defer lp.mu.Unlock()
	return len(lp.sessions)
}

// answerPoll answers a GET. The messages are JSON strings, with commas.
func answerPoll(w http.ResponseWriter, status int, messages []byte, token string) {
	quoted, _ := json.Marshal(token) // a string
	b := make([]byte, 0, len(messages)+len(quoted)+64)
	b = append(b, `{"messages":[`...)
	b = append(b, messages...)
	b = append(b, `],"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"token":`...)
	b = append(b, quoted...)
	answerJSON(w, append(b, '}'))
}

// answerStatus answers with a status alone.
func answerStatus(w http.ResponseWriter, status int) {
	answerJSON(w, fmt.Appendf(nil, `{"status":%d}`, status))
}

func answerJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) //nolint:gosec // JSON by its type, and fails if the client has gone
}

// decodeBase64 decodes the standard alphabet, as phoenix.js writes it.
func decodeBase64(line []byte) ([]byte, error) {
	data := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Decode(data, line)
	return data[:n:n], err
}
