package edge

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := newTokenKey([]byte("a secret of the cluster"))
	want := pollToken{edge: "EDGE7", session: newSessionID(), expires: now.Unix() + 60}
	good := key.sign(want)
	if got, err := key.verify(good, now); err != nil || got != want {
		t.Fatalf("verify = %+v, %v; want %+v", got, err, want)
	}
	changed := func(i int) string {
		b := []byte(good)
		b[i] = "AB"[b2i(b[i] == 'A')]
		return string(b)
	}
	tests := []struct {
		name, token string
		now         time.Time
		key         tokenKey
		want        error
	}{
		{"empty", "", now, key, errToken},
		{"null", "null", now, key, errToken},
		{"first character changed", changed(0), now, key, errToken},
		{"session changed", changed(20), now, key, errToken},
		{"last character changed", changed(len(good) - 1), now, key, errToken},
		{"cut", good[:len(good)-2], now, key, errToken},
		{"padded", good + "=", now, key, errToken},
		{"line break", good[:10] + "\n" + good[10:], now, key, errToken},
		{"twice", good + good, now, key, errToken},
		{"huge", strings.Repeat("A", 1<<20), now, key, errToken},
		{"other secret", good, now, newTokenKey([]byte("a secret of another one")), errToken},
		{"a second before its end", good, now.Add(59 * time.Second), key, nil},
		{"at its end", good, now.Add(time.Minute), key, errExpired},
		{"without a name", key.sign(pollToken{expires: want.expires}), now, key, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.key.verify(tt.token, tt.now); !errors.Is(err, tt.want) {
				t.Errorf("verify(%.200q) = %v, want %v", tt.token, err, tt.want)
			}
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Whatever a stranger sends, only what we have signed is taken, in one spelling.
func FuzzToken(f *testing.F) {
	key := newTokenKey([]byte("a secret of the cluster"))
	now := time.Unix(1_800_000_000, 0)
	f.Add("")
	f.Add(key.sign(pollToken{edge: "EDGE7", expires: now.Unix() + 1}))
	f.Add(newTokenKey([]byte("another")).sign(pollToken{edge: "EDGE7", expires: now.Unix() + 1}))
	f.Fuzz(func(t *testing.T, s string) {
		token, err := key.verify(s, now)
		if err == nil && key.sign(token) != s {
			t.Errorf("%q is taken for %+v, which is spelled %q", s, token, key.sign(token))
		}
	})
}
