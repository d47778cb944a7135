package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/internal/command"
)

func TestConfigRefuses(t *testing.T) {
	tests := []struct{ args, want string }{
		{"--server=ftp://x", "--server: "},
		{"--server=http://", "--server: "},
		{"--sockets=0", "--sockets: "},
		{"--sockets=5 --rooms=6", "--rooms: "},
		{"--rooms=-1", "--rooms: "},
		{"--rate=-1", "--rate: "},
		{"--duration=0s", "--duration: "},
		{"--ramp=0", "--ramp: "},
		{"--ramp=1e-12", "--ramp: "},
		{"--ramp=NaN", "--ramp: "},
		{"--rate=NaN", "--rate: "},
		{"--rate=Inf", "--rate: "},
		{"--flat=NaN", "--flat: "},
		{"--size=16385", "--size: "},
		{"--room-prefix=", "--room-prefix: "},
		{"--patience=0s", "--patience: "},
		{"--progress=-1s", "--progress: "},
		{"--json --timeline=-", "--timeline: "},
		{"--timeline=/dev/null/x", "--timeline: "},
		{"--flat=0.5", "--flat: "},
		{"--max-loss=-1", "negative"},
		{"--nope", "unknown flag --nope"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			err := run(t.Context(), strings.Fields(tt.args), io.Discard, io.Discard)
			if command.ExitCode(err) != exitUsage || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ended with %v, want exit code %d and %q", err, exitUsage, tt.want)
			}
		})
	}
}

func TestConfigFromEnvironment(t *testing.T) {
	t.Setenv("ARISTOCHAT_SERVER", "a:1,https://b/chat/")
	t.Setenv("ARISTOCHAT_SOCKETS", "50")
	t.Setenv("ARISTOCHAT_RESUME", "false")
	cfg, err := parseConfig([]string{"--sockets=70"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Sockets != 70 || cfg.Rooms != 7 || cfg.Resume {
		t.Errorf("got %d sockets, %d rooms, resume %v; want 70, 7, false", cfg.Sockets, cfg.Rooms, cfg.Resume)
	}
	var got []string
	for _, u := range cfg.servers.urls {
		got = append(got, u.String())
	}
	if want := "http://a:1/socket https://b/chat"; strings.Join(got, " ") != want {
		t.Errorf("servers %q, want %q", got, want)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Usage: loadtest", "--sockets", "$ARISTOCHAT_SOCKETS", "--[no-]resume", "Exit codes"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("--help does not say %q:\n%s", want, out.String())
		}
	}
}
