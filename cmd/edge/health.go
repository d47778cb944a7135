package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aristochat/aristochat/internal/command"
)

// healthPatience is how long an edge may take to say how it is.
const healthPatience = 2 * time.Second

// checkHealth is the command "health", for those who can run a program and have
// no curl, such as the health check of a container: it asks the edge that has
// the same flags or environment whether it is ready, and prints its answer.
func checkHealth(ctx context.Context, cfg *config, stdout io.Writer) error {
	ask, err := cfg.healthURL()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask, http.NoBody) //nolint:gosec // the operator's own flag
	if err != nil {
		return command.Fail(exitUsage, fmt.Errorf("--url: %w", err))
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	resp, err := client.Do(req)                                                //nolint:gosec // the same
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(stdout, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return fmt.Errorf("no whole answer from %s: %w", ask, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is %s", ask, resp.Status)
	}
	return nil
}

// healthURL is where the edge with these flags says whether it is ready, or what
// else --url wants to know.
func (c *config) healthURL() (string, error) {
	path := cmp.Or(c.Health.URL, "/readyz")
	if !strings.HasPrefix(path, "/") {
		if u, err := url.Parse(path); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "", command.Fail(exitUsage, fmt.Errorf("--url: %q is neither a URL, such as http://localhost:4000/healthz, nor a path, such as /healthz", path))
		}
		return path, nil
	}
	flag, address := "--listen", c.Listen
	if c.AdminListen != "" {
		flag, address = "--admin-listen", c.AdminListen
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", flag, err)
	case port == "0":
		return "", command.Fail(exitUsage, errors.New("--url must be a whole URL: port 0 of "+flag+" is any port"))
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + path, nil
}
