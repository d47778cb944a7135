package talk_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/testserver"
)

func TestTwoTalk(t *testing.T) {
	s := testserver.Start(t, nil)
	ann, bob := dial(t, s.Addr, "ann"), dial(t, s.Addr, "bob")
	if e := ann.enter("main"); !e.Keeps || e.Again || e.Older || len(e.Past) > 0 {
		t.Errorf("ann entered an empty room with %+v", e)
	}
	bob.enter("main")
	for i := range 5 {
		ann.Say("main", fmt.Sprint("a", i), fmt.Sprint("ann ", i))
	}
	saw(ann, "the last acknowledgement", func(e talk.Sent) bool { return e.ClientID == "a4" })
	bob.Say("main", "b", "bob")
	want := []string{"ann 0", "ann 1", "ann 2", "ann 3", "ann 4", "bob"}
	ann.reads("main", want...)
	bob.reads("main", want...)

	saw(ann, "who is here", func(e talk.Here) bool {
		slices.Sort(e.Names)
		return slices.Equal(e.Names, []string{"ann", "bob"})
	})
	bob.Typing("main", true)
	saw(ann, "bob typing", func(e talk.Typing) bool { return e.User == "bob" && !e.Until.IsZero() })
	names, n, err := ann.Who(t.Context(), "main")
	if err != nil || n != 2 || !slices.Equal(names, []string{"ann", "bob"}) {
		t.Errorf("Who = %q, %d, %v", names, n, err)
	}
}

// TestNothingIsMissedOrDouble: the edge is killed and started again; what was
// said in between, and what was written meanwhile, is there once and in order.
func TestNothingIsMissedOrDouble(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	ann.enter("main")
	ann.Say("main", "1", "before")
	ann.reads("main", "before")
	s.Kill()
	saw(ann, "the loss", func(e talk.Link) bool { return !e.Up })
	ann.Say("main", "2", "meanwhile")

	// The others are quicker to come back.
	want := []string{"before"}
	s.Start()
	bob := dial(t, s.Addr, "bob")
	bob.enter("main")
	for i := range 300 { // more than a page
		bob.Say("main", fmt.Sprint("b", i), fmt.Sprint("missed ", i))
		want = append(want, fmt.Sprint("missed ", i))
	}
	saw(bob, "the last acknowledgement", func(e talk.Sent) bool { return e.ClientID == "b299" })
	ann.Reconnect()
	e := saw(ann, "the room again", func(e talk.Joined) bool { return e.Again })
	if e.Lost != "" || e.Restarted {
		t.Errorf("came back with %+v, want all of it", e)
	}
	saw(ann, "the acknowledgement", func(e talk.Sent) bool { return e.ClientID == "2" })
	if n := len(e.Past); n > 0 && e.Past[0].Body == "before" {
		t.Error("asked again for what was there")
	}
	testserver.Await(t, "all messages", func() bool { return len(ann.list("main")) >= len(want)+1 })
	got := ann.list("main")
	// "meanwhile" left whenever ann was back, among bob's or after them.
	i := slices.Index(got, "meanwhile")
	if i < 0 {
		t.Fatalf("meanwhile is missing in %d messages", len(got))
	}
	if got = slices.Delete(got, i, i+1); !slices.Equal(got, want) {
		t.Errorf("ann reads %d messages, want %d; first %q", len(got), len(want), got[:3])
	}
}

// TestLostAcknowledgement: the server stored a message and could not say so. It
// is offered again under the same id, and appears once.
func TestLostAcknowledgement(t *testing.T) {
	s := testserver.Start(t, nil)
	ann, bob := dial(t, s.Addr, "ann"), dial(t, s.Addr, "bob")
	ann.enter("main")
	bob.enter("main")
	s.Forget(2)
	ann.Say("main", "id", "once")
	saw(ann, "the acknowledgement", func(e talk.Sent) bool { return e.ClientID == "id" })
	ann.Say("main", "id2", "next")
	ann.reads("main", "once", "next")
	bob.reads("main", "once", "next")
}

func TestRefusedMessage(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	ann.enter("main")
	ann.Say("main", "long", strings.Repeat("x", 20_000))
	ann.Say("main", "huge", strings.Repeat("x", 2<<20))
	ann.Say("main", "fine", "fine")
	if e := saw(ann, "the refusal", func(e talk.NotSent) bool { return e.ClientID == "long" }); e.Reason != "body is longer than 16384 bytes" {
		t.Errorf("long was refused with %q", e.Reason)
	}
	if e := saw(ann, "the other", func(e talk.NotSent) bool { return e.ClientID == "huge" }); !strings.Contains(e.Reason, "more than fit") {
		t.Errorf("huge was refused with %q", e.Reason)
	}
	ann.reads("main", "fine")
	if n := count[talk.Link](ann); n > 1 {
		t.Errorf("the connection was lost over it: %d changes", n)
	}
	ann.Say("elsewhere", "nowhere", "hm")
	saw(ann, "the third", func(e talk.NotSent) bool { return e.ClientID == "nowhere" })
}

