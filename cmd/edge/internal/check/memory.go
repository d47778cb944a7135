package check

import (
	"fmt"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memory asks whether Go knows how much memory the container has. The edge tells
// it, unless GOMEMLIMIT does.
func memory() Finding {
	container, err := memlimit.FromCgroup()
	if err != nil { // there is no limit, or no such thing as a control group
		container = 0
	}
	return memoryOf(container, uint64(debug.SetMemoryLimit(-1)))
}

func memoryOf(container, limit uint64) Finding {
	const name = "memory"
	switch {
	case container == 0:
		return ok(name, "no limit of a container")
	case limit > container:
		return warning(name, fmt.Sprintf("GOMEMLIMIT is %d MiB, and the container has %d MiB: near its limit the edge is killed before Go has collected its garbage", limit>>20, container>>20),
			fmt.Sprintf("leave GOMEMLIMIT out, then it is nine tenths of the container's, or set it to four fifths: GOMEMLIMIT=%dMiB", container/5*4>>20))
	}
	return ok(name, "GOMEMLIMIT is %d MiB of the container's %d MiB", limit>>20, container>>20)
}
