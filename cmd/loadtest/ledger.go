package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A ledger knows of one room who must get which message, and who got it. What
// it finds is exact: nothing is sampled or estimated.
//
// Messages are named by their publisher and a count of the publisher's own, so
// the sequences that the server gives are checked and not believed. A message is
// forgotten as soon as its publisher knows its fate and every member has it, so
// the ledger is as large as what is on its way, and as what is missing. That a
// member gets something twice is still seen then: the count of each publisher
// tells that the message was sent, and its absence that all had it.
//
// That all members see one order follows from three things that are checked:
// each gets rising sequences, each message has the same sequence for everybody,
// and nobody lacks one.
//
// Its methods may be called concurrently.
type ledger struct {
	room     string
	findings *findings

	mu      sync.Mutex // guards all below
	members []place
	open    map[id]*message
}

// An id is a message of one room: the nth of a member.
type id struct {
	publisher uint32 // index of the member in the room
	n         uint32 // from 1
}

// A place is what one member has received and sent.
type place struct {
	last    uint64            // sequence received last, or where the first join began
	skipped []span            // what it said it does not want: joins that do not resume
	lastN   map[uint32]uint32 // without sequences: the last one of each publisher
	sent    uint32
	acked   uint64 // sequence acknowledged last
}

// A span of sequences, from excluded, to included.
type span struct{ from, to uint64 }

// A message is on its way.
type message struct {
	id
	at      time.Time // when it was to be sent
	seq     uint64    // 0: not known yet
	settled bool      // the publisher does not try any longer …
	acked   bool      // … since it is stored
	has     []uint64  // members, one bit each, that received or skipped it
	left    int       // how many did not
}

func newLedger(room string, members int, f *findings) *ledger {
	return &ledger{room: room, findings: f, members: make([]place, members), open: map[id]*message{}}
}

// send names the next message of a member.
func (l *ledger) send(member int, at time.Time) id {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.members[member]
	p.sent++
	m := &message{
		id: id{uint32(member), p.sent}, at: at,
		has: make([]uint64, (len(l.members)+63)/64), left: len(l.members),
	}
	l.open[m.id] = m
	return m.id
}

// ack says that a message was acknowledged: from now on everybody must get it.
// The sequence is 0 if the server keeps no history.
func (l *ledger) ack(i id, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.open[i]
	m.settled, m.acked = true, true
	if seq != 0 {
		if p := &l.members[i.publisher]; seq <= p.acked {
			l.found(disorder, int(i.publisher), i, seq, fmt.Sprintf("acknowledged after its publisher's %d", p.acked))
		} else {
			p.acked = seq
		}
		if m.seq != 0 && m.seq != seq {
			l.found(mismatch, int(i.publisher), i, seq, fmt.Sprintf("acknowledged with this sequence, delivered with %d", m.seq))
		}
		l.number(m, seq)
	}
	l.closeIfDone(m)
}

// giveUp says that the publisher does not try any longer, and does not know
// whether the message is stored.
func (l *ledger) giveUp(i id) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.open[i]
	m.settled = true
	l.closeIfDone(m)
}

// enter says where a member's first join begins: what has a greater sequence
// it must get.
func (l *ledger) enter(member int, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members[member].last = seq
}

// skip says that a member joined again and did not ask for what it missed: it
// goes on behind seq.
func (l *ledger) skip(member int, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.members[member]
	if seq <= p.last {
		return
	}
	s := span{p.last, seq}
	p.last = seq
	p.skipped = append(p.skipped, s)
	for _, m := range l.open {
		if s.has(m.seq) {
			l.mark(m, member)
			l.closeIfDone(m)
		}
	}
}

// receive says that a member got a message. It returns when it was to be sent,
// the zero time if the message is nothing new.
func (l *ledger) receive(member int, i id, seq uint64) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(i.publisher) >= len(l.members) || i.n == 0 || i.n > l.members[i.publisher].sent {
		l.found(mismatch, member, i, seq, "nobody sent it")
		return time.Time{}
	}
	m := l.open[i]
	if m == nil || m.hasIt(member) {
		l.found(duplicate, member, i, seq, fmt.Sprintf("received before; last was %d", l.members[member].last))
		return time.Time{}
	}
	if seq != 0 {
		if m.seq != 0 && m.seq != seq {
			l.found(mismatch, member, i, seq, fmt.Sprintf("others have it as %d", m.seq))
		}
		l.number(m, seq)
	}
	l.inOrder(member, i, seq)
	l.mark(m, member)
	l.closeIfDone(m)
	return m.at
}

func (l *ledger) inOrder(member int, i id, seq uint64) {
	p := &l.members[member]
	if seq != 0 {
		if seq <= p.last {
			l.found(disorder, member, i, seq, fmt.Sprintf("received after %d", p.last))
		}
		p.last = max(p.last, seq)
		return
	}
	if p.lastN == nil {
		p.lastN = map[uint32]uint32{}
	}
	if i.n <= p.lastN[i.publisher] {
		l.found(disorder, member, i, seq, fmt.Sprintf("received after the same publisher's %d", p.lastN[i.publisher]))
	}
	p.lastN[i.publisher] = max(p.lastN[i.publisher], i.n)
}

// missing is how many deliveries are still to come.
func (l *ledger) missing() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.open {
		if m.promised() {
			n += m.left
		}
	}
	return n
}

// finish counts what is missing as lost. Nothing may be received any more.
func (l *ledger) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lacking []*message
	for _, m := range l.open {
		if m.promised() {
			lacking = append(lacking, m)
		}
	}
	slices.SortFunc(lacking, func(a, b *message) int { return cmp.Or(cmp.Compare(a.seq, b.seq), a.at.Compare(b.at)) })
	for _, m := range lacking {
		for member := range l.members {
			if !m.hasIt(member) {
				l.found(loss, member, m.id, m.seq, fmt.Sprintf("never received; last was %d", l.members[member].last))
			}
		}
	}
}

// promised says whether all members must get the message: it was acknowledged,
// or a sequence shows that it is stored although nobody was told.
func (m *message) promised() bool { return m.acked || m.seq != 0 }

// number notes a message's sequence when it becomes known.
func (l *ledger) number(m *message, seq uint64) {
	if m.seq != 0 {
		return
	}
	m.seq = seq
	for member := range l.members {
		if slices.ContainsFunc(l.members[member].skipped, func(s span) bool { return s.has(seq) }) {
			l.mark(m, member)
		}
	}
}

func (l *ledger) closeIfDone(m *message) {
	if m.settled && m.left == 0 {
		delete(l.open, m.id)
	}
}

func (l *ledger) mark(m *message, member int) {
	if !m.hasIt(member) {
		m.has[member/64] |= 1 << (member % 64)
		m.left--
	}
}

func (m *message) hasIt(member int) bool { return m.has[member/64]&(1<<(member%64)) != 0 }

func (s span) has(seq uint64) bool { return s.from < seq && seq <= s.to }

func (l *ledger) found(k kind, member int, i id, seq uint64, detail string) {
	l.findings.add(finding{
		Kind: k, At: time.Now(), Room: l.room, Member: member,
		Publisher: i.publisher, N: i.n, Seq: seq, Detail: detail,
	})
}
