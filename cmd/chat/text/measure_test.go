package text_test

import (
	"slices"
	"testing"

	"github.com/aristochat/aristochat/cmd/chat/text"
)

func TestWrap(t *testing.T) {
	tests := []struct {
		about, in string
		width     int
		want      []string
	}{
		{"fits", "hello world", 11, []string{"hello world"}},
		{"between words", "hello world", 10, []string{"hello", "world"}},
		{"several words", "aa bb cc dd", 5, []string{"aa bb", "cc dd"}},
		{"spaces at the break", "aa   bb", 4, []string{"aa", "bb"}},
		{"a long word", "abcdefgh ij", 3, []string{"abc", "def", "gh", "ij"}},
		{"a long word after a short one", "ab cdefghij", 4, []string{"ab", "cdef", "ghij"}},
		{"indentation", "  if x {", 6, []string{"  if x", "{"}},
		{"indentation of a long word", "    abcdef", 6, []string{"    ab", "cdef"}},
		{"lines", "a\n\nb", 5, []string{"a", "", "b"}},
		{"wide", "日本語です", 4, []string{"日本", "語で", "す"}},
		{"wide at an odd width", "日本語", 3, []string{"日", "本", "語"}},
		{"too wide", "a日b", 1, []string{"a", "b"}},
		{"empty", "", 5, []string{""}},
		{"spaces at the end", "ab   ", 3, []string{"ab"}},
	}
	for _, tt := range tests {
		t.Run(tt.about, func(t *testing.T) {
			if got := (text.Measure{}).Wrap(tt.in, tt.width); !slices.Equal(got, tt.want) {
				t.Errorf("Wrap(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
			}
		})
	}
}

func TestWidth(t *testing.T) {
	tests := []struct {
		in              string
		plain, clusters int
	}{
		{"abc", 3, 3},
		{"日本", 4, 4},
		{"e\u0301", 1, 1},
		{"❤️", 1, 2},
		{"👍🏽", 4, 2},
		{"ab\nabc", 3, 3},
	}
	for _, tt := range tests {
		if got := (text.Measure{}).Width(tt.in); got != tt.plain {
			t.Errorf("Width(%q) = %d, want %d", tt.in, got, tt.plain)
		}
		if got := (text.Measure{Graphemes: true}).Width(tt.in); got != tt.clusters {
			t.Errorf("with clusters Width(%q) = %d, want %d", tt.in, got, tt.clusters)
		}
	}
}

// TestFamily: a terminal without clusters draws the members one by one.
func TestFamily(t *testing.T) {
	const family = "👨‍👩‍👧"
	if got, want := (text.Measure{}).PadRight(family, 8), "👨👩👧  "; got != want {
		t.Errorf("PadRight = %q, want %q", got, want)
	}
	if got, want := (text.Measure{Graphemes: true}).PadRight(family, 8), family+"      "; got != want {
		t.Errorf("with clusters PadRight = %q, want %q", got, want)
	}
}
