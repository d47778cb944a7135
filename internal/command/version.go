package command

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by builds of releases and images, which have the Dockerfile's -ldflags.
var version, commit string

// Version is the release, or else what the Go toolchain recorded.
func Version() string {
	switch {
	case version != "" && commit != "":
		return version + "-" + shortCommit(commit)
	case version != "":
		return version
	case commit != "":
		return "development-" + shortCommit(commit)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := "development"
	if mv := info.Main.Version; mv != "" && mv != "(devel)" {
		v = mv
	}
	var revision, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = "-" + shortCommit(s.Value)
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-dirty"
		}
	}
	if v == "development" { // a module version has them already
		v += revision + modified
	}
	return v
}

func shortCommit(s string) string { return s[:min(len(s), 12)] }

// Version is what --version prints: the version, and what it was built with and
// for.
func (l *Line) Version() string {
	return fmt.Sprintf("aristochat %s %s (%s, %s/%s)", l.Name, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
