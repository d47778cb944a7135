package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/command"
)

// backboneOptions says how to reach NATS, and starts it if it is to run here.
func backboneOptions(cfg *config, log *slog.Logger) (_ *backbone.Options, stop func(), err error) {
	o := &backbone.Options{
		URLs:   cfg.NATS,
		NATS:   cfg.natsOptions,
		Prefix: cfg.SubjectPrefix,
		Logger: log,
	}
	if len(cfg.NATS) > 0 {
		return o, func() {}, nil
	}
	srv, err := embedded.Start(&embedded.Options{StoreDir: cfg.Data, Listen: cfg.NATSListen, Logger: log})
	if err != nil {
		return nil, nil, embeddedError(err)
	}
	o.Server = srv
	return o, srv.Shutdown, nil
}

// embeddedError adds which flag is to blame.
func embeddedError(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return command.Fail(exitListen, fmt.Errorf("--nats-listen: %w", err))
	}
	return command.Fail(exitData, fmt.Errorf("--data: %w", err))
}

// checkNATS reads what the flags about NATS name, so that a wrong one is told
// at once and not as a server that cannot be reached.
func (c *config) checkNATS() error {
	if err := c.checkNATSURLs(); err != nil {
		return fmt.Errorf("--nats: %w", err)
	}
	if c.SubjectPrefix != "" {
		if err := backbone.CheckPrefix(c.SubjectPrefix); err != nil {
			return fmt.Errorf("--subject-prefix: %w", err)
		}
	}
	if len(c.NATS) == 0 {
		for _, f := range []struct{ flag, value string }{
			{"--nats-creds", c.NATSCreds},
			{"--nats-nkey", c.NATSNkey},
			{"--nats-ca", c.NATSCA},
			{"--nats-cert", c.NATSCert},
			{"--nats-key", c.NATSKey},
		} {
			if f.value != "" {
				return fmt.Errorf("%s is of use only with --nats", f.flag)
			}
		}
		return nil
	}
	if c.Data != "" {
		return errors.New("--data is of use only without --nats: the servers there keep the data")
	}
	if c.NATSListen != "" {
		return errors.New("--nats-listen is of use only without --nats")
	}
	return c.checkNATSFiles()
}

// checkNATSURLs takes the user out of the URLs, so that no log line can give a
// password away.
func (c *config) checkNATSURLs() error {
	c.NATS = withoutEmpty(c.NATS)
	var user *url.Userinfo
	for i, s := range c.NATS {
		u, err := parseNATS(s)
		if err != nil {
			return err
		}
		if u.User != nil {
			if user != nil && user.String() != u.User.String() {
				return errors.New("the URLs name different users: servers of one cluster know the same")
			}
			user, u.User = u.User, nil
		}
		c.NATS[i] = u.String()
	}
	if user == nil {
		return nil
	}
	if password, ok := user.Password(); ok {
		c.natsOptions = append(c.natsOptions, nats.UserInfo(user.Username(), password))
	} else {
		c.natsOptions = append(c.natsOptions, nats.Token(user.Username()))
	}
	return nil
}

func (c *config) checkNATSFiles() error {
	if c.NATSCreds != "" && c.NATSNkey != "" {
		return errors.New("--nats-creds and --nats-nkey exclude each other")
	}
	if (c.NATSCert != "") != (c.NATSKey != "") {
		return errors.New("--nats-cert and --nats-key need each other")
	}
	add := func(flag string, option nats.Option, err error) error {
		if err == nil {
			o := nats.GetDefaultOptions()
			err = option(&o)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		c.natsOptions = append(c.natsOptions, option)
		return nil
	}
	var errs []error
	if f := c.NATSCreds; f != "" {
		errs = append(errs, add("--nats-creds", nats.UserCredentials(f), checkCreds(f)))
	}
	if f := c.NATSNkey; f != "" {
		option, err := nats.NkeyOptionFromSeed(f)
		errs = append(errs, add("--nats-nkey", option, err))
	}
	if f := c.NATSCA; f != "" {
		errs = append(errs, add("--nats-ca", nats.RootCAs(f), nil))
	}
	if f := c.NATSCert; f != "" {
		errs = append(errs, add("--nats-cert", nats.ClientCert(f, c.NATSKey), nil))
	}
	return errors.Join(errs...)
}

// parseNATS accepts what nats.go accepts, and nothing that would fail later.
func parseNATS(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		// The error repeats the URL, which may hold a password.
		return nil, errors.New("one of the URLs cannot be parsed: write it as nats://HOST:PORT")
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s names no host: write it as nats://HOST:PORT", u.Redacted())
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
		return u, nil
	}
	return nil, fmt.Errorf("%s: the scheme must be nats, tls, ws or wss", u.Redacted())
}

func withoutEmpty(list []string) []string {
	var out []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
