package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/command"
)

func TestHelp(t *testing.T) {
	out, _, err := call(t, "--help")
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"Exit codes", "SIGTERM", "4000", "./" + defaultData}
	for f := range reflect.TypeFor[config]().Fields() {
		if !f.IsExported() || f.Name == "Version" {
			continue
		}
		if f.Tag.Get("help") == "" {
			t.Errorf("flag %s has no help", f.Name)
		}
		if name := f.Tag.Get("name"); name != "" {
			words = append(words, "--"+name, "$ARISTOCHAT_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
		}
	}
	for _, w := range append(words, "--listen", "$ARISTOCHAT_LISTEN", "--log-level", "$ARISTOCHAT_LOG_LEVEL") {
		if !strings.Contains(out, w) {
			t.Errorf("--help does not say %q:\n%s", w, out)
		}
	}
}

// Words that kong puts there by itself, of what has no environment variable.
func TestHelpNamesNoOddVariables(t *testing.T) {
	for _, command := range []string{"serve", "stream apply", "health", "tail", "top", "check"} {
		out, _, err := call(t, append(strings.Fields(command), "--help")...)
		if err != nil || !strings.Contains(out, "Usage: edge "+command) || strings.Contains(out, "$-") {
			t.Errorf("edge %s --help, %v:\n%s", command, err, out)
		}
	}
}

func TestVersion(t *testing.T) {
	out, _, err := call(t, "--version")
	if err != nil || !strings.HasPrefix(out, "aristochat edge "+command.Version()+" (go1.") {
		t.Errorf("--version = %q, %v; want the version and the toolchain", out, err)
	}
}