// TestEmitMayWait: who shows events may be busy with a call of ours, as a screen
// is. No call waits for him.
func TestEmitMayWait(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	ann.enter("main")
	ann.mu.Lock() // which emit waits for
	ann.Say("nowhere", "1", "anybody?")
	ann.Say("main", "2", strings.Repeat("x", 2<<20))
	ann.Say("main", "3", "hello")
	ann.Typing("main", true)
	ann.Join("dev")
	ann.Leave("dev")
	ann.Leave("nowhere")
	ann.Reconnect()
	ann.mu.Unlock()
	saw(ann, "the first refusal", func(e talk.NotSent) bool { return e.ClientID == "1" })
	saw(ann, "the second", func(e talk.NotSent) bool { return e.ClientID == "2" })
	ann.reads("main", "hello")
}

func TestRefusedRoom(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	name := strings.Repeat("r", 300)
	ann.Join(name)
	ann.Say(name, "x", "anybody?")
	if e := saw(ann, "the refusal", func(e talk.Refused) bool { return e.Room == name }); e.Reason != "topic too long" {
		t.Errorf("refused with %q", e.Reason)
	}
	saw(ann, "the message come back", func(e talk.NotSent) bool { return e.ClientID == "x" })
	ann.enter("main") // the connection is as good as before
}

func TestPast(t *testing.T) {
	s := testserver.Start(t, nil)
	bob := dial(t, s.Addr, "bob")
	bob.enter("main")
	var want []string
	for i := range 170 {
		bob.Say("main", fmt.Sprint(i), fmt.Sprint("message ", i))
		want = append(want, fmt.Sprint("message ", i))
	}
	saw(bob, "the last acknowledgement", func(e talk.Sent) bool { return e.ClientID == "169" })

	ann := dial(t, s.Addr, "ann")
	e := ann.enter("main")
	if len(e.Past) != 50 || !e.Older {
		t.Fatalf("entered with %d messages, older %v, want 50 and true", len(e.Past), e.Older)
	}
	got, older := e.Past, e.Older
	for older {
		page, more, err := ann.Past(t.Context(), "main", got[0].Seq)
		if err != nil {
			t.Fatal(err)
		}
		got, older = append(page, got...), more
	}
	var bodies []string
	for _, m := range got {
		bodies = append(bodies, m.Body)
	}
	if !slices.Equal(bodies, want) {
		t.Errorf("scrolled back to %d messages, want %d in order", len(bodies), len(want))
	}
}

func TestLeave(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	ann.enter("main")
	for range 20 { // at once, and not once the server has confirmed
		ann.Leave("main")
		ann.forget()
		ann.enter("main")
	}
	ann.Leave("main")
	ann.Join("main")
	ann.Leave("main")
	ann.forget()
	ann.enter("main")
	if n := count[talk.Refused](ann); n > 0 {
		t.Errorf("refused %d times", n)
	}
	ann.Say("main", "1", "here")
	ann.reads("main", "here")
}

// TestLeaveWhileSending: who leaves, or ends, waits for no acknowledgement.
func TestLeaveWhileSending(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	s.Stall()
	for _, name := range []string{"main", "dev"} {
		ann.enter(name)
		ann.Say(name, "in "+name, "anybody?")
	}
	testserver.Await(t, "both are on their way", func() bool { return s.Stalled() == 2 })
	ann.Leave("main")
	// Close, as a cleanup, returns.
}

// TestDoubtInAGap: the connection was lost while a message was sent, and the
// server can no longer tell whether it has arrived. Its author is asked, and it
// is not sent again on a guess.
func TestDoubtInAGap(t *testing.T) {
	s := testserver.Start(t, &testserver.Options{Keep: 3})
	ann := dial(t, s.Addr, "ann")
	ann.enter("main")
	s.Meanwhile("main", "0")
	ann.reads("main", "0")
	s.Stall()
	ann.Say("main", "id", "perhaps")
	testserver.Await(t, "it is on its way", func() bool { return s.Stalled() == 1 })
	s.Kill()
	saw(ann, "the loss", func(e talk.Link) bool { return !e.Up })
	s.Meanwhile("main", "1", "2", "3", "4")
	s.Start()
	ann.Reconnect()
	saw(ann, "the gap", func(e talk.Joined) bool { return e.Again && e.Lost == "no longer kept" })
	if e := saw(ann, "the doubt", func(e talk.NotSent) bool { return e.ClientID == "id" }); !strings.Contains(e.Reason, "may have arrived") {
		t.Errorf("told %q", e.Reason)
	}
	if n := count[talk.Sent](ann); n > 0 {
		t.Error("it counts as sent")
	}
	ann.reads("main", "0", "2", "3", "4")
	ann.Say("main", "id", "perhaps") // its author has decided
	saw(ann, "the acknowledgement", func(e talk.Sent) bool { return e.ClientID == "id" })
}

