package protocol_test

import (
	"strings"
	"testing"

	"github.com/aristochat/aristochat/protocol"
)

func TestNewRef(t *testing.T) {
	for s, want := range map[string]protocol.Ref{
		"":          `""`,
		"1":         `"1"`,
		"null":      `"null"`,
		"a\"\\\n<é": `"a\"\\\n<é"`,
		"\xff":      "\"\xff\"",
	} {
		if got := protocol.NewRef(s); got != want {
			t.Errorf("NewRef(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestRefIsNull(t *testing.T) {
	var zero protocol.Ref
	for _, r := range []protocol.Ref{zero, protocol.Null, "null"} {
		if !r.IsNull() {
			t.Errorf("%q is not null", r)
		}
	}
	for _, r := range []protocol.Ref{`""`, `0`, `false`, `"null"`, `[]`} {
		if r.IsNull() {
			t.Errorf("%q is null", r)
		}
	}
}

func TestRefEqual(t *testing.T) {
	long := strings.Repeat("a", 2000)
	for _, tt := range []struct {
		a, b protocol.Ref
		want bool
	}{
		{protocol.Null, protocol.Null, true},
		{protocol.Null, `null`, true},
		{protocol.Null, `""`, false},
		{protocol.Null, `false`, false},
		{`false`, `false`, true},
		{`false`, `true`, false},
		{`"1"`, `"1"`, true},
		{`"1"`, `"\u0031"`, true},
		{`"1"`, `"2"`, false},
		{`"/"`, `"\/"`, true},
		{`"😀"`, `"\ud83d\uDE00"`, true},
		{"\"\xff\"", `"\u00ff"`, false},
		{`"é"`, `"e\u0301"`, false}, // no normalization
		{`7`, `"7"`, false},
		{`7`, `7`, true},
		{`1`, `1.0`, false},
		{`1.0`, `1.00`, true},
		{`1e2`, `100.0`, true},
		{`1e2`, `100`, false},
		{`1e2`, `1E+02`, true},
		{`1.5`, `1.25`, false},
		{`0`, `-0`, true},
		{`0.0`, `-0.0`, true},
		{`0`, `0.0`, false},
		{`12345678901234567890123`, `12345678901234567890124`, false},
		{`[1,2]`, `[ 1 , 2 ]`, true},
		{`[1,2]`, `[2,1]`, false},
		{`[1,2]`, `[1,2,3]`, false},
		{`[[1],2]`, `[[1,2]]`, false},
		{`["a,b"]`, `["a","b"]`, false},
		{`[]`, `{}`, false},
		{`{"a":1,"b":[{}]}`, `{"b":[{ }],"\u0061":1}`, true},
		{`{"a":1}`, `{"a":1.0}`, false},
		{`{"a":1,"a":2}`, `{"a":1}`, true}, // the first counts
		{`{"a":1,"a":2}`, `{"a":2}`, false},
		{`{"a":1}`, `{"b":1}`, false},
		{`[null]`, `[ null ]`, true},
		{protocol.NewRef(long), protocol.NewRef(long), true},
		{protocol.NewRef("a" + long), protocol.Ref(`"\u0061` + long + `"`), false}, // too long to look into
		{`not JSON`, `"`, false},
		{`"\`, `"\u12"`, false},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%q.Equal(%q) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
		if got := tt.b.Equal(tt.a); got != tt.want {
			t.Errorf("%q.Equal(%q) = %v, want %v", tt.b, tt.a, got, tt.want)
		}
	}
}
