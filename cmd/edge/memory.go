package main

import (
	"log/slog"
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory lets Go's collector aim at nine tenths of what the container, or
// whatever cgroup this is, may have: near the limit it works harder, where else
// the kernel would end the process. GOMEMLIMIT in the environment wins.
func limitMemory(log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(0.9))
	switch {
	case err != nil: // no cgroups, such as on other systems than Linux
		log.Debug("memory is not limited", "error", err)
	case limit < math.MaxInt64:
		log.Info("memory is limited", "bytes", limit)
	}
}
