package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/internal/command"
	"github.com/aristochat/aristochat/internal/logsample"
)

// defaultData is where a newcomer finds it: beside what was run.
const defaultData = "aristochat-data"

// config is the command line. Each flag is an environment variable too, named
// ARISTOCHAT_ and the flag: ARISTOCHAT_LOG_LEVEL.
type config struct {
	Listen      string        `group:"clients" default:":4000" placeholder:"HOST:PORT" help:"Where clients connect. (default :4000)"`
	AllowOrigin []string      `group:"clients" default:"same-host" placeholder:"ORIGIN" help:"Web pages that may connect: same-host, any, or a list of origins such as https://chat.example.com or //*.example.com. (default same-host)"`
	LongPoll    string        `name:"longpoll" group:"clients" default:"on" enum:"on,off" placeholder:"HOW" help:"Long-polling for clients whose network lets no websocket through: on or off. (default on)"`
	Page        bool          `group:"clients" default:"true" help:"Serve the chat as a web page at /. (default true; --page=false turns it off)"`
	Secret      string        `group:"clients" placeholder:"TEXT" help:"What all edges of a cluster know and nobody else: 16 bytes or more. Long-polling needs it. An edge with its own NATS makes one and keeps it with its data."`
	SecretFile  string        `group:"clients" placeholder:"FILE" help:"File with the secret: other users of the machine can read flags."`
	DeadAfter   time.Duration `group:"clients" default:"8s" placeholder:"TIME" help:"How long another edge may be silent before its users are taken to be gone. (default 8s)"`
	AdmitRate   float64       `group:"clients" placeholder:"N" help:"How many clients are let in a second. Who comes sooner waits, and is refused if that would take more than 2 s. (default 200 for each CPU)"`
	MaxSockets  int           `group:"clients" placeholder:"N" help:"How many clients there may be. Then others are refused, and /readyz says full. (default: any number)"`
	Drain       time.Duration `group:"clients" default:"10s" placeholder:"TIME" help:"How long the end may take: clients are sent to the other edges as fast as those can bear, and faster if this would not suffice. (default 10s)"`
	DrainDelay  time.Duration `group:"clients" default:"0s" placeholder:"TIME" help:"How long clients are still let in at the end, for load balancers that have yet to notice; part of --drain. (default 0s)"`
	Grace       time.Duration `group:"clients" placeholder:"TIME" help:"How long after SIGTERM the edge is killed, such as Kubernetes's terminationGracePeriodSeconds. It changes nothing: --drain is checked against it."`

	AdminListen string `group:"admin" placeholder:"HOST:PORT" help:"Where operators look: /metrics for Prometheus, /healthz and /readyz, /debug/pprof/. It asks nobody who they are: keep it from clients. (default none)"`

	NATS          []string `name:"nats" group:"nats" placeholder:"URL" help:"NATS servers of one cluster, such as nats://a:4222,nats://b:4222. Without it NATS runs in this process."`
	NATSCreds     string   `name:"nats-creds" group:"nats" placeholder:"FILE" help:"Credentials file (JWT and seed)."`
	NATSNkey      string   `name:"nats-nkey" group:"nats" placeholder:"FILE" help:"File with the seed of a user nkey."`
	NATSCA        string   `name:"nats-ca" group:"nats" placeholder:"FILE" help:"Certificates (PEM) that the servers' are verified with."`
	NATSCert      string   `name:"nats-cert" group:"nats" placeholder:"FILE" help:"Client certificate (PEM)."`
	NATSKey       string   `name:"nats-key" group:"nats" placeholder:"FILE" help:"Key of the client certificate (PEM)."`
	SubjectPrefix string   `group:"nats" default:"chat" placeholder:"WORD" help:"First token of every subject; edges with another one are strangers. (default chat)"`

	History         string        `group:"history" default:"file" enum:"file,memory,off" placeholder:"WHERE" help:"Where messages are kept for who joins later or was away: file, memory or off. (default file)"`
	HistoryMessages int64         `group:"history" placeholder:"N" help:"How many messages of a room are kept. (default 10000)"`
	HistoryAge      time.Duration `group:"history" placeholder:"TIME" help:"How long they are kept. (default 720h)"`
	HistoryBytes    int64         `group:"history" placeholder:"N" help:"Bytes of all rooms. (default 8 GiB, or what there is)"`
	HistoryReplicas int           `group:"history" placeholder:"N" help:"How many NATS servers keep each message. (default 3 in a cluster, else 1)"`
	Stream          string        `group:"history" default:"apply" enum:"apply,check" placeholder:"HOW" help:"The JetStream stream at start: apply creates it or changes it, check only reports, for edges that have no right to more. (default apply)"`

	Data       string `group:"embedded" placeholder:"DIR" help:"Directory of the NATS in this process. (default ${data})"`
	NATSListen string `name:"nats-listen" group:"embedded" placeholder:"HOST:PORT" help:"Open the NATS in this process to other edges and tools. It asks for no password: keep it to loopback."`

	OTLPEndpoint string  `name:"otlp-endpoint" group:"traces" placeholder:"URL" help:"OpenTelemetry collector that gets traces by OTLP over HTTP, such as http://localhost:4318. Without it nothing is traced. The variables OTEL_EXPORTER_OTLP_HEADERS and …_CERTIFICATE work as usual."`
	TraceRatio   float64 `group:"traces" default:"0.01" placeholder:"N" help:"Share of what clients do that is traced, from 0 to 1. (default 0.01)"`

	LogLevel  string           `group:"log" default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error. (default info)"`
	LogFormat string           `group:"log" default:"text" enum:"text,json" placeholder:"FORMAT" help:"text or json. (default text)"`
	Version   kong.VersionFlag `env:"-" help:"Print the version and exit."`

	Serve     struct{}    `cmd:"" default:"1" help:"Serve clients (default)."`
	StreamCmd streamFlags `cmd:"" name:"stream" help:"Prepare NATS."`
	Health    healthFlags `cmd:"" help:"Ask the edge with the same --admin-listen or --listen whether it is ready, and print what it says: for the health checks of containers. Exit code 0 if it is, 1 if not."`
	Tail      tailFlags   `cmd:"" help:"Show the events of a room, or of all, as they pass on NATS."`
	Top       topFlags    `cmd:"" help:"Show the edges of the cluster: how many clients and messages each has."`
	Check     checkFlags  `cmd:"" help:"Tell whether an edge with these flags can work, here and now. Nothing is changed."`

	// What the flags mean, once checked.
	command     string           `kong:"-"`
	origins     edge.OriginCheck `kong:"-"`
	natsOptions []nats.Option    `kong:"-"`
	secret      []byte           `kong:"-"` // nil if none was given

	otlpEndpoint *url.URL `kong:"-"` // nil if none was given
}

