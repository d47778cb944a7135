package screen_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
)

func measure(row string) int { return ansi.StringWidthWc(row) }

func entered(t testing.TB, width, height int) *window {
	w := open(t, width, height)
	w.tell(talk.Joined{Room: "main", Keeps: true})
	w.here("ann", "bob")
	return w
}

func TestSay(t *testing.T) {
	w := entered(t, 80, 24)
	w.keys("hello", "<enter>")
	w.shows("ann ┃ hello ⋯")
	if got := w.wire.last(); got != "say main hello" {
		t.Errorf("asked %q", got)
	}
	w.tell(talk.Said{Room: "main", Message: room.Message{Seq: 1, From: "ann", Body: "hello", ClientID: w.wire.said[0], At: noon}})
	w.tell(talk.Sent{Room: "main", ClientID: w.wire.said[0]})
	w.shows("ann ┃ hello")
	w.hides("⋯")
	if n := strings.Count(w.shown(), "hello"); n != 1 {
		t.Errorf("hello stands there %d times:\n%s", n, w.shown())
	}
	w.keys("//etc", "<enter>")
	if got := w.wire.last(); got != "say main /etc" {
		t.Errorf("asked %q", got)
	}
	w.keys("one", "<alt+enter>", "two", "<enter>")
	if got := w.wire.last(); got != "say main one\ntwo" {
		t.Errorf("asked %q", got)
	}
	before := w.wire.last()
	w.keys("   ", "<enter>")
	if got := w.wire.last(); got != before {
		t.Errorf("blanks asked %q", got)
	}
}

func TestFailedMessage(t *testing.T) {
	w := entered(t, 80, 24)
	w.keys("hello", "<enter>")
	id := w.wire.said[0]
	w.tell(talk.NotSent{Room: "main", ClientID: id, Reason: "no answer"})
	w.shows("✗ not sent: no answer", "Ctrl+R")
	w.keys("<ctrl+r>")
	w.hides("not sent")
	if len(w.wire.said) != 2 || w.wire.said[1] != id {
		t.Errorf("sent again as %q, want the same id", w.wire.said)
	}
	w.tell(talk.NotSent{Room: "main", ClientID: id, Reason: "body is blank"})
	w.keys("<ctrl+g>")
	w.shows("› hello")
	w.hides("┃")
}

// TestTypedTextStays: wherever a text cannot go, it stays or comes back.
func TestTypedTextStays(t *testing.T) {
	w := entered(t, 80, 24)
	w.keys("/nonsense a b", "<enter>")
	w.shows("There is no /nonsense", "› /nonsense a b")
	w.keys("<ctrl+c>")
	w.hides("› /nonsense")
	w.keys("<up>")
	w.shows("› /nonsense a b")
	w.keys("<ctrl+c>", "half a thought", "<up>", "<up>", "<down>", "<down>")
	w.shows("› half a thought")

	w.keys("/join dev", "<enter>") // not a command in the middle of a text
	w.shows("half a thought/join dev")
	w.keys("<up>", "<up>", "<ctrl+c>", "for main", "<ctrl+n>")

	w = entered(t, 80, 24)
	w.keys("/join dev", "<enter>", "for dev", "<ctrl+p>", "for main", "<ctrl+n>")
	w.shows("› for dev")
	w.keys("<ctrl+p>")
	w.shows("› for main")

	w.keys("<ctrl+n>", "<ctrl+p>", "<ctrl+c>", "/join dev", "<enter>")
	w.shows("› for dev") // the other room's draft outlives the command
	w.keys("<ctrl+p>", "for main")

	w.keys("<ctrl+n>", "<ctrl+c>", "x")
	w.tell(talk.Refused{Room: "dev", Reason: "members only"})
	w.keys("<enter>")
	w.shows("members only", "› x", "not let in")

	if got := w.Unsent(); fmt.Sprint(got) != "[for main x]" {
		t.Errorf("Unsent = %q", got)
	}
}

