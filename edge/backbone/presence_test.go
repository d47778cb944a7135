package backbone_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/aristochat/aristochat/edge/backbone"
)

// listenTo collects what a listener hears.
func listenTo(t *testing.T, l *backbone.Link, word, topic, reply string) (heard chan string, stop func()) {
	t.Helper()
	heard = make(chan string, 16)
	stop, err := l.Listen(word, topic, func(data []byte, answer func([]byte) error) {
		heard <- string(data)
		if answer != nil && reply != "" {
			if err := answer([]byte(reply)); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return heard, stop
}

func await[T comparable](t *testing.T, c <-chan T, want T) {
	t.Helper()
	select {
	case got := <-c:
		if got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("got nothing, want %v", want)
	}
}

func TestSayIsHeardByOthersWhoListen(t *testing.T) {
	srv := startServer(t, "")
	a, b := dial(t, srv), dial(t, srv)
	own, _ := listenTo(t, a, "d", "rooms:a.b *", "")
	heard, stop := listenTo(t, b, "d", "rooms:a.b *", "")
	other, _ := listenTo(t, b, "d", "rooms:other", "")
	word, _ := listenTo(t, b, "hb", "", "")
	flushLink(t, b)

	say := func(word, topic, data string) {
		if err := a.Say(word, topic, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	say("d", "rooms:a.b *", "one")
	await(t, heard, "one")
	say("hb", "", "beat")
	await(t, word, "beat")
	stop()
	say("d", "rooms:a.b *", "two")
	say("d", "rooms:other", "three")
	await(t, other, "three")
	if len(heard) > 0 {
		t.Errorf("heard %q after stop", <-heard)
	}
	if len(own) > 0 {
		t.Errorf("heard %q of its own", <-own)
	}
	if err := a.Say("bad word", "", nil); err == nil {
		t.Error("Say with a space in the word succeeded, want an error")
	}
}

func TestAsk(t *testing.T) {
	srv := startServer(t, "")
	a, b, c := dial(t, srv), dial(t, srv), dial(t, srv)
	listenTo(t, a, "q", "rooms:lobby", "from a") // must not count: it is the one who asks
	type answer struct {
		data string
		ok   bool
	}
	answers := make(chan answer, 16)
	hear := func(data []byte, ok bool) { answers <- answer{string(bytes.Clone(data)), ok} }
	ask := func() (stop func()) {
		t.Helper()
		stop, err := a.Ask("q", "rooms:lobby", nil, hear)
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	ask()
	await(t, answers, answer{"", false})

	heardB, _ := listenTo(t, b, "q", "rooms:lobby", "hello")
	heardC, _ := listenTo(t, c, "q", "rooms:lobby", "hello")
	flushLink(t, b)
	flushLink(t, c)
	stop := ask()
	await(t, answers, answer{"hello", true})
	await(t, answers, answer{"hello", true})
	<-heardB
	<-heardC
	stop()
	ask()() // stopped at once
	<-heardB
	flushLink(t, b)
	flushLink(t, a)
	if len(answers) > 0 {
		t.Errorf("heard %v after stop", <-answers)
	}
}

func TestResyncAfterReconnect(t *testing.T) {
	door := &door{Server: startServer(t, "")}
	door.open()
	l := dial(t, door)
	resynced := make(chan bool, 16)
	defer l.OnResync(func() { resynced <- true })()
	door.shut()
	door.open()
	await(t, resynced, true)
}

// flushLink returns once the server has seen what the link has sent.
func flushLink(t *testing.T, l *backbone.Link) {
	t.Helper()
	unsubscribe, err := l.SubscribeControl(t.Context(), "flush", func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	unsubscribe()
}
