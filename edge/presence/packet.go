package presence

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What edges say to each other: a byte for the format, one for the kind, the
// edge that speaks, and what belongs to the kind. Numbers are uvarints, and a
// text has its length in front.
//
//	beat    name of the edge
//	bye     -
//	leaving -: what an edge that drains says in place of a beat
//	diff    version, prev, joins, leaves (refs)
//	full    version, total, entries: the answer to a question, in as many packets as it takes for the total
//	digest  clock, index, more, pairs of a room's hash and version, 8 bytes each
//	want    topic: what an edge asks of one other
type kind byte

const (
	kindBeat kind = iota + 1
	kindBye
	kindDiff
	kindFull
	kindDigest
	kindWant
	kindLeaving
)

const packetFormat = 1

// A packet is what an edge says. Which fields count depends on the kind.
type packet struct {
	kind kind
	edge edgeID

	text  string // beat: name; want: topic
	diff  diff   // diff, full
	total uint64 // full: entries in this packet and those that belong to it
	more  bool   // digest: another packet follows
	index uint64 // digest: packets of it before this one
	clock uint64 // digest
	rooms []roomVersion
}

// A diff leads from one version of an edge's part of a room to another.
type diff struct {
	version, prev uint64
	joins         []entry
	leaves        []ref
}

type roomVersion struct{ hash, version uint64 }

// Bounds of one packet, so that a reader is never asked for much at once, and
// NATS is not asked for more than it takes.
const (
	packetBytes   = 256 << 10
	packetEntries = 2000
)

func (p *packet) encode() []byte {
	b := make([]byte, 0, p.sizeHint())
	b = append(b, packetFormat, byte(p.kind))
	b = append(b, p.edge[:]...)
	switch p.kind {
	case kindBeat, kindWant:
		b = appendText(b, p.text)
	case kindDiff:
		b = binary.AppendUvarint(b, p.diff.version)
		b = binary.AppendUvarint(b, p.diff.prev)
		b = appendEntries(b, p.diff.joins)
		b = binary.AppendUvarint(b, uint64(len(p.diff.leaves)))
		for _, r := range p.diff.leaves {
			b = append(b, r[:]...)
		}
	case kindFull:
		b = binary.AppendUvarint(b, p.diff.version)
		b = binary.AppendUvarint(b, p.total)
		b = appendEntries(b, p.diff.joins)
	case kindDigest:
		b = binary.AppendUvarint(b, p.clock)
		b = binary.AppendUvarint(b, p.index)
		b = appendBool(b, p.more)
		b = binary.AppendUvarint(b, uint64(len(p.rooms)))
		for _, r := range p.rooms {
			b = binary.BigEndian.AppendUint64(b, r.hash)
			b = binary.BigEndian.AppendUint64(b, r.version)
		}
	}
	return b
}

func (p *packet) sizeHint() int {
	n := 64 + len(p.text) + len(p.diff.leaves)*len(ref{}) + len(p.rooms)*16
	for i := range p.diff.joins {
		n += p.diff.joins[i].size()
	}
	return n
}

// size bounds what an entry takes in a packet.
func (e *entry) size() int { return len(e.key) + len(e.meta) + 2*len(ref{}) + 8 + 10 }

