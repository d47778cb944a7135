package main

import (
	"strings"
	"testing"
)

func TestBody(t *testing.T) {
	for _, size := range []int{0, 30, 1000} {
		want := id{7, 4294967295}
		body := bodyOf("0000002a", want, size)
		if got, ours := parseBody("0000002a", body); !ours || got != want {
			t.Errorf("%q is read as %v, %v; want %v", body, got, ours, want)
		}
		if len(body) < size {
			t.Errorf("%q has %d bytes, want %d", body, len(body), size)
		}
		if _, ours := parseBody("0000002b", body); ours {
			t.Errorf("%q is taken for one of another run", body)
		}
	}
}

// What others say in the room must not be taken for ours, nor stop us.
func FuzzParseBody(f *testing.F) {
	for _, body := range []string{"", "hi", "loadtest 0000002a 1 2 …", "loadtest 0000002a -1 2 ", "loadtest 0000002a 99999999999 1 ", "loadtest 0000002a 1 2"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		i, ours := parseBody("0000002a", body)
		if ours && !strings.HasPrefix(body, "loadtest 0000002a ") {
			t.Errorf("%q is taken for ours: %v", body, i)
		}
	})
}
