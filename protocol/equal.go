package protocol

import (
	"slices"
	"strconv"
	"strings"
)

// maxEqual bounds the length of refs that are compared as values. Longer ones
// have no use but to keep a server busy.
const maxEqual = 1024

// equalValues reports whether a and b, which differ, are the same JSON value.
func equalValues(a, b string) bool {
	if len(a) > maxEqual || len(b) > maxEqual || !isValue(a) || !isValue(b) {
		return false
	}
	if a[0] == '"' && b[0] == '"' && strings.IndexByte(a, '\\') < 0 && strings.IndexByte(b, '\\') < 0 {
		return false
	}
	return string(appendCanonical(nil, a)) == string(appendCanonical(nil, b))
}

// isValue reports whether s is one JSON value without space around it.
func isValue(s string) bool {
	end, err := skipValue(bytesOf(s), 0)
	return err == nil && end == len(s)
}

// appendCanonical appends the one way to write the JSON value raw: objects have
// their members in order, and of those with the same key only the first.
func appendCanonical(dst []byte, raw string) []byte {
	switch raw[0] {
	case '"':
		return appendQuoted(dst, unquote(bytesOf(raw)))
	case '[':
		return appendCanonicalArray(dst, raw)
	case '{':
		return appendCanonicalObject(dst, raw)
	case 't', 'f', 'n':
		return append(dst, raw...)
	}
	return appendCanonicalNumber(dst, raw)
}

// appendCanonicalNumber keeps integers, which may have any size, apart from
// floats: only the latter have an exponent.
func appendCanonicalNumber(dst []byte, raw string) []byte {
	if strings.ContainsAny(raw, ".eE") {
		f, _ := strconv.ParseFloat(raw, 64) // the scanner has checked it
		if f == 0 {
			f = 0 // for -0
		}
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	if raw == "-0" {
		raw = "0"
	}
	return append(dst, raw...)
}

func appendCanonicalArray(dst []byte, raw string) []byte {
	dst = append(dst, '[')
	// Neither here nor below can it fail: raw is valid.
	_ = eachElement(bytesOf(raw), func(value []byte) {
		dst = append(appendCanonical(dst, view(value)), ',')
	})
	return append(dst, ']')
}

func appendCanonicalObject(dst []byte, raw string) []byte {
	type member struct{ key, value string }
	var members []member
	_ = eachMember(bytesOf(raw), func(key string, value []byte) {
		members = append(members, member{key, view(value)})
	})
	slices.SortStableFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	members = slices.CompactFunc(members, func(a, b member) bool { return a.key == b.key })
	dst = append(dst, '{')
	for _, m := range members {
		dst = append(appendQuoted(dst, m.key), ':')
		dst = append(appendCanonical(dst, m.value), ',')
	}
	return append(dst, '}')
}
