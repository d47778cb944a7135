package screen

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// Widths of what stands beside the messages, in columns, and from which width
// of the window on it does.
const (
	peopleWidth = 18
	roomsWidth  = 18
	peopleFrom  = 64
	roomsFrom   = 104
)

// View implements [tea.Model].
func (m *Model) View() tea.View {
	var v tea.View
	v.AltScreen = true
	v.ReportFocus = true
	if !m.noMouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	v.WindowTitle = m.title()
	lines := append([]string{m.header()}, m.body()...)
	lines = append(lines, m.status())
	if m.input.held != "" {
		lines = append(lines, m.theme.accent.Render(m.fit(m.input.heldLine())))
	}
	if c := m.input.area.Cursor(); c != nil {
		c.X = min(c.X+m.beyondEditor(), max(0, m.width-1))
		c.Y += len(lines)
		v.Cursor = c
	}
	for line := range strings.SplitSeq(m.input.area.View(), "\n") {
		if m.measure.Width(line) > m.width {
			line = strings.TrimRight(line, " ") // with which the editor pads as it measures
		}
		lines = append(lines, line)
	}
	lines = lines[:min(len(lines), m.height)]
	for i, line := range lines { // in a window that is too narrow for anything
		lines[i] = m.measure.Truncate(line, m.width)
	}
	v.SetContent(strings.Join(lines, "\n"))
	return v
}

// beyondEditor is how many columns further right the cursor is than the editor
// believes, which takes each terminal for one that joins clusters.
func (m *Model) beyondEditor() int {
	row := m.input.rowBeforeCursor()
	return m.measure.Width(row) - text.Measure{Graphemes: true}.Width(row)
}

// layout shares the window out after something changed its size.
func (m *Model) layout() {
	m.input.resize(m.width, min(6, m.height/3))
	if len(m.tabs) > 0 {
		m.clamp(m.tab())
	}
}

func (m *Model) bodyHeight() int { return max(0, m.height-2-m.input.lines()) }

// mainWidth is that of the messages.
func (m *Model) mainWidth() int {
	width := m.width
	if m.hasPeople() {
		width -= peopleWidth
	}
	if m.hasRooms() {
		width -= roomsWidth
	}
	return width
}

func (m *Model) hasRooms() bool { return m.width >= roomsFrom && len(m.tabs) > 1 }

func (m *Model) hasPeople() bool { return m.width >= peopleFrom && m.tab().People.Known }

// fit makes a line exactly as wide as the window.
func (m *Model) fit(line string) string { return m.measure.PadRight(line, m.width) }

// title is that of the window: the room, and what is unread anywhere.
func (m *Model) title() string {
	title := text.Name(m.tab().Name) + " – chat"
	if unread := m.unread(); unread > 0 {
		title = fmt.Sprintf("(%d) %s", unread, title)
	}
	return title
}

// unread counts what is unread in all rooms.
func (m *Model) unread() (n int) {
	for _, t := range m.tabs {
		n += t.unread
	}
	return n
}

// header has the rooms at the left and the connection at the right.
func (m *Model) header() string {
	right := m.connection()
	left := m.tabLine(m.width - m.measure.Width(right) - 2)
	gap := max(1, m.width-m.measure.Width(left)-m.measure.Width(right))
	return left + m.theme.bar.Render(strings.Repeat(" ", gap)) + right
}

// connection says who the user is and how the connection does.
func (m *Model) connection() string {
	who := text.Name(m.opts.User)
	if m.width >= 60 {
		who += " @ " + text.Name(m.opts.Server)
	}
	who = m.measure.Truncate(who, max(0, m.width/2-12))
	state := m.theme.good.Inherit(m.theme.bar).Render("● connected")
	switch {
	case !m.link.Up:
		state = m.theme.alarm.Inherit(m.theme.bar).Bold(true).Render("○ offline")
	case m.tab().refused != "":
		state = m.theme.alarm.Inherit(m.theme.bar).Bold(true).Render("○ not let in")
	case !m.tab().joined:
		state = m.theme.bar.Render("◌ entering")
	}
	if m.width < 50 {
		return state + m.theme.bar.Render(" ")
	}
	return m.theme.bar.Render(who+"  ") + state + m.theme.bar.Render(" ")
}