type streamFlags struct {
	Apply struct {
		Shrink bool `env:"-" help:"Also lower limits and replicas, which deletes messages."`
	} `cmd:"" help:"Create the stream that keeps messages, or change it to what the --history flags say. Nothing is deleted without --shrink."`
}

type healthFlags struct {
	URL string `name:"url" env:"-" placeholder:"URL" help:"What to ask: a URL, or a path of that edge. (default /readyz)"`
}

type checkFlags struct {
	Production bool `env:"-" help:"Take warnings for failures."`
	JSON       bool `name:"json" env:"-" help:"Print one JSON object a line."`
}

const (
	commandHealth      = "health"
	commandServe       = "serve"
	commandCheck       = "check"
	commandTail        = "tail"
	commandTop         = "top"
	commandStreamApply = "stream apply"
)

var commandLine = command.Line{
	Name: "edge",
	Description: `Serves chat to Phoenix clients.

Without flags it listens on port 4000 and brings its own NATS, data included. Edges that are given the same --nats servers act as one. Each flag may be set by the environment variable named beside it; the flag wins.`,
	Groups: kong.Groups{"clients": "Clients", "admin": "Operators", "nats": "NATS", "history": "History", "embedded": "NATS in this process", "traces": "Traces", "log": "Log"},
	Vars:   kong.Vars{"data": "./" + defaultData},
	Ending: `
Signals
  The first SIGTERM or SIGINT ends in order, within --drain: /readyz is 503, then
  clients are told to reconnect, a few at a time, and what they have sent leaves.
  A second one ends at once.

Exit codes
  0  ended in order
  1  something else failed
  2  a flag or environment variable is wrong, or a file that it names
  3  --listen, --admin-listen or --nats-listen: the address is in use or not ours to use
  4  --data: the directory cannot be used
  5  NATS cannot serve this edge however long it waits: no JetStream, missing
     permissions, more replicas than servers; edge check found a failure; edge
     tail or edge top cannot reach NATS

  A NATS that cannot be reached ends nothing: the edge says so, retries with
  growing pauses, and /readyz is 503 meanwhile.
`,
}

// parseConfig reads flags and environment. It returns nil if the answer has
// been printed: --help or --version.
func parseConfig(args []string, stdout io.Writer) (*config, error) {
	return command.Parse[config](&commandLine, args, stdout)
}

// AfterApply refuses what would fail later or mean nothing, and fills in the
// rest.
func (c *config) AfterApply(parsed *kong.Context) error {
	c.command = strings.TrimSuffix(parsed.Command(), " <room>")
	return c.check()
}

