package check_test

import (
	"context"
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
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aristochat/aristochat/cmd/edge/internal/check"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/embedded"
	"github.com/aristochat/aristochat/internal/vacant"
)

// start runs a NATS server that change has made what it should not be.
func start(t *testing.T, change func(*server.Options)) (url string) {
	t.Helper()
	o := &server.Options{ServerName: "n1", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	return "nats://" + s.Addr().String()
}

func connect(t *testing.T, url string, o ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func users(u ...*server.User) func(*server.Options) {
	return func(o *server.Options) { o.Users = u }
}

// accounts puts the user edge into an account of its own.
func accounts(config string) func(*server.Options) {
	return func(o *server.Options) {
		const file = "nats.conf"
		path := filepath.Join(o.StoreDir, file)
		text := `accounts { A { users: [{user: edge, password: right}], ` + config + ` } }`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			panic(err)
		}
		parsed, err := server.ProcessConfigFile(path)
		if err != nil {
			panic(err)
		}
		o.Accounts, o.Users = parsed.Accounts, parsed.Users
	}
}

func asUser(f func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, url string) { f(t, strings.Replace(url, "//", "//edge:right@", 1)) }
}

// edgeUser has the permissions that docs/operators.md lists, but for those named.
func edgeUser(without ...string) *server.User {
	keep := func(list ...string) *server.SubjectPermission {
		p := &server.SubjectPermission{Allow: []string{}}
		for _, s := range list {
			drop := false
			for _, w := range without {
				drop = drop || s == w
			}
			if !drop {
				p.Allow = append(p.Allow, s)
			}
		}
		return p
	}
	return &server.User{Username: "edge", Password: "right", Permissions: &server.Permissions{
		Publish: keep("chat.in.>", "chat.eph.>", "chat.ctl.>", "chat.p.>", "_INBOX_EDGE.>",
			"$JS.API.STREAM.INFO.ROOMS", "$JS.API.DIRECT.GET.ROOMS", "$JS.API.STREAM.MSG.GET.ROOMS"),
		Subscribe: keep("chat.live.>", "chat.eph.>", "chat.ctl.>", "chat.p.>", "_INBOX_EDGE.>",
			"$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.ROOMS"),
	}}
}

func as(user, password string) func(*check.Config) {
	return func(c *check.Config) {
		c.Backbone.NATS = []nats.Option{nats.UserInfo(user, password), nats.CustomInboxPrefix("_INBOX_EDGE")}
	}
}

func stream(o backbone.StreamOptions) func(*check.Config) {
	return func(c *check.Config) { c.Stream = &o }
}

func checkOnly(c *check.Config) { c.Apply = false }

