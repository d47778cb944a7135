package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aristochat/aristochat/edge/page"
)

// front answers about health itself, has the page, and leaves the rest to the
// edge, once there is one. It is no http.ServeMux, which would redirect the
// doubled slashes that Phoenix accepts.
type front struct {
	page     http.Handler // nil: there is none
	state    atomic.Pointer[frontState]
	draining atomic.Bool
}

type frontState struct {
	edge  http.Handler
	alive func() error
	ready []func() error
}

var (
	errStarting = errors.New("starting")
	errDraining = errors.New("shutting down")
)

// open lets clients reach the edge. alive says why the process is of no use any
// more, and each of ready why nobody should be sent here; nil if it knows of
// nothing.
func (f *front) open(edge http.Handler, alive func() error, ready ...func() error) {
	f.state.Store(&frontState{edge, alive, ready})
}

// drain tells load balancers to send nobody here any more.
func (f *front) drain() { f.draining.Store(true) }

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch p := r.URL.Path; {
	case p == "/healthz":
		f.serveHealth(w, r)
	case p == "/readyz":
		f.serveReady(w, r)
	case f.page != nil && (p == "/" || strings.HasPrefix(p, page.Dir)): // it tells what the edge lacks
		f.page.ServeHTTP(w, r)
	default:
		s := f.state.Load()
		if s == nil {
			w.Header().Set("Retry-After", "1")
			answer(w, errStarting)
			return
		}
		s.edge.ServeHTTP(w, r)
	}
}

// serveHealth says whether the process works. It says nothing of NATS, which a
// restart of this process does not mend.
func (f *front) serveHealth(w http.ResponseWriter, _ *http.Request) {
	if s := f.state.Load(); s != nil {
		answer(w, s.alive())
		return
	}
	answer(w, nil)
}

// serveReady says whether the edge is fit for new clients.
func (f *front) serveReady(w http.ResponseWriter, _ *http.Request) { answer(w, f.ready()) }

// ready returns all that speaks against new clients.
func (f *front) ready() error {
	if f.draining.Load() {
		return errDraining
	}
	s := f.state.Load()
	if s == nil {
		return errStarting
	}
	var errs []error
	for _, ready := range s.ready {
		errs = append(errs, ready())
	}
	return errors.Join(errs...)
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

// newHTTPServer bounds what a stranger can hold before there is a socket, which
// has bounds of its own.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h,
		// A packet that is lost thrice comes 7 s late, and one request that is cut
		// off costs a browser the whole page: it has a fresh connection, on which
		// browsers do not ask again.
		ReadHeaderTimeout: 15 * time.Second,
		ReadTimeout:       20 * time.Second, // of the request; an upgraded connection is free of it
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10, // tokens and cookies are a few KiB
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
