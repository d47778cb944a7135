package protocol

import (
	"errors"
	"fmt"
	"strings"
)

// A Version is a way to write messages.
type Version uint8

const (
	V1 Version = 1 // a JSON object
	V2 Version = 2 // a JSON array, or a binary frame
)

// ErrVersion reports a version that this package does not speak.
var ErrVersion = errors.New("unsupported protocol version")

// String returns what a client sends as its vsn parameter.
func (v Version) String() string {
	return fmt.Sprintf("%d.0.0", uint8(v))
}

// Negotiate returns the version for a vsn parameter: V1 for what Elixir's
// version requirement "~> 1.0.0" matches, V2 for "~> 2.0.0". A client that
// sends no vsn at all speaks V1; the caller knows.
func Negotiate(vsn string) (Version, error) {
	major, minor, ok := parseVersion(vsn)
	switch {
	case ok && major == "1" && minor == "0":
		return V1, nil
	case ok && major == "2" && minor == "0":
		return V2, nil
	}
	return 0, fmt.Errorf("%w: %q", ErrVersion, vsn)
}

// parseVersion reads MAJOR.MINOR.PATCH[-PRE][+BUILD]. A prerelease of a patch
// 0 precedes the requirement's own version and is refused; that of a later
// patch is not.
func parseVersion(s string) (major, minor string, ok bool) {
	s, build, hasBuild := strings.Cut(s, "+")
	s, pre, hasPre := strings.Cut(s, "-")
	major, s, _ = strings.Cut(s, ".")
	minor, patch, _ := strings.Cut(s, ".")
	ok = isNumber(major) && isNumber(minor) && isNumber(patch) &&
		(!hasBuild || areIdentifiers(build, false)) &&
		(!hasPre || patch != "0" && areIdentifiers(pre, true))
	return major, minor, ok
}

// isNumber reports whether s is a number without leading zeros.
func isNumber(s string) bool {
	return isDigits(s) && (s == "0" || s[0] != '0')
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// areIdentifiers reports whether s is a list of words separated by dots. If
// numeric, those that consist of digits must be numbers.
func areIdentifiers(s string, numeric bool) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || numeric && isDigits(word) && !isNumber(word) {
			return false
		}
		for _, c := range []byte(word) {
			if !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '-') {
				return false
			}
		}
	}
	return true
}
