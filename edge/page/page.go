// Package page is the chat as a web page, for browsers: one HTML file and what
// it loads, held in the program. The page talks to the edge that served it, at
// socket/websocket beside it, and to nobody else.
//
// It is written as it is in web/, without a build step. What is served lacks the
// comments and the indentation, and is compressed for who takes that.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed web
var web embed.FS

// Dir is the path below which the page's files are, for whoever mounts the page
// beside other handlers.
const Dir = "/page/"

// policy lets the page run its own scripts and talk to its own server, and
// nothing else. 'self' covers websockets to the same host in Chrome 70, Firefox
// 50 and Safari 16 and later. Trusted types have the browser itself refuse to
// make HTML of strings.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// A file is one answer: all that is known of it before anybody asks.
type file struct {
	contentType string
	plain, gzip []byte
	etag        string
}

// Handler serves the page at "/" and its files below Dir, to GET and HEAD; it
// sets no cookies. Other paths are not found.
//
// The files' paths contain a hash of them all, so that browsers keep them for
// good and a page never runs with files of another version. The page itself is
// asked for anew each time.
func Handler() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	f, ok := files()[r.URL.Path]
	if !ok {
		h.Set("Cache-Control", "no-store") // another edge, of another version, may have it
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Cache-Control", "no-cache")
	if r.URL.Path != "/" {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Set("Content-Type", f.contentType)
	h.Add("Vary", "Accept-Encoding")
	body, etag := f.plain, f.etag
	if takesGzip(r) {
		body, etag = f.gzip, f.etag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Etag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// takesGzip reports whether the client names gzip and does not refuse it.
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(strings.TrimSpace(weight), "q=0. ") != "" || strings.TrimSpace(weight) == ""
		}
	}
	return false
}

// files are the answers by path. They are made once, when first asked for.
var files = sync.OnceValue(func() map[string]*file {
	const index = "index.html"
	contents := make(map[string][]byte)
	hash := sha256.New()
	entries, err := fs.ReadDir(web, "web") // in order
	if err != nil {
		panic(err) // cannot be: it is in the program
	}
	for _, e := range entries {
		b, err := web.ReadFile("web/" + e.Name())
		if err != nil {
			panic(err) // as above
		}
		b = lean(e.Name(), b)
		contents[e.Name()] = b
		fmt.Fprintf(hash, "%s %d\n%s", e.Name(), len(b), b)
	}
	version := base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:9])

	all := make(map[string]*file)
	for name, b := range contents {
		at := Dir + version + "/" + name
		if name == index {
			// Relative, for a proxy that serves the whole below a path of its own.
			b = bytes.ReplaceAll(b, []byte("{page}"), []byte(strings.TrimPrefix(Dir, "/")+version))
			at = "/"
		}
		all[at] = &file{contentTypeOf(name), b, compress(b), version}
	}
	return all
})

// contentTypeOf does not ask the machine, whose tables may be wrong.
func contentTypeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// lean is a file without what is for its authors: indentation, empty lines, and
// the comments of JavaScript. Nothing else there may contain " // ".
func lean(name string, b []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if path.Ext(name) == ".js" {
			if bytes.HasPrefix(line, []byte("//")) {
				continue
			}
			line, _, _ = bytes.Cut(line, []byte(" // "))
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out.Write(line)
			out.WriteByte('\n')
		}
	}
	if path.Ext(name) == ".css" {
		return []byte(tight.Replace(out.String()))
	}
	return out.Bytes()
}

var tight = strings.NewReplacer(": 0.", ":.", " 0.", " .", ": ", ":", "; }", "}", "; ", ";", ";\n", ";", ", ", ",",
	" { ", "{", " {\n", "{", " }", "}", "}\n", "}", " > ", ">")

func compress(b []byte) []byte {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err) // cannot be: the level is one
	}
	_, _ = w.Write(b) // into memory
	_ = w.Close()
	return out.Bytes()
}
