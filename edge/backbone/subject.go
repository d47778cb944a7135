package backbone

import (
	"fmt"
	"strings"
)

// MaxTopic is the longest topic in bytes. Its subject then stays far below the
// line length at which a server cuts the connection, and all rooms with it.
const MaxTopic = 255

// A token that is empty, or a topic that has no colon, needs a spelling: the
// server delivers nothing on a subject with an empty token. Escaping writes an
// equals sign as %3D, so neither can be mistaken for an id.
const (
	emptyToken = "="
	noColon    = "=="
)

// Tail returns the two tokens that stand for a topic at the end of each of its
// subjects: what is before the first colon, and what is behind it. Letters and
// digits of ASCII, '-', '_', ':' and '@' stand for themselves, any other byte
// is %XX. Different topics have different tails.
func Tail(topic string) (string, error) {
	if len(topic) > MaxTopic {
		return "", fmt.Errorf("topic has %d bytes, more than %d", len(topic), MaxTopic)
	}
	namespace, id, colon := strings.Cut(topic, ":")
	var b strings.Builder
	b.Grow(len(topic) + len(noColon) + 1)
	escape(&b, namespace)
	b.WriteByte('.')
	if colon {
		escape(&b, id)
	} else {
		b.WriteString(noColon)
	}
	return b.String(), nil
}

// Topic returns the topic of which [Tail] makes tail.
func Topic(tail string) (string, error) {
	namespace, id, _ := strings.Cut(tail, ".")
	topic := unescape(namespace)
	if id != noColon {
		topic += ":" + unescape(id)
	}
	// Many strings could be read as a topic; only one is ever written.
	if again, err := Tail(topic); err != nil || again != tail {
		return "", fmt.Errorf("%q is not the tail of a subject", tail)
	}
	return topic, nil
}

const hexDigits = "0123456789ABCDEF"

func escape(b *strings.Builder, s string) {
	if s == "" {
		b.WriteString(emptyToken)
		return
	}
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
}

// unescape never fails: the caller encodes the result again and compares.
func unescape(s string) string {
	if s == emptyToken {
		return ""
	}
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// plain bytes are a fixed list: what Unicode calls printable changes between
// releases of Go, and two edges must never disagree.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == ':' || c == '@'
}

// subjects are those under one prefix.
type subjects struct{ prefix string }

// CheckPrefix says what is wrong with a prefix for [Options].
func CheckPrefix(prefix string) error {
	_, err := newSubjects(prefix)
	return err
}

func newSubjects(prefix string) (subjects, error) {
	for i := range len(prefix) {
		if c := prefix[i]; !plain(c) || c == ':' || c == '@' {
			return subjects{}, fmt.Errorf("subject prefix %q: want letters, digits, '-' and '_'", prefix)
		}
	}
	if len(prefix) == 0 || len(prefix) > 32 {
		return subjects{}, fmt.Errorf("subject prefix %q: want 1 to 32 bytes", prefix)
	}
	return subjects{prefix}, nil
}

func (s subjects) in(tail string) string        { return s.prefix + ".in." + tail }
func (s subjects) live(tail string) string      { return s.prefix + ".live." + tail }
func (s subjects) ephemeral(tail string) string { return s.prefix + ".eph." + tail }
func (s subjects) control(kind string) string   { return s.prefix + ".ctl." + kind }
func (s subjects) presence(word string) string  { return s.prefix + ".p." + word }

// edge is the subject of requests to one edge.
func (s subjects) edge(name string) (string, error) {
	for i := range len(name) {
		if c := name[i]; !plain(c) || c == '-' || c == '_' || c == ':' || c == '@' {
			return "", fmt.Errorf("name of an edge %q: want letters and digits", name)
		}
	}
	if name == "" || len(name) > 64 {
		return "", fmt.Errorf("name of an edge %q: want 1 to 64 letters and digits", name)
	}
	return s.prefix + ".ctl.edge." + name, nil
}
