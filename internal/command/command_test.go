package command

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type config struct {
	Port    int              `group:"net" default:"1" help:"Where."`
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`
}

func (c *config) AfterApply() error {
	if c.Port < 1 {
		return fmt.Errorf("--port: %d is not positive", c.Port)
	}
	return nil
}

var line = Line{Name: "tool", Groups: kong.Groups{"net": "Network"}, Ending: "\nExit codes\n"}

func TestParse(t *testing.T) {
	tests := []struct {
		name, env string
		args      []string
		port      int
		prints    string
		says      string
	}{
		{name: "default", port: 1},
		{name: "flag", args: []string{"--port=2"}, port: 2},
		{name: "environment", env: "3", port: 3},
		{name: "both", env: "3", args: []string{"--port=2"}, port: 2},
		{name: "help", args: []string{"--help"}, prints: "\nExit codes\n"},
		{name: "help of a wrong environment", env: "-1", args: []string{"--help"}, prints: "Network\n"},
		{name: "version", args: []string{"--version"}, prints: line.Version() + "\n"},
		{name: "unknown", args: []string{"--prot=2"}, says: "unknown flag --prot"},
		{name: "wrong flag", args: []string{"--port=-1"}, says: "--port: -1 is not positive (see tool --help)"},
		{name: "wrong environment", env: "-1", says: "--port: -1 is not positive [from ARISTOCHAT_PORT] (see tool --help)"},
		{name: "wrong flag beside an environment", env: "3", args: []string{"--port=-1"}, says: "--port: -1 is not positive (see tool --help)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env != "" {
				t.Setenv("ARISTOCHAT_PORT", tt.env)
			}
			var out bytes.Buffer
			cfg, err := Parse[config](&line, tt.args, &out)
			if tt.says != "" {
				if cfg != nil || err == nil || !strings.Contains(err.Error(), tt.says) || ExitCode(err) != Usage {
					t.Errorf("got %v, %v; want exit code %d and %q", cfg, err, Usage, tt.says)
				}
				return
			}
			if err != nil || (cfg == nil) != (tt.prints != "") || !strings.Contains(out.String(), tt.prints) {
				t.Fatalf("got %v, %v; printed %q, want %q", cfg, err, out.String(), tt.prints)
			}
			if cfg != nil && cfg.Port != tt.port {
				t.Errorf("port %d, want %d", cfg.Port, tt.port)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	err := fmt.Errorf("third: %w", errors.Join(errors.New("first"), Fail(4, errors.New("second"))))
	if got := ExitCode(err); got != 4 {
		t.Errorf("ExitCode = %d, want the 4 inside", got)
	}
	if got := ExitCode(errors.New("any")); got != Failure {
		t.Errorf("ExitCode = %d, want %d", got, Failure)
	}
}

func TestVersion(t *testing.T) {
	t.Cleanup(func() { version, commit = "", "" })
	for _, tt := range []struct{ version, commit, want string }{
		{"v1.2.3", "", "v1.2.3"},
		{"v1.2.3", "0123456789abcdef", "v1.2.3-0123456789ab"},
		{"", "0123abcd", "development-0123abcd"},
	} {
		version, commit = tt.version, tt.commit
		if got := Version(); got != tt.want {
			t.Errorf("version %q, commit %q: Version = %q, want %q", tt.version, tt.commit, got, tt.want)
		}
	}
	version, commit = "", ""
	if Version() == "" {
		t.Error("a build without -ldflags has no version")
	}
}
