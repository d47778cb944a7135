package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/alecthomas/kong"

	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/internal/command"
)

// config is the command line. Each flag is an environment variable too, named
// ARISTOCHAT_ and the flag: ARISTOCHAT_SOCKETS.
type config struct {
	Server     []string      `group:"load" default:"localhost:4000" placeholder:"ADDRESS" help:"Where clients connect: host:port, http(s):// or ws(s)://. Given more than once, or with commas, a client takes them in turns, the next one each time it comes back. (default localhost:4000)"`
	Sockets    int           `group:"load" default:"100" placeholder:"N" help:"Clients. Each is in one room. (default 100)"`
	Rooms      int           `group:"load" placeholder:"N" help:"Rooms. (default one for ten clients)"`
	Rate       float64       `group:"load" default:"20" placeholder:"N" help:"Messages a second in all, sent by the clients in turns. (default 20)"`
	Duration   time.Duration `group:"load" default:"1m" placeholder:"TIME" help:"How long messages are sent, once all have joined. (default 1m)"`
	Ramp       float64       `group:"load" default:"100" placeholder:"N" help:"New clients a second at the start. (default 100)"`
	Size       int           `group:"load" default:"100" placeholder:"N" help:"Bytes of a message's body, at least. (default 100)"`
	RoomPrefix string        `group:"load" default:"loadtest" placeholder:"WORD" help:"What rooms are called; a number follows. (default loadtest)"`
	Resume     bool          `group:"load" default:"true" negatable:"" help:"Clients that come back ask for what they missed. --no-resume has them go on without, and what they missed is not expected."`
	Patience   time.Duration `group:"load" default:"1m" placeholder:"TIME" help:"How long to wait for the last client to join, and at the end for the last message. (default 1m)"`

	MaxLoss         int     `group:"verdict" placeholder:"N" help:"Acknowledged messages that may be missing, counted once for each client that lacks one. (default 0)"`
	MaxDuplicates   int     `group:"verdict" placeholder:"N" help:"Messages that may arrive twice. (default 0)"`
	MaxDisorder     int     `group:"verdict" placeholder:"N" help:"Messages that may arrive after a later one, or with another sequence than elsewhere. (default 0)"`
	MaxNotRecovered int     `group:"verdict" placeholder:"N" help:"Joins that the server may answer with recovered: false. (default 0)"`
	Flat            float64 `group:"verdict" placeholder:"N" help:"The most reconnects in one second may be N times the mean of their wave. 0 judges nothing. (default 0)"`

	JSON     bool             `name:"json" group:"report" help:"Write the report as JSON."`
	Timeline string           `group:"report" placeholder:"FILE" help:"Write a line of CSV for each second. - is the standard output."`
	Progress time.Duration    `group:"report" default:"5s" placeholder:"TIME" help:"How often to tell on the standard error how it goes; 0 for never. (default 5s)"`
	Version  kong.VersionFlag `env:"-" help:"Print the version and exit."`

	servers *servers `kong:"-"`
}

var commandLine = command.Line{
	Name: "loadtest",
	Description: `Loads a chat with clients, and tells whether it keeps its promises.

Each client joins a room, sends messages in its turn, and comes back when it is cut off. At the end each must have received each acknowledged message of its room, once, in one order. That is checked and not estimated.`,
	Groups: kong.Groups{"load": "Load", "verdict": "Verdict", "report": "Report"},
	Ending: `
Signals
  The first SIGTERM or SIGINT ends the sending; what is on its way is waited
  for, and the report written. A second one ends at once.

Exit codes
  0  promises were kept
  1  something else failed: clients that could not join, no message that was
     acknowledged, a file
  2  a flag or environment variable is wrong
  3  a promise was broken: a message lost, delivered twice or out of order, or
     the server could not give what a client had missed
  4  reconnects were not as flat as --flat wants them
`,
}

// parseConfig reads flags and environment. It returns nil if the answer has
// been printed: --help or --version.
func parseConfig(args []string, stdout io.Writer) (*config, error) {
	return command.Parse[config](&commandLine, args, stdout)
}

// Bounds of what makes sense.
const (
	maxSockets = 1_000_000
	maxRate    = 1e6
	minRamp    = 0.01
)

// between is false for what is no number.
func between(low, x, high float64) bool { return low <= x && x <= high }

// AfterApply refuses what would fail later or mean nothing, and fills in the
// rest.
func (c *config) AfterApply() (err error) {
	if c.servers, err = newServers(c.Server); err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	if c.Sockets < 1 || c.Sockets > maxSockets {
		return fmt.Errorf("--sockets: %d is not between 1 and %d", c.Sockets, maxSockets)
	}
	if c.Rooms == 0 {
		c.Rooms = max(c.Sockets/10, 1)
	}
	if c.Rooms < 1 || c.Rooms > c.Sockets {
		return fmt.Errorf("--rooms: %d is not between 1 and the number of sockets, %d", c.Rooms, c.Sockets)
	}
	switch {
	case !between(0, c.Rate, maxRate):
		err = fmt.Errorf("--rate: %v is not between 0 and a million", c.Rate)
	case c.Duration <= 0:
		err = fmt.Errorf("--duration: %v is not positive", c.Duration)
	case !between(minRamp, c.Ramp, maxRate):
		err = fmt.Errorf("--ramp: %v is not between %g and a million", c.Ramp, minRamp)
	case c.Size < 0 || c.Size > rooms.DefaultMaxBody:
		err = fmt.Errorf("--size: %d is not between 0 and %d", c.Size, rooms.DefaultMaxBody)
	case c.RoomPrefix == "" || len(c.RoomPrefix) > 200:
		err = errors.New("--room-prefix: give it 1 to 200 bytes")
	case c.Patience <= 0:
		err = fmt.Errorf("--patience: %v is not positive", c.Patience)
	case c.Progress < 0:
		err = fmt.Errorf("--progress: %v is negative", c.Progress)
	case c.JSON && c.Timeline == "-":
		err = errors.New("--timeline: - and --json would be mixed up; name a file")
	case c.Flat != 0 && !between(1, c.Flat, math.MaxFloat64):
		err = fmt.Errorf("--flat: %v is less than 1, and no maximum is below its mean", c.Flat)
	case min(c.MaxLoss, c.MaxDuplicates, c.MaxDisorder, c.MaxNotRecovered) < 0:
		err = errors.New("--max-…: a bound is negative")
	}
	return err
}