// tabLine names the rooms, from the left until it is full; the one that is
// shown is always among them. At the end it counts what is unread in the rest.
func (m *Model) tabLine(width int) string {
	if m.hasRooms() {
		return m.theme.barActive.Render(m.measure.Truncate(" "+text.Name(m.tab().Name), width))
	}
	line, unread := m.tabsWithin(width)
	if unread == 0 {
		return line
	}
	// Making room for the number may hide more.
	rest := m.measure.Width(fmt.Sprintf(" … +%d ", m.unread()))
	if width < 2*rest {
		return line
	}
	line, unread = m.tabsWithin(width - rest)
	return line + m.theme.barUnread.Render(fmt.Sprintf(" … +%d ", unread))
}

// tabsWithin names those rooms for which there is space, and counts what is
// unread in the others.
func (m *Model) tabsWithin(width int) (names string, unread int) {
	labels := make([]string, len(m.tabs))
	used, first := 0, 0
	for i, t := range m.tabs {
		labels[i] = " " + m.measure.Truncate(m.tabLabel(i), max(4, width-2)) + " "
		used += m.measure.Width(labels[i])
		for i <= m.active && used > width && first < i {
			used -= m.measure.Width(labels[first])
			first++
		}
		unread += t.unread
	}
	var line strings.Builder
	for i := first; i < len(m.tabs); i++ {
		if width -= m.measure.Width(labels[i]); width < 0 {
			break
		}
		line.WriteString(m.tabStyle(i).Render(labels[i]))
		unread -= m.tabs[i].unread
	}
	return line.String(), unread
}

// tabLabel marks the room that is shown also where there are no colours.
func (m *Model) tabLabel(i int) string {
	t := m.tabs[i]
	label := text.Name(t.Name)
	if len(m.tabs) > 1 {
		label = fmt.Sprintf("%d %s", i+1, label)
	}
	if i == m.active {
		label = "[" + label + "]"
	}
	if t.unread > 0 && (i != m.active || !t.view.following()) {
		label += fmt.Sprintf(" +%d", t.unread)
		if t.mentioned {
			label += "!"
		}
	}
	return label
}

func (m *Model) tabStyle(i int) lipgloss.Style {
	switch {
	case i == m.active:
		return m.theme.barActive
	case m.tabs[i].unread > 0:
		return m.theme.barUnread
	}
	return m.theme.bar
}

// body is the messages, with the lists at their sides.
func (m *Model) body() []string {
	height := m.bodyHeight()
	lines := m.visible(m.tab(), height)
	if len(lines) == 0 && height > 2 {
		lines = m.emptyRoom()
	}
	width := m.mainWidth()
	rooms, people := m.roomList(height), m.peopleList(height)
	out := make([]string, height)
	for i := range out {
		line := ""
		if j := i - (height - len(lines)); j >= 0 {
			line = lines[j]
		}
		out[i] = m.measure.PadRight(line, width)
		if rooms != nil {
			out[i] = rooms[i] + out[i]
		}
		if people != nil {
			out[i] += people[i]
		}
	}
	return out
}

func (m *Model) emptyRoom() []string {
	words := "Nobody has said anything here yet."
	if !m.tab().joined && m.tab().refused == "" {
		words = "Entering the room…"
	}
	return []string{m.theme.dim.Render("  " + words), ""}
}

// status is the line above the input: what matters most at the left, what is
// below at the right.
func (m *Model) status() string {
	right := ""
	if t := m.tab(); !t.view.following() {
		right = "↓ End: newest "
		if t.unread > 0 {
			right = "↓ " + count(t.unread, "new message", "new messages") + ": End "
		}
		right = m.theme.accent.Bold(true).Render(right)
	}
	left := m.measure.Truncate(m.statusWords(), max(0, m.width-m.measure.Width(right)-1))
	gap := max(0, m.width-m.measure.Width(left)-m.measure.Width(right))
	return left + strings.Repeat(" ", gap) + right
}

