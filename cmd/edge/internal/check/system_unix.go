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

// freeBytes is how much this user may write to a directory's volume, if that is
// known.
func freeBytes(dir string) (n int64, known bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil || s.Blocks == 0 { // no volume with a size
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true //nolint:unconvert // another type on another system
}
