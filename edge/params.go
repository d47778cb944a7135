package edge

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Params are the decoded query of a connection: strings, maps (a[b]=1) and
// lists (a[]=1) of such, as Plug.Conn.Query decodes them.
type Params map[string]any

// Get returns the string parameter of that name, "" if there is none or it is
// no string.
func (p Params) Get(name string) string {
	s, _ := p[name].(string)
	return s
}

// maxQuery is Plug's limit, in bytes.
const maxQuery = 1_000_000

var (
	errQueryTooLong = errors.New("query is too long")
	errBadQuery     = errors.New("query is malformed")
)

// decodeQuery decodes a raw query. Of a repeated key the last value counts; a
// key without = has the empty value; empty pairs are ignored.
func decodeQuery(raw string) (Params, error) {
	if len(raw) > maxQuery {
		return nil, errQueryTooLong
	}
	params := Params{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(k)
		if err != nil || !utf8.ValidString(key) {
			return nil, errBadQuery
		}
		value, err := url.QueryUnescape(v)
		if err != nil || !utf8.ValidString(value) {
			return nil, errBadQuery
		}
		put(params, splitKey(key), value)
	}
	return params, nil
}

// maxNesting bounds the depth of a[b][c]…; deeper keys are taken literally.
const maxNesting = 32

// splitKey turns "a[b][]" into "a", "b", "". A key whose brackets do not match
// is one name.
func splitKey(key string) []string {
	open := strings.IndexByte(key, '[')
	if open <= 0 || !strings.HasSuffix(key, "]") {
		return []string{key}
	}
	parts := []string{key[:open]}
	for rest := key[open:]; rest != ""; {
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 || len(parts) > maxNesting {
			return []string{key}
		}
		parts = append(parts, rest[1:end])
		rest = rest[end+1:]
	}
	return parts
}

// put stores the value under the path. Of values of different shapes under one
// name the last wins.
func put(m map[string]any, path []string, value string) {
	name, rest := path[0], path[1:]
	switch {
	case len(rest) == 0:
		m[name] = value
	case rest[0] == "" && len(rest) == 1:
		list, _ := m[name].([]any)
		m[name] = append(list, value)
	case rest[0] == "":
		inner := map[string]any{}
		put(inner, rest[1:], value)
		list, _ := m[name].([]any)
		m[name] = append(list, inner)
	default:
		inner, ok := m[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[name] = inner
		}
		put(inner, rest, value)
	}
}
