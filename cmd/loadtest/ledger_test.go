package main

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// A delivery is what one member gets.
type delivery struct {
	id
	seq uint64
}

// A play is a room of three members in which each says four things, and what
// each member gets of it. Told faithfully the ledger has nothing to find; the
// tests change one thing and want it found.
type play struct {
	acks map[id]uint64 // of each message: its sequence, 0 for unknown outcome
	gets [][]delivery  // of each member
}

const actors, lines = 3, 4

func faithful() *play {
	p := &play{acks: map[id]uint64{}, gets: make([][]delivery, actors)}
	for n := range lines {
		for a := range actors {
			d := delivery{id{uint32(a), uint32(n + 1)}, uint64(100 + 7*(n*actors+a))}
			p.acks[d.id] = d.seq
			for m := range p.gets {
				p.gets[m] = append(p.gets[m], d)
			}
		}
	}
	return p
}

// perform has it all happen, acknowledgements first or last.
func (p *play) perform(acksFirst bool) map[kind]int {
	f := &findings{}
	l := newLedger("r", actors, f)
	for m := range p.gets {
		l.enter(m, 99)
	}
	for range lines {
		for a := range actors {
			l.send(a, time.Now())
		}
	}
	settle := func() {
		for n := range lines {
			for a := range actors {
				i := id{uint32(a), uint32(n + 1)}
				if seq := p.acks[i]; seq != 0 {
					l.ack(i, seq)
				} else {
					l.giveUp(i)
				}
			}
		}
	}
	if acksFirst {
		settle()
	}
	for m, all := range p.gets {
		for _, d := range all {
			l.receive(m, d.id, d.seq)
		}
	}
	if !acksFirst {
		settle()
	}
	l.finish()
	return f.counts
}

func TestLedgerFinds(t *testing.T) {
	tests := []struct {
		name   string
		change func(*play)
		want   map[kind]int
	}{
		{"nothing", func(*play) {}, nil},
		{"a lost message", func(p *play) { p.gets[1] = slices.Delete(p.gets[1], 5, 6) }, map[kind]int{loss: 1}},
		{"the first one lost", func(p *play) { p.gets[1] = p.gets[1][1:] }, map[kind]int{loss: 1}},
		{"the last one lost", func(p *play) { p.gets[1] = p.gets[1][:11] }, map[kind]int{loss: 1}},
		{"a gap after resuming", func(p *play) { p.gets[2] = slices.Delete(p.gets[2], 3, 9) }, map[kind]int{loss: 6}},
		{"one that nobody got", func(p *play) {
			for m := range p.gets {
				p.gets[m] = slices.Delete(p.gets[m], 5, 6)
			}
		}, map[kind]int{loss: 3}},
		{"one not acknowledged that nobody got", func(p *play) {
			delete(p.acks, p.gets[0][5].id)
			for m := range p.gets {
				p.gets[m] = slices.Delete(p.gets[m], 5, 6)
			}
		}, nil},
		{"one not acknowledged that all got", func(p *play) { delete(p.acks, p.gets[0][5].id) }, nil},
		{"one not acknowledged that is stored, and not with all", func(p *play) {
			delete(p.acks, p.gets[0][5].id)
			p.gets[1] = slices.Delete(p.gets[1], 5, 6)
		}, map[kind]int{loss: 1}},
		{"a duplicate at once", func(p *play) { p.gets[0] = slices.Insert(p.gets[0], 4, p.gets[0][4]) }, map[kind]int{duplicate: 1}},
		{"a duplicate after resuming", func(p *play) { p.gets[0] = slices.Insert(p.gets[0], 8, p.gets[0][4:8]...) }, map[kind]int{duplicate: 4}},
		{"a duplicate at the very end", func(p *play) { p.gets[2] = append(p.gets[2], p.gets[2][0]) }, map[kind]int{duplicate: 1}},
		{"a swapped pair", func(p *play) { p.gets[1][6], p.gets[1][7] = p.gets[1][7], p.gets[1][6] }, map[kind]int{disorder: 1}},
		{"a swapped pair that claims to be in order", func(p *play) {
			a, b := &p.gets[1][6], &p.gets[1][7]
			a.id, b.id = b.id, a.id
		}, map[kind]int{mismatch: 2}},
		{"a swapped pair of the last member that claims to be in order", func(p *play) {
			a, b := &p.gets[2][10], &p.gets[2][11]
			a.id, b.id = b.id, a.id
		}, map[kind]int{mismatch: 2}},
		{"one stored twice", func(p *play) {
			for m := range p.gets {
				again := p.gets[m][4]
				again.seq = 1000
				p.gets[m] = append(p.gets[m], again)
			}
		}, map[kind]int{duplicate: 3}},
		{"a sequence from before the join", func(p *play) {
			p.acks[p.gets[0][0].id] = 99
			for m := range p.gets {
				p.gets[m][0].seq = 99
			}
		}, map[kind]int{disorder: 3}},
		{"one that nobody sent", func(p *play) { p.gets[0] = append(p.gets[0], delivery{id{1, lines + 1}, 1000}) }, map[kind]int{mismatch: 1}},
		{"one of nobody", func(p *play) { p.gets[0] = append(p.gets[0], delivery{id{actors, 1}, 1000}) }, map[kind]int{mismatch: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, acksFirst := range []bool{true, false} {
				p := faithful()
				tt.change(p)
				got := p.perform(acksFirst)
				if !maps.Equal(got, tt.want) {
					t.Errorf("acknowledged first: %v: found %v, want %v", acksFirst, got, tt.want)
				}
			}
		})
	}
}

