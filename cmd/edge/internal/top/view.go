package top

import (
	"fmt"
	"math"
	"strings"

	"charm.land/bubbles/v2/help"
	"charm.land/bubbles/v2/table"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// The terminal's own colours, so that they fit whatever the background is.
var (
	bold   = lipgloss.NewStyle().Bold(true)
	faint  = lipgloss.NewStyle().Faint(true)
	yellow = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	red    = lipgloss.NewStyle().Foreground(lipgloss.Red)
	green  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	cyan   = lipgloss.NewStyle().Foreground(lipgloss.Cyan)
)

func tableStyles() table.Styles {
	return table.Styles{
		Header:   faint.PaddingRight(gap),
		Cell:     lipgloss.NewStyle().PaddingRight(gap),
		Selected: bold,
	}
}

func helpStyles() help.Styles {
	return help.Styles{ShortKey: bold, ShortDesc: faint, ShortSeparator: faint, Ellipsis: faint}
}

// styled colours the cell of a column for what stands in it.
func styled(title, cell, text string) string {
	if title != "STATE" {
		return cell
	}
	switch {
	case text == "ok":
		return green.Render(cell)
	case text == "full", strings.HasPrefix(text, "silent"):
		return red.Render(cell)
	}
	return yellow.Render(cell)
}

// around is how many lines stand above and below the table.
const around = 7

// View implements [tea.Model].
func (m *model) View() tea.View {
	v := tea.NewView(m.content())
	v.AltScreen = true
	v.WindowTitle = "edge top"
	return v
}

func (m *model) content() string {
	lines := []string{
		bold.Render("edge top") + "  " + m.title + "  " + faint.Render(m.last.At.Format("15:04:05")),
		summary(m.last),
		m.curves(),
		m.notice(),
		strings.TrimRight(m.table.View(), "\n"),
		m.details(),
		m.help.View(m.keys) + faint.Render(" • by "+orders[m.order].name),
	}
	all := strings.Split(strings.Join(lines, "\n"), "\n")
	for i := range all {
		all[i] = ansi.Truncate(all[i], m.width, "…")
	}
	return strings.Join(all, "\n")
}

// notice is what explains an empty or old table.
func (m *model) notice() string {
	switch {
	case m.last.Lost != nil:
		return red.Render(oneLine("NATS: " + m.last.Lost.Error()))
	case m.last.At.IsZero(), len(m.last.Edges) > 0:
		return ""
	case len(m.sockets) <= int(settle/refresh)+1:
		return faint.Render("listening…")
	}
	return yellow.Render("no edge says anything: are there any on these servers, with this --subject-prefix?")
}

// details are of the edge that is selected.
func (m *model) details() string {
	e := m.selected()
	if e.ID == "" {
		return ""
	}
	parts := []string{cyan.Render(strings.TrimSpace(m.table.SelectedRow()[0])), "id " + e.ID}
	if e.Version != "" {
		parts = append(parts, e.Version)
	}
	if !e.Started.IsZero() {
		parts = append(parts, "since "+e.Started.UTC().Format("2006-01-02 15:04 MST"))
	}
	if e.MaxSockets > 0 {
		parts = append(parts, "at most "+plural(e.MaxSockets, "socket"))
	}
	if e.AdmitRate > 0 {
		parts = append(parts, "lets in "+rate(e.AdmitRate)+"/s")
	}
	return strings.Join(parts, faint.Render(" · "))
}

func (m *model) curves() string {
	half := max(8, min(remembered, (m.width-20)/2))
	return fmt.Sprintf("%s %s  %s %s", faint.Render("sockets"), curve(m.sockets, half), faint.Render("out/s"), curve(m.sent, half))
}

// curve draws the newest values, from 0 to the greatest of them.
func curve(values []float64, width int) string {
	const levels = "▁▂▃▄▅▆▇█"
	values = values[max(0, len(values)-width):]
	most := 0.0
	for _, v := range values {
		most = math.Max(most, v)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(values)))
	steps := []rune(levels)
	for _, v := range values {
		i := 0
		if most > 0 {
			i = int(v / most * float64(len(steps)-1))
		}
		b.WriteRune(steps[i])
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
