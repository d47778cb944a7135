package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/internal/command"
)

const noSecret = "NO SECRET: long-polling works only for clients whose requests all reach this edge. Give all edges of the cluster the same --secret-file."

// minSecret is what edge demands, in bytes.
const minSecret = 16

// givenSecret returns what flags say the secret is, nil if they say nothing.
func (c *config) givenSecret() ([]byte, error) {
	switch {
	case c.Secret != "" && c.SecretFile != "":
		return nil, errors.New("--secret and --secret-file exclude each other")
	case c.Secret != "":
		return checkSecret("--secret", []byte(c.Secret))
	case c.SecretFile != "":
		b, err := os.ReadFile(c.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("--secret-file: %w", err)
		}
		return checkSecret("--secret-file", b)
	}
	return nil, nil
}

func checkSecret(where string, b []byte) ([]byte, error) {
	if b = bytes.TrimSpace(b); len(b) < minSecret {
		return nil, fmt.Errorf("%s: %d bytes are too few, want at least %d that nobody can guess, such as those of openssl rand -hex 32", where, len(b), minSecret)
	}
	return b, nil
}

// lacksSecret reports whether the edge is one of a cluster that cannot read the
// tokens of the others.
func lacksSecret(cfg *config) bool {
	return cfg.LongPoll == "on" && len(cfg.NATS) > 0 && cfg.secret == nil
}

// longPoll returns how to serve clients without a websocket, nil for not at all.
func longPoll(cfg *config) (*edge.LongPoll, error) {
	o := &edge.LongPoll{Secret: cfg.secret}
	switch {
	case cfg.LongPoll == "off":
		return nil, nil
	case o.Secret == nil && cfg.Data != "":
		var err error
		if o.Secret, err = keptSecret(filepath.Join(cfg.Data, "secret")); err != nil {
			return nil, command.Fail(exitData, fmt.Errorf("--data: %w", err))
		}
	}
	return o, nil
}

// keptSecret reads the secret of an earlier start, or makes one.
func keptSecret(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		return checkSecret(file, b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	secret := rand.Text() + rand.Text()
	temporary := file + ".new" // half a secret shall not be taken for one
	if err := os.WriteFile(temporary, []byte(secret+"\n"), 0o600); err != nil {
		return nil, err
	}
	return []byte(secret), os.Rename(temporary, file)
}