func TestBadUsage(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("not what it should be"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	const nats = "--nats=nats://127.0.0.1:1"

	tests := []struct {
		name string
		args []string
		env  string
		want []string
	}{
		{"unknown flag", []string{"--listne", ":1"}, "", []string{"--listne", "--help"}},
		{"argument", []string{"extra"}, "", []string{"extra"}},
		{"command without its command", []string{"stream"}, "", []string{"apply"}},
		{"stream apply without nats", []string{"stream", "apply"}, "", []string{"--nats is missing"}},
		{"stream apply of nothing", []string{"stream", "apply", nats, "--history=off"}, "", []string{"--history=off"}},
		{"history", []string{"--history", "tape"}, "", []string{"--history", "tape", "memory"}},
		{"negative history", []string{"--history-messages=-1"}, "", []string{"--history-messages", "negative"}},
		{"too many replicas", []string{"--history-replicas=7"}, "", []string{"--history-replicas", "1 to 5"}},
		{"data without history", []string{"--history=off", "--data", dir}, "", []string{"--data", "--history=off"}},
		{"two users", []string{"--nats", "nats://a:secret@a,nats://b:secret@b"}, "", []string{"--nats", "different users"}},
		{"no value", []string{"--listen"}, "", []string{"--listen"}},
		{"address without a port", []string{"--listen", "localhost"}, "", []string{"--listen", `"localhost"`, "HOST:PORT"}},
		{"port without a colon", []string{"--listen", "4000"}, "", []string{`"4000"`, ":PORT"}},
		{"port too large", []string{"--listen", ":70000"}, "", []string{"70000", "65535"}},
		{"nats-listen", []string{"--nats-listen", "x"}, "", []string{"--nats-listen", "HOST:PORT"}},
		{"drain", []string{"--drain", "soon"}, "", []string{"--drain", "soon"}},
		{"collector", []string{"--otlp-endpoint", "localhost:4318"}, "", []string{"--otlp-endpoint", "http://localhost:4318"}},
		{"no number of traces", []string{"--trace-ratio", "NaN"}, "", []string{"--trace-ratio", "from 0 to 1"}},
		{"too many traces", []string{"--trace-ratio", "10"}, "", []string{"--trace-ratio", "from 0 to 1"}},
		{"hasty", []string{"--dead-after", "10ms"}, "", []string{"--dead-after", "less than a second"}},
		{"negative delay", []string{"--drain-delay=-1s"}, "", []string{"--drain-delay", "negative"}},
		{"delay of all the drain", []string{"--drain=5s", "--drain-delay=5s"}, "", []string{"--drain-delay", "--drain, 5s", "part of it"}},
		{"negative sockets", []string{"--max-sockets=-1"}, "", []string{"--max-sockets", "negative"}},
		{"rate below one", []string{"--admit-rate=0.5"}, "", []string{"--admit-rate", "1 or more"}},
		{"rate that is none", []string{"--admit-rate=NaN"}, "", []string{"--admit-rate", "1 or more"}},
		{"negative grace", []string{"--grace=-1s"}, "", []string{"--grace", "negative"}},
		{"negative drain", []string{"--drain=-1s"}, "", []string{"--drain", "negative"}},
		{"origin", []string{"--allow-origin", "example.com"}, "", []string{"--allow-origin", "example.com", "//host"}},
		{"origin any and more", []string{"--allow-origin", "any,//example.com"}, "", []string{"--allow-origin", "stand alone"}},
		{"log level", []string{"--log-level", "loud"}, "", []string{"--log-level", "loud", "debug"}},
		{"log format", []string{"--log-format", "xml"}, "", []string{"--log-format", "xml", "json"}},
		{"prefix with a dot", []string{"--listen=127.0.0.1:0", "--subject-prefix", "a.b"}, "", []string{"--subject-prefix", "a.b"}},
		{"prefix of a check", []string{"check", "--listen=127.0.0.1:0", "--subject-prefix", "a.b"}, "", []string{"--subject-prefix", "a.b"}},
		{"prefix with a wildcard", []string{"--listen=127.0.0.1:0", "--subject-prefix", "*"}, "", []string{"--subject-prefix"}},
		{"scheme", []string{"--nats", "http://a:4222"}, "", []string{"--nats", "http://a:4222", "nats, tls, ws or wss"}},
		{"no host", []string{"--nats", "nats://a,nats://"}, "", []string{"names no host"}},
		{"bad URL", []string{"--nats", "nats://u:secret@a:b:c"}, "", []string{"cannot be parsed"}},
		{"bad scheme with a password", []string{"--nats", "amqp://u:secret@a"}, "", []string{"amqp"}},
		{"data with nats", []string{nats, "--data", dir}, "", []string{"--data", "without --nats"}},
		{"nats-listen with nats", []string{nats, "--nats-listen", ":0"}, "", []string{"--nats-listen", "without --nats"}},
		{"creds without nats", []string{"--nats-creds", garbage}, "", []string{"--nats-creds", "with --nats"}},
		{"creds missing", []string{nats, "--nats-creds", missing}, "", []string{"--nats-creds", missing, "no such file"}},
		{"creds garbage", []string{nats, "--nats-creds", garbage}, "", []string{"--nats-creds", garbage}},
		{"nkey missing", []string{nats, "--nats-nkey", missing}, "", []string{"--nats-nkey", missing}},
		{"nkey garbage", []string{nats, "--nats-nkey", garbage}, "", []string{"--nats-nkey"}},
		{"creds and nkey", []string{nats, "--nats-creds", garbage, "--nats-nkey", garbage}, "", []string{"exclude"}},
		{"ca missing", []string{nats, "--nats-ca", missing}, "", []string{"--nats-ca", missing}},
		{"ca garbage", []string{nats, "--nats-ca", garbage}, "", []string{"--nats-ca", garbage}},
		{"cert without key", []string{nats, "--nats-cert", garbage}, "", []string{"--nats-cert", "--nats-key"}},
		{"cert garbage", []string{nats, "--nats-cert", garbage, "--nats-key", garbage}, "", []string{"--nats-cert"}},
		{"variable", nil, "ARISTOCHAT_LISTEN=4000", []string{"--listen", "from ARISTOCHAT_LISTEN"}},
		{"enum variable", nil, "ARISTOCHAT_LOG_LEVEL=loud", []string{"loud", "from ARISTOCHAT_LOG_LEVEL"}},
		{"duration variable", nil, "ARISTOCHAT_DRAIN=soon", []string{"soon", "ARISTOCHAT_DRAIN"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if name, value, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(name, value)
			}
			_, code, err := call(t, tt.args...)
			if err == nil || code != exitUsage {
				t.Fatalf("code %d, error %v; want code %d", code, err, exitUsage)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error is %q, want it to say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error gives a password away: %q", err)
			}
			if strings.Contains(err.Error(), "from ARISTOCHAT") && tt.env == "" {
				t.Errorf("error blames the environment, which is empty: %q", err)
			}
		})
	}
}

