package rooms_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge"
	"github.com/aristochat/aristochat/edge/backbone"
	"github.com/aristochat/aristochat/edge/rooms"
	"github.com/aristochat/aristochat/embedded"
)

// doomedEdge is the variable that makes this program an edge instead of tests:
// its value is where NATS is.
const doomedEdge = "ARISTOCHAT_TEST_DOOMED_EDGE"

// lastWords is the message whose acknowledgement an edge does not survive.
const lastWords = "these are my last words"

func TestMain(m *testing.M) {
	if at := os.Getenv(doomedEdge); at != "" {
		err := serveDoomed(at)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A doomed store kills its process, as kill -9 does, between the
// acknowledgement and whatever would follow it.
type doomed struct{ *backbone.Store }

func (d doomed) Append(ctx context.Context, topic string, e edge.Event, key string) (edge.Stamp, error) {
	stamp, err := d.Store.Append(ctx, topic, e, key)
	if err == nil && bytes.Contains(e.Payload, []byte(lastWords)) {
		self, _ := os.FindProcess(os.Getpid()) // it is there
		_ = self.Kill()
		select {}
	}
	return stamp, err
}

// serveDoomed is an edge of a process of its own. It says where it listens, and
// ends when its standard input does.
func serveDoomed(at string) error {
	l, err := backbone.Connect(context.Background(), &backbone.Options{URLs: []string{at}})
	if err != nil {
		return err
	}
	st, err := l.Store(context.Background(), nil)
	if err != nil {
		return err
	}
	srv, err := edge.New(doomed{st}, &edge.Options{Connect: rooms.Connect})
	if err != nil {
		return err
	}
	rooms.Serve(srv, nil)
	hs := httptest.NewServer(http.Handler(srv))
	fmt.Println(hs.Listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startDoomed starts such an edge, and returns where it listens.
func startDoomed(t *testing.T, ns *embedded.Server) (cmd *exec.Cmd, addr string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), doomedEdge+"="+ns.ClientURL())
	cmd.Stderr = new(strings.Builder)
	if _, err := cmd.StdinPipe(); err != nil { // ends with this process, and the edge with it
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the edge wrote:\n%s", cmd.Stderr)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the edge did not start: %v", err)
	}
	return cmd, strings.TrimSpace(line)
}

// An edge is killed when the store has acknowledged a message and the publisher
// does not know yet. The publisher repeats it elsewhere: one message exists.
func TestEdgeKilledBeforeItsReply(t *testing.T) {
	ns, err := embedded.Start(&embedded.Options{StoreDir: t.TempDir(), Listen: "127.0.0.1:0", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Shutdown)
	other := newEdge(t, newStore(t, ns, nil), nil)
	edgeProcess, addr := startDoomed(t, ns)

	bob := other.enter(t, "bob", "rooms:lobby")
	ann := connect(t, addr, v2("ann"))
	ann.join("rooms:lobby", `{}`)
	if first := ann.say(chat("hello", "k1")); first.Seq != bob.hear().Seq {
		t.Errorf("acknowledged as %+v, and that is not what bob heard", first)
	}
	ann.hear()
	ctx, cancel := ann.ctx()
	defer cancel()
	if r, err := ann.call(ctx, "chat_msg", chat(lastWords, "k2")); err == nil || ctx.Err() != nil {
		t.Fatalf("got %s %s %v, want a lost connection", r.Status, r.Response, err)
	}
	if err := edgeProcess.Wait(); err == nil || edgeProcess.ProcessState.Exited() {
		t.Errorf("the edge ended with %v, want it killed", err)
	}
	heard := bob.hear() // it was stored, and bob has it before ann knows
	ann = other.enter(t, "ann", "rooms:lobby")
	retry := ann.say(chat(lastWords, "k2"))
	if heard.Body != lastWords || retry.Seq != heard.Seq || !retry.At.Equal(heard.At) {
		t.Errorf("bob heard %+v, the retry is acknowledged with %+v", heard, retry)
	}
	end := ann.say(chat("more", "k3"))
	for _, c := range []*client{ann, bob} {
		if got := c.hear(); got.Seq != end.Seq {
			t.Errorf("heard %+v, want nothing between the retry and message %d", got, end.Seq)
		}
		c.silent()
	}
	list := stored(t, plain(t, ns), "chat.in.rooms.lobby")
	sameBodies(t, "stored", bodies(list), []string{"hello", lastWords, "more"})
	if d := time.Since(retry.At); d > time.Minute {
		t.Errorf("acknowledged as of %v", retry.At)
	}
}
