//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package embedded

import "os"

// lockFile claims nothing where the standard library knows no file lock.
func lockFile(*os.File) error { return nil }
