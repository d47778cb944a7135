package screen

import (
	"hash/fnv"
	"image/color"

	"charm.land/lipgloss/v2"
)

// A theme is how things look. Without colours (NO_COLOR, or a terminal that has
// none) the marks beside them say the same.
type theme struct {
	dim, strong, accent, alarm, good lipgloss.Style

	bar, barActive, barUnread lipgloss.Style // the line at the top
	mention                   lipgloss.Style
	names                     []color.Color
}

// newTheme has enough contrast on a dark or on a light background.
func newTheme(dark bool) theme {
	pick := lipgloss.LightDark(dark)
	fg := func(light, dark string) lipgloss.Style {
		return lipgloss.NewStyle().Foreground(pick(lipgloss.Color(light), lipgloss.Color(dark)))
	}
	bar := pick(lipgloss.Color("#e4e6eb"), lipgloss.Color("#2b3040"))
	t := theme{
		dim:       fg("#6b7280", "#7d8699"),
		strong:    lipgloss.NewStyle().Bold(true),
		accent:    fg("#1d5fd1", "#7ab4ff"),
		alarm:     fg("#c01c28", "#ff7b72"),
		good:      fg("#1a7f37", "#7ee787"),
		bar:       fg("#374151", "#c3cad9").Background(bar),
		barActive: fg("#111827", "#ffffff").Background(bar).Bold(true),
		barUnread: fg("#1d5fd1", "#7ab4ff").Background(bar).Bold(true),
		mention:   lipgloss.NewStyle().Bold(true).Reverse(true),
	}
	palette := lightNames
	if dark {
		palette = darkNames
	}
	for _, c := range palette {
		t.names = append(t.names, lipgloss.Color(c))
	}
	return t
}

var (
	darkNames = []string{
		"#ff9e9e", "#ffb870", "#f2d45c", "#b5e07a", "#7fe0a8", "#6fdcd6",
		"#80c7ff", "#a3b4ff", "#c8a6ff", "#f29bf0", "#ff9ec6", "#d6c2a1",
	}
	lightNames = []string{
		"#b3261e", "#a34700", "#7a5b00", "#456b00", "#0b6b36", "#00686b",
		"#005fa3", "#3a49b8", "#6d3bb3", "#93268f", "#ab1f5f", "#6b5633",
	}
)

// name is the style of a name: always the same colour for the same one.
func (t *theme) name(raw string) lipgloss.Style {
	h := fnv.New32a()
	_, _ = h.Write([]byte(raw)) // never fails
	return lipgloss.NewStyle().Foreground(t.names[h.Sum32()%uint32(len(t.names))])
}
