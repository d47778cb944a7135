// Package command is what the programs of this repository have in common: how
// they read flags and environment, with which codes they end, and which version
// they are.
package command

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A Line is a program's command line: its name, and what --help says beside the
// flags.
type Line struct {
	Name        string
	Description string
	Ending      string      // below the flags: signals, exit codes
	Groups      kong.Groups // titles of the groups of flags
	Vars        kong.Vars   // for the tags of the struct
}

// prefix is what environment variables begin with.
const prefix = "ARISTOCHAT"

// Parse reads flags into a Config, a struct with tags for kong. What has no flag
// comes from the environment variable ARISTOCHAT_ and the flag's name:
// ARISTOCHAT_LOG_LEVEL. A method AfterApply of *Config, if there is one, checks
// what was read.
//
// It returns nil if the answer has been printed to stdout: --help or --version.
// Its error says what is wrong, and ends the program with [Usage].
func Parse[Config any](l *Line, args []string, stdout io.Writer) (*Config, error) {
	cfg, printed := new(Config), false
	p, err := kong.New(cfg,
		kong.Name(l.Name),
		kong.Description(l.Description),
		kong.Vars{"version": l.Version()},
		l.Vars,
		kong.DefaultEnvars(prefix),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
		l.Groups,
		kong.Help(func(o kong.HelpOptions, ctx *kong.Context) error {
			if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
				return err
			}
			_, err := io.WriteString(ctx.Stdout, l.Ending)
			return err
		}),
		kong.Writers(stdout, io.Discard),
		kong.Exit(func(int) { printed = true }),
	)
	if err != nil {
		return nil, fmt.Errorf("flags: %w", err) // a mistake of ours
	}
	_, err = p.Parse(args)
	switch {
	case printed:
		return nil, nil
	case err != nil:
		return nil, Fail(Usage, fmt.Errorf("%w%s (see %s --help)", err, origin(err, args), l.Name))
	}
	return cfg, nil
}

// origin tells which environment variable an error is about, if it is: its
// text knows only the flag.
func origin(err error, args []string) string {
	var vars []string
	for word := range strings.FieldsFuncSeq(err.Error(), func(r rune) bool { return strings.ContainsRune(" :=,;\"", r) }) {
		flag, ok := strings.CutPrefix(word, "--")
		if !ok || slices.ContainsFunc(args, func(a string) bool { return a == word || strings.HasPrefix(a, word+"=") }) {
			continue
		}
		name := prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		if os.Getenv(name) != "" && !slices.Contains(vars, name) {
			vars = append(vars, name)
		}
	}
	if vars == nil {
		return ""
	}
	return " [from " + strings.Join(vars, ", ") + "]"
}
