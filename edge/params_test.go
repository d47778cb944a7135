package edge

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeQuery(t *testing.T) {
	m := func(kv ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
		}
		return out
	}
	tests := []struct {
		raw  string
		want map[string]any
	}{
		{"", m()},
		{"a=1&b=2", m("a", "1", "b", "2")},
		{"a=1&a=2", m("a", "2")},
		{"a", m("a", "")},
		{"&&a=1&", m("a", "1")},
		{"a=x+y%20z", m("a", "x y z")},
		{"a[]=1&a[]=2", m("a", []any{"1", "2"})},
		{"a[b]=1&a[c]=2", m("a", m("b", "1", "c", "2"))},
		{"a[b][c]=1", m("a", m("b", m("c", "1")))},
		{"a[][b]=1", m("a", []any{m("b", "1")})},
		{"a[b]=1&a=2", m("a", "2")},
		{"a=2&a[b]=1", m("a", m("b", "1"))},
		{"a[b=1", m("a[b", "1")},
		{"a[b]c=1", m("a[b]c", "1")},
		{"[a]=1", m("[a]", "1")},
		{"a%5Bb%5D=1", m("a", m("b", "1"))},
		{"a=b=c", m("a", "b=c")},
		{"=1", m("", "1")},
	}
	for _, tt := range tests {
		got, err := decodeQuery(tt.raw)
		if err != nil || !reflect.DeepEqual(map[string]any(got), tt.want) {
			t.Errorf("%q: %v, %v; want %v", tt.raw, got, err, tt.want)
		}
	}
	for raw, want := range map[string]error{
		"a=%ff": errBadQuery, "%ff=1": errBadQuery, "a=%g1": errBadQuery, "a=%": errBadQuery,
		strings.Repeat("x", maxQuery+1): errQueryTooLong,
	} {
		if _, err := decodeQuery(raw); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", raw, err, want)
		}
	}
}

// FuzzDecodeQuery: no query panics, and of plain pairs nothing is lost.
func FuzzDecodeQuery(f *testing.F) {
	for _, s := range []string{"a=1&b[c]=2&d[]=3", "a[][b][]=1", "[[[]]]", "%5B%5D=%ff", "a[b]=1&a[]=2&a=3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := decodeQuery(raw)
		if err != nil {
			return
		}
		want, err := url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
		if err != nil {
			t.Fatalf("%q: net/url says %v", raw, err)
		}
		for k, v := range want {
			if strings.Contains(k, "[") || !strings.Contains(raw, "=") {
				continue
			}
			if s, ok := got[k].(string); ok && s != v[len(v)-1] {
				t.Errorf("%q: %q is %q, want %q", raw, k, s, v[len(v)-1])
			}
		}
	})
}
