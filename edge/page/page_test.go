package page_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/edge/page"
)

// ask serves one request; header has pairs of names and values.
func ask(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var references = regexp.MustCompile(`(?:src|href)="([^"#]+)"|(?:from|import) "\./([^"]+)"`)

// load is everything that a browser fetches for GET /, by path.
func load(t *testing.T) map[string]*http.Response {
	t.Helper()
	all, texts := map[string]*http.Response{}, map[string]string{}
	var fetch func(path string)
	fetch = func(path string) {
		if all[path] != nil {
			return
		}
		res := ask(t, http.MethodGet, path)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("GET %s = %s", path, res.Status)
		}
		all[path], texts[path] = res, body(t, res)
		dir := path[:strings.LastIndex(path, "/")+1]
		for _, m := range references.FindAllStringSubmatch(texts[path], -1) {
			fetch(dir + m[1] + m[2])
		}
	}
	fetch("/")
	for path, text := range texts {
		all[path].Body = io.NopCloser(strings.NewReader(text))
	}
	return all
}

func TestWeight(t *testing.T) {
	const most = 60_000 // bytes, as promised
	plain, compressed := 0, 0
	all := load(t)
	for path, res := range all {
		plain += len(body(t, res))
		compressed += len(body(t, ask(t, http.MethodGet, path, "Accept-Encoding", "gzip")))
	}
	t.Logf("%d files, %d bytes, compressed %d", len(all), plain, compressed)
	if len(all) < 10 {
		t.Errorf("found %d files only", len(all))
	}
	if plain >= most {
		t.Errorf("the page weighs %d bytes, want less than %d", plain, most)
	}
}

func TestHeaders(t *testing.T) {
	types := map[string]string{
		"/": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		"css": "text/css; charset=utf-8", "svg": "image/svg+xml",
	}
	for path, res := range load(t) {
		h := res.Header
		if want := types[path[max(0, len(path)-3):]]; h.Get("Content-Type") != want {
			t.Errorf("%s has the type %q, want %q", path, h.Get("Content-Type"), want)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Vary": "Accept-Encoding", "Set-Cookie": "",
		} {
			if h.Get(name) != want {
				t.Errorf("%s has %s %q, want %q", path, name, h.Get(name), want)
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'",
			"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		} {
			if !strings.Contains(csp+";", want+";") {
				t.Errorf("%s has the policy %q, want %s in it", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s has the policy %q, want none that is open", path, csp)
		}
		want := "public, max-age=31536000, immutable"
		if path == "/" {
			want = "no-cache"
		}
		if h.Get("Cache-Control") != want {
			t.Errorf("%s has Cache-Control %q, want %q", path, h.Get("Cache-Control"), want)
		}
	}
}

// Nothing of the page names another host, and nothing is inline.
func TestNothingForeign(t *testing.T) {
	for path, res := range load(t) {
		text := strings.ReplaceAll(body(t, res), `xmlns="http://www.w3.org/2000/svg"`, "")
		if m := regexp.MustCompile(`https?://[a-z0-9]|\son[a-z]+="|style="|<style|innerHTML =|insertAdjacentHTML|document\.write|eval\(`).FindString(text); m != "" {
			t.Errorf("%s has %q in it", path, m)
		}
		if path == "/" && regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(text) {
			t.Error("the page has an inline script")
		}
	}
}

func TestNotModified(t *testing.T) {
	for _, coding := range []string{"", "gzip"} {
		first := ask(t, http.MethodGet, "/", "Accept-Encoding", coding)
		etag := first.Header.Get("Etag")
		again := ask(t, http.MethodGet, "/", "Accept-Encoding", coding, "If-None-Match", etag)
		if etag == "" || again.StatusCode != http.StatusNotModified || body(t, again) != "" {
			t.Errorf("with %q: asked again with the ETag %q = %s, want 304 and no body", coding, etag, again.Status)
		}
		if other := ask(t, http.MethodGet, "/", "Accept-Encoding", coding, "If-None-Match", `"other"`); other.StatusCode != http.StatusOK {
			t.Errorf("with %q: asked with another ETag = %s, want 200", coding, other.Status)
		}
	}
}

func TestGzip(t *testing.T) {
	plain := body(t, ask(t, http.MethodGet, "/"))
	tests := map[string]bool{
		"gzip": true, "br, GZIP;q=0.5, *": true, "deflate,gzip; q=1": true,
		"": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "x-gzipped": false,
	}
	for accept, want := range tests {
		res := ask(t, http.MethodGet, "/", "Accept-Encoding", accept)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("Accept-Encoding %q: compressed %v, want %v", accept, got, want)
			continue
		}
		if want {
			z, err := gzip.NewReader(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			res.Body = z
		}
		if got := body(t, res); got != plain {
			t.Errorf("Accept-Encoding %q: %d bytes, want the page's %d", accept, len(got), len(plain))
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/?room=lobby", 200},
		{http.MethodHead, "/", 200},
		{http.MethodPost, "/", 405},
		{http.MethodGet, "/index.html", 404},
		{http.MethodGet, "/page/", 404},
		{http.MethodGet, "/page/AAAAAAAAAAAA/app.js", 404},
		{http.MethodGet, "/page/../../page.go", 404},
		{http.MethodPost, "/nothing", 404},
	}
	for _, tt := range tests {
		res := ask(t, tt.method, tt.path)
		if res.StatusCode != tt.status {
			t.Errorf("%s %s = %d, want %d", tt.method, tt.path, res.StatusCode, tt.status)
		}
		if b := body(t, res); tt.method == http.MethodHead && b != "" {
			t.Errorf("HEAD is answered with a body of %d bytes", len(b))
		}
		if tt.status == 404 && res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept, although another edge may have it", tt.path)
		}
	}
}
