package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aristochat/aristochat/internal/command"
)

// healthPatience is how long an edge may take to say how it is.
const healthPatience = 2 * time.Second

// checkHealth is the command "health", for those who can run a program and have
// no curl, such as the health check of a container: it asks the edge that has
// the same flags or environment whether it is ready, and prints its answer.
func checkHealth(ctx context.Context, cfg *config, stdout io.Writer) error {
	url, err := cfg.healthURL()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody) //nolint:gosec // the operator's own flag
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
		return fmt.Errorf("no whole answer from %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is %s", url, resp.Status)
	}
	return nil
}

// healthURL is where the edge with these flags says whether it is ready.
func (c *config) healthURL() (string, error) {
	if c.Health.URL != "" {
		return c.Health.URL, nil
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
		return "", command.Fail(exitUsage, errors.New("--url is missing: port 0 of "+flag+" is any port"))
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/readyz", nil
}