// TestPagesAreResumedFrom: what came in pages is not asked for again.
func TestPagesAreResumedFrom(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	ann.enter("main")
	s.Kill()
	saw(ann, "the loss", func(e talk.Link) bool { return !e.Up })
	var want []string
	for i := range 250 { // a join's reply, and a page
		want = append(want, fmt.Sprint(i))
	}
	s.Meanwhile("main", want...)
	s.Start()
	ann.Reconnect()
	ann.reads("main", want...)
	s.Kill()
	saw(ann, "the second loss", func(e talk.Link) bool { return !e.Up })
	ann.forget()
	s.Start()
	ann.Reconnect()
	if e := saw(ann, "the room again", func(e talk.Joined) bool { return e.Again }); len(e.Past) > 0 {
		t.Errorf("was given %d messages that were there, from %q on", len(e.Past), e.Past[0].Body)
	}
}

// TestNoHistory: the same server without a past. What was said during an
// interruption is lost, and is said to be.
func TestNoHistory(t *testing.T) {
	s := testserver.Start(t, &testserver.Options{NoHistory: true})
	ann := dial(t, s.Addr, "ann")
	if e := ann.enter("main"); e.Keeps || e.Older {
		t.Errorf("entered with %+v", e)
	}
	ann.Say("main", "1", "one")
	saw(ann, "the acknowledgement", func(e talk.Sent) bool { return e.ClientID == "1" })
	ann.reads("main", "one")
	s.Kill()
	s.Start()
	ann.Reconnect()
	if e := saw(ann, "the room again", func(e talk.Joined) bool { return e.Again }); e.Lost == "" {
		t.Error("nothing says that messages may be missing")
	}
}

// TestAncestor: chat_msg and nothing else.
func TestAncestor(t *testing.T) {
	addr := testserver.Ancestor(t)
	ann, bob := dial(t, addr, "ann"), dial(t, addr, "bob")
	if e := ann.enter("main"); e.Keeps {
		t.Errorf("entered with %+v", e)
	}
	bob.enter("main")
	ann.Typing("main", true) // it would crash the channel
	if _, _, err := ann.Who(t.Context(), "main"); err == nil {
		t.Error("Who has no error")
	}
	for i := range 3 {
		ann.Say("main", fmt.Sprint("a", i), "again")
	}
	for i := range 3 { // acknowledged by their copies
		e := saw(ann, "the message", func(e talk.Said) bool { return e.Message.ClientID == fmt.Sprint("a", i) })
		if e.Message.From != "ann" {
			t.Errorf("from %q, want ann", e.Message.From)
		}
		saw(ann, "the acknowledgement", func(e talk.Sent) bool { return e.ClientID == fmt.Sprint("a", i) })
	}
	bob.reads("main", "again", "again", "again")
	if n := count[talk.Trouble](ann); n > 0 {
		t.Errorf("%d troubles", n)
	}
}

func TestCloseWhileLost(t *testing.T) {
	s := testserver.Start(t, nil)
	ann := dial(t, s.Addr, "ann")
	ann.enter("main")
	s.Kill()
	ann.Say("main", "1", "never")
	saw(ann, "the loss", func(e talk.Link) bool { return !e.Up })
	// Close, as a cleanup, returns.
}

// TestLateRetry: after so long that the server has forgotten the message's id,
// it is looked for before it is sent again.
func TestLateRetry(t *testing.T) {
	s := testserver.Start(t, nil)
	ann, bob := dial(t, s.Addr, "ann"), dial(t, s.Addr, "bob")
	ann.enter("main")
	ann.Say("main", "stored", "stored after all")
	ann.reads("main", "stored after all")
	bob.enter("main")
	for i := range 250 { // it is not on the newest page
		bob.Say("main", fmt.Sprint(i), fmt.Sprint(i))
	}
	saw(bob, "the last acknowledgement", func(e talk.Sent) bool { return e.ClientID == "249" })

	again := dial(t, s.Addr, "ann2") // another name: the server's memory of the id cannot help
	again.enter("main")
	again.SayLate("main", "stored", "stored after all")
	saw(again, "the acknowledgement", func(e talk.Sent) bool { return e.ClientID == "stored" })
	saw(again, "where it stands", func(e talk.Said) bool { return e.Message.ClientID == "stored" && e.Message.Seq > 0 })
	again.SayLate("main", "new", "never stored")
	saw(again, "the other", func(e talk.Sent) bool { return e.ClientID == "new" })
	saw(bob, "it", func(e talk.Said) bool { return e.Message.Body == "never stored" })
	if n := strings.Count(strings.Join(bob.list("main"), "\n"), "stored after all"); n != 1 {
		t.Errorf("it was said %d times, want once", n)
	}
}
