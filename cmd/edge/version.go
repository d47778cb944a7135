package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by builds of releases and images: -ldflags "-X main.version=v1.2.3 -X main.commit=0123abcd".
var version, commit string

// buildVersion is the release, or else what the Go toolchain recorded.
func buildVersion() string {
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

func versionLine() string {
	return fmt.Sprintf("aristochat edge %s (%s, %s/%s)", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