func (c *config) check() error {
	if err := checkAddress(c.Listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if c.AdminListen != "" {
		if err := checkAddress(c.AdminListen); err != nil {
			return fmt.Errorf("--admin-listen: %w", err)
		}
	}
	if c.command == commandHealth { // which needs no more
		return nil
	}
	if c.NATSListen != "" {
		if err := checkAddress(c.NATSListen); err != nil {
			return fmt.Errorf("--nats-listen: %w", err)
		}
	}
	if c.DeadAfter < time.Second {
		return fmt.Errorf("--dead-after: %v is less than a second", c.DeadAfter)
	}
	if err := c.checkClients(); err != nil {
		return err
	}
	if c.Grace < 0 {
		return fmt.Errorf("--grace: %v is negative", c.Grace)
	}
	var err error
	if c.origins, err = originCheck(withoutEmpty(c.AllowOrigin)); err != nil {
		return fmt.Errorf("--allow-origin: %w", err)
	}
	if c.secret, err = c.givenSecret(); err != nil {
		return err
	}
	if err := c.checkHistory(); err != nil {
		return err
	}
	if err := c.checkNATS(); err != nil {
		return err
	}
	if err := c.checkTracing(); err != nil {
		return err
	}
	if c.command == commandStreamApply && len(c.NATS) == 0 {
		return errors.New("--nats is missing: which servers shall have the stream? The NATS in an edge gets it by itself")
	}
	if (c.command == commandTail || c.command == commandTop) && len(c.NATS) == 0 {
		return errors.New("--nats is missing: where do the edges meet? An edge opens its own NATS to tools with --nats-listen 127.0.0.1:4222; then name nats://127.0.0.1:4222")
	}
	if len(c.NATS) == 0 && c.Data == "" && c.History != "off" {
		c.Data = defaultData
	}
	return nil
}

// ratePerCPU is how many clients a second are let in for each CPU: about a quarter
// of what it could do, so that those who are there notice nothing. See
// docs/deploys.md.
const ratePerCPU = 200

func (c *config) checkClients() error {
	switch {
	case c.Drain < 0:
		return fmt.Errorf("--drain: %v is negative", c.Drain)
	case c.DrainDelay < 0:
		return fmt.Errorf("--drain-delay: %v is negative", c.DrainDelay)
	case c.DrainDelay > 0 && c.DrainDelay >= c.Drain:
		return fmt.Errorf("--drain-delay: %v leaves nothing of --drain, %v, for clients to leave: the delay is part of it", c.DrainDelay, c.Drain)
	case c.MaxSockets < 0:
		return fmt.Errorf("--max-sockets: %d is negative", c.MaxSockets)
	case c.AdmitRate != 0 && (c.AdmitRate < 1 || math.IsInf(c.AdmitRate, 0) || math.IsNaN(c.AdmitRate)):
		return fmt.Errorf("--admit-rate: %v is no rate: want 1 or more clients a second", c.AdmitRate)
	}
	c.AdmitRate = cmp.Or(c.AdmitRate, ratePerCPU*float64(runtime.GOMAXPROCS(0)))
	return nil
}

func (c *config) checkHistory() error {
	switch {
	case c.HistoryMessages < 0, c.HistoryAge < 0, c.HistoryBytes < 0:
		return errors.New("--history-messages, --history-age and --history-bytes must not be negative")
	case c.HistoryReplicas < 0 || c.HistoryReplicas > 5:
		return fmt.Errorf("--history-replicas: %d is not from 1 to 5", c.HistoryReplicas)
	case c.History != "off":
		return nil
	case c.Data != "":
		return errors.New("--data is of no use with --history=off: there is nothing to keep")
	case c.command == commandStreamApply:
		return errors.New("--history=off needs no stream")
	}
	return nil
}

func (c *config) streamOptions() *backbone.StreamOptions {
	return &backbone.StreamOptions{
		Memory:      c.History == "memory",
		Replicas:    c.HistoryReplicas,
		MaxPerTopic: c.HistoryMessages,
		MaxAge:      c.HistoryAge,
		MaxBytes:    c.HistoryBytes,
		Shrink:      c.StreamCmd.Apply.Shrink,
	}
}

func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address: write it as HOST:PORT, or :PORT for all addresses of this machine", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be a number from 0 to 65535", s)
	}
	return nil
}

func originCheck(list []string) (edge.OriginCheck, error) {
	switch {
	case len(list) == 0, slices.Equal(list, []string{"same-host"}):
		return edge.SameHost(""), nil
	case slices.Equal(list, []string{"any"}):
		return edge.AnyOrigin, nil
	case slices.Contains(list, "same-host"), slices.Contains(list, "any"):
		return nil, errors.New("same-host and any stand alone, not in a list")
	}
	return edge.AllowOrigins(list...)
}

// checkCreds reads a credentials file, which nats.go does only when it
// connects.
func checkCreds(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := nkeys.ParseDecoratedJWT(b); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if _, err := nkeys.ParseDecoratedNKey(b); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// newLogger returns the log, and what counts and thins its lines.
func newLogger(w io.Writer, cfg *config) (*slog.Logger, *logsample.Handler) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // kong knows which there are
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if cfg.LogFormat == "json" {
		h = slog.NewJSONHandler(w, o)
	}
	lines := logsample.New(h, nil)
	return slog.New(lines), lines
}

// readable writes times such as 1m30s in JSON, too, where slog has nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
