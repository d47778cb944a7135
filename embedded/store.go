package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// lockStore creates dir if needed and claims it for one server: two of them on
// one directory would destroy each other's streams, and NATS does not look.
// The claim ends with the file or the process.
func lockStore(dir string) (*os.File, error) {
	const hint = "choose a directory that this user may write to"
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("store directory %s: %w; %s", dir, err, hint)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("store directory %s: %w; %s", dir, err, hint)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("store directory %s: %w; stop that server or choose another directory", dir, err)
	}
	return f, nil
}

// InUse says whether a server, of this process or another one, works on the
// store directory. It changes nothing.
func InUse(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(lockFile(f), ErrStoreInUse)
}
