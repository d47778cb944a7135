package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/aristochat/aristochat/internal/vacant"
)

// The server wants a certificate and a key of its clients, and offers one that
// only our authority vouches for.
func TestNATSCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, ca := makeCertificate(t, dir)
	seed, public := makeNkey(t, filepath.Join(dir, "nkey"))
	stranger, _ := makeNkey(t, filepath.Join(dir, "stranger"))

	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(),
		Nkeys:     []*server.NkeyUser{{Nkey: public}},
		TLS:       true,
		TLSVerify: true,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()

	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	url := "tls://" + srv.Addr().String()
	tests := []struct {
		name string
		args []string
		want string // what the log says of it
	}{
		{"no authority", []string{"--nats-cert", certFile, "--nats-key", keyFile, "--nats-nkey", seed}, "unknown authority"},
		{"no certificate", []string{"--nats-ca", certFile, "--nats-nkey", seed}, "certificate required|closed by remote after TLS handshake"},
		{"another's nkey", []string{"--nats-ca", certFile, "--nats-cert", certFile, "--nats-key", keyFile, "--nats-nkey", stranger}, "(?i)authorization violation"},
		{"all", []string{"--nats-ca", certFile, "--nats-cert", certFile, "--nats-key", keyFile, "--nats-nkey", seed}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, append([]string{"--listen", "127.0.0.1:0", "--log-level", "debug", "--nats", url}, tt.args...)...)
			ready := "http://" + p.host() + "/readyz"
			if tt.want == "" {
				awaitStatus(t, ready, 200)
				return
			}
			p.await(tt.want)
			if s, body := get(t, ready); s != 503 {
				t.Errorf("/readyz = %d %q, want 503", s, body)
			}
		})
	}
}

// A NATS that is first away, and then there but refuses us: what is wrong now is
// what /readyz says.
func TestNATSRefusesLater(t *testing.T) {
	t.Parallel()
	at := vacant.Address(t)
	p := start(t, "--listen", "127.0.0.1:0", "--nats", "nats://me:wrong@"+at)
	p.await("connection refused")
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{
		Host: host, Port: n, NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "me", Password: "right"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	awaitBody(t, "http://"+p.host()+"/readyz", "(?i)authorization violation")
}

// Credentials that end while the edge has them: the log says so once, not at each
// attempt.
func TestNATSRefusesForLong(t *testing.T) {
	t.Parallel()
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "me", Password: "right"}},
	}
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	p := start(t, "--listen", "127.0.0.1:0", "--history", "off", "--nats", "nats://me:right@"+srv.Addr().String())
	awaitStatus(t, "http://"+p.host()+"/readyz", 200)

	o = o.Clone()
	o.Users = []*server.User{{Username: "me", Password: "another"}}
	if err := srv.ReloadOptions(o); err != nil {
		t.Fatal(err)
	}
	attempts := func() uint64 {
		v, err := srv.Varz(nil)
		if err != nil {
			t.Fatal(err)
		}
		return v.TotalConnections
	}
	enough := attempts() + 6
	deadline := time.Now().Add(patience)
	for attempts() < enough {
		if time.Now().After(deadline) {
			t.Fatalf("the edge does not try again:\n%s", p.output())
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.await("cannot connect to NATS.*authorization violation")
	last := ""
	for _, m := range regexp.MustCompile(`cannot connect to NATS.* error=(.*)`).FindAllStringSubmatch(p.output(), -1) {
		if m[1] == last {
			t.Errorf("the log says it again:\n%s", p.output())
		}
		last = m[1]
	}
	if strings.Contains(p.output(), "NATS reports an error") {
		t.Errorf("the log has an error at each attempt:\n%s", p.output())
	}
}

// awaitBody waits until a page's text matches.
func awaitBody(t *testing.T, url, pattern string) {
	t.Helper()
	var body string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, body = get(t, url); regexp.MustCompile(pattern).MatchString(body) {
			return
		}
	}
	t.Fatalf("%s says %q, want %s", url, body, pattern)
}

// makeCertificate makes one for both sides that vouches for itself.
func makeCertificate(t *testing.T, dir string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	write(t, filepath.Join(dir, "cert.pem"), certPEM)
	write(t, filepath.Join(dir, "key.pem"), keyPEM)
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	ca := x509.NewCertPool()
	ca.AppendCertsFromPEM(certPEM)
	return cert, ca
}

// makeNkey writes a user's seed to a file.
func makeNkey(t *testing.T, file string) (name, public string) {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = user.PublicKey(); err != nil {
		t.Fatal(err)
	}
	write(t, file, seed)
	return file, public
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
