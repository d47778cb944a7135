package check

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memory asks whether Go knows how much memory the container has.
func memory() Finding {
	return memoryOf(containerMemory(os.DirFS("/")), debug.SetMemoryLimit(-1))
}

func memoryOf(container, limit int64) Finding {
	const name = "memory"
	change := fmt.Sprintf("set GOMEMLIMIT to four fifths of it: GOMEMLIMIT=%dMiB", container/5*4>>20)
	switch {
	case container == 0:
		return ok(name, "no limit of a container")
	case limit == math.MaxInt64:
		return warning(name, fmt.Sprintf("the container has %d MiB and GOMEMLIMIT is not set: near the limit the edge is killed before Go has collected its garbage", container>>20), change)
	case limit > container:
		return warning(name, fmt.Sprintf("GOMEMLIMIT is %d MiB, and the container has %d MiB", limit>>20, container>>20), change)
	}
	return ok(name, "GOMEMLIMIT is %d MiB of the container's %d MiB", limit>>20, container>>20)
}

// containerMemory is what the process's control group may use, in bytes, 0 if
// it is not bounded: cgroups(7).
func containerMemory(root fs.FS) int64 {
	group := "/"
	if b, err := fs.ReadFile(root, "proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(b)) {
			if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				group = p
			}
		}
	}
	least := int64(0)
	note := func(file string) {
		b, err := fs.ReadFile(root, file)
		if err != nil {
			return
		}
		// "max", or version 1's huge number, is no limit.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 && n < 1<<60 && (least == 0 || n < least) {
			least = n
		}
	}
	for ; ; group = path.Dir(group) {
		note(path.Join("sys/fs/cgroup", group, "memory.max"))
		if group == "/" || group == "." {
			break
		}
	}
	note("sys/fs/cgroup/memory/memory.limit_in_bytes")
	return least
}
