package screen

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// typingEvery is how often the others are told that the user types; they forget
// it after six seconds.
const typingEvery = 3 * time.Second

// commands are what can stand behind a slash, with what follows it.
var commands = []struct{ name, args, what string }{
	{"join", " ROOM", "enter a room, or turn to it"},
	{"leave", " [ROOM]", "leave this room, or another"},
	{"rooms", "", "the rooms that you are in"},
	{"who", "", "who is here"},
	{"me", " WAVES", "say what you do"},
	{"mouse", "", "the wheel scrolls, or the mouse selects"},
	{"help", "", "this"},
	{"quit", "", "leave"},
}

const helpKeys = `Enter        send             Alt+Enter, Ctrl+J  new line
PgUp, PgDn   scroll           Home, End          oldest, newest
Up, Down     what you typed   Tab                complete
Alt+1 … 9    that room        Ctrl+N, Ctrl+P     next, last room
Alt+A        next unread      Ctrl+T             connect now
Ctrl+R       send again       Ctrl+G             take back to edit
Ctrl+C       clear, leave     F1                 help`

const helpKeysNarrow = `Enter send, Alt+Enter new line
PgUp PgDn Home End scroll
Up Down what you typed before
Tab complete
Ctrl+N Ctrl+P other rooms
Ctrl+R send again
Ctrl+G take back to edit
Ctrl+T connect now
Ctrl+C clear, leave`

// parseCommand splits a line such as "/join dev". Two slashes begin a message
// that has one.
func parseCommand(line string) (name, args string, ok bool) {
	rest, ok := strings.CutPrefix(line, "/")
	if !ok || strings.HasPrefix(rest, "/") {
		return "", "", false
	}
	name, args, _ = strings.Cut(rest, " ")
	return name, strings.TrimSpace(args), true
}

// command does what was typed. It reports false if it did not: the text then
// stays.
func (m *Model) command(name, args string) (tea.Cmd, bool) {
	switch name {
	case "join":
		return nil, m.join(args)
	case "leave":
		return nil, m.leave(args)
	case "rooms":
		m.listRooms()
	case "who":
		return m.who(), true
	case "me":
		if args == "" {
			m.flash = "/me needs to know what you do"
			return nil, false
		}
		return nil, m.say("/me " + args)
	case "mouse":
		m.noMouse = !m.noMouse
		m.flash = "The wheel scrolls"
		if m.noMouse {
			m.flash = "The mouse is the terminal's: it selects text. /mouse again and the wheel scrolls"
		}
	case "help":
		m.help()
	case "quit", "exit":
		cmd := m.quit()
		return cmd, cmd != nil
	default:
		m.flash = fmt.Sprintf("There is no /%s. /help tells what there is; //%s says it", name, name)
		return nil, false
	}
	return nil, true
}

func (m *Model) join(name string) bool {
	if name == "" {
		m.flash = "/join needs the name of a room"
		return false
	}
	for i, t := range m.tabs {
		if t.Name == name {
			m.show(i)
			if t.refused != "" {
				t.refused = ""
				m.wire.Join(name)
			}
			return true
		}
	}
	m.open(name)
	m.wire.Join(name)
	return true
}

func (m *Model) leave(name string) bool {
	t := m.tab()
	if name != "" {
		t = m.find(name)
	}
	switch {
	case t == nil:
		m.flash = fmt.Sprintf("You are not in a room %q", name)
		return false
	case len(m.tabs) == 1:
		m.flash = "This is your only room. /join another first, or /quit"
		return false
	}
	if sending, failed := t.Unsent(); sending+failed > 0 && !m.quitting {
		m.quitting = true
		m.flash = count(sending+failed, "message is", "messages are") + " not sent. Once more to leave all the same"
		return false
	}
	m.wire.Leave(t.Name)
	m.close(slices.Index(m.tabs, t))
	return true
}

func (m *Model) listRooms() {
	var b strings.Builder
	for i, t := range m.tabs {
		state := ""
		switch {
		case t.refused != "":
			state = ": not let in"
		case !t.joined:
			state = ": entering"
		case t.People.Known:
			state = ": " + count(t.People.Number, "person", "people")
		}
		if t.unread > 0 {
			state += ", " + thousands(t.unread) + " unread"
		}
		fmt.Fprintf(&b, "%d  %s%s\n", i+1, text.Name(t.Name), state)
	}
	m.answer(strings.TrimSuffix(b.String(), "\n"))
}

// who lists who is here; those of a large room have to be asked for.
func (m *Model) who() tea.Cmd {
	t := m.tab()
	if !t.People.Known {
		m.answer("This server does not tell who is here.")
		return nil
	}
	if len(t.People.Here) == t.People.Number {
		m.gotWho(whoMsg{room: t.Name, names: t.People.Here, count: t.People.Number})
		return nil
	}
	name := t.Name
	return func() tea.Msg {
		names, n, err := m.wire.Who(context.Background(), name)
		return whoMsg{name, names, n, err}
	}
}

func (m *Model) gotWho(w whoMsg) {
	t := m.find(w.room)
	if t == nil {
		return
	}
	if w.err != nil {
		m.flash = "Who is here cannot be had: " + talk.Explain(w.err, "").Text
		return
	}
	names := make([]string, len(w.names))
	for i, n := range w.names {
		names[i] = text.Name(n)
		if status := t.People.Away[n]; status != "" {
			names[i] += " (" + text.Name(status) + ")"
		}
	}
	list := strings.Join(names, ", ")
	if more := w.count - len(names); more > 0 {
		list += fmt.Sprintf(" and %s more", thousands(more))
	}
	m.tell(t, room.Notice, count(w.count, "person is", "people are")+" here: "+list)
}

func (m *Model) help() {
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&b, "/%-16s %s\n", c.name+c.args, c.what)
	}
	keys := helpKeys
	if m.mainWidth() < 72 {
		keys = helpKeysNarrow
	}
	m.answer(b.String() + "\n" + keys)
}

// answer tells something in the room that is shown, and shows it.
func (m *Model) answer(s string) {
	m.tell(m.tab(), room.Notice, s)
	m.toEnd(m.tab())
}
