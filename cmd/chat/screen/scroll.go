package screen

import (
	"slices"

	"github.com/aristochat/aristochat/cmd/chat/room"
)

// A scroll is how far up the user has scrolled. It names what stands at the
// bottom, so that what comes below or above it moves nothing. The zero value
// follows what comes.
type scroll struct {
	at     *room.Entry // stands at the bottom; nil for the newest
	hidden int         // how many of its rows are below the edge
}

func (s scroll) following() bool { return s.at == nil }

// bottom is the index of the entry at the bottom, and how many of its rows are
// hidden.
func (t *tab) bottom() (i, hidden int) {
	if t.view.following() {
		return t.Len() - 1, 0
	}
	if i := t.Index(t.view.at); i >= 0 {
		return i, t.view.hidden
	}
	return t.Len() - 1, 0
}

func (t *tab) setBottom(i, hidden int) {
	if i >= t.Len()-1 && hidden <= 0 {
		t.view = scroll{}
		return
	}
	t.view = scroll{t.At(i), hidden}
}

// scrollBy moves the view by rows, up if n is positive.
func (m *Model) scrollBy(t *tab, n int) {
	if t.Len() == 0 {
		return
	}
	i, hidden := t.bottom()
	for ; n > 0; n-- {
		if hidden++; hidden >= len(m.rows(t, i)) {
			if i == 0 {
				break
			}
			i, hidden = i-1, 0
		}
	}
	for ; n < 0; n++ {
		if hidden--; hidden < 0 {
			if i == t.Len()-1 {
				break
			}
			i++
			hidden = len(m.rows(t, i)) - 1
		}
	}
	t.setBottom(i, max(0, hidden))
	m.clamp(t)
}

// clamp moves the view down if there is nothing to show above the top.
func (m *Model) clamp(t *tab) {
	if t.view.following() {
		if m.focused {
			t.read()
		}
		return
	}
	if short := m.bodyHeight() - m.rowsAbove(t, m.bodyHeight()); short > 0 {
		i, hidden := t.bottom()
		for ; short > 0 && (i < t.Len()-1 || hidden > 0); short-- {
			if hidden--; hidden < 0 {
				i++
				hidden = len(m.rows(t, i)) - 1
			}
		}
		t.setBottom(i, hidden)
	}
	if t.view.following() && m.focused {
		t.read()
	}
}

// rowsAbove counts the rows from the top to the bottom of the view, at most
// limit or a few more.
func (m *Model) rowsAbove(t *tab, limit int) int {
	i, hidden := t.bottom()
	n := -hidden
	for ; i >= 0 && n < limit; i-- {
		n += len(m.rows(t, i))
	}
	return n
}

// nearTop reports that less than a page is left above what is shown.
func (m *Model) nearTop(t *tab) bool {
	limit := 2 * m.bodyHeight()
	return !t.view.following() && m.rowsAbove(t, limit) < limit
}

// toTop and toEnd go to the oldest of what is there, and to the newest.
func (m *Model) toTop(t *tab) {
	if t.Len() > 0 {
		t.view = scroll{t.At(0), len(m.rows(t, 0)) - 1}
		m.clamp(t)
	}
}

func (m *Model) toEnd(t *tab) {
	t.view = scroll{}
	m.clamp(t)
}

// visible is what is shown of a tab: at most height rows.
func (m *Model) visible(t *tab, height int) []string {
	if t.Len() == 0 || height <= 0 {
		return nil
	}
	i, hidden := t.bottom()
	parts := make([][]string, 0, height)
	n := 0
	for ; i >= 0 && n < height; i-- {
		rows := m.rows(t, i)
		rows = rows[:max(0, len(rows)-hidden)]
		hidden = 0
		n += len(rows)
		parts = append(parts, rows)
	}
	lines := make([]string, 0, n)
	for _, rows := range slices.Backward(parts) {
		lines = append(lines, rows...)
	}
	return lines[max(0, len(lines)-height):]
}
