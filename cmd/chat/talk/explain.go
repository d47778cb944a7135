package talk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/aristochat/aristochat/client"
)

// A Cause is whose turn it is to do something about an error.
type Cause uint8

const (
	Other       Cause = iota
	Unreachable       // nobody answers, or not a chat server
	Denied            // the server answered no
)

// An Explanation is an error in words for the user.
type Explanation struct {
	Cause Cause
	Text  string // of one line; it may quote what a server wrote, and is not fit for a terminal
}

// Explain puts an error of [Dial], [Session.Past] or a [Link] into words. server
// is what the user knows the server by; empty if there is no need to name it.
func Explain(err error, server string) Explanation {
	if server == "" {
		server = "the server"
	}
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		return explainRefused(refused, server)
	}
	if reply, ok := errors.AsType[*client.ReplyError](err); ok {
		return Explanation{Denied, "refused: " + reasonOf(reply)}
	}
	if closed, ok := errors.AsType[*client.CloseError](err); ok {
		return Explanation{Unreachable, closed.Error()}
	}
	if text := explainTLS(err, server); text != "" {
		return Explanation{Unreachable, text}
	}
	if text := explainNetwork(err, server); text != "" {
		return Explanation{Unreachable, text}
	}
	switch {
	case errors.Is(err, client.ErrGarbage), errors.Is(err, client.ErrTooLarge):
		return Explanation{Unreachable, server + " does not speak the chat's protocol: " + last(err)}
	case errors.Is(err, client.ErrCrashed):
		return Explanation{Other, "the room crashed on the server"}
	case errors.Is(err, client.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return Explanation{Unreachable, server + " does not answer"}
	case errors.Is(err, client.ErrLost), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return Explanation{Unreachable, "the connection to " + server + " was lost"}
	case err == nil:
		return Explanation{Other, "not connected"}
	case strings.Contains(err.Error(), "malformed HTTP"):
		return Explanation{Unreachable, server + " does not speak HTTP, so it is no chat server"}
	case strings.HasPrefix(err.Error(), "client: connecting: "):
		return Explanation{Unreachable, "no connection to " + server + ": " + last(err)}
	}
	return Explanation{Other, last(err)}
}

func explainRefused(e *client.RefusedError, server string) Explanation {
	said := ""
	if body := strings.Join(strings.Fields(e.Body), " "); body != "" && !strings.HasPrefix(body, "<") {
		if len(body) > 200 {
			body = strings.ToValidUTF8(body[:200], "") + "…"
		}
		said = " (it says: " + body + ")"
	}
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return Explanation{Denied, fmt.Sprintf("%s refuses you (%d): the token or the user name is not accepted%s", server, e.Status, said)}
	case e.Status == http.StatusNotFound:
		return Explanation{Unreachable, fmt.Sprintf("%s has no chat at this path (404): --server takes a whole address, such as wss://example.com/socket", server)}
	case e.Status == http.StatusTooManyRequests, e.Status == http.StatusServiceUnavailable, e.Status == http.StatusBadGateway, e.Status == http.StatusGatewayTimeout:
		return Explanation{Unreachable, fmt.Sprintf("%s takes nobody in right now (%d %s)%s", server, e.Status, http.StatusText(e.Status), said)}
	case e.Status >= 300 && e.Status < 400:
		return Explanation{Unreachable, fmt.Sprintf("%s sends to another address (%d): perhaps it wants https://", server, e.Status)}
	}
	return Explanation{Unreachable, fmt.Sprintf("%s is no chat server: it answered %d %s%s", server, e.Status, http.StatusText(e.Status), said)}
}

func explainTLS(err error, server string) string {
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if record.RecordHeader[0] == 'H' || strings.Contains(record.Msg, "first record does not look like a TLS handshake") {
			return server + " does not speak TLS: use http:// or ws:// instead of https:// or wss://"
		}
		return server + " does not speak TLS: " + record.Msg
	}
	if strings.Contains(words(err), "server gave HTTP response to HTTPS client") {
		return server + " does not speak TLS: use http:// or ws:// instead of https:// or wss://"
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate of " + server + " is signed by nobody known (" + unknown.Error() + "): --ca names a file with its authority"
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate of " + server + " is for somebody else: " + name.Error()
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "the certificate of " + server + " is not valid: " + invalid.Error()
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return server + " breaks off the TLS handshake: " + alert.Error()
	}
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate of " + server + " cannot be verified: " + last(verify.Err)
	}
	return ""
}

func explainNetwork(err error, server string) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return fmt.Sprintf("there is no host %q", dns.Name)
		}
		return fmt.Sprintf("the address of %q cannot be looked up: %s", dns.Name, dns.Err)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at " + server + " (connection refused)"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to " + server + " from here (network unreachable)"
	}
	return ""
}

// reasonOf is what a server said in a refusal.
func reasonOf(e *client.ReplyError) string {
	reason := e.Reason()
	switch {
	case reason == "unavailable":
		return "the server cannot store messages right now"
	case reason == "unknown":
		return "the server does not know whether it was stored"
	case reason != "":
		return reason
	case e.Status == "ok" || e.Status == "error":
		return "the server gave no reason"
	}
	return "the server answered " + e.Status
}

// last is the innermost text of an error without what we were doing.
func last(err error) string {
	text := words(err)
	text = strings.TrimPrefix(text, "client: ")
	return strings.TrimPrefix(text, "connecting: ")
}

// words is nothing for no error.
func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
