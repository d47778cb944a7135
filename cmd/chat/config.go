package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/aristochat/aristochat/internal/command"
)

// config is the command line. Each flag is an environment variable too, named
// ARISTOCHAT_ and the flag: ARISTOCHAT_USERNAME.
type config struct {
	Username string `group:"chat" short:"u" placeholder:"NAME" help:"Who you are. (default: your login name)"`
	Room     string `group:"chat" short:"r" default:"main" placeholder:"NAME" help:"The room to enter. (default main)"`
	Server   string `group:"chat" short:"s" default:"localhost:4000" placeholder:"ADDRESS" help:"HOST:PORT, or a URL of http, https, ws or wss. Its path is /socket unless it has one. (default localhost:4000)"`
	Token    string `group:"chat" placeholder:"TEXT" help:"What the server lets you in with, if it asks. Other users of the machine can read flags: the environment variable is safer."`
	CA       string `name:"ca" group:"chat" placeholder:"FILE" help:"Certificates (PEM) that the server's is verified with, instead of this machine's."`
	Backlog  int    `group:"chat" default:"-1" placeholder:"N" help:"How many old messages to begin with, at most 200. (default 50; 0 in a pipe)"`

	JSON bool `name:"json" group:"pipe" help:"Print a JSON object a line."`
	Once bool `group:"pipe" help:"End when standard input has ended and everything is acknowledged."`

	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`

	// What the flags mean, once checked.
	url  string       `kong:"-"`
	http *http.Client `kong:"-"`
}

var commandLine = command.Line{
	Name: "chat",
	Description: `Chats in a terminal. Type /help there.

Without a terminal, or with --json or --once, each line of standard input is a message, and each message of the room a line of standard output. Each flag may be set by the environment variable named beside it; the flag wins.`,
	Groups: kong.Groups{"chat": "Chat", "pipe": "In a pipe"},
	Ending: `
Exit codes
  0  ended by the user, or with --once
  1  something else failed
  2  a flag or environment variable is wrong, or a file that it names
  3  the server cannot be reached, or is no chat server; with --once also if
     the room is not entered in time
  4  the server refuses you, or the room
  5  a message was not acknowledged

  The first connection has to succeed. One that is lost later comes back by
  itself.
`,
}

// parseConfig reads flags and environment. It returns nil if the answer has
// been printed: --help or --version.
func parseConfig(args []string, stdout io.Writer) (*config, error) {
	return command.Parse[config](&commandLine, args, stdout)
}

// AfterApply refuses what cannot work, and fills in the rest.
func (c *config) AfterApply() error {
	c.Username = cmp.Or(c.Username, loginName())
	switch {
	case strings.TrimSpace(c.Username) == "":
		return errors.New("--username: your login name is not known here, so say who you are")
	case !utf8.ValidString(c.Username):
		return errors.New("--username: the name is not UTF-8")
	case strings.TrimSpace(c.Room) == "":
		return errors.New("--room: the name is empty")
	case !utf8.ValidString(c.Room):
		return errors.New("--room: the name is not UTF-8")
	case c.Backlog < -1 || c.Backlog > 200:
		return fmt.Errorf("--backlog: %d is not from 0 to 200", c.Backlog)
	}
	var err error
	if c.url, err = socketURL(c.Server); err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	if c.CA != "" {
		if c.http, err = trusting(c.CA); err != nil {
			return fmt.Errorf("--ca: %w", err)
		}
	}
	return nil
}

// backlog is how many old messages to begin with.
func (c *config) backlog(unless int) int {
	if c.Backlog < 0 {
		return unless
	}
	return c.Backlog
}

// loginName is the name of who runs the program, without a Windows domain.
func loginName() string {
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return cmp.Or(os.Getenv("USER"), os.Getenv("USERNAME"))
	}
	return u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
}

// socketURL is the address of the socket: what stands in --server, made whole.
func socketURL(server string) (string, error) {
	if !strings.Contains(server, "://") {
		server = "ws://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return "", fmt.Errorf("%q is no address: %w", server, err)
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return "", fmt.Errorf("%q: the scheme %q is none of http, https, ws and wss", server, u.Scheme)
	}
	if u.Hostname() == "" {
		return "", fmt.Errorf("%q has no host: write it as HOST:PORT", server)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/socket"
	}
	return u.String(), nil
}

// trusting is an HTTP client that believes only the authorities in a file.
func trusting(file string) (*http.Client, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", file)
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the HTTP transport of this program is not Go's")
	}
	transport = transport.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}
