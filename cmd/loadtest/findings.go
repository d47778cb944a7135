package main

import (
	"fmt"
	"sync"
	"time"
)

// A kind of finding is a promise that was broken.
type kind string

const (
	loss         kind = "lost"          // a member never got an acknowledged message
	duplicate    kind = "duplicate"     // a member got a message twice
	disorder     kind = "disorder"      // a member got a message after a later one
	mismatch     kind = "mismatch"      // a message has two sequences, or nobody sent it
	notRecovered kind = "not recovered" // a server said that it cannot give what a client missed
)

// kinds in the order of the report.
var kinds = []kind{loss, duplicate, disorder, mismatch, notRecovered}

// A finding is one broken promise, told so that it can be looked up in the logs
// of the edges.
type finding struct {
	Kind      kind      `json:"kind"`
	At        time.Time `json:"at"`
	Room      string    `json:"room"`
	Member    int       `json:"member"` // who lacks it, or got it wrongly
	Publisher uint32    `json:"publisher"`
	N         uint32    `json:"n"`
	Seq       uint64    `json:"seq,omitempty"`
	Detail    string    `json:"detail"`
}

func (f finding) String() string {
	return fmt.Sprintf("%s %s: %s, member %d: message %d of %d, seq %d: %s",
		f.At.Format("15:04:05.000"), f.Kind, f.Room, f.Member, f.N, f.Publisher, f.Seq, f.Detail)
}

// maxExamples bounds the findings of each kind that are kept; all are counted.
const maxExamples = 20

// findings collects what all ledgers find.
type findings struct {
	mu       sync.Mutex // guards all below
	counts   map[kind]int
	examples []finding
}

func (f *findings) add(x finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[kind]int{}
	}
	if f.counts[x.Kind] < maxExamples {
		f.examples = append(f.examples, x)
	}
	f.counts[x.Kind]++
}

func (f *findings) count(k kind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[k]
}

// all returns the counts and the examples so far.
func (f *findings) all() (map[kind]int, []finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := map[kind]int{}
	for _, k := range kinds {
		counts[k] = f.counts[k]
	}
	return counts, append([]finding(nil), f.examples...)
}
