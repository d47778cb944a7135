package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parseJSON reads one JSON value. Numbers keep their text. An object with a
// key twice is an error: readers disagree about what it says.
func parseJSON(text string) (any, error) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, errors.New("not JSON")
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	return parseValue(dec)
}

func parseValue(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := parseValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			if _, twice := object[key.(string)]; twice {
				return nil, fmt.Errorf("key %q stands twice in an object", key)
			}
			if object[key.(string)], err = parseValue(dec); err != nil {
				return nil, err
			}
		}
		_, err = dec.Token()
		return object, err
	}
	return tok, nil
}

// diff returns where got differs from want, or "" if they are the same value.
// An integer differs from a float; 1e2 and 100.0 are the same.
func diff(got, want any) string { return diffAt("", got, want) }

func diffAt(path string, got, want any) string {
	differ := func() string {
		return fmt.Sprintf("at %q: got %s, want %s", path, render(got), render(want))
	}
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return differ()
		}
		for key := range object {
			if _, ok := want[key]; !ok {
				return fmt.Sprintf("at %q: got the key %q, which is not wanted", path, key)
			}
		}
		for key, w := range want {
			g, ok := object[key]
			if !ok {
				return fmt.Sprintf("at %q: the key %q is missing", path, key)
			}
			if d := diffAt(path+"/"+key, g, w); d != "" {
				return d
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return differ()
		}
		for i := range want {
			if d := diffAt(path+"/"+strconv.Itoa(i), list[i], want[i]); d != "" {
				return d
			}
		}
		return ""
	case json.Number:
		if number, ok := got.(json.Number); ok && sameNumber(string(number), string(want)) {
			return ""
		}
		return differ()
	}
	switch got.(type) {
	case map[string]any, []any: // not comparable with ==
		return differ()
	}
	if got != want {
		return differ()
	}
	return ""
}

func sameNumber(a, b string) bool {
	isFloat := func(s string) bool { return strings.ContainsAny(s, ".eE") }
	if isFloat(a) != isFloat(b) {
		return false
	}
	if isFloat(a) {
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		return errX == nil && errY == nil && x == y
	}
	x, okX := new(big.Int).SetString(a, 10)
	y, okY := new(big.Int).SetString(b, 10)
	return okX && okY && x.Cmp(y) == 0
}

func render(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return abridge(string(b))
}

// lookup finds the value at a JSON pointer.
func lookup(v any, pointer string) (any, error) {
	for _, token := range pointerTokens(pointer) {
		switch node := v.(type) {
		case map[string]any:
			child, ok := node[token]
			if !ok {
				return nil, fmt.Errorf("nothing at %q", pointer)
			}
			v = child
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(node) {
				return nil, fmt.Errorf("nothing at %q", pointer)
			}
			v = node[i]
		default:
			return nil, fmt.Errorf("nothing at %q", pointer)
		}
	}
	return v, nil
}

// replace puts value at a JSON pointer that lookup has found.
func replace(v any, pointer string, value any) {
	tokens := pointerTokens(pointer)
	parent, _ := lookup(v, pointer[:strings.LastIndexByte(pointer, '/')])
	last := tokens[len(tokens)-1]
	switch node := parent.(type) {
	case map[string]any:
		node[last] = value
	case []any:
		i, _ := strconv.Atoi(last)
		node[i] = value
	}
}

func pointerTokens(pointer string) []string {
	if pointer == "" {
		return nil
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, t := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return tokens
}

// isKind says whether v has the form of a dynamic value of this kind.
func isKind(v any, kind string) bool {
	s, ok := v.(string)
	if !ok {
		return false
	}
	switch kind {
	case "presence_ref":
		return len(s) == 16 && !strings.ContainsFunc(s, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		})
	case "unix_seconds_string":
		n, err := strconv.ParseInt(s, 10, 64)
		return err == nil && n > 0 && s == strconv.FormatInt(n, 10)
	case "random_username":
		n, err := strconv.Atoi(s)
		return err == nil && 1 <= n && n <= 99999 && s == strconv.Itoa(n)
	case "longpoll_token":
		return s != ""
	}
	return false
}

// bindings are the dynamic values seen so far in a case. Those that are to be
// equal share a name: the place at which the first of them was recorded.
type bindings map[Ref]any

// matchDynamic checks the dynamic values of got, which arrived at a step, and
// puts the recorded ones in their place.
func (b bindings) matchDynamic(all []Dynamic, step int, got, want any) error {
	for _, d := range all {
		if d.Step != step {
			continue
		}
		pointer := d.Path + d.Inner
		value, err := lookup(got, pointer)
		if err != nil {
			return err
		}
		if !isKind(value, d.Kind) {
			return fmt.Errorf("at %q: got %s, want a %s", pointer, render(value), d.Kind)
		}
		name := rootOf(all, d)
		if seen, ok := b[name]; ok && seen != value {
			return fmt.Errorf("at %q: got %s, want %s as at step %d, %s", pointer, render(value), render(seen), name.Step, name.Path)
		}
		b[name] = value
		recorded, err := lookup(want, pointer)
		if err != nil {
			return fmt.Errorf("recording: %w", err)
		}
		replace(got, pointer, recorded)
	}
	return nil
}

func rootOf(all []Dynamic, d Dynamic) Ref {
	for d.SameAs != nil {
		i := slices.IndexFunc(all, func(o Dynamic) bool { return o.Ref == *d.SameAs })
		if i < 0 {
			return *d.SameAs
		}
		d = all[i]
	}
	return d.Ref
}
