package screen

import (
	"fmt"
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
)

// mostEntries bounds what is kept of a room while nobody scrolls back in it.
const mostEntries = 20_000

// happen takes what the session tells.
func (m *Model) happen(e talk.Event) tea.Cmd {
	switch e := e.(type) {
	case talk.Link:
		m.link = e
		return m.tick()
	case talk.Joined:
		m.joined(e)
	case talk.Refused:
		m.refused(e)
	case talk.Said:
		m.said(e)
	case talk.Sent:
		if t := m.find(e.Room); t != nil {
			t.Acknowledge(e.ClientID)
		}
	case talk.NotSent:
		if t := m.find(e.Room); t != nil {
			t.Fail(e.ClientID, e.Reason)
		}
	case talk.Typing:
		if t := m.find(e.Room); t != nil && e.User != m.opts.User {
			t.People.Typing(e.User, e.Until)
		}
		return m.tick()
	case talk.Here:
		if t := m.find(e.Room); t != nil {
			t.People.Set(e.Names, e.Away)
		}
	case talk.Counted:
		if t := m.find(e.Room); t != nil {
			t.People.Count(e.Number)
		}
	case talk.Trouble:
		if t := m.find(e.Room); t != nil && !t.endsWith(e.Text) {
			m.tell(t, room.Notice, e.Text)
		}
	}
	return nil
}

// endsWith reports that the last line of a room says the same already. What is
// on its way stands below it.
func (t *tab) endsWith(body string) bool {
	for i := t.Len() - 1; i >= 0; i-- {
		if e := t.At(i); e.State == room.Arrived {
			return e.Kind == room.Notice && e.Body == body
		}
	}
	return false
}

func (m *Model) joined(e talk.Joined) {
	t := m.find(e.Room)
	if t == nil {
		return
	}
	t.joined, t.refused, t.keeps = true, "", e.Keeps
	if e.Restarted {
		m.tell(t, room.Gap, "the server has lost its memory: what stands above may be all there is of it")
		t.Restart()
	} else if e.Lost != "" {
		m.tell(t, room.Gap, "messages may be missing here: "+e.Lost)
	}
	if !e.Again || e.Restarted {
		t.Older = e.Older
	}
	for _, msg := range e.Past {
		m.receive(t, msg, e.Again)
	}
}

func (m *Model) refused(e talk.Refused) {
	t := m.find(e.Room)
	if t == nil {
		return
	}
	t.joined, t.refused = false, e.Reason
	m.tell(t, room.Notice, fmt.Sprintf("the server does not let you into this room: %s (/join %s tries again, /leave closes it)", e.Reason, t.Name))
}

func (m *Model) said(e talk.Said) {
	if t := m.find(e.Room); t != nil {
		m.receive(t, e.Message, true)
	}
}

// receive adds a message; fresh ones count as unread unless they are seen.
func (m *Model) receive(t *tab, msg room.Message, fresh bool) {
	e := t.Receive(msg)
	if e == nil {
		return
	}
	delete(m.blocks, e)
	seen := t == m.tab() && m.focused && t.view.following()
	if t.view.following() && t.Len() > mostEntries+mostEntries/10 {
		t.Trim(mostEntries)
		m.forgetBlocks()
	}
	if !fresh || seen || e.Mine {
		return
	}
	if t.unread == 0 {
		t.mark = previous(t, e)
	}
	t.unread++
	t.mentioned = t.mentioned || mentions(msg.Body, m.opts.User)
}

func previous(t *tab, e *room.Entry) *room.Entry {
	if i := t.Index(e); i > 0 {
		return t.At(i - 1)
	}
	return nil
}

// tell adds a line of the client's own to a room.
func (m *Model) tell(t *tab, kind room.Kind, body string) {
	t.Tell(kind, body, m.opts.Now())
}

// mentions reports whether a name stands in a text as a word of its own.
func mentions(body, name string) bool {
	if name == "" {
		return false
	}
	body, name = strings.ToLower(body), strings.ToLower(name)
	for at := 0; ; {
		i := strings.Index(body[at:], name)
		if i < 0 {
			return false
		}
		i += at
		if !endsInWord(body[:i]) && !beginsWithWord(body[i+len(name):]) {
			return true
		}
		at = i + len(name)
	}
}

func endsInWord(s string) bool {
	last := ' '
	for _, r := range s[max(0, len(s)-4):] {
		last = r
	}
	return isWord(last)
}

func beginsWithWord(s string) bool {
	for _, r := range s {
		return isWord(r)
	}
	return false
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
