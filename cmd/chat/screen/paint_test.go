package screen_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/cmd/chat/talk"
)

// FuzzNobodyPaints: whatever others write, and whatever they are called, only
// the screen's own sequences for colours reach the terminal.
func FuzzNobodyPaints(f *testing.F) {
	f.Add("bob", "\x1b[2J\x1b]0;title\x07", "why \u009b31m", "st\u202eatus", 80)
	f.Add("\x9b\r\n", "/me \x1b[31mdies", "", "\x00", 40)
	f.Add("z\x1b[2J\u009bJ", "hi", "no", "", 120)
	f.Add("a\u0301\u0301", "👨‍👩‍👧\u200d", "\ufeff", "\t", 120)
	f.Fuzz(func(t *testing.T, name, body, reason, status string, width int) {
		w := open(t, 20+(width&0x7f), 24)
		w.tell(talk.Joined{Room: "main", Keeps: true, Again: true, Lost: reason})
		w.tell(talk.Here{Room: "main", Names: []string{name}, Away: map[string]string{name: status}})
		views := []tea.View{w.View()} // with the status
		w.says(name, body)
		w.tell(talk.Typing{Room: "main", User: name, Until: noon.Add(time.Second)})
		views = append(views, w.View()) // with who types
		w.keys("/who", "<enter>")
		w.keys("x", "<enter>")
		w.tell(talk.NotSent{Room: "main", ClientID: w.wire.said[0], Reason: reason})
		w.tell(talk.Trouble{Room: "main", Text: reason})
		views = append(views, w.View())
		w.tell(talk.Link{Err: fmt.Errorf("%s", reason)})
		w.tell(talk.Refused{Room: "main", Reason: reason})
		for _, v := range append(views, w.View()) {
			rest := withoutColours(v.Content)
			for _, r := range rest {
				if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Bidi_Control, r) {
					t.Fatalf("%U reaches the terminal: %q", r, rest)
				}
			}
			if strings.ContainsFunc(v.WindowTitle, unicode.IsControl) {
				t.Fatalf("title %q", v.WindowTitle)
			}
		}
		fits(t, w, 20+(width&0x7f), 24)
	})
}

// withoutColours removes the sequences ESC [ … m of digits and semicolons, and
// nothing else.
func withoutColours(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i+2:]
		end := strings.IndexFunc(s, func(r rune) bool { return r != ';' && (r < '0' || r > '9') })
		if end < 0 || s[end] != 'm' {
			b.WriteString("\x1b") // not ours
			continue
		}
		s = s[end+1:]
	}
}

func BenchmarkViewOf10000(b *testing.B) {
	w := entered(b, 120, 40)
	for i := range 10_000 {
		w.says("bob", fmt.Sprintf("message %d of many, and long enough to be wrapped in a window of this width, or so one should think", i))
	}
	b.Run("view", func(b *testing.B) {
		for b.Loop() {
			w.View()
		}
	})
	b.Run("receive", func(b *testing.B) {
		for b.Loop() {
			w.says("bob", "one more")
			w.View()
		}
	})
	b.Run("scroll", func(b *testing.B) {
		for b.Loop() {
			w.Update(tea.MouseWheelMsg{Button: tea.MouseWheelUp})
			w.View()
		}
	})
}
