package screen

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textarea"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/aristochat/aristochat/cmd/chat/text"
)

// What is pasted beyond this is not put into the editor, which would become
// slow and cut off lines, but held beside it.
const (
	editBytes = 16 << 10
	editLines = 500
)

// mostInputs bounds the history of what was typed.
const mostInputs = 500

// input is where the user types.
type input struct {
	area textarea.Model
	held string // pasted, and sent with what is typed

	past   []draft // what was typed before
	at     int     // where in past the user is; len(past) if nowhere
	parked draft   // what was begun when he went there

	completion *completion // that Tab goes on with
}

// A draft is a text that was not sent yet.
type draft struct{ typed, held string }

func (d draft) empty() bool { return d == draft{} }

// body is what is sent.
func (d draft) body() string {
	if d.typed == "" || d.held == "" {
		return d.typed + d.held
	}
	return d.typed + "\n" + d.held
}

func newInput() input {
	area := textarea.New()
	area.ShowLineNumbers = false
	area.DynamicHeight = true
	area.MaxContentHeight = 1 << 30 // what is too much is held aside
	area.CharLimit = 0
	area.EndOfBufferCharacter = ' '
	area.SetVirtualCursor(false)
	area.SetPromptFunc(2, func(p textarea.PromptInfo) string {
		if p.LineNumber == 0 {
			return "› "
		}
		return "  "
	})
	keys := &area.KeyMap
	keys.InsertNewline = key.NewBinding(key.WithKeys("alt+enter", "shift+enter", "ctrl+j"))
	keys.LineNext = key.NewBinding(key.WithKeys("down"))
	keys.LinePrevious = key.NewBinding(key.WithKeys("up"))
	for _, other := range []*key.Binding{ // used otherwise here
		&keys.Paste, &keys.TransposeCharacterBackward, &keys.SelectAll, &keys.InputBegin, &keys.InputEnd, &keys.PageUp, &keys.PageDown,
	} {
		other.SetEnabled(false)
	}
	in := input{area: area}
	in.style(true)
	in.hold("")
	return in
}

func (in *input) focus() tea.Cmd { return in.area.Focus() }

// style suits a dark or a light background.
func (in *input) style(dark bool) {
	s := textarea.DefaultStyles(dark)
	s.Focused.CursorLine = lipgloss.NewStyle()
	s.Focused.Prompt = newTheme(dark).accent
	in.area.SetStyles(s)
}

// resize gives the input a width and the lines that it may take.
func (in *input) resize(width, lines int) {
	in.area.MaxHeight = max(1, lines)
	in.area.SetWidth(max(1, width))
}

// lines is how high the input is, and what it says of a held paste.
func (in *input) lines() int {
	if in.held != "" {
		return in.area.Height() + 1
	}
	return in.area.Height()
}

func (in *input) draft() draft { return draft{in.area.Value(), in.held} }

func (in *input) setDraft(d draft) {
	in.completion = nil
	if tooMuch(d.typed) { // as it was pasted
		d = draft{held: d.body()}
	}
	in.area.SetValue(d.typed)
	in.area.MoveToEnd()
	in.hold(d.held)
}

// hold keeps what is too much for the editor.
func (in *input) hold(s string) {
	in.held = s
	in.area.Placeholder = "Say something, or /help"
	if s != "" {
		in.area.Placeholder = "Enter sends it, Ctrl+C puts it away"
	}
}

func tooMuch(s string) bool { return len(s) > editBytes || strings.Count(s, "\n") > editLines }

// remember keeps a text for the up key.
func (in *input) remember(d draft) {
	if d.empty() || len(in.past) > 0 && in.past[len(in.past)-1] == d {
		in.at = len(in.past)
		return
	}
	in.past = append(in.past, d)
	if n := len(in.past) - mostInputs; n > 0 {
		in.past = slices.Delete(in.past, 0, n)
	}
	in.at = len(in.past)
}

// clear empties the input; the up key brings the text back.
func (in *input) clear() {
	in.remember(in.draft())
	in.setDraft(draft{})
}

// recall goes back (-1) or forth (1) in what was typed before. It reports false
// if there is nothing more.
func (in *input) recall(step int) bool {
	to := in.at + step
	if to < 0 || to > len(in.past) {
		return false
	}
	if in.at == len(in.past) {
		in.parked = in.draft()
	} else if now := in.draft(); now != in.past[in.at] && !now.empty() {
		in.past[in.at] = now // what was changed there is not lost either
	}
	in.at = to
	if to == len(in.past) {
		in.setDraft(in.parked)
		return true
	}
	in.setDraft(in.past[to])
	return true
}

// atTop and atBottom report where the cursor is, in rows as they are wrapped.
func (in *input) atTop() bool {
	return in.area.Line() == 0 && in.area.LineInfo().RowOffset == 0
}

func (in *input) atBottom() bool {
	info := in.area.LineInfo()
	return in.area.Line() == in.area.LineCount()-1 && info.RowOffset >= info.Height-1
}

// press gives a key to the editor.
func (in *input) press(msg tea.KeyPressMsg) tea.Cmd {
	in.completion = nil
	var cmd tea.Cmd
	in.area, cmd = in.area.Update(msg)
	return cmd
}

// paste inserts text, or holds it aside if there is too much of it. It returns
// what to tell the user.
func (in *input) paste(s string) string {
	in.completion = nil
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	if len(in.area.Value())+len(s) <= editBytes && !tooMuch(s) {
		in.area.InsertString(strings.ReplaceAll(s, "\t", "    "))
		return ""
	}
	if in.held != "" {
		in.held += "\n"
	}
	in.hold(in.held + s)
	if len(in.held) > editBytes {
		return fmt.Sprintf("%s were pasted: more than an Aristochat server takes in one message (16,384 bytes)", amount(len(in.held)))
	}
	return ""
}

// heldLine describes what is held.
func (in *input) heldLine() string {
	first, _, _ := strings.Cut(in.held, "\n")
	if len(first) > 200 {
		first = strings.ToValidUTF8(first[:200], "")
	}
	return fmt.Sprintf("  + %s, %s pasted: %s", amount(len(in.held)), count(strings.Count(in.held, "\n")+1, "line", "lines"), text.Name(first))
}

// beforeCursor is the part of the cursor's line that stands before it.
func (in *input) beforeCursor() string {
	lines := strings.Split(in.area.Value(), "\n")
	if in.area.Line() >= len(lines) {
		return ""
	}
	line := []rune(lines[in.area.Line()])
	return string(line[:min(in.area.Column(), len(line))])
}

// rowBeforeCursor is the same of the row, as the line is wrapped.
func (in *input) rowBeforeCursor() string {
	line := []rune(in.beforeCursor())
	return string(line[min(in.area.LineInfo().StartColumn, len(line)):])
}

// replaceBefore replaces the old text before the cursor.
func (in *input) replaceBefore(old, with string) {
	for range utf8.RuneCountInString(old) {
		in.area, _ = in.area.Update(tea.KeyPressMsg{Code: tea.KeyBackspace})
	}
	in.area.InsertString(with)
}
