package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aristochat/aristochat/internal/vacant"
)

// A watcher is a tool that runs within the test, and its output.
type watcher struct {
	t     *testing.T
	lines chan string
	seen  []string
}

// watch runs the program until the test ends, and returns once it has said
// that it is ready.
func watch(t *testing.T, args ...string) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{t: t, lines: make(chan string, 1000)}
	r, out := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(w.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			w.lines <- s.Text()
		}
	})
	wg.Go(func() {
		if err := run(ctx, args, out, out); err != nil {
			t.Errorf("edge %s: %v", strings.Join(args, " "), err)
		}
		out.Close()
	})
	t.Cleanup(func() {
		cancel()
		for range w.lines { // of which nobody may have asked for so many
		}
		wg.Wait()
	})
	return w
}

// expect waits until there is a line with all the words, in their order.
func (w *watcher) expect(words ...string) string {
	w.t.Helper()
	timeout := time.After(patience)
	for i := 0; ; i++ {
		if i == len(w.seen) {
			select {
			case line, ok := <-w.lines:
				if !ok {
					w.t.Fatalf("it ends; it has said\n%s", strings.Join(w.seen, "\n"))
				}
				w.seen = append(w.seen, line)
			case <-timeout:
				w.t.Fatalf("no line has %q; it has said\n%s", words, strings.Join(w.seen, "\n"))
			}
		}
		rest, all := w.seen[i], true
		for _, word := range words {
			var found bool
			_, rest, found = strings.Cut(rest, word)
			all = all && found
		}
		if all {
			return w.seen[i]
		}
	}
}

func TestTail(t *testing.T) {
	a := start(t, "--listen", "127.0.0.1:0", "--nats-listen", vacant.Address(t))
	url := "nats://" + a.await(`NATS +in this process and on (\S+),`)[1]
	b := start(t, "--listen", "127.0.0.1:0", "--nats", url)
	for _, p := range []*process{a, b} {
		awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ann := dial(t, a.host()+"?username=ann")
	send(t, ann, `["1","1","rooms:lobby","phx_join",{}]`)
	expect(t, ann, `"phx_reply",{"status":"ok"`)
	send(t, ann, `["1","2","rooms:lobby","chat_msg",{"body":"before"}]`)
	expect(t, ann, `"before"`)
	carl := dial(t, b.host()+"?username=carl")
	send(t, carl, `["1","1","rooms:lobby","phx_join",{}]`)
	expect(t, carl, `"ann"`) // who is thus known elsewhere

	lobby := watch(t, "tail", "lobby", "--nats", url, "--last", "5")
	all := watch(t, "tail", "--nats", url)
	bobs := watch(t, "tail", "--nats", url, "--user", "bob", "--json")
	lobby.expect(" 1 rooms:lobby", "ann", "chat_msg", "before")
	lobby.expect("tail: rooms:lobby on embedded")
	lobby.expect("ann", "present")
	all.expect("tail: * on embedded")
	// In JSON nothing says that it is ready: what bob does is heard at last.
	bob := dial(t, b.host()+"?username=bob")
	send(t, bob, `["1","1","rooms:lobby","phx_join",{}]`)
	expect(t, bob, `"phx_reply",{"status":"ok"`)
	for _, w := range []*watcher{lobby, all} {
		w.expect("rooms:lobby", "bob", "joined", "online_at")
	}
	for deadline := time.Now().Add(patience); len(bobs.lines) < 2 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		send(t, bob, `["1","9","rooms:lobby","chat_msg",{"body":"hello\u001b[2J"}]`)
		expect(t, bob, `"hello`)
	}
	for _, w := range []*watcher{lobby, all} {
		w.expect("rooms:lobby", "bob", "chat_msg", `hello\x1b[2J`)
	}
	var e struct {
		Kind, User, Event string
		Seq               uint64
		Payload           struct{ Body string }
	}
	if err := json.Unmarshal([]byte(bobs.expect(`"chat_msg"`)), &e); err != nil || e.Kind != "stored" || e.User != "bob" || e.Seq < 2 || e.Payload.Body != "hello\x1b[2J" {
		t.Errorf("JSON is %+v, %v", e, err)
	}

	send(t, ann, `["1","3","rooms:lobby","typing",{"typing":true}]`)
	lobby.expect(" - rooms:lobby", "ann", "typing")
	if err := nc.Publish("chat.live.rooms.lobby", []byte("forged")); err != nil {
		t.Fatal(err)
	}
	lobby.expect("rooms:lobby", "chat_msg", "6 bytes that edges drop", "not a JSON object")
	send(t, bob, `["1","4","rooms:lobby","phx_leave",{}]`)
	lobby.expect("rooms:lobby", "bob", "left")

	since := watch(t, "tail", "rooms:lobby", "--nats", url, "--since", "1")
	since.expect("bob", "hello")
	for _, line := range since.seen {
		if strings.Contains(line, "before") {
			t.Errorf("--since 1 shows %q", line)
		}
	}
	watch(t, "tail", "rooms:lobby", "--nats", url, "--since", "1h").expect("ann", "before")
}

func TestTailRefused(t *testing.T) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Users: []*server.User{{Username: "deaf", Password: "right", Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"chat.live.>"}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	host := s.Addr().String()
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no NATS", []string{"lobby"}, exitUsage, "--nats-listen"},
		{"nobody there", []string{"--nats", "nats://127.0.0.1:1"}, exitUnfit, "nothing listens there"},
		{"wrong password", []string{"--nats", "nats://deaf:wrong@" + host}, exitUnfit, "refuses the credentials"},
		{"not allowed", []string{"--nats", "nats://deaf:right@" + host}, exitFailure, `Permissions Violation for Subscription to "chat.live.*.*"`},
		{"past of all", []string{"--nats", "nats://" + host, "--last", "5"}, exitUsage, "name it"},
		{"past of a namespace", []string{"rooms:*", "--nats", "nats://" + host, "--since", "5m"}, exitUsage, "name it"},
		{"both", []string{"lobby", "--nats", "nats://" + host, "--last", "5", "--since", "5m"}, exitUsage, "exclude"},
		{"since when", []string{"lobby", "--nats", "nats://" + host, "--since", "yesterday"}, exitUsage, "10m"},
		{"no stream", []string{"lobby", "--nats", "nats://deaf:wrong@" + host, "--last=-1"}, exitUsage, "negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, code, err := call(t, append([]string{"tail"}, tt.args...)...)
			if code != tt.code || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("exit code %d, %v; want %d and %q", code, err, tt.code, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "wrong@") {
				t.Error("the error gives a password away")
			}
		})
	}
}
