package edge_test

import (
	"net/http/httptest"
	"testing"

	"github.com/aristochat/aristochat/edge"
)

func TestOriginChecks(t *testing.T) {
	list, err := edge.AllowOrigins("https://example.com", "//another.com:888", "//*.wild.com", "http://plain.test:8080")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]edge.OriginCheck{
		"any": edge.AnyOrigin, "host": edge.SameHost("chat.test"), "request host": edge.SameHost(""), "same": edge.SameOrigin, "list": list,
	}
	tests := []struct {
		check, origin string
		want          bool
	}{
		{"any", "null", true},
		{"any", "https://evil.test", true},
		{"host", "https://chat.test:1234", true},
		{"host", "http://chat.test", true},
		{"host", "http://CHAT.test", false},
		{"host", "http://evil.test", false},
		{"host", "null", false},
		{"host", "", false},
		{"host", "file://", false},
		{"request host", "http://localhost:3000", true},
		{"request host", "http://chat.test", false},
		{"same", "http://localhost:4000", true},
		{"same", "http://localhost", false},
		{"same", "https://localhost:4000", false},
		{"same", "http://other:4000", false},
		{"list", "https://example.com", true},
		{"list", "https://example.com:443", true},
		{"list", "https://EXAMPLE.com", false},
		{"list", "http://example.com", false},
		{"list", "https://example.com:8443", false},
		{"list", "ftp://another.com:888", true},
		{"list", "http://another.com", false},
		{"list", "http://wild.com", true},
		{"list", "https://a.b.wild.com:99", true},
		{"list", "https://x-wild.com", false},
		{"list", "https://wild.com.evil.test", false},
		{"list", "http://plain.test:8080", true},
		{"list", "http://plain.test", false},
		{"list", "https://example.com/path", true},
		{"list", "http://[::1", false},
	}
	r := httptest.NewRequest("GET", "http://localhost:4000/", nil)
	for _, tt := range tests {
		if got := checks[tt.check](r, tt.origin); got != tt.want {
			t.Errorf("%s: %q: %v, want %v", tt.check, tt.origin, got, tt.want)
		}
	}
}

func TestAllowOriginsMalformed(t *testing.T) {
	for _, entry := range []string{"", "example.com", "https://", "://x", "*"} {
		if _, err := edge.AllowOrigins(entry); err == nil {
			t.Errorf("%q was accepted", entry)
		}
	}
}
