package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aristochat/aristochat/embedded"
)

// volume asks whether messages can be kept in the directory.
func volume(c *Config) Finding {
	const name = "data"
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		return failed(name, err.Error(), "name a directory with --data")
	}
	if embedded.InUse(dir) {
		return ok(name, "%s is in use by an edge that runs", dir)
	}
	there := dir
	for {
		info, err := os.Stat(there)
		if err == nil && !info.IsDir() {
			return failed(name, there+" is no directory", "choose another --data")
		}
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) || there == filepath.Dir(there) {
			return failed(name, err.Error(), "choose a directory that this user may write to")
		}
		there = filepath.Dir(there) // the edge makes what is missing
	}
	if err := writable(there); err != nil {
		return failed(name, fmt.Sprintf("%s cannot be written to: %v", there, err),
			fmt.Sprintf("let user %d write there (chown, fsGroup), mount it writable, or choose another --data", os.Getuid()))
	}
	free, known := freeBytes(there)
	if !known {
		return ok(name, "%s can be written to", dir)
	}
	streams, _ := fs.Glob(os.DirFS(dir), "jetstream/*/streams/*") // its one error is of the pattern
	return room(c, dir, free, len(streams) > 0)
}

const (
	// leastStream is what the store wants for a new stream at least.
	leastStream = 64 << 20
	littleRoom  = 256 << 20
	noRoom      = 1 << 20
)

// room asks whether what is free suffices; used says that messages are there
// already.
func room(c *Config, dir string, free int64, used bool) Finding {
	const name, larger = "data", "make room, or choose a larger volume with --data"
	want := c.stream().MaxBytes
	store := free / 4 * 3 // what the server takes for itself
	onDisk := c.History && !c.memory()
	switch {
	case free < noRoom:
		return failed(name, dir+" is on a volume that is full", larger)
	case onDisk && want > store:
		return failed(name, fmt.Sprintf("%s has %d MiB free, of which three quarters are used: --history-bytes says %d MiB", dir, free>>20, want>>20),
			"lower --history-bytes, or choose a larger volume with --data")
	case onDisk && !used && want == 0 && store < leastStream:
		return failed(name, fmt.Sprintf("%s has only %d MiB free, and history takes %d at least", dir, free>>20, leastStream/3*4>>20+1), larger)
	case free < littleRoom:
		return warning(name, fmt.Sprintf("%s has only %d MiB free", dir, free>>20), larger)
	}
	return ok(name, "%s can be written to, %d MiB are free", dir, free>>20)
}

// writable tries it: what permissions say is not what a network file system, or
// one mounted read-only, does. Nothing stays.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".edge-check-*")
	if err != nil {
		if e, ok := errors.AsType[*os.PathError](err); ok {
			err = e.Err // the name is of no interest
		}
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