func appendEntries(b []byte, entries []entry) []byte {
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for i := range entries {
		e := &entries[i]
		b = append(b, e.ref[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(e.slot))
		isUpdate := e.prev != ref{}
		b = appendBool(b, isUpdate)
		if isUpdate {
			b = append(b, e.prev[:]...)
		}
		b = appendText(b, e.key)
		b = appendText(b, e.meta)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

var errPacket = errors.New("not a packet of presence")

// decodePacket reads what another edge, or any other program, says. The packet
// does not share data's memory.
func decodePacket(data []byte) (*packet, error) {
	r := reader{data}
	if r.byte() != packetFormat {
		return nil, fmt.Errorf("%w: unknown format", errPacket)
	}
	p := &packet{kind: kind(r.byte())}
	r.read(p.edge[:])
	switch p.kind {
	case kindBeat, kindWant:
		p.text = r.text()
	case kindBye, kindLeaving:
	case kindDiff:
		p.diff.version, p.diff.prev = r.uvarint(), r.uvarint()
		p.diff.joins = r.entries()
		n := r.count(len(ref{}))
		p.diff.leaves = make([]ref, n)
		for i := range p.diff.leaves {
			r.read(p.diff.leaves[i][:])
		}
	case kindFull:
		p.diff.version, p.total = r.uvarint(), r.uvarint()
		p.diff.joins = r.entries()
	case kindDigest:
		p.clock, p.index = r.uvarint(), r.uvarint()
		p.more = r.bool()
		p.rooms = make([]roomVersion, r.count(16))
		for i := range p.rooms {
			p.rooms[i] = roomVersion{r.uint64(), r.uint64()}
		}
	default:
		return nil, fmt.Errorf("%w: unknown kind %d", errPacket, p.kind)
	}
	if r.failed() || len(r.rest) > 0 {
		return nil, errPacket
	}
	return p, nil
}

// A reader takes a packet apart. What it cannot read is zero, and rest is nil
// from then on.
type reader struct{ rest []byte }

func (r *reader) failed() bool { return r.rest == nil }
func (r *reader) fail()        { r.rest = nil }

func (r *reader) take(n uint64) []byte {
	if r.rest == nil || n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) read(into []byte) { copy(into, r.take(uint64(len(into)))) }

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.fail()
	}
	return b == 1
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many things of at least size bytes follow.
func (r *reader) count(size int) uint64 {
	n := r.uvarint()
	if n > uint64(len(r.rest)/size) {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) entries() []entry {
	const smallest = len(ref{}) + 8 + 1 + 1 + 1
	all := make([]entry, r.count(smallest))
	for i := range all {
		e := &all[i]
		r.read(e.ref[:])
		e.slot = int64(r.uint64())
		if r.bool() {
			r.read(e.prev[:])
		}
		e.key, e.meta = r.text(), r.text()
		if !r.failed() && !acceptable(e) {
			r.fail()
		}
		if r.failed() {
			return nil
		}
	}
	return all
}

// packed cuts a change into diffs that fit into a packet each, which follow
// each other from prev on. An entry and the one that it replaces stay together.
func packed(c change, prev uint64, next func() uint64) []diff {
	type place struct {
		key  string
		slot int64
	}
	replaced := make(map[place]ref, len(c.leaves))
	for _, e := range c.leaves {
		replaced[place{e.key, e.slot}] = e.ref
	}
	var all []diff
	var d diff
	size := 0
	cut := func(more int) {
		n := len(d.joins) + len(d.leaves)
		if n > 0 && (more == 0 || size+more > packetBytes || n+2 > packetEntries) {
			d.prev, d.version = prev, next()
			prev = d.version
			all = append(all, d)
			d, size = diff{}, 0
		}
	}
	for _, e := range c.joins {
		cut(e.size() + len(ref{}))
		size += e.size()
		d.joins = append(d.joins, *e)
		if r, ok := replaced[place{e.key, e.slot}]; ok {
			size += len(ref{})
			d.leaves = append(d.leaves, r)
			delete(replaced, place{e.key, e.slot})
		}
	}
	for _, e := range c.leaves {
		if _, ok := replaced[place{e.key, e.slot}]; ok {
			cut(len(ref{}))
			size += len(ref{})
			d.leaves = append(d.leaves, e.ref)
		}
	}
	cut(0)
	return all
}

// chunks cuts entries into what fits into a packet each; at least one.
func chunks(entries []entry) [][]entry {
	var all [][]entry
	for {
		n, size := 0, 0
		for n < len(entries) && n < packetEntries && (n == 0 || size+entries[n].size() <= packetBytes) {
			size += entries[n].size()
			n++
		}
		all = append(all, entries[:n])
		if entries = entries[n:]; len(entries) == 0 {
			return all
		}
	}
}