func TestBigPaste(t *testing.T) {
	w := entered(t, 80, 24)
	big := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	w.tell(tea.PasteMsg{Content: big})
	w.shows("1.0 MiB, 65,537 lines pasted", "more than")
	w.keys("<enter>")
	w.shows("Your text is still there", "1.0 MiB, 65,537 lines pasted")
	w.keys("<ctrl+c>")
	w.hides("65,537")
	w.keys("<up>")
	w.shows("1.0 MiB, 65,537 lines pasted")
	if got := w.Unsent(); len(got) != 1 || got[0] != big {
		t.Errorf("what was pasted is not all there: %d texts", len(got))
	}
	w.keys("<ctrl+c>")

	medium := strings.Repeat("x", 20_000)
	w.tell(tea.PasteMsg{Content: medium})
	w.keys("see:", "<enter>")
	if got := w.wire.last(); got != "say main see:\n"+medium {
		t.Errorf("asked %d bytes", len(got))
	}
	w.tell(talk.NotSent{Room: "main", ClientID: w.wire.said[0], Reason: "body is longer than 16384 bytes"})
	w.shows("not sent: body is longer than")
	w.keys("<ctrl+g>")
	w.shows("19 KiB, 2 lines pasted: see:")

	w.keys("<ctrl+c>")
	w.tell(tea.PasteMsg{Content: "if x {\n\treturn\n}"})
	w.shows("› if x {", "      return", "  }")
	w.keys("<enter>")
	if got := w.wire.last(); got != "say main if x {\n    return\n}" {
		t.Errorf("asked %q", got)
	}
}

func TestScrollBack(t *testing.T) {
	w := open(t, 80, 24)
	var past []room.Message
	for i := range 50 {
		past = append(past, room.Message{Seq: uint64(101 + i), From: "bob", Body: fmt.Sprint("message ", 101+i), At: noon})
	}
	for i := range 100 {
		w.wire.past = append(w.wire.past, room.Message{Seq: uint64(1 + i), From: "bob", Body: fmt.Sprint("message ", 1+i), At: noon})
	}
	w.tell(talk.Joined{Room: "main", Keeps: true, Older: true, Past: past})
	w.shows("message 150")
	w.tell(tea.MouseWheelMsg{Button: tea.MouseWheelUp})
	w.hides("message 150", "message 148")
	w.shows("message 147", "↓ End: newest")
	w.tell(talk.Said{Room: "main", Message: room.Message{Seq: 200, From: "bob", Body: "message 200", At: noon}})
	w.shows("message 147", "↓ 1 new message: End") // it did not move
	w.hides("message 200")
	w.keys("<home>")
	if got := w.wire.last(); got != "past main 101" {
		t.Fatalf("asked %q", got)
	}
	w.keys("<home>")
	w.shows("the beginning", "message 1\n", "message 2\n")
	asked := len(w.wire.asked)
	w.keys("<pgup>")
	if len(w.wire.asked) != asked {
		t.Errorf("asked %q beyond the beginning", w.wire.last())
	}
	w.keys("<end>")
	w.shows("message 200", "─ new ─")
	w.hides("↓")

	// Down and up again shows what was there.
	w.keys("<pgup>")
	before := w.shown()
	w.keys("<pgup>", "<pgup>", "<pgdown>", "<pgdown>")
	if after := w.shown(); after != before {
		t.Errorf("scrolled up and down:\n%s\nwant\n%s", after, before)
	}
	w.keys("<pgdown>", "<pgdown>")
	w.hides("↓")
}

