//go:build darwin || linux

package check

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFiles is how many descriptors the process may have, 0 if that is not
// known. Go has raised it to what it may be.
func openFiles() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return int(min(r.Cur, math.MaxInt32))
}

// freeBytes is how much this user may write to a directory's volume, 0 if that
// is not known.
func freeBytes(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // another type on another system
}
