package screen

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aristochat/aristochat/cmd/chat/room"
	"github.com/aristochat/aristochat/cmd/chat/talk"
	"github.com/aristochat/aristochat/cmd/chat/text"
)

// A Wire is what the screen asks of a [talk.Session]. Only Past and Who wait for
// the server.
type Wire interface {
	Join(room string)
	Leave(room string)
	Say(room, clientID, body string)
	Typing(room string, on bool)
	Reconnect()
	Past(ctx context.Context, room string, before uint64) ([]room.Message, bool, error)
	Who(ctx context.Context, room string) ([]string, int, error)
}

// Options say who looks at the screen, and what is on it first.
type Options struct {
	User   string
	Server string // as the user calls it
	Room   string
	// Now, Location and Tick are the clock. If nil, that of this machine.
	Now      func() time.Time
	Location *time.Location
	Tick     func(time.Duration, func(time.Time) tea.Msg) tea.Cmd
}

// A Model is all that the screen shows. It is a [tea.Model].
type Model struct {
	wire Wire
	opts Options

	tabs   []*tab
	active int
	link   talk.Link

	width, height int
	theme         theme
	measure       text.Measure
	focused       bool // the terminal's window is
	noMouse       bool

	input       input
	flash       string // an answer to the last key
	quitting    bool   // /quit was said, and something is unsent
	typed       time.Time
	blocks      map[*room.Entry]block // what entries look like, in blocksWidth columns
	blocksWidth int
	ticking     bool
}

// A tab is one of the rooms that the user is in.
type tab struct {
	*room.Room
	joined  bool
	refused string // why the server does not let the user in
	keeps   bool   // the server has a past
	loading bool   // of which a page was asked for

	view      scroll
	unread    int
	mentioned bool
	mark      *room.Entry // the last one that was seen before the first unread one
	draft     draft
}

// New returns the screen of somebody who enters his first room.
func New(w Wire, o Options) *Model {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	if o.Tick == nil {
		o.Tick = tea.Tick
	}
	m := &Model{
		wire:    w,
		opts:    o,
		link:    talk.Link{Up: true},
		width:   80,
		height:  24,
		theme:   newTheme(true),
		focused: true,
		input:   newInput(),
		blocks:  map[*room.Entry]block{},
	}
	m.resize(m.width, m.height)
	m.open(o.Room)
	return m
}

// Init implements [tea.Model].
func (m *Model) Init() tea.Cmd {
	m.wire.Join(m.tab().Name)
	return tea.Batch(tea.RequestBackgroundColor, m.input.focus())
}

// tab is the one that is shown. There is always one.
func (m *Model) tab() *tab { return m.tabs[m.active] }

// find returns the tab of a room, or nil.
func (m *Model) find(name string) *tab {
	for _, t := range m.tabs {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// open adds a tab at the end and shows it.
func (m *Model) open(name string) {
	t := &tab{Room: room.New(name, m.opts.User)}
	m.tabs = append(m.tabs, t)
	m.show(len(m.tabs) - 1)
}

// show turns to another tab; each keeps the text that was begun in it.
func (m *Model) show(i int) {
	if m.active < len(m.tabs) {
		m.tab().draft = m.input.draft()
		if m.tab().unread == 0 {
			m.tab().mark = nil
		}
	}
	m.active = i
	m.turned()
}

// turned is called when another tab is shown.
func (m *Model) turned() {
	m.input.setDraft(m.tab().draft)
	m.layout()
	if m.focused {
		m.tab().read()
	}
}

// close removes the tab i.
func (m *Model) close(i int) {
	m.tab().draft = m.input.draft()
	m.tabs = slices.Delete(m.tabs, i, i+1)
	if i < m.active || m.active == len(m.tabs) {
		m.active--
	}
	m.turned()
}

// read notes that all that came was seen.
func (t *tab) read() {
	if t.view.following() {
		t.unread, t.mentioned = 0, false
	}
}

// newID is what a message is called by its sender; no other has the same.
func newID() string { return rand.Text() }

// Unsent are the texts that would be lost with the screen: messages that were
// not acknowledged, and what is being typed.
func (m *Model) Unsent() (texts []string) {
	m.tab().draft = m.input.draft()
	for _, t := range m.tabs {
		for i := range t.Len() {
			if e := t.At(i); e.State != room.Arrived {
				texts = append(texts, e.Body)
			}
		}
		if body := t.draft.body(); body != "" {
			texts = append(texts, body)
		}
	}
	return texts
}