func TestReconnect(t *testing.T) {
	w := entered(t, 80, 24)
	w.says("bob", "before")
	w.tell(talk.Link{Err: fmt.Errorf("lost"), Next: noon.Add(4900 * time.Millisecond)})
	w.shows("○ offline", "Next try in 5 s (Ctrl+T: now)")
	w.now = noon.Add(3 * time.Second)
	w.shows("Next try in 2 s")
	w.keys("<ctrl+t>")
	if got := w.wire.last(); got != "reconnect" {
		t.Errorf("asked %q", got)
	}
	w.tell(talk.Link{Up: true})
	w.tell(talk.Joined{Room: "main", Keeps: true, Again: true, Past: []room.Message{{Seq: 2, From: "bob", Body: "missed", At: noon}}})
	w.shows("● connected", "before", "missed")
	w.hides("missing")
	w.tell(talk.Joined{Room: "main", Keeps: true, Again: true, Lost: "no longer kept"})
	w.shows("messages may be missing here: no longer kept")
	w.tell(talk.Joined{Room: "main", Keeps: true, Again: true, Lost: "epoch changed", Restarted: true, Past: []room.Message{{Seq: 1, From: "bob", Body: "brave new world", At: noon}}})
	w.shows("the server has lost its memory", "missed", "brave new world")

	// All of it can be read.
	w.shows(" the server has lost its memory: what stands above may ", " be all there is of it ")
	w.hides("…")
	w.tell(tea.WindowSizeMsg{Width: 30, Height: 20})
	w.shows("the server has lost", "all there is of it")
}

func TestRooms(t *testing.T) {
	w := entered(t, 80, 24)
	w.keys("/join dev", "<enter>")
	if got := w.wire.last(); got != "join dev" {
		t.Errorf("asked %q", got)
	}
	w.shows("[2 dev]")
	w.says("bob", "psst, ANN")
	w.shows("1 main +1!")
	w.keys("<alt+1>")
	w.shows("[1 main]", "psst")
	w.hides("+1")
	w.keys("/leave", "<enter>")
	if got := w.wire.last(); got != "leave main" {
		t.Errorf("asked %q", got)
	}
	w.shows("[dev]")
	w.keys("/leave", "<enter>")
	w.shows("This is your only room")
	w.keys("<ctrl+c>", "/rooms", "<enter>")
	w.shows("1  dev: entering")
	w.keys("/join main", "<enter>", "/leave main", "<enter>", "/join main", "<enter>") // faster than any server
	w.shows("[2 main]")
	if got := w.wire.last(); got != "join main" {
		t.Errorf("asked %q", got)
	}
}

// TestUnreadOutOfSight: rooms for which the first line has no space are counted.
func TestUnreadOutOfSight(t *testing.T) {
	w := entered(t, 80, 24)
	for _, name := range []string{"development", "operations", "marketing"} {
		w.keys("/join "+name, "<enter>")
	}
	w.hides("1 main", "… +")
	w.says("bob", "hello")
	w.says("bob", "anybody?")
	w.shows("[4 marketing]", "… +2")
	w.keys("<alt+1>")
	w.shows("[1 main]")
	w.hides("… +")
	w.keys("<alt+4>")
	w.tell(tea.WindowSizeMsg{Width: 40, Height: 12})
	w.says("bob", "hello")
	w.shows("[4 marketing]", "… +1", "entering")
}

// TestBorrowedName: in a narrow window nothing but a colon divides a name from
// the words.
func TestBorrowedName(t *testing.T) {
	w := entered(t, 40, 12)
	w.says("bob: yes", "no")
	w.shows(`"bob: yes": no`)
}

func TestWho(t *testing.T) {
	w := entered(t, 80, 24)
	w.keys("/who", "<enter>")
	w.shows("2 people are here: ann, bob")
	w.tell(talk.Counted{Room: "main", Number: 1234})
	w.shows("1,234 here")
	w.keys("/who", "<enter>")
	w.shows("1,234 people are here: ann, bob and 1,232 more")

	w = open(t, 80, 24) // the ancestor tells nothing
	w.tell(talk.Joined{Room: "main"})
	w.hides("(you)")
	w.keys("/who", "<enter>")
	w.shows("This server does not tell who is here")
}

