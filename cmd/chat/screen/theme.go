package screen

import (
	"hash/crc32"
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

// newTheme has enough contrast on a dark or on a light background. Its colours
// are of the palette of 256, which look the same in every terminal that has
// them or more.
func newTheme(dark bool) theme {
	pick := lipgloss.LightDark(dark)
	color := func(light, dark string) color.Color { return pick(lipgloss.Color(light), lipgloss.Color(dark)) }
	plain := lipgloss.NewStyle()
	bar := plain.Background(color("254", "236"))
	t := theme{
		dim:       plain.Foreground(color("242", "245")),
		strong:    plain.Bold(true),
		accent:    plain.Foreground(color("26", "75")),
		alarm:     plain.Foreground(color("160", "210")),
		good:      plain.Foreground(color("28", "114")),
		bar:       bar.Foreground(color("239", "250")),
		barActive: bar.Foreground(color("16", "231")).Bold(true),
		barUnread: bar.Foreground(color("26", "75")).Bold(true),
		mention:   plain.Bold(true).Reverse(true),
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
	darkNames  = []string{"210", "215", "221", "150", "114", "80", "117", "111", "147", "183", "212", "180"}
	lightNames = []string{"124", "130", "94", "64", "28", "30", "25", "61", "91", "127", "125", "58"}
)

// name is the style of a name: always the same colour for the same one.
func (t *theme) name(raw string) lipgloss.Style {
	h := crc32.ChecksumIEEE([]byte(raw)) // of short names it is well spread
	return lipgloss.NewStyle().Foreground(t.names[h%uint32(len(t.names))])
}