// What is acknowledged with another sequence than it is delivered with is found
// by whichever comes second.
func TestLedgerFindsFalseAck(t *testing.T) {
	for acksFirst, want := range map[bool]int{true: actors, false: 1} {
		p := faithful()
		p.acks[p.gets[0][lines*actors-1].id] = 5000
		if got := p.perform(acksFirst); !maps.Equal(got, map[kind]int{mismatch: want}) {
			t.Errorf("acknowledged first: %v: found %v, want %d mismatches", acksFirst, got, want)
		}
	}
}

// A publisher's messages are stored in its order.
func TestLedgerFindsAcksOutOfOrder(t *testing.T) {
	f := &findings{}
	l := newLedger("r", 1, f)
	first, second := l.send(0, time.Now()), l.send(0, time.Now())
	l.ack(first, 20)
	l.ack(second, 10)
	if got := f.counts; !maps.Equal(got, map[kind]int{disorder: 1}) {
		t.Errorf("found %v, want one out of order", got)
	}
}

// Without sequences all that can be checked is each publisher's order, and that
// what was acknowledged arrives.
func TestLedgerWithoutHistory(t *testing.T) {
	unsequenced := func(change func(*play)) map[kind]int {
		p := faithful()
		change(p)
		f := &findings{}
		l := newLedger("r", actors, f)
		for range lines {
			for a := range actors {
				l.ack(l.send(a, time.Now()), 0)
			}
		}
		for m, all := range p.gets {
			for _, d := range all {
				l.receive(m, d.id, 0)
			}
		}
		l.finish()
		return f.counts
	}
	tests := []struct {
		name   string
		change func(*play)
		want   map[kind]int
	}{
		{"nothing", func(*play) {}, nil},
		{"two publishers seen in another order", func(p *play) { p.gets[1][6], p.gets[1][7] = p.gets[1][7], p.gets[1][6] }, nil},
		{"one publisher out of order", func(p *play) { p.gets[1][6], p.gets[1][9] = p.gets[1][9], p.gets[1][6] }, map[kind]int{disorder: 1}},
		{"a lost message", func(p *play) { p.gets[1] = slices.Delete(p.gets[1], 5, 6) }, map[kind]int{loss: 1}},
		{"a duplicate", func(p *play) { p.gets[1] = append(p.gets[1], p.gets[1][5]) }, map[kind]int{duplicate: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := unsequenced(tt.change); !maps.Equal(got, tt.want) {
				t.Errorf("found %v, want %v", got, tt.want)
			}
		})
	}
}

// Who says that it does not want what it missed lacks nothing of that, and all
// else.
func TestLedgerSkip(t *testing.T) {
	f := &findings{}
	l := newLedger("r", 2, f)
	ids := []id{l.send(0, time.Now()), l.send(1, time.Now()), l.send(0, time.Now()), l.send(0, time.Now())}
	l.ack(ids[0], 10)
	l.ack(ids[2], 30)
	l.ack(ids[3], 40)
	l.receive(1, ids[0], 10)
	l.skip(1, 30) // 20, which is not known yet, and 30 are passed over …
	l.ack(ids[1], 20)
	for n, i := range ids {
		l.receive(0, i, uint64(10*(n+1)))
	}
	if got := l.missing(); got != 1 { // … and 40 is not
		t.Errorf("missing %d, want 1", got)
	}
	l.finish()
	if want := (map[kind]int{loss: 1}); !maps.Equal(f.counts, want) {
		t.Errorf("found %v, want %v", f.counts, want)
	}
	if _, examples := f.all(); len(examples) != 1 || examples[0].Seq != 40 || examples[0].Member != 1 {
		t.Errorf("found %v, want 40 at member 1", examples)
	}
}

// A ledger holds what is on its way, whatever went before.
func TestLedgerForgets(t *testing.T) {
	l := newLedger("r", 100, &findings{})
	for n := range 1000 {
		i := l.send(n%100, time.Now())
		l.ack(i, uint64(n+1))
		for m := range 100 {
			if at := l.receive(m, i, uint64(n+1)); at.IsZero() {
				t.Fatal("a message is said to be nothing new")
			}
		}
	}
	if len(l.open) != 0 || l.missing() != 0 {
		t.Errorf("holds %d messages, %d missing, want none", len(l.open), l.missing())
	}
	if at := l.receive(5, id{7, 3}, 208); !at.IsZero() || l.findings.counts[duplicate] != 1 {
		t.Error("a forgotten message is not known as a duplicate")
	}
}

func BenchmarkLedger(b *testing.B) { // one message to ten members
	l := newLedger("r", 10, &findings{})
	for n := range b.N {
		i := l.send(n%10, time.Time{})
		l.ack(i, uint64(n+1))
		for m := range 10 {
			l.receive(m, i, uint64(n+1))
		}
	}
}