func TestNATS(t *testing.T) {
	tests := []struct {
		name   string
		server func(*server.Options)
		before func(t *testing.T, url string)
		edge   []func(*check.Config)
		want   []string // "level check: words of the message and the change"
	}{
		{"all is well", nil, nil, nil, []string{"ok nats: 1 of 1", "ok permissions", "ok jetstream", "ok stream: the edge makes it"}},
		{"the stream is there", nil, apply(backbone.StreamOptions{}), nil, []string{"ok clock: within", "ok stream: as the flags say"}},
		{"wrong password", users(edgeUser()), nil, []func(*check.Config){as("edge", "wrong")}, []string{"failed nats: credentials"}},
		{"no password", users(edgeUser()), nil, nil, []string{"failed nats: credentials"}},
		{"no JetStream", func(o *server.Options) { o.JetStream = false }, nil, nil, []string{"failed! jetstream: store_dir"}},
		{"no JetStream, no history", func(o *server.Options) { o.JetStream = false }, nil, []func(*check.Config){func(c *check.Config) { c.History = false }}, []string{"warning storage: --history off", "ok permissions"}},
		{"three replicas on one server", nil, nil, []func(*check.Config){stream(backbone.StreamOptions{Replicas: 3})}, []string{"failed! replicas: one server"}},
		{"in memory", nil, nil, []func(*check.Config){stream(backbone.StreamOptions{Memory: true})}, []string{"warning storage: memory"}},
		{"in memory by another's flags", nil, apply(backbone.StreamOptions{Memory: true}), nil, []string{"warning storage: in memory", "warning stream: storage: is Memory, want File"}},
		{"tiny max_payload", func(o *server.Options) { o.MaxPayload = 64 << 10 }, nil, nil, []string{"failed max_payload: 64 KiB"}},
		{"stream missing", nil, nil, []func(*check.Config){checkOnly}, []string{"failed stream: edge stream apply"}},
		{"other limits", nil, apply(backbone.StreamOptions{MaxPerTopic: 500}), []func(*check.Config){checkOnly}, []string{"warning stream: messages of a topic: is 500, want 10000"}},
		{"other limits, to be raised", nil, apply(backbone.StreamOptions{MaxPerTopic: 500}), nil, []string{"ok stream: will change"}},
		{"other limits, to be lowered", nil, apply(backbone.StreamOptions{}), []func(*check.Config){stream(backbone.StreamOptions{MaxPerTopic: 500})}, []string{"warning stream: --shrink"}},
		{"another stream of the name", nil, make1(jetstream.StreamConfig{Name: "ROOMS", Subjects: []string{"orders.>"}}), []func(*check.Config){checkOnly}, []string{"failed stream: does not capture chat.in.>"}},
		{"another stream of the name, to be changed", nil, make1(jetstream.StreamConfig{Name: "ROOMS", Subjects: []string{"orders.>"}}), nil, []string{"warning stream: another program's"}},
		{"subjects of another stream", nil, make1(jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"chat.in.>"}}), nil, []string{"failed! stream: ORDERS", "failed! stream: --subject-prefix"}},
		{"account without room", accounts(`jetstream: {max_file: 32M, max_mem: 1M}`), nil, []func(*check.Config){as("edge", "right")}, []string{"failed stream: may keep 30 MiB more, ROOMS wants 64"}},
		{"account of few streams", accounts(`jetstream: {max_file: 1G, max_mem: 1M, max_streams: 1}`), asUser(make1(jetstream.StreamConfig{Name: "ORDERS", MaxBytes: 1 << 20})), []func(*check.Config){as("edge", "right")}, []string{"failed stream: max_streams"}},
		{"account without JetStream", accounts(""), nil, []func(*check.Config){as("edge", "right")}, []string{"failed! jetstream: this one"}},
		{"least rights", users(edgeUser(), admin), applyAs(admin), []func(*check.Config){as("edge", "right"), checkOnly}, []string{"ok permissions", "ok stream: as the flags say"}},
		{"least rights, but to apply", users(edgeUser(), admin), applyAs(admin), []func(*check.Config){as("edge", "right")}, []string{"failed permissions: --stream check"}},
		{"may not hear", users(edgeUser("chat.live.>"), admin), nil, []func(*check.Config){as("edge", "right"), checkOnly}, []string{"failed! permissions: subscribe chat.live.>"}},
		{"may not ask", users(edgeUser("$JS.API.STREAM.INFO.ROOMS"), admin), nil, []func(*check.Config){as("edge", "right"), checkOnly}, []string{"failed! permissions: publish $JS.API.STREAM.INFO.ROOMS"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := start(t, tt.server)
			if tt.before != nil {
				tt.before(t, url)
			}
			c := &check.Config{NATS: []string{url}, History: true, Apply: true}
			for _, f := range tt.edge {
				f(c)
			}
			findings, _ := check.NATS(t.Context(), c)
			expect(t, findings, tt.want)
		})
	}
}

// expect wants each line to be found; if none is wanted to fail, none may.
func expect(t *testing.T, findings []check.Finding, want []string) {
	t.Helper()
	var got []string
	wantsFailure := false
	for _, f := range findings {
		mark := ""
		if f.Lasting {
			mark = "!"
		}
		got = append(got, string(f.Level)+mark+" "+f.Check+": "+f.Message+" → "+f.Change)
		if (f.Level == check.OK) != (f.Change == "") {
			t.Errorf("%+v: whatever is not ok says what to change", f)
		}
	}
	t.Logf("found:\n%s", strings.Join(got, "\n"))
	for _, w := range want {
		wantsFailure = wantsFailure || strings.HasPrefix(w, "failed")
		head, words, _ := strings.Cut(w, ": ")
		found := false
		for _, g := range got {
			found = found || strings.HasPrefix(g, head+":") && strings.Contains(g, words)
		}
		if !found {
			t.Errorf("found:\n%s\nwant %q", strings.Join(got, "\n"), w)
		}
	}
	if wantsFailure {
		return
	}
	for _, g := range got {
		if strings.HasPrefix(g, "failed") {
			t.Errorf("found %q, want no failure", g)
		}
	}
}

var admin = &server.User{Username: "admin", Password: "right"}

func apply(o backbone.StreamOptions) func(*testing.T, string) {
	return func(t *testing.T, url string) { applyStream(t, url, &o) }
}

func applyAs(u *server.User) func(*testing.T, string) {
	return func(t *testing.T, url string) {
		apply(backbone.StreamOptions{})(t, strings.Replace(url, "//", "//"+u.Username+":"+u.Password+"@", 1))
	}
}

