package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"github.com/aristochat/aristochat/internal/command"
)

const authOff = "AUTHENTICATION IS OFF: whoever reaches this port may join any room under any name."

// announce says where to connect and what to beware of: to a person, or as log
// lines where a program reads.
func announce(stdout io.Writer, log *slog.Logger, cfg *config, addr net.Addr, admin net.Listener) {
	host, backend := reachable(addr), backendOf(cfg)
	if cfg.LogFormat == "json" {
		log.Info("edge is up", "build", command.Version(), "url", "ws://"+host+"/socket", "metrics", metricsOf(admin), "nats", backend, "history", historyOf(cfg))
		log.Warn(authOff)
		if lacksSecret(cfg) {
			log.Warn(noSecret)
		}
		return
	}
	beware := authOff
	if lacksSecret(cfg) {
		beware += "\n\n  " + noSecret
	}
	page := ""
	if cfg.Page {
		page = "    chat         http://" + host + "/\n"
	}
	fmt.Fprintf(stdout, `
  %s

%s    phoenix.js   new Socket("ws://%s/socket")
    websocket    ws://%[3]s/socket/websocket?vsn=2.0.0
    health       http://%[3]s/healthz and /readyz
    metrics      %s
    NATS         %s
    history      %s

  %s

`, commandLine.Version(), page, host, metricsOf(admin), backend, historyOf(cfg), beware)
}

func metricsOf(admin net.Listener) string {
	if admin == nil {
		return "off: see --admin-listen"
	}
	return "http://" + reachable(admin.Addr()) + "/metrics"
}

// reachable is an address that a browser on this machine can use.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func backendOf(cfg *config) string {
	if len(cfg.NATS) > 0 {
		return strings.Join(cfg.NATS, ", ")
	}
	where := "in this process"
	if cfg.NATSListen != "" {
		where += " and on " + cfg.NATSListen
	}
	if cfg.Data == "" {
		return where
	}
	dir := cfg.Data
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return where + ", data in " + dir
}

func historyOf(cfg *config) string {
	switch cfg.History {
	case "off":
		return "off: messages reach who is there, and nobody later"
	case "memory":
		return "in memory: gone when NATS restarts"
	}
	return "on disk"
}
