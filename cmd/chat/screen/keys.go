package screen

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/cmd/chat/talk"
)

// wheelRows is how far one notch of the wheel scrolls.
const wheelRows = 3

// press does what a key is for. What no case names is for the editor.
func (m *Model) press(msg tea.KeyPressMsg) tea.Cmd {
	m.flash = ""
	key := msg.String()
	if key != "ctrl+c" && key != "ctrl+d" && key != "enter" {
		m.quitting = false
	}
	t := m.tab()
	empty := m.input.draft().empty()
	switch key {
	case "enter":
		return m.submit()
	case "ctrl+c":
		if !empty {
			m.input.clear()
			m.flash = "Ctrl+C again to leave. The up key brings your text back"
			m.layout()
			return nil
		}
		return m.quit()
	case "ctrl+d":
		if empty {
			return m.quit()
		}
	case "tab", "shift+tab":
		m.complete(key == "shift+tab")
		m.layout()
		return nil
	case "up", "down":
		if m.recall(key) {
			m.layout()
			return nil
		}
	case "esc":
		m.toEnd(t)
		return nil
	case "ctrl+r":
		return m.retry()
	case "ctrl+g":
		m.takeBack()
		return nil
	case "ctrl+t":
		m.wire.Reconnect()
		return nil
	case "ctrl+z":
		return tea.Suspend
	case "ctrl+l":
		return tea.ClearScreen
	case "f1":
		m.help()
		return nil
	}
	if m.turn(key) {
		return m.tick()
	}
	if m.scroll(t, key, empty) {
		return m.fetch()
	}
	return m.edit(msg)
}

// edit gives a key to the editor, and tells the others that the user types.
func (m *Model) edit(msg tea.KeyPressMsg) tea.Cmd {
	before := m.input.area.Value()
	cmd := m.input.press(msg)
	if now := m.input.area.Value(); now != before {
		m.typing(strings.TrimSpace(now))
		m.layout()
	}
	return cmd
}

// typing tells the others, every typingEvery at most.
func (m *Model) typing(now string) {
	command := strings.HasPrefix(now, "/") && !strings.HasPrefix(now, "//") && !strings.HasPrefix(now, "/me ")
	switch at := m.opts.Now(); {
	case now == "" && !m.typed.IsZero():
		m.typed = time.Time{}
		m.wire.Typing(m.tab().Name, false)
	case now != "" && !command && at.Sub(m.typed) >= typingEvery:
		m.typed = at
		m.wire.Typing(m.tab().Name, true)
	}
}

// recall walks through what was typed before if the cursor is at the edge.
func (m *Model) recall(key string) bool {
	if key == "up" {
		return m.input.atTop() && m.input.recall(-1)
	}
	return m.input.atBottom() && m.input.recall(1)
}

// turn turns to another room.
func (m *Model) turn(key string) bool {
	switch key {
	case "ctrl+n", "alt+down":
		m.show((m.active + 1) % len(m.tabs))
	case "ctrl+p", "alt+up":
		m.show((m.active + len(m.tabs) - 1) % len(m.tabs))
	case "alt+a":
		for i := range m.tabs {
			if j := (m.active + 1 + i) % len(m.tabs); m.tabs[j].unread > 0 {
				m.show(j)
				break
			}
		}
	default:
		digit, ok := strings.CutPrefix(key, "alt+")
		if !ok || len(digit) != 1 || digit[0] < '1' || digit[0] > '9' {
			return false
		}
		if i := int(digit[0] - '1'); i < len(m.tabs) {
			m.show(i)
		}
	}
	return true
}

// scroll moves the view. Home and End do so while nothing is typed, else they
// are the editor's.
func (m *Model) scroll(t *tab, key string, empty bool) bool {
	page := max(1, m.bodyHeight()-2)
	switch {
	case key == "pgup":
		m.scrollBy(t, page)
	case key == "pgdown":
		m.scrollBy(t, -page)
	case key == "ctrl+up":
		m.scrollBy(t, 1)
	case key == "ctrl+down":
		m.scrollBy(t, -1)
	case key == "ctrl+home", key == "home" && empty:
		m.toTop(t)
	case key == "ctrl+end", key == "end" && empty, key == "end" && !t.view.following():
		m.toEnd(t)
	default:
		return false
	}
	return true
}

func (m *Model) wheel(msg tea.MouseWheelMsg) tea.Cmd {
	switch msg.Button {
	case tea.MouseWheelUp:
		m.scrollBy(m.tab(), wheelRows)
	case tea.MouseWheelDown:
		m.scrollBy(m.tab(), -wheelRows)
	default:
		return nil
	}
	return m.fetch()
}

// click turns to the room that is clicked in the list.
func (m *Model) click(msg tea.MouseClickMsg) {
	if !m.hasRooms() || msg.X >= roomsWidth || msg.Y < 1 {
		return
	}
	height := m.bodyHeight()
	first := max(0, min(m.active-height/2, len(m.tabs)-height))
	if i := first + msg.Y - 1; msg.Y <= height && i < len(m.tabs) {
		m.show(i)
	}
}

func (m *Model) paste(s string) {
	m.flash = m.input.paste(s)
	m.layout()
	m.typing(strings.TrimSpace(m.input.draft().body()))
}

// submit says what was typed, or does what it commands. It takes the text only
// if that works.
func (m *Model) submit() tea.Cmd {
	d := m.input.draft()
	if strings.TrimSpace(d.body()) == "" {
		return nil
	}
	if name, args, ok := parseCommand(d.typed); ok && d.held == "" {
		m.input.clear() // before another room brings its own draft
		cmd, done := m.command(name, args)
		if !done {
			m.input.setDraft(d)
		}
		m.layout()
		return cmd
	}
	body := strings.TrimRight(d.body(), " \n")
	if strings.HasPrefix(body, "//") {
		body = body[1:]
	}
	if !m.say(body) {
		return nil
	}
	m.input.clear()
	m.layout()
	return nil
}

// say sends a message, unless it is clear that it cannot be sent.
func (m *Model) say(body string) bool {
	t := m.tab()
	switch {
	case !talk.Fits(body):
		m.flash = amount(len(body)) + " are more than fit into a message. Your text is still there"
		return false
	case t.refused != "":
		m.flash = "The server does not let you into this room. Your text is still there"
		return false
	}
	e := t.Compose(newID(), body, m.opts.Now())
	m.wire.Say(t.Name, e.ClientID, body)
	t.mark = nil
	m.typed = time.Time{}
	m.toEnd(t)
	return true
}

// retry sends what failed again.
func (m *Model) retry() tea.Cmd {
	t := m.tab()
	again := t.Retry()
	if len(again) == 0 {
		m.flash = "There is nothing to send again"
	}
	for _, e := range again {
		m.wire.Say(t.Name, e.ClientID, e.Body)
	}
	return nil
}

// takeBack moves a message that failed back to where it was typed.
func (m *Model) takeBack() {
	e := m.tab().TakeBack()
	if e == nil {
		m.flash = "There is nothing to take back"
		return
	}
	m.input.clear() // the up key brings it back
	m.input.setDraft(draft{typed: e.Body})
	m.layout()
}

// quit ends the program; if something is unsent, only the second time.
func (m *Model) quit() tea.Cmd {
	unsent := 0
	for _, t := range m.tabs {
		sending, failed := t.Unsent()
		unsent += sending + failed
	}
	if unsent > 0 && !m.quitting {
		m.quitting = true
		m.flash = count(unsent, "message is", "messages are") + " not sent. Once more to leave all the same"
		return nil
	}
	return tea.Quit
}