func (m *Model) statusWords() string {
	t := m.tab()
	_, failed := t.Unsent()
	names, _ := t.People.WhoTypes(m.opts.Now())
	switch {
	case m.flash != "":
		return m.theme.accent.Render(" " + text.Name(m.flash))
	case !m.link.Up:
		return m.theme.alarm.Render(" " + m.linkWords())
	case failed > 0:
		return m.theme.alarm.Render(" ✗ " + count(failed, "message", "messages") + " not sent: Ctrl+R sends again, Ctrl+G takes back")
	case len(names) > 0:
		return m.theme.dim.Italic(true).Render(" " + typingWords(names))
	}
	return ""
}

// linkWords say when the next attempt to connect is, and then why it is needed:
// the end may be cut off.
func (m *Model) linkWords() string {
	why := talk.Explain(m.link.Err, m.opts.Server).Text
	wait := m.link.Next.Sub(m.opts.Now())
	if m.link.Next.IsZero() || wait <= 0 {
		return "✗ Connecting… " + text.Name(why)
	}
	return fmt.Sprintf("✗ Next try in %d s (Ctrl+T: now): %s", clock(wait), text.Name(why))
}

func typingWords(names []string) string {
	for i, n := range names {
		names[i] = text.Name(n)
	}
	switch len(names) {
	case 1:
		return names[0] + " is typing…"
	case 2:
		return names[0] + " and " + names[1] + " are typing…"
	case 3:
		return names[0] + ", " + names[1] + " and " + names[2] + " are typing…"
	}
	return count(len(names), "person is", "people are") + " typing…"
}

// roomList is the column at the left, nil if there is none.
func (m *Model) roomList(height int) []string {
	if !m.hasRooms() {
		return nil
	}
	edge := m.theme.dim.Render("│")
	out := make([]string, height)
	first := max(0, min(m.active-height/2, len(m.tabs)-height))
	for row := range out {
		label := ""
		style := m.theme.dim
		if i := first + row; i < len(m.tabs) {
			label = " " + m.tabLabel(i)
			switch {
			case i == m.active:
				style = m.theme.strong
			case m.tabs[i].unread > 0:
				style = m.theme.accent.Bold(true)
			}
		}
		out[row] = style.Render(m.measure.PadRight(label, roomsWidth-2)) + edge + " "
	}
	return out
}

// peopleList is the column at the right, nil if there is none.
func (m *Model) peopleList(height int) []string {
	if !m.hasPeople() {
		return nil
	}
	p := &m.tab().People
	typing := map[string]bool{}
	names, _ := p.WhoTypes(m.opts.Now())
	for _, n := range names {
		typing[n] = true
	}
	rows := []string{m.theme.strong.Render(m.measure.PadRight(thousands(p.Number)+" here", peopleWidth-2))}
	if len(p.Here) == 0 && p.Number > 0 {
		rows = append(rows, m.theme.dim.Render(m.measure.PadRight("/who lists them", peopleWidth-2)))
	}
	for i, n := range p.Here {
		if len(rows) == height-1 && i < len(p.Here)-1 {
			rows = append(rows, m.theme.dim.Render(m.measure.PadRight(fmt.Sprintf("and %s more", thousands(len(p.Here)-i)), peopleWidth-2)))
			break
		}
		rows = append(rows, m.person(n, p, typing[n]))
	}
	edge := m.theme.dim.Render("│")
	out := make([]string, height)
	for i := range out {
		row := ""
		if i < len(rows) {
			row = rows[i]
		}
		out[i] = edge + " " + m.measure.PadRight(row, peopleWidth-2)
	}
	return out
}

func (m *Model) person(name string, p *room.People, typing bool) string {
	style := m.theme.name(name)
	note := ""
	switch {
	case name == m.opts.User:
		style, note = style.Bold(true), " (you)"
	case typing:
		note = " …"
	case p.Away[name] != "":
		style, note = m.theme.dim, " ("+text.Name(p.Away[name])+")"
	}
	width := peopleWidth - 2
	note = m.measure.Truncate(note, width/2)
	shown := m.measure.Truncate(text.Name(name), width-m.measure.Width(note))
	return style.Render(shown) + m.theme.dim.Render(note)
}
