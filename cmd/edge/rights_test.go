package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// documented returns the subjects of a list of permissions in a page.
func documented(t *testing.T, page, verb string) (subjects []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)` + verb + `: +\[(.*?)\]`).FindSubmatch(text)
	if block == nil {
		t.Fatalf("%s has no list %q", page, verb)
	}
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllSubmatch(block[1], -1) {
		subjects = append(subjects, string(m[1]))
	}
	return subjects
}

// With the rights that docs list, and no more, edge and tools do all they do.
func TestLeastRights(t *testing.T) {
	user := func(name, page string) *server.User {
		return &server.User{Username: name, Password: "right", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: documented(t, page, "publish")},
			Subscribe: &server.SubjectPermission{Allow: documented(t, page, "subscribe")},
		}}
	}
	edgeUser, toolUser := user("edge", "../../docs/operators.md"), user("tool", "../../docs/tools.md")
	admin := &server.User{Username: "admin", Password: "right"}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{edgeUser, toolUser, admin},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	as := func(name string) string { return "--nats=nats://" + name + ":right@" + s.Addr().String() }

	if out, _, err := call(t, "stream", "apply", as("admin")); err != nil {
		t.Fatal(out, err)
	}
	if out, _, err := call(t, "check", "--production", "--listen=127.0.0.1:0", "--longpoll=off", "--stream=check", as("edge")); err != nil && !strings.Contains(out, "failed   memory") {
		t.Errorf("check: %v\n%s", err, out)
	}
	p := start(t, "--listen=127.0.0.1:0", "--stream=check", as("edge"))
	awaitStatus(t, "http://"+p.host()+"/readyz", 200)
	ann := dial(t, p.host()+"?username=ann")
	send(t, ann, `["1","1","rooms:lobby","phx_join",{}]`)
	expect(t, ann, `"phx_reply",{"status":"ok"`)
	send(t, ann, `["1","2","rooms:lobby","chat_msg",{"body":"hi"}]`)
	expect(t, ann, `"hi"`)

	watch(t, "tail", as("tool"), "lobby").expect("ann", "online_at") // others have been told of her
	w := watch(t, "tail", "lobby", "--last=5", as("tool"))
	w.expect("ann", "chat_msg", "hi")
	w.expect("ann", "present")
	send(t, ann, `["1","3","rooms:lobby","typing",{"typing":true}]`)
	w.expect("ann", "typing")
	askTop(t, func(table string) bool { return strings.Contains(table, "1 edge  1 socket") }, "--once", as("tool"))
	for line := range strings.Lines(p.output() + "\n" + strings.Join(w.seen, "\n")) {
		if strings.Contains(strings.ToLower(line), "permissions") {
			t.Errorf("something is refused: %s", line)
		}
	}
}
