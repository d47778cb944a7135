package screen

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
)

// A pastMsg is the answer to what scrolling asked for.
type pastMsg struct {
	room     string
	messages []room.Message
	more     bool
	err      error
}

// A whoMsg is the answer to /who.
type whoMsg struct {
	room  string
	names []string
	count int
	err   error
}

// A tickMsg comes when what is shown depends on the time.
type tickMsg struct{}

// Update implements [tea.Model].
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.resize(msg.Width, msg.Height)
	case tea.BackgroundColorMsg:
		m.theme = newTheme(msg.IsDark())
		m.input.style(msg.IsDark())
		m.forgetBlocks()
	case tea.ModeReportMsg:
		if msg.Mode == ansi.ModeUnicodeCore && (msg.Value.IsSet() || msg.Value.IsReset() || msg.Value.IsPermanentlySet()) {
			// As bubbletea's renderer does, with which this has to agree.
			m.measure.Graphemes = true
			m.forgetBlocks()
		}
	case tea.FocusMsg:
		m.focused = true
		m.tab().read()
	case tea.BlurMsg:
		m.focused = false
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case tea.PasteMsg:
		m.paste(msg.Content)
	case tea.MouseWheelMsg:
		return m, m.wheel(msg)
	case tea.MouseClickMsg:
		m.click(msg)
	case tickMsg:
		m.ticking = false
		return m, m.tick()
	case pastMsg:
		m.gotPast(msg)
	case whoMsg:
		m.gotWho(msg)
	default:
		return m, m.happen(msg)
	}
	return m, nil
}

// tick has the screen drawn again in a second, or sooner, as long as there is
// something on it that the time changes.
func (m *Model) tick() tea.Cmd {
	now := m.opts.Now()
	_, typing := m.tab().People.WhoTypes(now)
	wait := time.Duration(0)
	if !m.link.Up {
		wait = 250 * time.Millisecond
	} else if !typing.IsZero() {
		wait = typing.Sub(now)
	}
	if wait == 0 || m.ticking {
		return nil
	}
	m.ticking = true
	return m.opts.Tick(wait, func(time.Time) tea.Msg { return tickMsg{} })
}

// fetch asks for older messages if the top of those that are there is in sight.
func (m *Model) fetch() tea.Cmd {
	t := m.tab()
	if t.loading || !t.Older || !t.keeps || !m.link.Up || !m.nearTop(t) {
		return nil
	}
	t.loading = true
	name, before := t.Name, t.Oldest()
	return func() tea.Msg {
		messages, more, err := m.wire.Past(context.Background(), name, before)
		return pastMsg{name, messages, more, err}
	}
}

func (m *Model) gotPast(p pastMsg) {
	t := m.find(p.room)
	if t == nil {
		return
	}
	t.loading = false
	if p.err != nil {
		m.flash = "older messages cannot be had: " + talk.Explain(p.err, "").Text
		return
	}
	t.Past(p.messages, p.more)
	if t == m.tab() {
		m.clamp(t)
	}
}

// resize is the size of the terminal, in cells.
func (m *Model) resize(width, height int) {
	if width <= 0 || height <= 0 {
		return
	}
	m.width, m.height = width, height
	m.layout()
}

// forgetBlocks has everything drawn anew.
func (m *Model) forgetBlocks() { clear(m.blocks) }
