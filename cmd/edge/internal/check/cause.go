package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
)

// Explain says why a connection to a NATS server failed, and what to change.
func Explain(err error) (message, change string) {
	var (
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		lookup    *net.DNSError
		timeout   net.Error
		text      = strings.ToLower(err.Error())
	)
	const credentials = "give the name and password that NATS knows in --nats, or --nats-creds, or --nats-nkey"
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return "it refuses the credentials", credentials
	case errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAccountAuthExpired):
		return "the credentials have expired", "issue new ones: --nats-creds"
	case errors.Is(err, nats.ErrAuthRevoked):
		return "the credentials have been revoked", "issue new ones: --nats-creds"
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return "it knows no nkeys", credentials
	case errors.Is(err, nats.ErrMaxConnectionsExceeded), errors.Is(err, nats.ErrMaxAccountConnectionsExceeded):
		return "it has as many connections as it takes", "raise max_connections, of the server or of the account: an edge has two"
	case errors.As(err, &name):
		return "its certificate is for another name: " + name.Error(), fmt.Sprintf("name it in --nats as its certificate does, or issue one for %s", name.Host)
	case errors.As(err, &authority):
		return "nobody vouches for its certificate: " + authority.Error(), "give the certificate of its authority with --nats-ca"
	case errors.As(err, &invalid):
		return "its certificate is not valid: " + invalid.Error(), "issue another one; if it has expired only here, set this machine's clock"
	case strings.Contains(text, "certificate required"), strings.Contains(text, "bad certificate"), strings.Contains(text, "closed by remote after tls"):
		return "it wants another client certificate: " + err.Error(), "give one that it trusts with --nats-cert and --nats-key"
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "it wants TLS", "write the URL as tls://, with --nats-ca if its authority is your own"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "it has no TLS", "configure TLS there, or leave out --nats-ca, --nats-cert and tls:// here"
	case errors.Is(err, nats.ErrNoInfoReceived), errors.As(err, &record), strings.HasPrefix(text, "nats: expected"), errors.Is(err, io.EOF):
		return "what listens there does not speak as NATS does to clients: " + err.Error(), "name the port for clients, usually 4222, and not that for routes or monitoring"
	case errors.As(err, &lookup):
		return "its name is unknown: " + lookup.Error(), "correct the name in --nats, or add it to DNS"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, nats.ErrNoServers): // how the library calls it
		return "nothing listens there", "start the server, or correct host and port in --nats"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to it: " + err.Error(), "correct the host in --nats, or the network"
	case errors.Is(err, nats.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return "it does not answer", "look for a firewall or NetworkPolicy between here and there, and whether the server is overloaded"
	}
	return err.Error(), "see its log"
}
