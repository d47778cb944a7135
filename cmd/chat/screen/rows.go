package screen

import (
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// Bounds of what one message may take of the screen.
const (
	mostRows   = 400
	mostBytes  = 64 << 10
	failedRows = 5
	gapRows    = 5
)

// mostBlocks bounds what is kept drawn.
const mostBlocks = 4000

// A block is what an entry looks like; it is kept until the width changes.
type block []string

// rows are the lines of entry i of a tab, with those that separate it from what
// stands before.
func (m *Model) rows(t *tab, i int) []string {
	e := t.At(i)
	lines := m.block(e)
	var before *room.Entry
	if i > 0 {
		before = t.At(i - 1)
	}
	above := m.separators(t, before, e)
	if len(above) == 0 {
		return lines
	}
	return append(above, lines...)
}

// separators are the day, the mark of what is new and, at the top, what is
// above.
func (m *Model) separators(t *tab, before, e *room.Entry) (lines []string) {
	if before == nil && t.keeps {
		switch {
		case t.loading:
			lines = append(lines, m.rule("older messages are on their way", m.theme.dim))
		case !t.Older:
			lines = append(lines, m.rule("the beginning", m.theme.dim))
		}
	}
	day := m.day(e)
	if before == nil || m.day(before) != day {
		lines = append(lines, m.rule(day, m.theme.dim))
	}
	if before != nil && before == t.mark {
		lines = append(lines, m.rule("new", m.theme.accent))
	}
	return lines
}

func (m *Model) day(e *room.Entry) string {
	return e.At.In(m.opts.Location).Format("Monday, 2 January 2006")
}

// rule is a line across the window with words in it.
func (m *Model) rule(words string, style lipgloss.Style) string {
	width := m.mainWidth()
	words = m.measure.Truncate(words, max(0, width-8))
	left := max(0, (width-m.measure.Width(words)-2)/2)
	right := max(0, width-left-m.measure.Width(words)-2)
	return style.Render(strings.Repeat("─", left) + " " + words + " " + strings.Repeat("─", right))
}

// block draws an entry.
func (m *Model) block(e *room.Entry) block {
	if m.blocksWidth != m.mainWidth() || len(m.blocks) > mostBlocks {
		m.forgetBlocks()
		m.blocksWidth = m.mainWidth()
	}
	if b, ok := m.blocks[e]; ok {
		return b
	}
	var b block
	switch e.Kind {
	case room.Notice:
		b = m.notice(e)
	case room.Gap:
		for _, line := range m.wrap(text.Name(e.Body), m.mainWidth()-8, gapRows) { // as rule cuts off
			b = append(b, m.rule(line, m.theme.alarm))
		}
	case room.Said:
		b = m.message(e)
	}
	if e.State == room.Arrived {
		m.blocks[e] = b
	}
	return b
}

// message draws what somebody said: time, name, bar, words. Nothing of the
// words ever stands left of the bar, where names are believed.
func (m *Model) message(e *room.Entry) block {
	style := lipgloss.NewStyle()
	body := text.Body(e.Body[:min(len(e.Body), mostBytes)])
	if action, ok := strings.CutPrefix(body, "/me "); ok { // XEP-0245
		body, style = "* "+text.Name(e.From)+" "+action, style.Italic(true)
	}
	if e.State == room.Sending {
		style = m.theme.dim
		body += " ⋯"
	}
	most := mostRows
	if e.State == room.Failed {
		most = failedRows
	}
	at := m.theme.dim.Render(e.At.In(m.opts.Location).Format("15:04"))
	if m.narrow() {
		return m.narrowMessage(e, at, body, style, most)
	}
	bar := m.theme.dim.Render("│")
	if e.Mine {
		bar = m.theme.accent.Render("┃")
	}
	name := m.nameStyle(e).Render(m.measure.Truncate(text.Name(e.From), m.nameWidth()))
	name = m.measure.PadLeft(name, m.nameWidth())
	first := at + " " + name + " " + bar + " "
	rest := strings.Repeat(" ", 6+m.nameWidth()) + " " + bar + " "
	var b block
	for i, line := range m.wrap(body, m.mainWidth()-m.textColumn()-1, most) {
		if i == 0 {
			b = append(b, first+style.Render(line))
		} else {
			b = append(b, rest+style.Render(line))
		}
	}
	return append(b, m.failure(e, rest)...)
}

// narrowMessage puts the name in front of the first line.
func (m *Model) narrowMessage(e *room.Entry, at, body string, style lipgloss.Style, most int) block {
	name := m.measure.Truncate(text.Sender(e.From), 16)
	sign := ": "
	if e.Mine {
		sign = "› "
	}
	taken := 6 + m.measure.Width(name) + 2
	rest := m.theme.dim.Render("│") + " "
	// The first line begins further right: blanks that nothing is wrapped at
	// stand for what is in front of it.
	blanks := strings.Repeat("\u00a0", max(0, taken-2))
	var b block
	for i, line := range m.wrap(blanks+body, m.mainWidth()-3, most) {
		if i == 0 {
			line = strings.TrimPrefix(line, blanks)
			b = append(b, at+" "+m.nameStyle(e).Render(name)+sign+style.Render(line))
		} else {
			b = append(b, rest+style.Render(line))
		}
	}
	return append(b, m.failure(e, rest)...)
}

func (m *Model) nameStyle(e *room.Entry) lipgloss.Style {
	if !e.Mine && mentions(e.Body, m.opts.User) {
		return m.theme.mention
	}
	return m.theme.name(e.From).Bold(e.Mine)
}

// wrap breaks a text into lines, and leaves out those beyond most.
func (m *Model) wrap(s string, width, most int) []string {
	lines := m.measure.Wrap(s, max(1, width))
	if len(lines) > most {
		lines = append(lines[:most-1:most-1], m.measure.Truncate("… and more, too long to be shown", width))
	}
	return lines
}

// failure says why a message was not sent, and what can be done.
func (m *Model) failure(e *room.Entry, prefix string) (b block) {
	if e.State != room.Failed {
		return nil
	}
	why := "✗ not sent: " + text.Name(e.Reason) + ". Ctrl+R sends it again, Ctrl+G takes it back."
	for _, line := range m.wrap(why, m.mainWidth()-m.measure.Width(prefix)-1, 4) {
		b = append(b, prefix+m.theme.alarm.Render(line))
	}
	return b
}

// notice draws what the client says itself, where no message ever begins.
func (m *Model) notice(e *room.Entry) (b block) {
	prefix := m.theme.dim.Render(e.At.In(m.opts.Location).Format("15:04") + " ─ ")
	for _, line := range m.wrap(text.Body(e.Body), m.mainWidth()-9, mostRows) {
		b = append(b, prefix+m.theme.dim.Render(line))
		prefix = "        "
	}
	return b
}

// textColumn is where words begin: after time, name and bar.
func (m *Model) textColumn() int { return 5 + 1 + m.nameWidth() + 3 }

func (m *Model) nameWidth() int {
	switch {
	case m.mainWidth() >= 90:
		return 14
	case m.mainWidth() >= 70:
		return 12
	}
	return 10
}

// narrow windows have no column for names.
func (m *Model) narrow() bool { return m.mainWidth() < 50 }

// clock is the time until something, in seconds as people count down.
func clock(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
