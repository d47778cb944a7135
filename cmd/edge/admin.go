package main

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/aristochat/aristochat/internal/command"
	"github.com/aristochat/aristochat/internal/logsample"
)

// newRegistry returns what can be told of this process before there is an edge.
// Its metrics are registered once there is.
func newRegistry(f *front, lines *logsample.Handler) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "aristochat_build_info",
			Help:        "1; the labels say which program this is.",
			ConstLabels: prometheus.Labels{"version": command.Version(), "goversion": runtime.Version()},
		}, func() float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "aristochat_ready",
			Help: "1 while /readyz says that clients may come.",
		}, func() float64 {
			if f.ready() != nil {
				return 0
			}
			return 1
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "aristochat_log_lines_dropped_total",
			Help: "Lines that were left out of the log since there were many like them. The log says how many of which.",
		}, func() float64 { return float64(lines.LeftOut()) }),
	)
	for level := range lines.Lines() {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "aristochat_log_lines_total",
			Help:        "Lines for the log, by level, those left out among them.",
			ConstLabels: prometheus.Labels{"level": level},
		}, func() float64 { return float64(lines.Lines()[level]) }))
	}
	return reg
}

// newAdmin serves what operators look at, and nothing else: /metrics, /healthz
// and /readyz, /debug/pprof/. It does not ask who they are.
func newAdmin(f *front, reg *prometheus.Registry, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	}))
	mux.HandleFunc("GET /healthz", f.serveHealth)
	mux.HandleFunc("GET /readyz", f.serveReady)
	// Without cmdline: flags may hold a secret.
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return mux
}

func newAdminServer(h http.Handler, log *slog.Logger) *http.Server {
	hs := newHTTPServer(h, log)
	hs.ReadTimeout = 0 // it would end a profile that takes longer
	return hs
}
