package screen_test

import (
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// The editor measures as terminals do that join clusters; most do not.
func TestCursorInWideText(t *testing.T) {
	const prompt = 2
	for _, tt := range []struct {
		typed            string
		columns, joining int // in most terminals, in those that join clusters
	}{
		{"ab", 2, 2},
		{"日本", 4, 4},
		{"👩‍👩‍👧‍👦 ab", 11, 5},
		{"❤️ ab", 4, 5},
		{"👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 24, 6},
		// The second row begins with "pqr".
		{"👩‍👩‍👧‍👦 abcdefghijklmno pqrstuvwxyz0123456789 👩‍👩‍👧‍👦", 30, 24},
	} {
		w := entered(t, 40, 12)
		w.tell(tea.PasteMsg{Content: tt.typed})
		if got := w.View().Cursor.X; got != prompt+tt.columns {
			t.Errorf("%q: the cursor is in column %d, want %d", tt.typed, got, prompt+tt.columns)
		}
		w.hides("…")
		w.tell(tea.ModeReportMsg{Mode: ansi.ModeUnicodeCore, Value: ansi.ModeReset})
		if got := w.View().Cursor.X; got != prompt+tt.joining {
			t.Errorf("%q: where clusters are joined the cursor is in column %d, want %d", tt.typed, got, prompt+tt.joining)
		}
	}

	w := entered(t, 20, 12)
	w.tell(tea.PasteMsg{Content: strings.Repeat("👩‍👩‍👧‍👦", 4)})
	if got := w.View().Cursor.X; got != 19 {
		t.Errorf("the cursor is in column %d of 20", got)
	}
}