func TestCompletion(t *testing.T) {
	w := entered(t, 80, 24)
	w.here("ann", "bob", "bert", "Bernd")
	w.says("bert", "hi")
	for _, tt := range []struct{ about, typed, want string }{
		{"command", "/qu", "› /quit"},
		{"who spoke last comes first", "b", "› bert:"},
		{"any case", "BERN", "› Bernd:"},
		{"within a line", "ask bo", "› ask bob"},
		{"at", "@bo", "› @bob"},
		{"room", "/leave ma", "› /leave main"},
	} {
		w.keys(tt.typed, "<tab>")
		if !strings.Contains(w.shown(), tt.want) {
			t.Errorf("%s: %q became\n%s", tt.about, tt.typed, w.shown())
		}
		w.keys("<ctrl+c>")
	}
	w.keys("b", "<tab>", "<tab>")
	w.shows("› Bernd:")
	w.keys("<shift+tab>")
	w.shows("› bert:")
	w.keys("zz", "<tab>")
	w.shows("There is nothing that begins so")
	// What nobody can type paints nothing where one types.
	w.keys("<ctrl+c>")
	w.here("ann", "zoe\u202e", "zack\x1b[2J", "zap\nzip")
	w.keys("z", "<tab>")
	w.shows("There is nothing that begins so")
}

// A room is bounded also while nobody looks at it.
func TestTrimsWhatIsNotLookedAt(t *testing.T) {
	w := entered(t, 80, 24)
	w.keys("/join dev", "<enter>")
	w.tell(tea.BlurMsg{})
	for i := range 30_000 {
		w.says("bob", fmt.Sprint("message ", i))
	}
	if n := w.Entries("main"); n > 22_001 {
		t.Errorf("%d messages are kept, want about 20,000", n)
	}
}

func TestTypingIsTold(t *testing.T) {
	w := entered(t, 80, 24)
	w.keys("h")
	if got := w.wire.last(); got != "typing main true" {
		t.Errorf("asked %q", got)
	}
	asked := len(w.wire.asked)
	w.keys("ello")
	if len(w.wire.asked) != asked {
		t.Errorf("asked %q for every letter", w.wire.last())
	}
	w.now = w.now.Add(4 * time.Second)
	w.keys("o")
	if len(w.wire.asked) != asked+1 {
		t.Error("does not say that typing goes on")
	}
	w.keys("<ctrl+c>")
	asked = len(w.wire.asked)
	w.now = w.now.Add(4 * time.Second)
	w.keys("/join secret")
	if len(w.wire.asked) != asked {
		t.Errorf("asked %q for a command", w.wire.last())
	}
}

func TestQuitAsksIfUnsent(t *testing.T) {
	w := entered(t, 80, 24)
	quits := func() bool {
		_, cmd := w.Update(named("ctrl+c"))
		if cmd == nil {
			return false
		}
		_, quit := cmd().(tea.QuitMsg)
		return quit
	}
	w.keys("hello", "<enter>")
	if quits() {
		t.Error("quits at once though a message is unsent")
	}
	w.shows("1 message is not sent. Once more to leave all the same")
	if !quits() {
		t.Error("does not quit the second time")
	}
}

func TestResize(t *testing.T) {
	w := open(t, 80, 24)
	conversation(w)
	for width := 1; width < 130; width += 7 {
		for height := 1; height < 45; height += 4 {
			w.tell(tea.WindowSizeMsg{Width: width, Height: height})
			w.keys("<pgup>")
			fits(t, w, width, height)
			w.keys("<pgdown>", "<pgdown>")
		}
	}
}

// TestTroubleIsToldOnce: one that lasts does not fill the room, though
// something that was typed meanwhile stands below it.
func TestTroubleIsToldOnce(t *testing.T) {
	w := open(t, 80, 24)
	for range 3 {
		w.tell(talk.Trouble{Room: "main", Text: "cannot enter yet"})
		w.keys("hello", "<enter>")
	}
	if n := strings.Count(w.shown(), "cannot enter yet"); n != 1 {
		t.Errorf("it is told %d times:\n%s", n, w.shown())
	}
}
