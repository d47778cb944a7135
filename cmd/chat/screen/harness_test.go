package screen_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/screen"
	"github.com/aristochat/aristochat/cmd/chat/talk"
)

// noon is when tests take place.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A wire writes down what the screen asks of the session. The tests of package
// talk show that a session does it, those of cmd/chat both together.
type wire struct {
	asked []string
	said  []string // client ids
	past  []room.Message
	more  bool
}

func (w *wire) note(format string, args ...any) {
	w.asked = append(w.asked, fmt.Sprintf(format, args...))
}
func (w *wire) Join(room string)  { w.note("join %s", room) }
func (w *wire) Leave(room string) { w.note("leave %s", room) }
func (w *wire) Say(room, id, body string) {
	w.note("say %s %s", room, body)
	w.said = append(w.said, id)
}
func (w *wire) Typing(room string, on bool) { w.note("typing %s %v", room, on) }
func (w *wire) Reconnect()                  { w.note("reconnect") }
func (w *wire) Past(_ context.Context, name string, before uint64) ([]room.Message, bool, error) {
	w.note("past %s %d", name, before)
	return w.past, w.more, nil
}
func (w *wire) Who(_ context.Context, room string) ([]string, int, error) {
	w.note("who %s", room)
	return []string{"ann", "bob"}, 1234, nil
}

// last is what was asked last.
func (w *wire) last() string {
	if len(w.asked) == 0 {
		return ""
	}
	return w.asked[len(w.asked)-1]
}

// A window is a screen in a test.
type window struct {
	*screen.Model
	t    testing.TB
	wire *wire
	now  time.Time
	seq  uint64
}

func open(t testing.TB, width, height int) *window {
	w := &window{t: t, wire: &wire{}, now: noon}
	w.Model = screen.New(w.wire, screen.Options{
		User: "ann", Server: "localhost:4000", Room: "main",
		Now:      func() time.Time { return w.now },
		Location: time.UTC,
		Tick:     func(time.Duration, func(time.Time) tea.Msg) tea.Cmd { return nil }, // the test has the clock
	})
	w.Init()
	w.tell(tea.WindowSizeMsg{Width: width, Height: height})
	return w
}

// tell gives a message to the screen, and what comes of commands that are
// answered at once.
func (w *window) tell(msg tea.Msg) {
	_, cmd := w.Update(msg)
	w.run(cmd)
}

func (w *window) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil, tea.QuitMsg, tea.BatchMsg:
	default:
		w.tell(msg)
	}
}

// keys presses keys: names in <>, or text.
func (w *window) keys(keys ...string) {
	for _, k := range keys {
		if name, ok := strings.CutPrefix(k, "<"); ok {
			w.tell(named(strings.TrimSuffix(name, ">")))
			continue
		}
		for _, r := range k {
			w.tell(tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
}

func named(name string) tea.KeyPressMsg {
	var k tea.KeyPressMsg
	for {
		switch rest, ok := strings.CutPrefix(name, "ctrl+"); {
		case ok:
			k.Mod |= tea.ModCtrl
			name = rest
			continue
		default:
			if rest, ok := strings.CutPrefix(name, "alt+"); ok {
				k.Mod |= tea.ModAlt
				name = rest
				continue
			}
			if rest, ok := strings.CutPrefix(name, "shift+"); ok {
				k.Mod |= tea.ModShift
				name = rest
				continue
			}
		}
		break
	}
	codes := map[string]rune{
		"enter": tea.KeyEnter, "tab": tea.KeyTab, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown,
		"left": tea.KeyLeft, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace, "f1": tea.KeyF1,
	}
	if code, ok := codes[name]; ok {
		k.Code = code
	} else {
		k.Code = []rune(name)[0]
	}
	return k
}

// says has somebody say something, a minute after what was said before.
func (w *window) says(from, body string) {
	w.seq++
	w.tell(talk.Said{Room: "main", Message: room.Message{
		Seq: w.seq, From: from, Body: body, At: noon.Add(time.Duration(w.seq) * time.Minute),
	}})
}

func (w *window) here(names ...string) {
	w.tell(talk.Here{Room: "main", Names: names, Away: map[string]string{"dora": "away"}})
}

// shown is the screen without its colours.
func (w *window) shown() string {
	lines := strings.Split(ansi.Strip(w.View().Content), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (w *window) shows(words ...string) {
	w.t.Helper()
	screen := w.shown()
	for _, s := range words {
		if !strings.Contains(screen, s) {
			w.t.Errorf("the screen does not show %q:\n%s", s, screen)
		}
	}
}

func (w *window) hides(words ...string) {
	w.t.Helper()
	screen := w.shown()
	for _, s := range words {
		if strings.Contains(screen, s) {
			w.t.Errorf("the screen shows %q:\n%s", s, screen)
		}
	}
}
