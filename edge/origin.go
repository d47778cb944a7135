package edge

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// An OriginCheck decides whether a page of the given origin, the Origin
// header's value, may connect. Clients that are no browsers send no such header
// and are not asked for one.
type OriginCheck func(r *http.Request, origin string) bool

// AnyOrigin lets every page connect. Connections must then not depend on
// cookies.
func AnyOrigin(*http.Request, string) bool { return true }

// SameHost lets pages from the host connect, whatever their scheme and port
// (Phoenix's check_origin: true). If host is empty it is that of the request.
func SameHost(host string) OriginCheck {
	return func(r *http.Request, origin string) bool {
		want := host
		if want == "" {
			want, _ = splitPort(r.Host)
		}
		o, ok := parseOrigin(origin)
		return ok && o.host == want
	}
}

// SameOrigin lets pages connect whose scheme, host and port are those of the
// request, as this server sees it (Phoenix's check_origin: :conn).
func SameOrigin(r *http.Request, origin string) bool {
	o, ok := parseOrigin(origin)
	if !ok {
		return false
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	host, port := splitPort(r.Host)
	if port == "" {
		port = defaultPort(scheme)
	}
	return o.scheme == scheme && o.host == host && o.port == port
}

// AllowOrigins lets pages of the listed origins connect. An entry is a host
// with an optional scheme and port: "//host", "scheme://host", "//host:port",
// "scheme://host:port"; what is left out may be anything, except that a scheme
// without a port means its default port. A host that begins with "*." stands
// for the domain and all its subdomains.
func AllowOrigins(list ...string) (OriginCheck, error) {
	var allowed []originPattern
	for _, entry := range list {
		p, err := parseOriginPattern(entry)
		if err != nil {
			return nil, err
		}
		allowed = append(allowed, p)
	}
	return func(_ *http.Request, origin string) bool {
		o, ok := parseOrigin(origin)
		if !ok {
			return false
		}
		for _, p := range allowed {
			if p.matches(o) {
				return true
			}
		}
		return false
	}, nil
}

type origin struct{ scheme, host, port string }

type originPattern struct {
	origin
	domain string // ".example.com" for "*.example.com"
}

func (p originPattern) matches(o origin) bool {
	if p.scheme != "" && p.scheme != o.scheme || p.port != "" && p.port != o.port {
		return false
	}
	if p.domain != "" {
		return o.host == p.domain[1:] || strings.HasSuffix(o.host, p.domain)
	}
	return o.host == p.host
}

// parseOrigin reports false for an origin without a host, such as "null".
func parseOrigin(s string) (origin, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return origin{}, false
	}
	o := origin{scheme: u.Scheme}
	o.host, o.port = splitPort(u.Host)
	if o.port == "" {
		o.port = defaultPort(o.scheme)
	}
	return o, o.host != ""
}

func parseOriginPattern(s string) (originPattern, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return originPattern{}, fmt.Errorf("origin %q: want scheme://host:port, of which scheme and port may be left out (//host)", s)
	}
	p := originPattern{origin: origin{scheme: u.Scheme}}
	p.host, p.port = splitPort(u.Host)
	if p.port == "" {
		p.port = defaultPort(p.scheme)
	}
	if strings.HasPrefix(p.host, "*.") {
		p.domain = p.host[1:]
	}
	return p, nil
}

func splitPort(hostport string) (host, port string) {
	if h, p, err := net.SplitHostPort(hostport); err == nil {
		return h, p
	}
	return strings.Trim(hostport, "[]"), ""
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}