func TestFlagBeatsEnvironment(t *testing.T) {
	t.Setenv("ARISTOCHAT_LISTEN", ":1")
	t.Setenv("ARISTOCHAT_NATS", "a:4222, tls://b")
	cfg, err := parseConfig([]string{"--listen", ":2"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != ":2" {
		t.Errorf("listen = %q, want the flag's :2", cfg.Listen)
	}
	if want := []string{"nats://a:4222", "tls://b"}; !slices.Equal(cfg.NATS, want) {
		t.Errorf("NATS = %q, want the environment's %q", cfg.NATS, want)
	}
}

// Compose files pass on what is not set as an empty string.
func TestEmptyEnvironment(t *testing.T) {
	t.Setenv("ARISTOCHAT_NATS", "")
	t.Setenv("ARISTOCHAT_DATA", "")
	t.Setenv("ARISTOCHAT_NATS_CREDS", "")
	cfg, err := parseConfig(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.NATS) != 0 || cfg.Data != defaultData {
		t.Errorf("NATS = %q, data = %q; want none and %q", cfg.NATS, cfg.Data, defaultData)
	}
}

func TestCredentials(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	nkey, creds := filepath.Join(dir, "nkey"), filepath.Join(dir, "creds")
	decorated := "-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + string(seed) + "\n------END USER NKEY SEED------\n"
	for file, text := range map[string]string{nkey: string(seed), creds: decorated} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, flag := range []string{"--nats-nkey=" + nkey, "--nats-creds=" + creds} {
		cfg, err := parseConfig([]string{"--nats=a", flag}, nil)
		if err != nil {
			t.Errorf("%s: %v", flag, err)
		} else if len(cfg.natsOptions) != 1 {
			t.Errorf("%s makes %d options, want 1", flag, len(cfg.natsOptions))
		}
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()

	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"listen", []string{"--listen", taken}, []string{"--listen", taken, "another program"}},
		{"nats-listen", []string{"--listen", "127.0.0.1:0", "--nats-listen", taken}, []string{"--nats-listen", taken}},
		{"foreign", []string{"--listen", "192.0.2.1:0"}, []string{"--listen", "192.0.2.1", "of this machine"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, code, err := call(t, tt.args...)
			if err == nil || code != exitListen {
				t.Fatalf("code %d, error %v; want code %d", code, err, exitListen)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error is %q, want it to say %q", err, w)
				}
			}
			if _, err := os.Stat(defaultData); tt.name == "listen" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a data directory was made although nothing can be served: %v", err)
			}
		})
	}
}

func TestDataUnusable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	srv, err := embedded.Start(&embedded.Options{StoreDir: used})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown()

	tests := []struct{ name, dir, want string }{
		{"a file", file, "choose a directory"},
		{"below a file", filepath.Join(file, "data"), "choose a directory"},
		{"in use", used, "in use by another server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, code, err := call(t, "--listen", "127.0.0.1:0", "--data", tt.dir)
			if err == nil || code != exitData {
				t.Fatalf("code %d, error %v; want code %d", code, err, exitData)
			}
			for _, w := range []string{"--data", tt.dir, tt.want} {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error is %q, want it to say %q", err, w)
				}
			}
		})
	}
}
