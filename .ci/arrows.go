// Arrows checks that imports go one way: go run .ci/arrows.go
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// A row says what the packages of a folder may reach, directly or through
// others: folders of ours, and modules or all modules below a path. The
// standard library is open to all.
type row struct {
	folder   string // a pattern; the first that matches counts
	mayReach []string
}

const anything = "*"

var rows = []row{
	{"protocol", nil},
	{"edge", edge},
	{"edge/histogram", nil},
	{"edge/fleet", edge},
	{"edge/presence", edge},
	{"edge/rooms", slices.Concat(edge, []string{"edge/presence"})},
	{"edge/backbone", slices.Concat(edge, nats)},
	{"edge/metrics", slices.Concat(edge, nats, prometheus, []string{"edge/backbone", "edge/presence"})},
	{"edge/page", nil},
	{"embedded", slices.Concat(nats, natsServer)},
	{"client", []string{"protocol", "github.com/coder/websocket", "golang.org/x"}},
	{"conformance", edge},
	{"internal/command", []string{"github.com/alecthomas/kong"}},
	{"internal/*", nil},

	// The parts of the terminal client.
	{"cmd/chat/text", charm},
	{"cmd/chat/room", nil},
	{"cmd/chat/talk", []string{"cmd/chat/room", "client", "protocol", "github.com/coder/websocket", "golang.org/x"}},
	{"cmd/chat/screen", slices.Concat(charm, chat)},
	{"cmd/chat/pipe", slices.Concat(charm, chat)},
	{"cmd/chat/testserver", []string{anything}},

	// Programs wire the others together.
	{"conformance/*", []string{anything}},
	{"cmd/*", []string{anything}},
	{"cmd/*/internal/*", []string{anything}},
	{"test/*", []string{anything}},
}

var (
	edge = []string{
		"edge", "edge/histogram", "protocol", "github.com/coder/websocket", "golang.org/x",
		"go.opentelemetry.io/otel", // its API, not the SDK
		// what that needs itself
		"github.com/cespare/xxhash/v2",
	}

	nats = []string{
		"github.com/nats-io/nats.go",
		// what it needs itself
		"github.com/nats-io/nkeys", "github.com/nats-io/nuid", "github.com/klauspost/compress", "golang.org/x",
	}
	prometheus = []string{
		"github.com/prometheus/client_golang", "github.com/prometheus/client_model",
		// what it needs itself
		"github.com/prometheus/common", "github.com/prometheus/procfs", "github.com/beorn7/perks", "github.com/cespare/xxhash/v2",
		"github.com/munnerz/goautoneg", "google.golang.org/protobuf", "go.yaml.in/yaml/v2",
	}
	natsServer = []string{
		"github.com/nats-io/nats-server/v2",
		// what it needs itself
		"github.com/nats-io/jwt/v2", "github.com/minio/highwayhash", "github.com/google/go-tpm", "github.com/antithesishq/antithesis-sdk-go",
	}
)

var (
	chat = []string{"cmd/chat/room", "cmd/chat/talk", "cmd/chat/text", "client", "protocol", "github.com/coder/websocket", "golang.org/x"}

	charm = []string{
		"charm.land", "github.com/charmbracelet",
		// what they need themselves
		"github.com/atotto/clipboard", "github.com/clipperhouse", "github.com/lucasb-eyer/go-colorful", "github.com/mattn/go-runewidth",
		"github.com/muesli/cancelreader", "github.com/rivo/uniseg", "github.com/xo/terminfo", "golang.org/x",
	}
)

func main() {
	if err := check(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check() error {
	module, err := goList("-m")
	if err != nil {
		return err
	}
	packages, err := goList("./...")
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return errors.New("arrows: found no package")
	}

	ours := module[0] + "/"
	var wrong []error
	for _, pkg := range packages {
		wrong = append(wrong, checkPackage(pkg, ours))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	fmt.Println("arrows:", len(packages), "packages, all one way")
	return nil
}

func checkPackage(pkg, ours string) error {
	folder := strings.TrimPrefix(pkg, ours)
	i := slices.IndexFunc(rows, func(r row) bool {
		ok, _ := path.Match(r.folder, folder)
		return ok
	})
	if i < 0 {
		// A new package begins with the question where it belongs.
		return fmt.Errorf("%s has no row in .ci/arrows.go", folder)
	}

	deps, err := goList("-deps", "-f",
		"{{if .Standard}}{{else if .Module.Main}}{{.ImportPath}}{{else}}{{.Module.Path}}{{end}}", pkg)
	if err != nil {
		return err
	}
	slices.Sort(deps)
	var wrong []error
	for _, dep := range slices.Compact(deps) {
		if dep != pkg && !rows[i].allows(dep, ours) {
			wrong = append(wrong, fmt.Errorf("%s must not reach %s", folder, strings.TrimPrefix(dep, ours)))
		}
	}
	return errors.Join(wrong...)
}

func (r row) allows(dep, ours string) bool {
	return slices.ContainsFunc(r.mayReach, func(allowed string) bool {
		if folder, ok := strings.CutPrefix(dep, ours); ok {
			return folder == allowed || allowed == anything
		}
		return dep == allowed || strings.HasPrefix(dep, allowed+"/") || allowed == anything
	})
}

func goList(args ...string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("arrows: go list %s: %w", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out)), nil
}
