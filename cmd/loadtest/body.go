package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A mark is what the body of a message says, so that who receives it knows
// which one it is: "loadtest", the run, its publisher, the publisher's count,
// and as many dots as make it long enough.
const markWord = "loadtest"

// bodyOf writes the body of a message, at least size bytes.
func bodyOf(run string, i id, size int) string {
	s := fmt.Sprintf("%s %s %d %d ", markWord, run, i.publisher, i.n)
	return s + strings.Repeat(".", max(size-len(s), 0))
}

// parseBody reads it. What is not of this run is not ours: others may speak in
// the same room.
func parseBody(run, body string) (id, bool) {
	parts := strings.SplitN(body, " ", 5)
	if len(parts) != 5 || parts[0] != markWord || parts[1] != run {
		return id{}, false
	}
	publisher, err1 := strconv.ParseUint(parts[2], 10, 32)
	n, err2 := strconv.ParseUint(parts[3], 10, 32)
	return id{uint32(publisher), uint32(n)}, err1 == nil && err2 == nil
}
