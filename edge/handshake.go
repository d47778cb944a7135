package edge

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/aristochat/aristochat/protocol"
)

// A Handshake is what is known of a client that wants to connect.
type Handshake struct {
	// Params are the decoded query, vsn included.
	Params Params
	// Token is what the client sent as its authToken, if the server has
	// Options.AuthToken; HasToken tells an empty one from none. Clients that
	// long-poll may send whatever a header can hold, others any bytes.
	Token    string
	HasToken bool
	// Request is the HTTP request. It must not be kept.
	Request *http.Request
}

// A Session is who a connection belongs to, as Options.Connect found.
type Session struct {
	// ID, if not empty, is the name by which Server.Disconnect finds the
	// connection. Several connections may share it.
	ID string
	// Assigns is whatever the application's channels want to know.
	Assigns any
}

// ServeHTTP serves the socket's path. Segments are compared as Phoenix compares
// them: empty ones count for nothing, so a doubled or final slash does not
// matter, and they are not unescaped.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.EscapedPath(); {
	case samePath(path, srv.opts.Path+"/websocket"):
		srv.serveWebsocket(w, r)
	case srv.longPoll != nil && samePath(path, srv.opts.Path+"/longpoll"):
		srv.longPoll.serve(w, r)
	default:
		srv.opts.ErrorPage(w, r, http.StatusNotFound)
	}
}

func samePath(a, b string) bool {
	notEmpty := func(path string) []string {
		return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
	}
	return slices.Equal(notEmpty(a), notEmpty(b))
}

// serveWebsocket makes the checks in Phoenix's order (section 1.2 of the
// protocol) with Phoenix's answers.
func (srv *Server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		srv.refused(handshakeBadRequest, "method is not GET")
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	params, err := decodeQuery(r.URL.RawQuery)
	if err != nil {
		srv.badQuery(w, r, err)
		return
	}
	if !srv.originAllowed(r) {
		srv.refuseOrigin(r)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	h := &Handshake{Params: params, Request: r}
	subprotocol, err := srv.negotiate(r, h)
	switch {
	case errors.Is(err, errBadToken):
		srv.refused(handshakeBadRequest, errBadToken.Error())
		srv.opts.ErrorPage(w, r, http.StatusInternalServerError)
		return
	case err != nil:
		srv.refused(handshakeBadRequest, err.Error())
		w.WriteHeader(http.StatusForbidden)
		return
	}
	version, session, ok := srv.letIn(w, r, h, func(err error) {
		if errors.Is(err, protocol.ErrVersion) {
			w.WriteHeader(http.StatusForbidden)
		} else {
			srv.opts.RefuseConnect(w, r, err)
		}
	})
	if !ok {
		return
	}
	if problem := upgradeProblem(r); problem != "" {
		srv.refused(handshakeBadRequest, problem)
		w.Header()["Content-Type"] = nil // none, rather than a guess
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, problem)
		return
	}
	srv.upgrade(w, r, version, session, subprotocol)
}

// letIn makes the checks that all transports share, the application's last. It
// reports false if the request has been answered: by forbid, if the client may
// not connect.
func (srv *Server) letIn(w http.ResponseWriter, r *http.Request, h *Handshake, forbid func(error)) (v protocol.Version, s Session, ok bool) {
	v, err := versionOf(h.Params)
	if err != nil {
		srv.refused(handshakeBadRequest, protocol.ErrVersion.Error())
		forbid(protocol.ErrVersion)
		return v, s, false
	}
	if !srv.admit(w, r) { // before Connect, whose work it spares
		return v, s, false
	}
	s, err = srv.connect(r, h)
	switch {
	case errors.Is(err, errConnectCrashed):
		srv.opts.ErrorPage(w, r, http.StatusInternalServerError)
	case err != nil:
		forbid(err)
	}
	return v, s, err == nil
}

func (srv *Server) badQuery(w http.ResponseWriter, r *http.Request, err error) {
	srv.refused(handshakeBadRequest, err.Error())
	status := http.StatusBadRequest
	if errors.Is(err, errQueryTooLong) {
		srv.stats.limits[limitQuery].Add(1)
		status = http.StatusRequestURITooLong
	}
	srv.opts.ErrorPage(w, r, status)
}