func applyStream(t *testing.T, url string, o *backbone.StreamOptions) {
	t.Helper()
	l, err := backbone.Connect(t.Context(), &backbone.Options{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	if _, err := l.ApplyStream(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func make1(cfg jetstream.StreamConfig) func(*testing.T, string) {
	return func(t *testing.T, url string) {
		if _, err := connect(t, url).CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
}

// A check leaves the streams as they were, and stores nothing.
func TestChangesNothing(t *testing.T) {
	url := start(t, nil)
	js := connect(t, url)
	c := &check.Config{NATS: []string{url}, History: true, Apply: true}
	for _, step := range []string{"without a stream", "with one"} {
		if f, reached := check.NATS(t.Context(), c); !reached {
			t.Fatalf("%s: %v", step, f)
		}
		s, err := js.Stream(t.Context(), "ROOMS")
		if step == "without a stream" {
			if err == nil {
				t.Error("the check has made a stream")
			}
			applyStream(t, url, nil)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if st := s.CachedInfo().State; st.LastSeq != 0 {
			t.Errorf("the check has stored %d messages", st.LastSeq)
		}
	}
}

func TestServers(t *testing.T) {
	gone := "nats://" + vacant.Address(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	go func() {
		for {
			conn, err := stranger.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("220 mail.example.com ESMTP\r\n"))
			conn.Close()
		}
	}()

	cluster, err := embedded.StartCluster(2, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Shutdown()
	one, other := start(t, nil), start(t, func(o *server.Options) { o.ServerName = "n2" })

	tests := []struct {
		name string
		urls []string
		want []string
	}{
		{"nobody", []string{gone}, []string{"failed nats: nothing listens there"}},
		{"unknown name", []string{"nats://nats..invalid:4222"}, []string{"failed nats: nats..invalid"}}, // known without DNS, which may be away
		{"no answer", []string{"nats://" + silent.Addr().String()}, []string{"failed nats: does not answer"}},
		{"not NATS", []string{"nats://" + stranger.Addr().String()}, []string{"failed nats: does not speak as NATS"}},
		{"partly", []string{gone, one}, []string{"warning nats: nothing listens there", "ok nats: 1 of 2"}},
		{"a cluster", cluster.URLs(), []string{"ok nats: 2 of 2"}},
		{"not a cluster", []string{one, other}, []string{"warning cluster: not one cluster"}},
		{"one in a cluster, one not", []string{one, cluster.URLs()[0]}, []string{"warning cluster: not one cluster"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			findings, reached := check.NATS(t.Context(), &check.Config{NATS: tt.urls, History: true, Apply: true})
			expect(t, findings, tt.want)
			if want := !strings.HasPrefix(tt.want[0], "failed"); reached != want {
				t.Errorf("reached = %v, want %v", reached, want)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	good, ca := certificate(t, "127.0.0.1", time.Hour)
	named, _ := certificate(t, "nats.example.com", time.Hour)
	expired, _ := certificate(t, "127.0.0.1", -time.Minute)
	with := func(c tls.Certificate, verify bool) func(*server.Options) {
		return func(o *server.Options) {
			o.TLS, o.TLSVerify = true, verify
			o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{c}}
			if verify {
				o.TLSConfig.ClientAuth, o.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			}
		}
	}
	tests := []struct {
		name   string
		server func(*server.Options)
		option nats.Option
		want   string
	}{
		{"all is well", with(good, false), nats.RootCAs(ca(good)), "ok nats: 1 of 1"},
		{"authority unknown", with(good, false), nil, "failed nats: --nats-ca"},
		{"another name", with(named, false), nats.RootCAs(ca(named)), "failed nats: another name"},
		{"expired", with(expired, false), nats.RootCAs(ca(expired)), "failed nats: not valid"},
		{"wants a client certificate", with(good, true), nats.RootCAs(ca(good)), "failed nats: --nats-cert"},
		{"has no TLS", nil, nats.RootCAs(ca(good)), "failed nats: it has no TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &check.Config{NATS: []string{start(t, tt.server)}, Backbone: backbone.Options{NATS: []nats.Option{tt.option}}}
			findings, _ := check.NATS(t.Context(), c)
			expect(t, findings, []string{tt.want})
		})
	}
}

// certificate makes one that vouches for itself, and returns how to write it
// to a file.
func certificate(t *testing.T, host string, valid time.Duration) (tls.Certificate, func(tls.Certificate) string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, func(c tls.Certificate) string {
		file := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
}
