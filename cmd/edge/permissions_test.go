package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// The users of k8s/base/accounts.conf may do all that they have to, and an edge
// no more than that.
func TestPermissions(t *testing.T) {
	for _, role := range []string{"EDGE", "ADMIN", "SYS"} {
		t.Setenv(role+"_PASSWORD", "of-"+strings.ToLower(role))
	}
	srv, violations := startWithAccounts(t)
	address := srv.Addr().String()
	as := func(user string) string { return "nats://" + user + ":of-" + user + "@" + address }

	apply := start(t, "stream", "apply", "--nats", as("admin"))
	apply.await("^stream ROOMS: created")
	apply = start(t, "stream", "apply", "--nats", as("admin"), "--history-messages=20000")
	apply.await("^stream ROOMS: changed")

	// Two edges do all that edges do among themselves.
	args := []string{"--listen", "127.0.0.1:0", "--nats", as("edge"), "--stream=check", "--history-messages=20000", "--secret=what both of them know"}
	a, b := start(t, args...), start(t, args...)
	for _, p := range []*process{a, b} {
		awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	}
	ann, bob := dial(t, a.host()+"?username=ann"), dial(t, b.host()+"?username=bob")
	for _, c := range []*websocket.Conn{ann, bob} {
		send(t, c, `["1","1","rooms:lobby","phx_join",{}]`)
		expect(t, c, `"phx_reply",{"status":"ok"`)
	}
	expect(t, ann, `"bob":{"metas"`)
	send(t, ann, `["1","2","rooms:lobby","typing",{"typing":true}]`)
	expect(t, bob, `"typing"`)
	send(t, ann, `["1","3","rooms:lobby","chat_msg",{"body":"hi"}]`)
	expect(t, bob, `"chat_msg",{"body":"hi"`)
	send(t, bob, `["1","4","rooms:lobby","history",{}]`)
	expect(t, bob, `"last_seq":1`)
	poll := longPolled(t, a, "GET", "", "")
	if got := longPolled(t, b, "POST", poll.Token, `["1","1","rooms:lobby","phx_join",{"history":10}]`); got.Status != 200 {
		t.Errorf("a join through the other edge: %+v, want 200", got)
	}
	a.signal(syscall.SIGTERM) // what an edge says at its end
	a.wait()
	for _, v := range violations() {
		t.Error("an edge was refused what it needs: ", v)
	}

	// What an edge that was taken over could not do.
	nc, err := nats.Connect(as("edge"), nats.CustomInboxPrefix("_INBOX_EDGE"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{
		"chat.live.rooms.lobby", "$JS.API.STREAM.DELETE.ROOMS", "$JS.API.STREAM.PURGE.ROOMS", "$JS.API.STREAM.UPDATE.ROOMS",
		"$JS.API.STREAM.MSG.DELETE.ROOMS", "$JS.API.STREAM.CREATE.MINE", "$JS.API.CONSUMER.CREATE.ROOMS", "$SYS.REQ.SERVER.PING",
	} {
		before := len(violations())
		nc.Publish(subject, nil)
		nc.Flush()
		if len(violations()) == before {
			t.Errorf("an edge may publish on %s", subject)
		}
	}
	for _, subject := range []string{"chat.in.>", ">", "_INBOX.>"} {
		before := len(violations())
		nc.SubscribeSync(subject)
		nc.Flush()
		if len(violations()) == before {
			t.Errorf("an edge may subscribe to %s", subject)
		}
	}
	if _, err := nats.Connect("nats://" + address); err == nil {
		t.Error("strangers may connect")
	}
}

// startWithAccounts starts a NATS server with the accounts of k8s/base.
// violations are the lines in which it refused something to somebody.
func startWithAccounts(t *testing.T) (_ *server.Server, violations func() []string) {
	t.Helper()
	dir := t.TempDir()
	accounts, err := os.ReadFile("../../k8s/base/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "accounts.conf"), accounts)
	config := filepath.Join(dir, "nats.conf")
	write(t, config, fmt.Appendf(nil, "listen: 127.0.0.1:-1\njetstream: {store_dir: %q}\ninclude accounts.conf\n", dir))
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs = true
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	log := &violationLog{}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return srv, log.lines
}

// A violationLog keeps what a server says of permissions.
type violationLog struct {
	mu   sync.Mutex
	kept []string
}

func (l *violationLog) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.kept...)
}

func (l *violationLog) Errorf(format string, v ...any) {
	if line := fmt.Sprintf(format, v...); strings.Contains(line, "Violation") {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.kept = append(l.kept, line)
	}
}
func (l *violationLog) Noticef(string, ...any) {}
func (l *violationLog) Warnf(string, ...any)   {}
func (l *violationLog) Fatalf(string, ...any)  {}
func (l *violationLog) Debugf(string, ...any)  {}
func (l *violationLog) Tracef(string, ...any)  {}