func (srv *Server) originAllowed(r *http.Request) bool {
	origins := r.Header["Origin"]
	return len(origins) == 0 || srv.opts.CheckOrigin(r, origins[0])
}

// refused notes a client that may not connect.
func (srv *Server) refused(result int, reason string, more ...any) {
	level := slog.LevelInfo
	switch result {
	case handshakeFull, handshakeCrowded, handshakeLimited: // what an operator could raise
		level = slog.LevelWarn
	}
	srv.stats.handshakes[result].Add(1)
	srv.log.Log(context.Background(), level, "refusing connection", append([]any{"reason", cut(reason)}, more...)...)
}

func (srv *Server) refuseOrigin(r *http.Request) {
	srv.stats.handshakes[handshakeOrigin].Add(1)
	srv.log.Info("refusing origin", "origin", cut(r.Header.Get("Origin")))
}

// versionOf picks the serializer; without vsn it is version 1.
func versionOf(p Params) (protocol.Version, error) {
	vsn, ok := p["vsn"]
	if !ok {
		return protocol.V1, nil
	}
	s, ok := vsn.(string)
	if !ok {
		return 0, protocol.ErrVersion
	}
	return protocol.Negotiate(s)
}

var errConnectCrashed = errors.New("connect crashed")

func (srv *Server) connect(r *http.Request, h *Handshake) (_ Session, err error) {
	ctx, span := srv.span(r.Context(), spanConnect, trace.SpanKindServer)
	defer func() {
		if p := recover(); p != nil {
			srv.stats.crashes.Add(1)
			srv.stats.handshakes[handshakeCrashed].Add(1)
			srv.log.Error("connect crashed", "panic", cut(fmt.Sprint(p)), "stack", string(debug.Stack()))
			err = errConnectCrashed
			endSpan(span, err)
		}
	}()
	session, err := srv.opts.Connect(ctx, h)
	if err != nil {
		srv.refused(handshakeRefused, err.Error())
		endSpan(span, Refuse(err.Error())) // as which the client has it
		return session, err
	}
	span.End()
	return session, nil
}

// tokenPrefix marks a subprotocol that is a token (phoenix.js, socket.js).
const tokenPrefix = "base64url.bearer.phx."

var (
	errBadToken      = errors.New("auth token is not base64")
	errNoSubprotocol = errors.New("no subprotocol in common")
)

// negotiate takes the auth token out of the offered subprotocols and picks one
// of the rest. Only the first header counts.
func (srv *Server) negotiate(r *http.Request, h *Handshake) (string, error) {
	allowed := srv.opts.Subprotocols
	if srv.opts.AuthToken {
		allowed = append([]string{"phoenix"}, allowed...)
	}
	headers := r.Header["Sec-Websocket-Protocol"]
	if len(allowed) == 0 || len(headers) == 0 {
		return "", nil
	}
	var offered []string
	for o := range strings.SplitSeq(headers[0], ",") {
		if o = strings.TrimSpace(o); o != "" {
			offered = append(offered, o)
		}
	}
	if srv.opts.AuthToken {
		isToken := func(o string) bool { return strings.HasPrefix(o, tokenPrefix) }
		if i := slices.IndexFunc(offered, isToken); i >= 0 && slices.IndexFunc(offered[i+1:], isToken) < 0 {
			token, err := decodeToken(offered[i][len(tokenPrefix):])
			if err != nil {
				return "", err
			}
			h.Token, h.HasToken = token, true
			offered = slices.Delete(offered, i, i+1)
			if len(offered) == 0 {
				return "", nil
			}
		}
	}
	for _, a := range allowed {
		if slices.Contains(offered, a) {
			return a, nil
		}
	}
	return "", errNoSubprotocol
}

// decodeToken accepts the standard alphabet, which phoenix.js uses in spite of
// the prefix's name, and the URL-safe one, padded or not.
func decodeToken(s string) (string, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errBadToken, err)
	}
	return string(b), nil
}
