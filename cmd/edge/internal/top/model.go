package top

import (
	"time"

	"charm.land/bubbles/v2/help"
	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/table"
	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/edge/fleet"
)

const (
	refresh = time.Second
	// remembered is how many refreshes the curves go back.
	remembered = 60
)

// model is the screen: what was heard, and how to show it.
type model struct {
	now   Source
	title string

	last          Snapshot
	edges         []fleet.Edge // of last, sorted
	sockets, sent []float64    // of all edges, oldest first
	order         int
	chosen        bool // the user has moved the selection

	width, height int
	table         table.Model
	keys          keys
	help          help.Model
}

type keys struct {
	sort, quit key.Binding
	table      table.KeyMap
}

// ShortHelp implements [help.KeyMap].
func (k keys) ShortHelp() []key.Binding {
	return []key.Binding{k.table.LineUp, k.table.LineDown, k.sort, k.quit}
}

// FullHelp implements [help.KeyMap].
func (k keys) FullHelp() [][]key.Binding { return [][]key.Binding{k.ShortHelp()} }

func newModel(now Source, title string) *model {
	m := &model{now: now, title: title, width: 80, height: 24, help: help.New()}
	m.keys = keys{
		sort:  key.NewBinding(key.WithKeys("s"), key.WithHelp("s", "sort")),
		quit:  key.NewBinding(key.WithKeys("q", "esc", "ctrl+c"), key.WithHelp("q", "quit")),
		table: table.DefaultKeyMap(),
	}
	m.table = table.New(table.WithFocused(true), table.WithStyles(tableStyles()), table.WithKeyMap(m.keys.table))
	m.help.Styles = helpStyles()
	return m
}

type tick Snapshot

// look asks the source, at once or after the pause.
func (m *model) look(pause time.Duration) tea.Cmd {
	return tea.Tick(pause, func(time.Time) tea.Msg { return tick(m.now()) })
}

// Init implements [tea.Model].
func (m *model) Init() tea.Cmd { return m.look(0) }

// Update implements [tea.Model].
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tick:
		m.take(Snapshot(msg))
		return m, m.look(refresh)
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.fill()
		return m, nil
	case tea.KeyPressMsg:
		switch {
		case key.Matches(msg, m.keys.quit):
			return m, tea.Quit
		case key.Matches(msg, m.keys.sort):
			m.order = (m.order + 1) % len(orders)
			m.fill()
			return m, nil
		}
		m.chosen = true
	}
	var cmd tea.Cmd
	m.table, cmd = m.table.Update(msg)
	return m, cmd
}

func (m *model) take(s Snapshot) {
	m.last = s
	t := sum(s.Edges)
	m.sockets = remember(m.sockets, float64(t.sockets))
	m.sent = remember(m.sent, t.out)
	m.fill()
}

func remember(curve []float64, v float64) []float64 {
	curve = append(curve, v)
	return curve[max(0, len(curve)-remembered):]
}

// fill puts what is known into the table. A selection stays with its edge.
func (m *model) fill() {
	selected := m.selected().ID
	m.edges = sorted(m.last.Edges, m.order)
	texts := func(cols []column) [][]string { return rows(m.edges, m.last.At, cols) }
	cols, widths := fit(m.width, texts)

	columns := make([]table.Column, len(cols))
	for i, c := range cols {
		columns[i] = table.Column{Title: padded(c, c.title, widths[i]), Width: widths[i]}
	}
	lines := make([]table.Row, len(m.edges))
	for i, row := range texts(cols) {
		for j, text := range row {
			row[j] = styled(cols[j].title, padded(cols[j], text, widths[j]), text)
		}
		lines[i] = row
	}
	m.table.SetRows(nil) // rows of the columns before would not fit
	m.table.SetColumns(columns)
	m.table.SetRows(lines)
	m.table.SetWidth(m.width)
	m.table.SetHeight(max(2, m.height-around))
	m.table.SetCursor(0)
	for i := range m.edges {
		if m.chosen && m.edges[i].ID == selected {
			m.table.SetCursor(i)
		}
	}
}

// selected is the edge that is, or the zero one.
func (m *model) selected() (e fleet.Edge) {
	if i := m.table.Cursor(); i >= 0 && i < len(m.edges) {
		e = m.edges[i]
	}
	return e
}
