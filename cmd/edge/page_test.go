package main

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/page"
	"github.com/aristochat/aristochat/edge/rooms"
)

// The page tells its users what is too long before the server does. Both mean
// the same.
func TestPageKnowsTheLimits(t *testing.T) {
	get := func(path string) string {
		w := httptest.NewRecorder()
		page.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("GET %s = %d", path, w.Code)
		}
		return w.Body.String()
	}
	app := regexp.MustCompile(`"(page/[^"]+/)app\.js"`).FindStringSubmatch(get("/"))
	if app == nil {
		t.Fatal("the page loads no app.js")
	}
	limit := func(file, name string) int {
		t.Helper()
		m := regexp.MustCompile(name + ` = (\d+)`).FindStringSubmatch(get("/" + app[1] + file))
		if m == nil {
			t.Fatalf("%s has no %s", file, name)
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}

	if got := limit("composer.js", "maxBody"); got != rooms.DefaultMaxBody {
		t.Errorf("the page allows messages of %d bytes, the rooms %d", got, rooms.DefaultMaxBody)
	}
	most := limit("app.js", "maxName")
	for n, fine := range map[int]bool{most: true, most + 1: false} {
		h := &edge.Handshake{Params: map[string]any{"username": strings.Repeat("x", n)}}
		if _, err := rooms.Connect(t.Context(), h); (err == nil) != fine {
			t.Errorf("the page allows names of %d bytes; the rooms, asked with %d: %v", most, n, err)
		}
	}
}
